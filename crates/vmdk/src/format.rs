//! Header and markers as they stand in a stream. Numbers are little-endian, places are in sectors.

use crate::Error;

/// Bytes in a sector.
pub(crate) const SECTOR: u64 = 512;
/// The same, for buffers.
pub(crate) const SECTOR_LEN: usize = 512;
/// Grains in a table: the format has no other number.
pub(crate) const TABLE_GRAINS: u64 = 512;
/// Sectors of a table, at four bytes for a grain.
pub(crate) const TABLE_SECTORS: u64 = TABLE_GRAINS * 4 / SECTOR;
/// Where a marker's compressed bytes begin.
pub(crate) const MARKER_LEN: usize = 12;

/// What is allowed for in front of the grains besides what has to be there: it begins at some round place.
const SLACK: u64 = 2048;

const MAGIC: &[u8] = b"KDMV";
/// The directory's place is not known when the header is written: it is in the footer.
const AT_END: u64 = u64::MAX;
/// The four bytes at 73 show whether a transfer as text has spoilt the file.
const NEWLINES: &[u8] = b"\n \r\n";
const DEFLATE: u16 = 1;

const HAS_NEWLINES: u32 = 1;
const REDUNDANT: u32 = 1 << 1;
const ZEROED_GRAINS: u32 = 1 << 2;
const COMPRESSED: u32 = 1 << 16;
const MARKERS: u32 = 1 << 17;

/// The types of the markers that are before something else than a grain.
pub(crate) const END: u32 = 0;
pub(crate) const TABLE: u32 = 1;
pub(crate) const DIRECTORY: u32 = 2;
pub(crate) const FOOTER: u32 = 3;

/// One sector.
pub(crate) type Sector = [u8; SECTOR_LEN];

/// What the header says of the disk and of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The disk's size.
    pub(crate) capacity: u64,
    /// A grain's size.
    pub(crate) grain: u64,
    /// Where the describing text stands, and how long it is.
    pub(crate) descriptor: (u64, u64),
    /// Where the directory stands; none when that is in the footer.
    pub(crate) directory: Option<u64>,
    /// Where the first marker stands.
    pub(crate) overhead: u64,
    /// Whether the tables are there twice.
    pub(crate) redundant: bool,
    /// Whether an entry of 1 means a grain of zeros.
    pub(crate) zeroed_grains: bool,
}

impl Header {
    /// Reads and checks a header.
    pub(crate) fn read(sector: &Sector) -> Result<Header, Error> {
        if !sector.starts_with(MAGIC) {
            return Err(Error::NotVmdk);
        }
        let flags = u32_at(sector, 8);
        if flags & COMPRESSED == 0 || u16_at(sector, 77) != DEFLATE {
            return Err(Error::NotStreamOptimized("its grains are not compressed"));
        }
        if flags & MARKERS == 0 {
            return Err(Error::NotStreamOptimized("it has no markers"));
        }
        if flags & HAS_NEWLINES != 0 && &sector[73..77] != NEWLINES {
            return Err(Error::NotStreamOptimized("a transfer as text has changed its line ends"));
        }
        let directory = u64_at(sector, 56);
        let header = Header {
            capacity: u64_at(sector, 12),
            grain: u64_at(sector, 20),
            descriptor: (u64_at(sector, 28), u64_at(sector, 36)),
            directory: (directory != AT_END).then_some(directory),
            overhead: u64_at(sector, 64),
            redundant: flags & REDUNDANT != 0,
            zeroed_grains: flags & ZEROED_GRAINS != 0,
        };
        let version = u64::from(u32_at(sector, 4));
        let entries = u64::from(u32_at(sector, 44));
        for (field, value, good) in [
            ("version", version, (1..=3).contains(&version)),
            // In bytes it must be a number of 64 bits, with room to count on.
            ("capacity", header.capacity, (1..=u64::MAX >> 12).contains(&header.capacity)),
            (
                "grain size",
                header.grain,
                header.grain.is_power_of_two() && (8..=2048).contains(&header.grain),
            ),
            ("number of entries in a table", entries, entries == TABLE_GRAINS),
            ("descriptor's size", header.descriptor.1, header.descriptor.1 <= SLACK),
        ] {
            if !good {
                return Err(Error::Header { field, value });
            }
        }
        // The parts above have to be good for this.
        let most = SLACK + header.descriptor.1 + header.copies() * header.metadata();
        if !(1..=most).contains(&header.overhead) {
            return Err(Error::Header { field: "overhead", value: header.overhead });
        }
        Ok(header)
    }

