//! Programs of the system, run with arguments of ours only, without our environment, and not for long.

use std::process::{Command, Output, Stdio};

use crate::protocol::{Reason, Refusal};

/// How long one may take, in seconds.
const LIMIT: &str = "60";

/// What a program said and how it ended.
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program. It goes on when this one dies: half a line in /etc/passwd would be worse.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<Said, Refusal> {
    let output = Command::new("/usr/bin/timeout")
        .args(["--kill-after=5", LIMIT, program])
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .output();
    let Output { status, stdout, stderr } =
        output.map_err(|error| Refusal::system(format_args!("running {program}"), error))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Said { status: status.code(), stdout: text(stdout), stderr: text(stderr) })
}

/// Runs a program that has to succeed.
pub(crate) fn done(program: &str, arguments: &[&str], otherwise: Reason) -> Result<String, Refusal> {
    let said = run(program, arguments)?;
    match said.status {
        Some(0) => Ok(said.stdout),
        // As `timeout` tells it.
        Some(124 | 137) => Err(Refusal::new(otherwise, format!("{program} did not end within {LIMIT} s"))),
        Some(127) => {
            Err(Refusal::new(otherwise, format!("{program} is not installed on the second room's host")))
        }
        _ => Err(Refusal::new(otherwise, format!("{program} failed: {}", said.stderr.trim()))),
    }
}
