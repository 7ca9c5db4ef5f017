//! The names of a repository's files: what they promise of the content.

use std::fmt::{self, Write as _};

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) [u8; 32]);

impl Id {
    /// Reads 64 hexadecimal digits, in lower case as restic writes them.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut id = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The kinds of files. Their order is that in which they are written: what a file names is there before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Pack,
    Index,
    Key,
    Snapshot,
    /// `config`, and what we put beside it. Their content is not named: the first that was seen counts.
    Plain(Plain),
}

/// Files without a hash for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Plain {
    Config,
    Escrow,
    /// The keeper's own password, sealed for it by the controller.
    Keeper,
}

impl Plain {
    pub(crate) const ALL: [Self; 3] = [Self::Config, Self::Escrow, Self::Keeper];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Escrow => "escrow.age",
            Self::Keeper => "keeper.age",
        }
    }
}

/// A file of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    Hashed(Kind, Id),
    Plain(Plain),
}

impl Name {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Hashed(kind, _) => kind,
            Self::Plain(plain) => Kind::Plain(plain),
        }
    }

    /// The hash that its content must have.
    pub(crate) fn id(self) -> Option<Id> {
        match self {
            Self::Hashed(_, id) => Some(id),
            Self::Plain(_) => None,
        }
    }

    /// The last part of its path.
    pub(crate) fn leaf(self) -> String {
        match self {
            Self::Hashed(_, id) => id.to_string(),
            Self::Plain(plain) => plain.name().to_owned(),
        }
    }

    /// Its path in a repository.
    pub(crate) fn path(self) -> String {
        let mut path = String::new();
        for folder in self.folders() {
            let _ = write!(path, "{folder}/");
        }
        path + &self.leaf()
    }

    /// The folders that it lies in, from the repository on.
    pub(crate) fn folders(self) -> Vec<String> {
        match self {
            Self::Hashed(Kind::Pack, id) => vec!["data".to_owned(), format!("{:02x}", id.0[0])],
            Self::Hashed(kind, _) => kind.folder().map(ToOwned::to_owned).into_iter().collect(),
            Self::Plain(_) => Vec::new(),
        }
    }

    /// Reads what [`Name::path`] writes.
    pub(crate) fn read(path: &str) -> Option<Self> {
        if let Some(plain) = Plain::ALL.into_iter().find(|plain| plain.name() == path) {
            return Some(Self::Plain(plain));
        }
        let (folders, leaf) = path.rsplit_once('/')?;
        let kind = match folders.split('/').next()? {
            "data" => Kind::Pack,
            "index" => Kind::Index,
            "keys" => Kind::Key,
            "snapshots" => Kind::Snapshot,
            _ => return None,
        };
        let name = Self::Hashed(kind, Id::read(leaf.as_bytes())?);
        (name.path() == path).then_some(name)
    }
}

impl Kind {
    /// The folder of this kind.
    pub(crate) fn folder(self) -> Option<&'static str> {
        match self {
            Self::Pack => Some("data"),
            Self::Index => Some("index"),
            Self::Key => Some("keys"),
            Self::Snapshot => Some("snapshots"),
            Self::Plain(_) => None,
        }
    }

    /// Longer files are none of restic's. A pack ends at 128 MiB and a blob, an index at some 50,000 blobs.
    pub(crate) fn longest(self) -> u64 {
        match self {
            Self::Pack => 256 << 20,
            Self::Index => 64 << 20,
            Self::Snapshot => 16 << 20,
            Self::Key | Self::Plain(_) => 64 << 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "10934de51954986f611fe924c47cc5450407ad6b187da772764fd268ec75f637";

    #[test]
    fn a_path_is_read_as_it_is_written() {
        for path in [format!("data/10/{HEX}"), format!("keys/{HEX}"), "config".into(), "escrow.age".into()] {
            assert_eq!(Name::read(&path).map(Name::path).as_ref(), Some(&path));
        }
        for (wrong, why) in [
            (format!("data/11/{HEX}"), "a pack in another's folder"),
            (format!("data/{HEX}"), "a pack in none"),
            (format!("keys/{}", HEX.to_uppercase()), "capitals"),
            (format!("locks/{HEX}"), "locks are left alone"),
            ("../config".into(), "no way out"),
            (format!("keys/{}", &HEX[1..]), "too short"),
        ] {
            assert_eq!(Name::read(&wrong), None, "{why}");
        }
    }
}
