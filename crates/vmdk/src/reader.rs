//! Reads a stream-optimized VMDK and makes the raw disk of it.

use std::fmt;
use std::io::{self, BufReader, ErrorKind, Read};
use std::ops::Range;

use flate2::{Decompress, FlushDecompress, Status};

use crate::Error;
use crate::format::{
    DIRECTORY, END, FOOTER, Header, MARKER_LEN, Marker, SECTOR, SECTOR_LEN, Sector, TABLE, TABLE_SECTORS,
    entries,
};

/// The raw disk in a stream-optimized VMDK: exactly [`Reader::capacity`] bytes, zeros where the
/// stream has no grain.
///
/// The last bytes come, and then the end, only when the stream was seen to be whole. As a [`Read`]
/// its errors hold an [`Error`], but for those of the source itself, which come as they are. After
/// an error there is nothing more to read.
pub struct Reader<R> {
    source: Source<R>,
    header: Header,
    inflate: Decompress,
    /// The current grain as it came. Its length is the most that a grain may have.
    packed: Vec<u8>,
    /// The current grain as it is on the disk, unless it is still packed.
    grain: Vec<u8>,
    still_packed: Option<Packed>,
    /// Where the current grain lies on the disk. Before it are zeros.
    current: Range<u64>,
    /// The next byte of the disk to be handed out.
    position: u64,
    grains: Grains,
    /// How many tables and directories came behind grains. The header says how many there can be.
    tables: u64,
    directories: u64,
    state: State,
}

/// Where the current grain was in the stream, and how many bytes it has there.
#[derive(Clone, Copy)]
struct Packed {
    at: u64,
    size: usize,
}

/// How many grains came, and how many the tables list.
#[derive(Default)]
struct Grains {
    seen: u64,
    listed: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Grains,
    Footer,
    Whole,
    Failed,
}

/// A piece of the disk, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// So many zeros.
    Zeros(u64),
    /// These bytes.
    Data(&'a [u8]),
}

impl<R: Read> Reader<R> {
    /// Reads the header, and all that is before the first grain.
    pub fn new(source: R) -> Result<Self, Error> {
        // Enough for what stands between grains; they themselves are to be copied once.
        let mut source = Source { inner: BufReader::with_capacity(4 << 10, source), at: 0 };
        let header = Header::read(&source.sector()?)?;
        let grain = usize::try_from(header.grain * SECTOR).unwrap_or(usize::MAX);
        let mut grains = Grains::default();
        match header.directory {
            None => source.skip(header.overhead - 1)?,
            Some(directory) => grains.listed = read_tables_in_front(&mut source, &header, directory)?,
        }
        Ok(Reader {
            source,
            inflate: Decompress::new(true),
            packed: vec![0; 2 * grain],
            grain: vec![0; grain],
            still_packed: None,
            current: 0..0,
            position: 0,
            grains,
            tables: 0,
            directories: 0,
            state: State::Grains,
            header,
        })
    }

    /// The disk's size in bytes.
    pub fn capacity(&self) -> u64 {
        self.header.capacity * SECTOR
    }

