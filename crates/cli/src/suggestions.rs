//! What could come next on a command line, as kubectl asks a plugin for it: `kubectl_complete-vertskommune` gets the words
//! so far, the last of them unfinished, and prints a line for each that fits and one with a number for the shell.
//! See <https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>.

use std::time::Duration;

use clap::builder::Str;
use clap::{Arg, ArgAction, Command};
use vertskommune_controller::{Access, Cluster};

use crate::embedded::block_on;
use crate::output;

/// The shell completes with the names of files.
const FILES: u8 = 0;
/// It does not.
const NO_FILES: u8 = 4;
/// How long a person waits for the names of tenants.
const LIMIT: Duration = Duration::from_secs(2);

/// What could come next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// One of these, each with a word about it.
    Words(Vec<(String, String)>),
    /// The name of a tenant.
    Tenant(Access),
    /// A file, or what nobody can tell.
    File,
}

/// Prints what could come next after these words.
pub(crate) fn print(command: &mut Command, words: &[String]) -> anyhow::Result<()> {
    let unfinished = words.last().map(String::as_str).unwrap_or_default();
    let (candidates, number) = match next(command, words) {
        Next::Words(words) => (words, NO_FILES),
        Next::Tenant(access) => (tenants(&access), NO_FILES),
        Next::File => (Vec::new(), FILES),
    };
    output::write(|out| {
        for (word, about) in candidates.iter().filter(|(word, _)| word.starts_with(unfinished)) {
            if about.is_empty() { writeln!(out, "{word}")? } else { writeln!(out, "{word}\t{about}")? }
        }
        writeln!(out, ":{number}")
    })
}

/// The tenants of the cluster; none where it does not answer soon, since completion has nobody to tell of an error.
fn tenants(access: &Access) -> Vec<(String, String)> {
    let asked = async {
        let cluster = Cluster::connect(access).await?;
        anyhow::Ok(tokio::time::timeout(LIMIT, cluster.tenants()).await??)
    };
    let tenants = block_on(asked).unwrap_or_default();
    let named = tenants.into_iter().filter_map(|it| Some((it.metadata.name?, it.spec.display_name)));
    named.collect()
}

fn next(command: &mut Command, words: &[String]) -> Next {
    command.build();
    let mut here: &Command = command;
    let mut awaited: Option<&Arg> = None;
    let mut access = Access::default();
    let mut positionals = 0;
    let finished = words.len().saturating_sub(1);
    for word in &words[..finished] {
        if let Some(option) = awaited.take() {
            match option.get_id().as_str() {
                "context" => access.context = Some(word.clone()),
                "kubeconfig" => access.kubeconfig = Some(word.into()),
                _ => {}
            }
        } else if word.starts_with('-') {
            awaited = option(here, word).filter(|option| takes_value(option) && !word.contains('='));
        } else if let Some(below) = here.find_subcommand(word) {
            (here, positionals) = (below, 0);
        } else {
            positionals += 1;
        }
    }
    if let Some(option) = awaited {
        return values(option, &access);
    }
    let unfinished = words.last().map(String::as_str).unwrap_or_default();
    if unfinished.starts_with('-') {
        let options = here.get_arguments().filter(|option| !option.is_hide_set());
        let named = options
            .filter_map(|option| Some((format!("--{}", option.get_long()?), about(option.get_help()))));
        return Next::Words(named.collect());
    }
    let below: Vec<_> = here
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
        .map(|below| (below.get_name().to_owned(), about(below.get_about())))
        .collect();
    if !below.is_empty() {
        return Next::Words(below);
    }
    // Where the last takes any number, it takes all that come.
    let taken = here.get_positionals().nth(positionals).or_else(|| {
        here.get_positionals().last().filter(|last| matches!(last.get_action(), ArgAction::Append))
    });
    taken.map_or_else(|| Next::Words(Vec::new()), |taken| values(taken, &access))
}

fn values(argument: &Arg, access: &Access) -> Next {
    let possible: Vec<_> = argument
        .get_possible_values()
        .iter()
        .map(|value| (value.get_name().to_owned(), about(value.get_help())))
        .collect();
    let names = argument.get_value_names().unwrap_or_default();
    match names.first().map(Str::as_str) {
        _ if !possible.is_empty() => Next::Words(possible),
        Some("TENANT") => Next::Tenant(access.clone()),
        Some("FILE" | "PATH" | "DIR" | "TENANT|PLANFILE") => Next::File,
        _ => Next::Words(Vec::new()),
    }
}

fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or_default();
    command.get_arguments().find(|argument| match name.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        None => name.chars().nth(1).is_some_and(|short| argument.get_short() == Some(short)),
    })
}

fn takes_value(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Set | ArgAction::Append)
}

/// The first line of what the help says.
fn about(help: Option<&clap::builder::StyledStr>) -> String {
    help.map(|help| help.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Cli;
    use crate::program::Called;

    fn after(words: &[&str]) -> Next {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        next(&mut Cli::command_as(Called::Completer), &words)
    }

    fn has(next: &Next, word: &str) -> bool {
        matches!(next, Next::Words(words) if words.iter().any(|(it, _)| it == word))
    }

    #[test]
    fn what_comes_next_is_a_command_an_option_a_value_a_tenant_or_a_file() {
        for (words, expected) in [
            (&["wh"][..], "why"),
            (&["firewall", ""], "rollback"),
            (&["why", "ibestad", "--out"], "--output"),
            (&["why", "-o", ""], "json"),
            (&["--color", "always", "plan", "--log-format", ""], "json"),
            (&["completion", ""], "fish"),
        ] {
            assert!(has(&after(words), expected), "{words:?}: {:?}", after(words));
        }
        for words in [&["why", ""][..], &["tree", "-o", "json", ""], &["plan", "a", ""]] {
            assert_eq!(after(words), Next::Tenant(Access::default()), "{words:?}");
        }
        let named = Access { context: Some("lab".to_owned()), kubeconfig: Some("/k".into()) };
        assert_eq!(after(&["why", "--context", "lab", "--kubeconfig", "/k", ""]), Next::Tenant(named));
        for words in [&["diff", "ibestad", "-f", ""][..], &["plan", "--out", ""]] {
            assert_eq!(after(words), Next::File, "{words:?}");
        }
        assert_eq!(after(&["why", "ibestad", ""]), Next::Words(Vec::new()), "one tenant is enough");
    }
}
