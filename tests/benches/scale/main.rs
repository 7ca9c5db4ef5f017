//! Figures for many tenants, against the lab's real peers: `make bench`. They are printed beside the targets that they
//! have; nothing here fails because something is slow. `BENCH_MAX` bounds the number of tenants (1,000 by default).
//!
//! What is measured runs in a process of its own for each row, this program again with arguments, so that its memory is
//! that of one run. [`vcenter`] is the engine against the vCenter simulator, [`fortigate`] against the FortiOS simulator, [`cluster`] the controller against a real
//! API server.

mod cluster;
mod fleet;
mod fortigate;
mod vcenter;

use anyhow::{Context as _, bail};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    match words[..] {
        ["vcenter", count] => runtime.block_on(vcenter::row(count.parse()?)),
        ["vcenter-look", count, vcenter] => runtime.block_on(vcenter::look(count.parse()?, vcenter)),
        ["fortigate", way, count] => runtime.block_on(fortigate::row(way, count.parse()?)),
        ["fortigate-peer", vdoms] => runtime.block_on(fortigate::peer(vdoms.parse()?)),
        ["controller", kubeconfig, address] => {
            runtime.block_on(cluster::controller(kubeconfig.as_ref(), address.parse()?))
        }
        [] => all(&runtime),
        // `cargo test --benches` and other callers that look for tests.
        ["--list", ..] => Ok(()),
        _ => bail!("run it by `make bench`"),
    }
}

fn all(runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    if std::env::var_os("VERTSKOMMUNE_LAB_BIN").is_none() {
        eprintln!("skipped: VERTSKOMMUNE_LAB_BIN does not name the lab's programs: run `make bench`");
        return Ok(());
    }
    let most = std::env::var("BENCH_MAX").map_or(Ok(1000), |most| most.parse()).context("BENCH_MAX")?;
    let part = std::env::var("BENCH_PART").unwrap_or_default();
    if part.is_empty() || part == "vcenter" {
        vcenter::table(most)?;
    }
    if part.is_empty() || part == "cluster" {
        runtime.block_on(cluster::table(most))?;
    }
    if part.is_empty() || part == "fortigate" {
        fortigate::table(most)?;
    }
    Ok(())
}
