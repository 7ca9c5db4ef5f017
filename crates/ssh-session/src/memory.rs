//! Anonymous files: what a child of ours reads or writes by path, and nobody else gets to see.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;

use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, memfd_create};

/// An anonymous file. It is gone with this value.
pub(crate) struct Memory(File);

impl Memory {
    /// One that a child may write into.
    pub(crate) fn empty() -> io::Result<Self> {
        Ok(Self(memfd_create("report", MemfdFlags::CLOEXEC)?.into()))
    }

    /// One that holds this for ever.
    pub(crate) fn of(text: &str) -> io::Result<Self> {
        let mut file = File::from(memfd_create("key", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        // ssh takes no private key that others may read.
        fchmod(&file, Mode::RUSR)?;
        file.write_all(text.as_bytes())?;
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(Self(file))
    }

    /// Where a child of this process finds it.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// What is in it by now.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        let mut file = &self.0;
        file.rewind()?;
        let mut bytes = Vec::new();
        file.take(64 << 10).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Empties it.
    pub(crate) fn clear(&self) -> io::Result<()> {
        self.0.set_len(0)
    }
}
