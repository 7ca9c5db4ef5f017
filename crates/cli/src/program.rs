//! How the program was called: by its own name, or by kubectl, which runs `kubectl-vertskommune` for
//! `kubectl vertskommune` and `kubectl_complete-vertskommune` for what could come next on that line.

use std::ffi::OsStr;
use std::path::Path;

/// The name of the file that kubectl looks for.
pub(crate) const PLUGIN: &str = "kubectl-vertskommune";
/// The name of the file that kubectl runs to complete a line.
const COMPLETER: &str = "kubectl_complete-vertskommune";

/// By which name the program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// By its own.
    Itself,
    /// As a plugin of kubectl.
    Plugin,
    /// By kubectl, to complete a line.
    Completer,
}

impl Called {
    /// As this process was.
    pub(crate) fn now() -> Self {
        std::env::args_os().next().map_or(Self::Itself, |first| Self::of(&first))
    }

    fn of(first: &OsStr) -> Self {
        match Path::new(first).file_stem().and_then(OsStr::to_str) {
            Some(PLUGIN) => Self::Plugin,
            Some(COMPLETER) => Self::Completer,
            _ => Self::Itself,
        }
    }

    /// What a person writes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Itself => "vertskommune",
            Self::Plugin | Self::Completer => "kubectl vertskommune",
        }
    }
}

/// What a person writes to run this program, for the commands that it tells them.
pub(crate) fn name() -> &'static str {
    Called::now().name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_tells_who_called() {
        for (first, expected) in [
            ("vertskommune", Called::Itself),
            ("/usr/local/bin/kubectl-vertskommune", Called::Plugin),
            ("kubectl_complete-vertskommune", Called::Completer),
            ("kubectl-vertskommune.old", Called::Plugin),
            ("", Called::Itself),
        ] {
            assert_eq!(Called::of(OsStr::new(first)), expected, "{first}");
        }
    }
}
