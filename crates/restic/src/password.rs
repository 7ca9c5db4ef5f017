//! A secret that lies in an anonymous file: a child reads it by path, and nobody else gets to see it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::rand::{GetRandomFlags, getrandom};

/// Longer ones are a mistake: a file was given that holds something else.
const LONGEST: u64 = 4096;

/// A password, held by the kernel. Prints as `Password(…)`; a copy is the same file.
#[derive(Clone)]
pub struct Password(Arc<File>);

impl Password {
    /// Takes the text in.
    ///
    /// # Errors
    /// An empty text, one of several lines or of more than 4096 bytes is refused: restic would use another than was meant.
    pub fn new(text: &str) -> io::Result<Self> {
        let wrong = text.is_empty()
            || u64::try_from(text.len()).is_ok_and(|length| length > LONGEST)
            || text.chars().any(char::is_control)
            || text.trim() != text;
        if wrong {
            let why = "a password is one line of at most 4096 bytes, without blanks at its ends";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Self::hold(text.as_bytes())
    }

    /// 256 random bits from the kernel, in hexadecimal.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0_u8; 32];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
        }
        let mut text = String::with_capacity(64);
        for byte in bytes {
            text.extend(
                [byte >> 4, byte & 15].map(|half| char::from(b"0123456789abcdef"[usize::from(half)])),
            );
        }
        Self::hold(text.as_bytes())
    }

    /// Reads it from a file, without the line's end.
    pub fn read(file: File) -> io::Result<Self> {
        let mut text = String::new();
        file.take(LONGEST + 1).read_to_string(&mut text)?;
        Self::new(text.trim_end_matches(['\n', '\r']))
    }

    fn hold(bytes: &[u8]) -> io::Result<Self> {
        let file: OwnedFd = memfd_create("password", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(file);
        file.write_all(bytes)?;
        // A child that opens it by path could write otherwise.
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(Self(Arc::new(file)))
    }

    /// Where a child of this process reads it, while this value lives.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    /// The text itself, for the place that keeps it and for nothing else.
    pub fn expose(&self) -> io::Result<String> {
        let length = usize::try_from(self.0.metadata()?.len()).unwrap_or(0);
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, 0)?;
        String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_restic_would_read_otherwise_is_refused() {
        for wrong in ["", " blank", "blank ", "two\nlines", "end\n", &"x".repeat(4097)] {
            assert!(Password::new(wrong).is_err(), "{wrong:?}");
        }
        let password = Password::new("blåbær og rømme").unwrap();
        assert_eq!(password.expose().unwrap(), "blåbær og rømme");
        assert_eq!(std::fs::read_to_string(password.path()).unwrap(), "blåbær og rømme");
        assert!(std::fs::write(password.path(), "other").is_err(), "it is sealed");
        assert_eq!(format!("{password:?}"), "Password(…)");
    }

    #[test]
    fn random_ones_differ() {
        let (one, other) = (Password::random().unwrap(), Password::random().unwrap());
        assert_eq!(one.expose().unwrap().len(), 64);
        assert_ne!(one.expose().unwrap(), other.expose().unwrap());
    }
}
