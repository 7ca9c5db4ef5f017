//! Bytes on their way from one side to the other.

/// A buffer of one size: filled at its end, emptied at its front.
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    from: usize,
    to: usize,
}

impl Buffer {
    pub(crate) fn new(size: usize) -> Self {
        Self { bytes: vec![0; size].into_boxed_slice(), from: 0, to: 0 }
    }

    /// What is in it.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Takes the first bytes out.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.from = (self.from + bytes).min(self.to);
        if self.is_empty() {
            (self.from, self.to) = (0, 0);
        }
    }

    /// Where more can be put. What is left moves to the front when the rear is used up, so that it is moved seldom.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.to == self.bytes.len() && self.from > self.bytes.len() / 2 {
            self.bytes.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        &mut self.bytes[self.to..]
    }

    /// Says that so much was put there.
    pub(crate) fn fill(&mut self, bytes: usize) {
        self.to = (self.to + bytes).min(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut buffer = Buffer::new(8);
        let mut out = Vec::new();
        let mut next = 0_u8;
        for take in [3, 1, 7, 2, 5, 4, 8, 8, 8] {
            let room = buffer.room();
            let filled = room.len();
            for byte in room {
                *byte = next;
                next += 1;
            }
            buffer.fill(filled);
            let taken = take.min(buffer.filled().len());
            out.extend_from_slice(&buffer.filled()[..taken]);
            buffer.consume(taken);
        }
        out.extend_from_slice(buffer.filled());
        assert_eq!(out, (0..next).collect::<Vec<_>>());
        assert!(next > 20, "it was filled again and again");
    }
}
