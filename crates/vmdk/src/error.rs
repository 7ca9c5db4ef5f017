//! What can be wrong with a stream.

use std::io;

/// Why a stream cannot be read or written. Places are in bytes: `at` from the start of the stream,
/// `offset` from the start of the disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It does not begin as a VMDK does.
    #[error("this is no VMDK: its first bytes are not KDMV")]
    NotVmdk,
    /// A VMDK of another sort, which cannot be read as a stream.
    #[error("this VMDK is not stream-optimized ({0}): convert it with qemu-img -o subformat=streamOptimized")]
    NotStreamOptimized(&'static str),
    /// A number in the header is outside of what the format has or this reader can hold.
    #[error("the header's {field} is {value}, which no stream-optimized VMDK has")]
    Header {
        /// The field.
        field: &'static str,
        /// What stands there.
        value: u64,
    },
    /// The stream ends before its end marker: what was read so far is only a part of the disk.
    #[error("the stream was cut off after {at} bytes: read it again from the start")]
    Truncated {
        /// How many bytes came.
        at: u64,
    },
    /// A grain begins where no grain can begin.
    #[error("the grain at {at} is for byte {offset} of the disk, which is not where a grain begins")]
    Unaligned {
        /// Where its marker stands.
        at: u64,
        /// Where it would go.
        offset: u64,
    },
    /// A grain comes after one that follows it on the disk, or twice.
    #[error("the grain at {at} is for byte {offset} of the disk, but the disk is read up to byte {read}")]
    OutOfOrder {
        /// Where its marker stands.
        at: u64,
        /// Where it would go.
        offset: u64,
        /// How far the grains before it reach.
        read: u64,
    },
    /// A grain lies behind the end of the disk.
    #[error("the grain at {at} is for byte {offset} of a disk of {capacity} bytes")]
    BeyondCapacity {
        /// Where its marker stands.
        at: u64,
        /// Where it would go.
        offset: u64,
        /// The disk's size.
        capacity: u64,
    },
    /// A grain's compressed bytes are more than a grain can need.
    #[error("the grain at {at} claims {bytes} compressed bytes")]
    GrainTooLarge {
        /// Where its marker stands.
        at: u64,
        /// What it claims.
        bytes: u32,
    },
    /// A grain's bytes are no zlib stream, or its checksum is wrong.
    #[error("the grain at {at} cannot be decompressed: {reason}")]
    Zlib {
        /// Where its marker stands.
        at: u64,
        /// What the decompressor says.
        reason: String,
    },
    /// A grain decompresses to more or less than a grain.
    #[error("the grain at {at} has {bytes} bytes and not {expected}")]
    GrainSize {
        /// Where its marker stands.
        at: u64,
        /// How many it has, at least.
        bytes: u64,
        /// How many it must have.
        expected: u64,
    },
    /// A marker of an unknown sort, of a wrong size, or where it cannot be.
    #[error("the marker at {at} has type {kind} and {sectors} sectors, which cannot be there")]
    Marker {
        /// Where it stands.
        at: u64,
        /// Its type.
        kind: u32,
        /// How many sectors follow, as it says.
        sectors: u64,
    },
    /// Footer and header do not describe the same disk, or there is no footer.
    #[error("the stream's footer does not agree with its header")]
    Footer,
    /// The tables list more or fewer grains than came.
    #[error("the stream lists {listed} grains and has {seen}: read it again from the start")]
    Tables {
        /// How many the tables list.
        listed: u64,
        /// How many came.
        seen: u64,
    },
    /// Something follows the end marker.
    #[error("something follows the end marker at {at}")]
    AfterEnd {
        /// How many bytes came up to there.
        at: u64,
    },
    /// The reader failed before, and what would follow has no meaning.
    #[error("this stream has failed before: read it again from the start")]
    Failed,
    /// The disk to write is not of whole sectors, is empty, or larger than the format can address.
    #[error("a disk of {bytes} bytes cannot be written as a stream: sizes are multiples of 512")]
    Capacity {
        /// Its size.
        bytes: u64,
    },
    /// The disk to write does not fit into a stream. That shows only when so much was written.
    #[error("the disk has more than 2 TiB once compressed, and tables of a stream can address no more")]
    TooLong,
    /// More or fewer bytes were written than the disk has.
    #[error("{written} bytes were written of a disk of {capacity}")]
    Written {
        /// How many came.
        written: u64,
        /// The disk's size.
        capacity: u64,
    },
    /// What the stream is read from or written to failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Error> for io::Error {
    /// An [`Error::Io`] is given back as it was, so that its own cause can be found.
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io(_) => io::ErrorKind::Other,
            Error::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            Error::Capacity { .. } | Error::TooLong | Error::Written { .. } => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        match error {
            Error::Io(cause) => cause,
            error => io::Error::new(kind, error),
        }
    }
}
