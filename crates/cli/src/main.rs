//! The `vertskommune` program: a thin shell around the same calls that the controller makes.

mod arguments;
mod carrying_out;
mod color;
mod commands;
mod convergence;
mod embedded;
mod exit;
mod forecast;
mod interrupt;
mod logs;
mod manifests;
mod moving;
mod output;
mod plugins;
mod program;
mod progress;
mod rewrite;
mod saved_plan;
mod suggestions;
mod traces;
mod upgrade;

use std::process::ExitCode;

/// It gives back what a look at many tenants no longer needs; glibc's keeps most of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let called = program::Called::now();
    if called == program::Called::Completer {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let printed = suggestions::print(&mut arguments::Cli::command_as(called), &words);
        return exit::code(printed.map(|()| exit::Exit::Success));
    }
    match arguments::Cli::read(called) {
        Ok(cli) => exit::code(logs::start(&cli.global, &cli.command).and_then(|_traces| commands::run(cli))),
        Err(code) => code,
    }
}
