//! Why a call failed. No text in it holds a secret: restic never prints one, and none is in its arguments.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::damage::Damage;
use crate::locks::Holder;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program does not start.
    #[error("{} does not start: install Debian's packages restic, age and util-linux, or name the program", program.display())]
    Program {
        /// Its path.
        program: PathBuf,
        /// What the system says.
        #[source]
        cause: Option<io::Error>,
    },
    /// The program is another, or too old.
    #[error("restic 0.14 or later is needed, and {found} is there")]
    Version {
        /// What it says of itself.
        found: String,
    },
    /// The location, a tag or a path cannot be given to restic.
    #[error("cannot be given to restic: {0}")]
    Unusable(String),
    /// No key of the repository opens with this password.
    #[error("no key of the repository opens with this password")]
    WrongPassword,
    /// There is no repository at the location.
    #[error("there is no repository at the location")]
    NoRepository,
    /// A repository was to be made where one is.
    #[error("there is a repository at the location already")]
    AlreadyThere,
    /// Another holds a lock that excludes this.
    #[error("the repository is locked {0}")]
    Locked(Holder),
    /// The store does not answer, or the connection broke.
    #[error("the store cannot be reached or went away: {last}")]
    Unreachable {
        /// restic's last lines.
        last: String,
    },
    /// The store does not let this account in. The second room's keeper shuts it out for a moment: worth another try.
    #[error("the store denies access: {last}")]
    Denied {
        /// restic's last lines.
        last: String,
    },
    /// The store is full, or a quota is reached.
    #[error("no room in the store{}: {last}", if *.sure { "" } else { " (SFTP tells only that the write failed)" })]
    NoRoom {
        /// Whether the system said so. SFTP has no word for it: its plain failure of a write is most often this.
        sure: bool,
        /// restic's last lines.
        last: String,
    },
    /// The repository is damaged: something is missing, or not what it was.
    #[error("the repository is damaged: {0}")]
    Damaged(Damage),
    /// No such snapshot, or no such file in it.
    #[error("not in the repository: {last}")]
    NotFound {
        /// restic's last lines.
        last: String,
    },
    /// The caller wanted it to end. The child has ended, and has removed its lock unless that was just being made: such a
    /// one is of a process that is gone, so that [`Repository::unlock`](crate::Repository::unlock) removes it.
    #[error("cancelled")]
    Cancelled,
    /// The caller's time limit was reached. The child has ended, likewise.
    #[error("not done within {after:?}")]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// The stream to back up broke off. Nothing was saved.
    #[error("the stream broke off: {0}")]
    Source(#[source] io::Error),
    /// Whoever takes what is restored does not.
    #[error("what was restored cannot be written: {0}")]
    Target(#[source] io::Error),
    /// Talking to the child failed.
    #[error("no conversation with the program: {0}")]
    Talk(#[from] io::Error),
    /// The program's answer is not what it was known to be.
    #[error("an answer of the program cannot be read: {0}")]
    Answer(String),
    /// Anything else.
    #[error("the program ended with {}: {last}", code.map_or("a signal".to_owned(), |code| format!("code {code}")))]
    Failed {
        /// Its exit code.
        code: Option<i32>,
        /// Its last lines.
        last: String,
    },
}

impl Error {
    /// Tells by exit code and last words what has happened.
    pub(crate) fn of(code: Option<i32>, words: &Words) -> Self {
        let last = words.last();
        let says = |any: &[&str]| any.iter().any(|it| last.contains(it));
        if says(&["wrong password or no key found"]) {
            Self::WrongPassword
        } else if says(&[
            "config file already exists",
            "repository master key and config already initialized",
        ]) {
            Self::AlreadyThere
        } else if let Some(holder) = Holder::of(&last) {
            Self::Locked(holder)
        } else if says(&["no space left on device", "disk quota exceeded", "SSH_FX_QUOTA_EXCEEDED"]) {
            Self::NoRoom { sure: true, last }
        } else if says(UNREACHABLE) {
            Self::Unreachable { last }
        } else if says(&["Is there a repository at the following location"]) && says(ABSENT) {
            Self::NoRepository
        } else if says(&["permission denied", "SSH_FX_PERMISSION_DENIED"]) {
            Self::Denied { last }
        } else if says(&["no matching ID found", "not found in snapshot", "no snapshot found"]) {
            Self::NotFound { last }
        } else if says(&["SSH_FX_FAILURE"]) && says(&["Save(", "unable to save", "Write", "saveArchive"]) {
            Self::NoRoom { sure: false, last }
        } else if words.damage.any() || says(DAMAGED) {
            Self::Damaged(words.damage.clone().with(last))
        } else {
            Self::Failed { code, last }
        }
    }
}

/// How restic says that a thing is not there, by file system and by SFTP.
const ABSENT: &[&str] = &["no such file or directory", "file does not exist", "does not exist"];

/// How restic, and the SFTP command below it, say that nobody answers.
const UNREACHABLE: &[&str] = &[
    "unable to start the sftp session",
    "error starting sftp",
    "ssh command exited",
    "connection lost",
    "connection refused",
    "Connection refused",
    "server response unexpected",
    "error receiving version packet",
];

/// How restic says that what it reads is not what was written.
const DAMAGED: &[&str] = &[
    "repository contains errors",
    "ciphertext verification failed",
    "does not match",
    "not found in repository",
    "not found in index",
    "hash mismatch",
    "invalid data returned",
    "packs from index missing",
    "Data seems to be missing",
    "index is not complete",
];

/// A line but for how long restic waits before it tries again.
fn tried(line: &str) -> &str {
    line.split_once(", retrying after ").map_or(line, |(what, _)| what)
}

/// The last words of a child, bounded.
#[derive(Default)]
pub(crate) struct Words {
    lines: std::collections::VecDeque<String>,
    pub(crate) damage: Damage,
}

impl Words {
    const LINES: usize = 20;
    const LETTERS: usize = 300;

    /// One more line. What was printed again and again while restic tried again is kept once, and of where in restic it was
    /// nothing: what happened would not be among the last words.
    pub(crate) fn hear(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        if line.starts_with('\t') && line.contains(".go:") {
            // Its function stands above it.
            self.lines.pop_back_if(|above| above.contains('.') && !above.contains(' '));
            return;
        }
        let line: String = line.trim().chars().filter(|c| !c.is_control()).take(Self::LETTERS).collect();
        self.damage.hear(&line);
        if line.is_empty() {
            return;
        }
        self.lines.pop_back_if(|before| tried(before) == tried(&line));
        if self.lines.len() == Self::LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Puts these before what `others` holds: they came by another way at the same time.
    pub(crate) fn lines_into(self, others: &mut Words) {
        let heard = std::mem::take(&mut others.lines);
        for line in self.lines.iter().chain(&heard) {
            others.hear(line.as_bytes());
        }
    }

    /// All of them in one line.
    pub(crate) fn last(&self) -> String {
        self.lines.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_told_by_restics_own_words() {
        type Is = fn(&Error) -> bool;
        let table: &[(&str, Is)] = &[
            ("Fatal: wrong password or no key found", |e| matches!(e, Error::WrongPassword)),
            (
                "Fatal: unable to open config file: stat norepo/config: no such file or directory\nIs there a repository at the following location?\nnorepo",
                |e| matches!(e, Error::NoRepository),
            ),
            (
                "Fatal: unable to open config file: Lstat: permission denied\nIs there a repository at the following location?\nx",
                |e| matches!(e, Error::Denied { .. }),
            ),
            ("Fatal: create repository at /r failed: config file already exists", |e| {
                matches!(e, Error::AlreadyThere)
            }),
            (
                "unable to create lock in backend: repository is already locked by PID 9902 on vm by root (UID 0, GID 0)\nlock was created at 2026-11-28 07:07:57 (2.5s ago)\nstorage ID 81314fc7",
                |e| matches!(e, Error::Locked(Holder { pid: 9902, .. })),
            ),
            ("Fatal: unable to save snapshot: write r/data/1c/1c97-tmp-1: no space left on device", |e| {
                matches!(e, Error::NoRoom { sure: true, .. })
            }),
            ("Fatal: unable to save snapshot: Write: sftp: \"Failure\" (SSH_FX_FAILURE)", |e| {
                matches!(e, Error::NoRoom { sure: false, .. })
            }),
            (
                "Fatal: unable to open repository at sftp:x:/y: unable to start the sftp session, error: EOF",
                |e| matches!(e, Error::Unreachable { .. }),
            ),
            ("cannot dump file: path \"/nope\" not found in snapshot", |e| {
                matches!(e, Error::NotFound { .. })
            }),
            ("something new", |e| matches!(e, Error::Failed { code: Some(1), .. })),
        ];
        for (text, is) in table {
            let mut words = Words::default();
            text.lines().for_each(|line| words.hear(line.as_bytes()));
            let error = Error::of(Some(1), &words);
            assert!(is(&error), "{text}\n→ {error:?}");
        }
    }

    #[test]
    fn what_happened_stands_out_of_restics_retries_and_its_stack() {
        let mut words = Words::default();
        for wait in ["552.3ms", "1.08s", "15.39s"] {
            words.hear(format!("Save(<lock/81>) returned error, retrying after {wait}: Write: sftp: \"Failure\" (SSH_FX_FAILURE)").as_bytes());
        }
        for line in ["sftp: \"Failure\" (SSH_FX_FAILURE)", "Write"] {
            words.hear(line.as_bytes());
        }
        for n in 0..40 {
            words.hear(format!("github.com/restic/restic/cmd/restic.(*Lock).createLock{n}").as_bytes());
            words.hear(format!("\tgithub.com/restic/restic/cmd/restic/lock.go:{n}").as_bytes());
        }
        words.hear(b"unable to create lock in backend");
        assert_eq!(
            words.last(),
            "Save(<lock/81>) returned error, retrying after 15.39s: Write: sftp: \"Failure\" (SSH_FX_FAILURE); \
             sftp: \"Failure\" (SSH_FX_FAILURE); Write; unable to create lock in backend"
        );
        assert!(matches!(Error::of(Some(1), &words), Error::NoRoom { sure: false, .. }));
    }

    #[test]
    fn last_words_are_bounded() {
        let mut words = Words::default();
        for n in 0..1000 {
            words.hear(format!("{n} {}", "x".repeat(10_000)).as_bytes());
        }
        assert!(words.last().len() < Words::LINES * (Words::LETTERS + 2));
        assert!(words.last().contains("999 "));
    }
}
