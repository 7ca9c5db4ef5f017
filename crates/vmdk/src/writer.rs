//! Makes a stream-optimized VMDK of a raw disk.

use std::io::{self, Write};

use flate2::{Compress, Compression, FlushCompress, Status};

use crate::Error;
use crate::format::{
    DIRECTORY, END, FOOTER, Header, MARKER_LEN, Marker, SECTOR, SECTOR_LEN, TABLE, TABLE_GRAINS,
    TABLE_SECTORS,
};

/// Sectors of a grain.
const GRAIN: u64 = 128;
const GRAIN_LEN: usize = 64 << 10;
const TABLE_LEN: usize = 512;
static ZEROS: [u8; GRAIN_LEN] = [0; GRAIN_LEN];
/// Sectors for the describing text.
const DESCRIPTOR: (u64, u64) = (1, 20);
const DESCRIPTOR_LEN: usize = 20 * SECTOR_LEN;

/// Writes a raw disk, byte by byte from its start, as a stream. [`Writer::finish`] completes it:
/// without that, no reader takes the stream for a whole one.
pub struct Writer<W> {
    out: Sink<W>,
    header: Header,
    deflate: Compress,
    /// For what cannot be compressed: fast codes would only make it larger.
    store: Compress,
    packed: Vec<u8>,
    /// The current grain, as far as it has come.
    grain: Vec<u8>,
    /// How many grains are done.
    grains: u64,
    table: [u32; TABLE_LEN],
    directory: Vec<u32>,
}

impl<W: Write> Writer<W> {
    /// Begins the stream of a disk of so many bytes. The name is what the disk's file is called.
    pub fn new(out: W, capacity: u64, name: &str) -> Result<Self, Error> {
        if capacity == 0 || !capacity.is_multiple_of(SECTOR) || capacity > u64::MAX >> 4 {
            return Err(Error::Capacity { bytes: capacity });
        }
        let header = Header {
            capacity: capacity / SECTOR,
            grain: GRAIN,
            descriptor: DESCRIPTOR,
            directory: None,
            overhead: GRAIN,
            redundant: false,
            zeroed_grains: false,
        };
        let mut text = descriptor(header.capacity, name).into_bytes();
        text.resize(DESCRIPTOR_LEN, 0);
        let mut out = Sink { inner: out, sectors: 0 };
        out.put(&header.write())?;
        out.put(&text)?;
        while out.sectors < header.overhead {
            out.put(&[0; SECTOR_LEN])?;
        }
        Ok(Writer {
            out,
            header,
            deflate: Compress::new(Compression::fast(), true),
            store: Compress::new(Compression::none(), true),
            packed: Vec::with_capacity(2 * GRAIN_LEN),
            grain: Vec::with_capacity(GRAIN_LEN),
            grains: 0,
            table: [0; TABLE_LEN],
            directory: Vec::new(),
        })
    }

    /// Writes what completes the stream, and gives back what it was written to.
    pub fn finish(mut self) -> Result<W, Error> {
        let (written, capacity) = (self.written(), self.header.capacity * SECTOR);
        if written != capacity {
            return Err(Error::Written { written, capacity });
        }
        if !self.grain.is_empty() {
            self.grain.resize(GRAIN_LEN, 0);
            self.end_grain()?;
        }
        if !self.grains.is_multiple_of(TABLE_GRAINS) {
            self.end_table()?;
        }
        let mut directory: Vec<u8> = self.directory.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        directory.resize(directory.len().next_multiple_of(SECTOR_LEN), 0);
        self.out.put(&Marker::of(DIRECTORY, directory.len() as u64 / SECTOR))?;
        self.header.directory = Some(self.out.sectors);
        self.out.put(&directory)?;
        self.out.put(&Marker::of(FOOTER, 1))?;
        self.out.put(&self.header.write())?;
        self.out.put(&Marker::of(END, 0))?;
        self.out.inner.flush()?;
        Ok(self.out.inner)
    }

    fn written(&self) -> u64 {
        self.grains * GRAIN * SECTOR + self.grain.len() as u64
    }

