//! A password sealed for somebody who is not here: in age's format, version 1, by the stock `age` program.
//!
//! The library of that name brings some 140 crates, translations among them; the program is one Debian package, runs the way
//! restic does, and is the same that opens the seal when we are gone.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::str::FromStr;

use crate::child::{Call, Input, run};
use crate::error::Error;
use crate::output::Output;
use crate::password::Password;
use crate::repository::Bounds;

/// A sealed password is some 250 bytes.
const SEALED: usize = 16 * 1024;

/// The public key of whom a seal is for: `age1…`, X25519.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient(String);

impl FromStr for Recipient {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let formed = text.len() == 62
            && text.starts_with("age1")
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Unusable("a public key of age has 62 letters and begins with age1".to_owned()))
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Seals the password, so that only the holder of the private key can read it.
pub async fn seal(
    age: &Path,
    password: &Password,
    to: &Recipient,
    bounds: &Bounds,
) -> Result<Vec<u8>, Error> {
    let text = password.expose()?;
    let arguments = ["--encrypt", "--recipient", &to.0].map(OsString::from).to_vec();
    convert(age, arguments, text.into_bytes(), bounds).await
}

/// Opens a seal with the private key in a file as `age-keygen` writes it.
pub async fn open(age: &Path, sealed: &[u8], identity: &Path, bounds: &Bounds) -> Result<Password, Error> {
    let arguments = vec!["--decrypt".into(), "--identity".into(), identity.into()];
    let text = convert(age, arguments, sealed.to_owned(), bounds).await?;
    let text = String::from_utf8(text).map_err(|_| Error::Answer("what was sealed is no text".to_owned()))?;
    Ok(Password::new(text.trim_end_matches('\n'))?)
}

/// Makes a key pair in a file that only its owner reads, unless it is there, and gives the public half.
pub async fn identity(keygen: &Path, file: &Path, bounds: &Bounds) -> Result<Recipient, Error> {
    let mut told = Vec::new();
    if !file.exists() {
        let mut made = Vec::new();
        let call = Call { program: keygen, arguments: Vec::new(), temporary: Path::new("/tmp") };
        run(call, Input::Nothing, Output::Document(&mut made, SEALED), bounds).await?;
        write_once(file, &made)?;
    }
    let call =
        Call { program: keygen, arguments: vec!["-y".into(), file.into()], temporary: Path::new("/tmp") };
    run(call, Input::Nothing, Output::Document(&mut told, SEALED), bounds).await?;
    String::from_utf8_lossy(&told).trim().parse()
}

/// A file appears whole or not at all.
fn write_once(file: &Path, bytes: &[u8]) -> Result<(), Error> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let fresh = file.with_extension("new");
    let mut into =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    into.write_all(bytes)?;
    into.sync_all()?;
    std::fs::rename(&fresh, file)?;
    if let Some(folder) = file.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

async fn convert(
    age: &Path,
    arguments: Vec<OsString>,
    from: Vec<u8>,
    bounds: &Bounds,
) -> Result<Vec<u8>, Error> {
    let mut into = Vec::new();
    let call = Call { program: age, arguments, temporary: Path::new("/tmp") };
    let from = Input::Stream(Box::new(move |into| into.write_all(&from)));
    run(call, from, Output::Document(&mut into, SEALED), bounds).await?;
    Ok(into)
}
