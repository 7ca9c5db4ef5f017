//! When to use colours.

use std::io::IsTerminal;

use clap::ValueEnum;
use vertskommune_core::render::Colour;

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorChoice {
    /// Whether to use colours on this stream.
    pub(crate) fn on(self, stream: &impl IsTerminal) -> Colour {
        match self {
            Self::Always => Colour::Always,
            Self::Auto if stream.is_terminal() && wanted() => Colour::Always,
            Self::Auto | Self::Never => Colour::Never,
        }
    }
}

/// Whether the environment speaks against colours, see <https://no-color.org>.
fn wanted() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
