//! What a test of the backup plugin names as its `ssh`: see `vertskommune_tests::relay`.

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    vertskommune_tests::relay::run(std::env::args_os().skip(1))
}