    fn end_grain(&mut self) -> Result<(), Error> {
        if self.grain != ZEROS {
            pack(&mut self.deflate, &self.grain, &mut self.packed)?;
            if self.packed.len() > GRAIN_LEN {
                pack(&mut self.store, &self.grain, &mut self.packed)?;
            }
            let index = usize::try_from(self.grains % TABLE_GRAINS).unwrap_or(0);
            self.table[index] = self.out.place()?;
            let size = u32::try_from(self.packed.len()).unwrap_or(u32::MAX);
            self.out.inner.write_all(&Marker::of_grain(self.grains * GRAIN, size))?;
            let padded = (MARKER_LEN + self.packed.len()).next_multiple_of(SECTOR_LEN);
            self.packed.resize(padded - MARKER_LEN, 0);
            self.out.inner.write_all(&self.packed)?;
            self.out.sectors += padded as u64 / SECTOR;
        }
        self.grain.clear();
        self.grains += 1;
        if self.grains.is_multiple_of(TABLE_GRAINS) { self.end_table() } else { Ok(()) }
    }

    /// A table without grains is left out.
    fn end_table(&mut self) -> Result<(), Error> {
        if self.table == [0; TABLE_LEN] {
            self.directory.push(0);
            return Ok(());
        }
        self.out.put(&Marker::of(TABLE, TABLE_SECTORS))?;
        self.directory.push(self.out.place()?);
        let table: Vec<u8> = self.table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        self.table = [0; TABLE_LEN];
        self.out.put(&table)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (written, capacity) = (self.written(), self.header.capacity * SECTOR);
        if written + bytes.len() as u64 > capacity {
            return Err(Error::Written { written: written + bytes.len() as u64, capacity }.into());
        }
        let count = bytes.len().min(GRAIN_LEN - self.grain.len());
        self.grain.extend_from_slice(&bytes[..count]);
        if self.grain.len() == GRAIN_LEN {
            self.end_grain()?;
        }
        Ok(count)
    }

    /// A part of a grain waits for the rest of it.
    fn flush(&mut self) -> io::Result<()> {
        self.out.inner.flush()
    }
}

fn pack(by: &mut Compress, grain: &[u8], packed: &mut Vec<u8>) -> Result<(), Error> {
    by.reset();
    packed.clear();
    match by.compress_vec(grain, packed, FlushCompress::Finish) {
        Ok(Status::StreamEnd) => Ok(()),
        _ => Err(io::Error::other("a grain cannot be compressed").into()),
    }
}

/// Where the stream goes, and how long it is.
struct Sink<W> {
    inner: W,
    sectors: u64,
}

impl<W: Write> Sink<W> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.inner.write_all(bytes)?;
        self.sectors += bytes.len() as u64 / SECTOR;
        Ok(())
    }

    /// The place of what comes next, as tables have it.
    fn place(&self) -> Result<u32, Error> {
        u32::try_from(self.sectors).map_err(|_| Error::TooLong)
    }
}

/// The text that describes the disk. vSphere takes controller and geometry from elsewhere, but
/// refuses a text without them.
fn descriptor(capacity: u64, name: &str) -> String {
    let (heads, sectors) = (255, 63);
    let cylinders = (capacity / (heads * sectors)).clamp(1, 65535);
    // A quote or a line end would end the name.
    let name: String = name.chars().filter(|c| !c.is_control() && *c != '"').take(200).collect();
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n\
         # Extent description\nRW {capacity} SPARSE \"{name}\"\n\n\
         # The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n\
         ddb.geometry.cylinders = \"{cylinders}\"\nddb.geometry.heads = \"{heads}\"\n\
         ddb.geometry.sectors = \"{sectors}\"\nddb.virtualHWVersion = \"13\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_tables_cannot_address_is_its_own_error() {
        let last = u64::from(u32::MAX);
        for (sectors, fits) in [(last, true), (last + 1, false)] {
            let mut writer = Writer::new(io::sink(), 1 << 20, "a").unwrap();
            writer.out.sectors = sectors;
            let written = writer.write_all(&vec![1; GRAIN_LEN]);
            let error = written.err().and_then(|error| error.into_inner()?.downcast::<Error>().ok());
            assert_eq!(error.is_none(), fits);
            assert!(error.is_none_or(|error| matches!(*error, Error::TooLong)), "{sectors}");
        }
    }
}