    /// The header as a sector, of a stream with its tables behind the grains.
    pub(crate) fn write(&self) -> Sector {
        let mut sector = [0; SECTOR_LEN];
        sector[..4].copy_from_slice(MAGIC);
        put(&mut sector, 4, &3_u32.to_le_bytes());
        put(&mut sector, 8, &(HAS_NEWLINES | COMPRESSED | MARKERS).to_le_bytes());
        put(&mut sector, 12, &self.capacity.to_le_bytes());
        put(&mut sector, 20, &self.grain.to_le_bytes());
        put(&mut sector, 28, &self.descriptor.0.to_le_bytes());
        put(&mut sector, 36, &self.descriptor.1.to_le_bytes());
        put(&mut sector, 44, &u32::try_from(TABLE_GRAINS).unwrap_or(u32::MAX).to_le_bytes());
        put(&mut sector, 56, &self.directory.unwrap_or(AT_END).to_le_bytes());
        put(&mut sector, 64, &self.overhead.to_le_bytes());
        put(&mut sector, 73, NEWLINES);
        put(&mut sector, 77, &DEFLATE.to_le_bytes());
        sector
    }

    /// How many tables the disk needs.
    pub(crate) fn tables(&self) -> u64 {
        self.capacity.div_ceil(self.grain * TABLE_GRAINS)
    }

    /// Sectors of the directory, which has four bytes for a table.
    pub(crate) fn directory_sectors(&self) -> u64 {
        self.tables().div_ceil(SECTOR / 4)
    }

    /// Sectors of the directory with all its tables.
    fn metadata(&self) -> u64 {
        self.directory_sectors() + self.tables() * TABLE_SECTORS
    }

    /// How often directory and tables are there.
    pub(crate) fn copies(&self) -> u64 {
        if self.redundant { 2 } else { 1 }
    }

    /// How many of a sector's table entries stand for a grain in the stream.
    pub(crate) fn grains_in(&self, sector: &Sector) -> u64 {
        let least = if self.zeroed_grains { 2 } else { 1 };
        entries(sector).filter(|entry| *entry >= least).count() as u64
    }
}

/// A marker. With `size` there is a grain of so many compressed bytes, and `value` is its place on
/// the disk; without, `value` sectors of something of type `kind` follow.
pub(crate) struct Marker {
    pub(crate) value: u64,
    pub(crate) size: u32,
    pub(crate) kind: u32,
}

impl Marker {
    pub(crate) fn read(sector: &Sector) -> Marker {
        Marker { value: u64_at(sector, 0), size: u32_at(sector, 8), kind: u32_at(sector, 12) }
    }

    /// A marker before sectors of metadata.
    pub(crate) fn of(kind: u32, sectors: u64) -> Sector {
        let mut sector = [0; SECTOR_LEN];
        put(&mut sector, 0, &sectors.to_le_bytes());
        put(&mut sector, 12, &kind.to_le_bytes());
        sector
    }

    /// The first bytes of a marker before a grain; the compressed bytes follow at once.
    pub(crate) fn of_grain(lba: u64, size: u32) -> [u8; MARKER_LEN] {
        let mut bytes = [0; MARKER_LEN];
        bytes[..8].copy_from_slice(&lba.to_le_bytes());
        bytes[8..].copy_from_slice(&size.to_le_bytes());
        bytes
    }
}

/// The entries of a table or directory in one sector.
pub(crate) fn entries(sector: &Sector) -> impl Iterator<Item = u32> + '_ {
    sector.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
}

fn put(sector: &mut Sector, at: usize, bytes: &[u8]) {
    sector[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The `N` bytes at a place within a sector.
fn array<const N: usize>(sector: &Sector, at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&sector[at..at + N]);
    bytes
}

fn u16_at(sector: &Sector, at: usize) -> u16 {
    u16::from_le_bytes(array(sector, at))
}

fn u32_at(sector: &Sector, at: usize) -> u32 {
    u32::from_le_bytes(array(sector, at))
}

fn u64_at(sector: &Sector, at: usize) -> u64 {
    u64::from_le_bytes(array(sector, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            capacity: 1 << 20,
            grain: 128,
            descriptor: (1, 20),
            directory: Some(77),
            overhead: 128,
            redundant: false,
            zeroed_grains: false,
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for directory in [Some(77), None] {
            let header = Header { directory, ..header() };
            assert_eq!(Header::read(&header.write()).unwrap(), header);
        }
    }

    #[test]
    fn a_header_that_cannot_be_is_refused() {
        for (at, bytes, said) in [
            (0, &b"COWD"[..], "no VMDK"),
            (4, &[4], "version is 4"),
            (8, &[3, 0, 0, 0], "not compressed"),
            (8, &[3, 0, 1, 0], "no markers"),
            (77, &[0, 0], "not compressed"),
            (73, b"\r\n\r\n", "as text"),
            (12, &[0; 8], "capacity is 0"),
            (12, &[255; 8], "capacity is 18446744073709551615"),
            (20, &[0; 8], "grain size is 0"),
            (20, &[100], "grain size is 100"),
            (20, &[0, 0, 1], "grain size is 65536"),
            (44, &[0, 4], "entries in a table is 1024"),
            (36, &[1, 8], "descriptor's size is 2049"),
            (64, &[0; 8], "overhead is 0"),
            (64, &[0, 0, 1], "overhead is 65536"),
            (64, &[255; 8], "overhead is 18446744073709551615"),
        ] {
            let mut sector = header().write();
            put(&mut sector, at, bytes);
            let error = Header::read(&sector).unwrap_err().to_string();
            assert!(error.contains(said), "{at}: {error}");
        }
    }
}
