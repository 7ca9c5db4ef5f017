//! Which SFTP requests are still without an answer: what tells a quiet stream from a host that hangs.

/// Counts the packets of one direction. A packet is a length of four bytes, big end first, and as many bytes.
#[derive(Default)]
pub(crate) struct Frames {
    count: u64,
    /// What is missing of the packet that is under way.
    body: u64,
    length: [u8; 4],
    length_seen: usize,
}

impl Frames {
    /// Reads on.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = bytes.len().min(usize::try_from(self.body).unwrap_or(usize::MAX));
            if skipped > 0 {
                self.body -= skipped as u64;
                bytes = &bytes[skipped..];
                if self.body == 0 {
                    self.count += 1;
                }
                continue;
            }
            self.length[self.length_seen] = bytes[0];
            self.length_seen += 1;
            bytes = &bytes[1..];
            if self.length_seen == 4 {
                self.length_seen = 0;
                self.body = u32::from_be_bytes(self.length).into();
                if self.body == 0 {
                    self.count += 1;
                }
            }
        }
    }

    /// Whether no packet is under way.
    pub(crate) fn is_whole(&self) -> bool {
        self.body == 0 && self.length_seen == 0
    }

    /// Whole packets so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_counted_wherever_they_are_cut() {
        let stream =
            [&[0, 0, 0, 2, 9, 9][..], &[0, 0, 1, 0], &[7; 256], &[0, 0, 0, 1, 5], &[0, 0, 0, 0]].concat();
        for size in 1..stream.len() {
            let mut frames = Frames::default();
            stream.chunks(size).for_each(|chunk| frames.read(chunk));
            assert_eq!(frames.count(), 4, "in chunks of {size}");
        }
        let mut frames = Frames::default();
        frames.read(&[0, 0, 0, 2, 9]);
        assert_eq!(frames.count(), 0, "a part of a packet is none");
        assert!(!frames.is_whole());
        frames.read(&[9]);
        assert!(frames.is_whole());
    }
}