    /// The next piece of the disk; none when it was read to its end. For those who need not write
    /// zeros to know of them.
    pub fn piece(&mut self) -> Result<Option<Piece<'_>>, Error> {
        Ok(match self.ahead()? {
            Ahead::End => None,
            Ahead::Zeros(count) => {
                self.position += count;
                Some(Piece::Zeros(count))
            }
            Ahead::Data(range) => {
                self.unpack()?;
                self.position = self.current.end;
                Some(Piece::Data(&self.grain[range]))
            }
        })
    }

    /// What comes next, after as much of the stream was read as it takes to know.
    fn ahead(&mut self) -> Result<Ahead, Error> {
        loop {
            if self.position < self.current.start {
                return Ok(Ahead::Zeros(self.current.start - self.position));
            }
            if self.position < self.current.end {
                let length = usize::try_from(self.current.end - self.current.start).unwrap_or(usize::MAX);
                let done = usize::try_from(self.position - self.current.start).unwrap_or(usize::MAX);
                return Ok(Ahead::Data(done..length));
            }
            match self.state {
                State::Whole => return Ok(Ahead::End),
                State::Failed => return Err(Error::Failed),
                State::Grains | State::Footer => {}
            }
            let before = std::mem::replace(&mut self.state, State::Failed);
            self.state = self.advance(before)?;
        }
    }

    /// Reads on to the next grain or to the end.
    fn advance(&mut self, state: State) -> Result<State, Error> {
        let mut state = state;
        loop {
            let at = self.source.at;
            // Streams whose tables are in front have no end marker: these tables tell the end.
            let Some(sector) = self.source.try_sector()? else {
                return if self.header.directory.is_some() {
                    self.end()
                } else {
                    Err(Error::Truncated { at })
                };
            };
            let marker = Marker::read(&sector);
            let copies = self.header.copies();
            match (state, marker.kind) {
                (State::Grains, _) if marker.size > 0 => {
                    self.read_grain(at, &marker, &sector)?;
                    return Ok(State::Grains);
                }
                (_, END) if marker.size == 0 && marker.value == 0 => {
                    if state != State::Footer && self.header.directory.is_none() {
                        return Err(Error::Footer);
                    }
                    self.read_rest()?;
                    return self.end();
                }
                (State::Grains, TABLE)
                    if marker.value == TABLE_SECTORS && self.tables < copies * self.header.tables() =>
                {
                    self.tables += 1;
                    for _ in 0..TABLE_SECTORS {
                        self.grains.listed += self.header.grains_in(&self.source.sector()?);
                    }
                }
                (State::Grains, DIRECTORY)
                    if marker.value <= self.longest_directory() && self.directories < copies =>
                {
                    self.directories += 1;
                    self.source.skip(marker.value)?;
                }
                (State::Grains, FOOTER) if marker.value == 1 => {
                    let footer = Header::read(&self.source.sector()?).map_err(|_| Error::Footer)?;
                    if (footer.capacity, footer.grain) != (self.header.capacity, self.header.grain) {
                        return Err(Error::Footer);
                    }
                    state = State::Footer;
                }
                _ => return Err(Error::Marker { at, kind: marker.kind, sectors: marker.value }),
            }
        }
    }

    /// Sectors of the directory, with what may fill up its last grain.
    fn longest_directory(&self) -> u64 {
        self.header.directory_sectors().next_multiple_of(self.header.grain)
    }

    fn read_grain(&mut self, at: u64, marker: &Marker, sector: &Sector) -> Result<(), Error> {
        let (start, capacity) = self.place(at, marker.value)?;
        let size = usize::try_from(marker.size).unwrap_or(usize::MAX);
        let packed = self.packed.get_mut(..size).ok_or(Error::GrainTooLarge { at, bytes: marker.size })?;
        let (head, rest) = packed.split_at_mut(size.min(SECTOR_LEN - MARKER_LEN));
        head.copy_from_slice(&sector[MARKER_LEN..MARKER_LEN + head.len()]);
        self.source.fill(rest)?;
        let padding = (MARKER_LEN + size).next_multiple_of(SECTOR_LEN) - MARKER_LEN - size;
        if !rest.is_empty() {
            self.source.fill(&mut [0; SECTOR_LEN][..padding])?;
        }
        self.grains.seen += 1;
        self.current = start..start + (self.grain.len() as u64).min(capacity - start);
        self.still_packed = Some(Packed { at, size });
        Ok(())
    }

    /// Where a grain goes on the disk, and how large that is.
    fn place(&self, at: u64, lba: u64) -> Result<(u64, u64), Error> {
        let (offset, capacity) = (lba.saturating_mul(SECTOR), self.capacity());
        if offset >= capacity {
            Err(Error::BeyondCapacity { at, offset, capacity })
        } else if !lba.is_multiple_of(self.header.grain) {
            Err(Error::Unaligned { at, offset })
        } else if offset < self.current.end {
            Err(Error::OutOfOrder { at, offset, read: self.current.end })
        } else {
            Ok((offset, capacity))
        }
    }

    /// Decompresses the current grain to where it is kept, unless that was done.
    fn unpack(&mut self) -> Result<(), Error> {
        let mut grain = std::mem::take(&mut self.grain);
        let unpacked = self.unpack_into(&mut grain);
        self.grain = grain;
        unpacked
    }

    /// Decompresses the current grain to `out`, which is as long as grains are, unless that was done.
    fn unpack_into(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let Some(packed) = self.still_packed.take() else { return Ok(()) };
        let unpacked = self.inflate(packed, out);
        if unpacked.is_err() {
            self.state = State::Failed;
            self.current = self.position..self.position;
        }
        unpacked
    }

    fn inflate(&mut self, Packed { at, size }: Packed, out: &mut [u8]) -> Result<(), Error> {
        self.inflate.reset(true);
        let status = self.inflate.decompress(&self.packed[..size], out, FlushDecompress::Finish);
        let (bytes, expected) = (self.inflate.total_out(), self.current.end - self.current.start);
        match status {
            // The last grain may be as long as the disk is, or as long as the others.
            Ok(Status::StreamEnd) if bytes == out.len() as u64 || bytes == expected => Ok(()),
            Ok(Status::StreamEnd) => Err(Error::GrainSize { at, bytes, expected }),
            Ok(_) if self.inflate.total_in() < size as u64 => {
                Err(Error::GrainSize { at, bytes: bytes + 1, expected: out.len() as u64 })
            }
            Ok(_) => Err(Error::Zlib { at, reason: "it ends in the middle".into() }),
            Err(error) => Err(Error::Zlib { at, reason: error.to_string() }),
        }
    }

    /// What follows the end marker may only be padding, of a grain at most.
    fn read_rest(&mut self) -> Result<(), Error> {
        for _ in 0..=self.header.grain {
            match self.source.try_sector()? {
                None => return Ok(()),
                Some(sector) if sector.iter().all(|byte| *byte == 0) => {}
                Some(_) => break,
            }
        }
        Err(Error::AfterEnd { at: self.source.at })
    }

    /// Checks that all grains came. What follows the last of them on the disk are zeros.
    fn end(&mut self) -> Result<State, Error> {
        let Grains { seen, listed } = self.grains;
        // Tables behind the grains that are there twice list each grain twice.
        let twice = self.header.redundant && self.header.directory.is_none() && listed == 2 * seen;
        if listed != seen && !twice {
            return Err(Error::Tables { listed, seen });
        }
        self.current = self.capacity()..self.capacity();
        Ok(State::Whole)
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let count = match self.ahead()? {
            Ahead::End => 0,
            Ahead::Zeros(zeros) => {
                let count = out.len().min(usize::try_from(zeros).unwrap_or(usize::MAX));
                out[..count].fill(0);
                count
            }
            // A grain that is wanted as a whole is unpacked to where it is wanted.
            Ahead::Data(range)
                if self.still_packed.is_some()
                    && range.len() == self.grain.len()
                    && range.len() <= out.len() =>
            {
                self.unpack_into(&mut out[range.clone()])?;
                range.len()
            }
            Ahead::Data(range) => {
                self.unpack()?;
                let data = &self.grain[range];
                let count = out.len().min(data.len());
                out[..count].copy_from_slice(&data[..count]);
                count
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("header", &self.header)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// What comes next on the disk.
enum Ahead {
    Zeros(u64),
    Data(Range<usize>),
    End,
}

/// Counts the grains in tables that stand between header and grains, as qemu-img writes them: the
/// directory, and right behind it the tables one after the other.
fn read_tables_in_front<R: Read>(
    source: &mut Source<R>,
    header: &Header,
    directory: u64,
) -> Result<u64, Error> {
    let unusable = Error::Header { field: "place of the directory", value: directory };
    let tables = header.tables();
    let directory_end = directory.saturating_add(header.directory_sectors());
    if directory < 1 || directory_end > header.overhead {
        return Err(unusable);
    }
    source.skip(directory - 1)?;
    let (mut first, mut seen) = (0, 0);
    for _ in directory..directory_end {
        for entry in entries(&source.sector()?).map(u64::from) {
            if seen == 0 {
                first = entry;
            }
            if seen < tables && entry != first + seen * TABLE_SECTORS {
                return Err(unusable);
            }
            seen += 1;
        }
    }
    let end = first + tables * TABLE_SECTORS;
    if first < directory_end || end > header.overhead {
        return Err(unusable);
    }
    source.skip(first - directory_end)?;
    let mut listed = 0;
    for _ in first..end {
        listed += header.grains_in(&source.sector()?);
    }
    source.skip(header.overhead - end)?;
    Ok(listed)
}

/// What the stream is read from, and how many bytes came so far.
struct Source<R> {
    inner: BufReader<R>,
    at: u64,
}

impl<R: Read> Source<R> {
    /// Reads a sector; none when the source ends before it.
    fn try_sector(&mut self) -> Result<Option<Sector>, Error> {
        let mut sector = [0; SECTOR_LEN];
        let begin = self.at;
        match self.fill(&mut sector) {
            Err(Error::Truncated { at }) if at == begin => Ok(None),
            outcome => outcome.map(|()| Some(sector)),
        }
    }

    fn sector(&mut self) -> Result<Sector, Error> {
        self.try_sector()?.ok_or(Error::Truncated { at: self.at })
    }

    fn skip(&mut self, sectors: u64) -> Result<(), Error> {
        for _ in 0..sectors {
            self.sector()?;
        }
        Ok(())
    }

    fn fill(&mut self, mut out: &mut [u8]) -> Result<(), Error> {
        while !out.is_empty() {
            match self.inner.read(out) {
                Ok(0) => return Err(Error::Truncated { at: self.at }),
                Ok(count) => {
                    self.at += count as u64;
                    out = &mut out[count..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
