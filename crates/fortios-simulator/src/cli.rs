//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use crate::identity::{Firmware, Identity};
use crate::options::{Certificate, Login, Options};
use crate::simulator::Simulator;

/// A FortiGate's REST API for tests and trials.
///
/// Prints one line of JSON when it answers: url, admin, serial, serials. The same flags give the same serials and
/// UUIDs.
#[derive(Debug, Parser)]
#[command(name = "fortios-simulator", version)]
pub struct Arguments {
    /// Address of the REST API, by HTTPS; port 0 is a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address of the admin port, by HTTP
    #[arg(long, default_value = "127.0.0.1:0")]
    admin: SocketAddr,
    /// Certificate chain in PEM; without one, an authority and a certificate are made
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// Key of the certificate in PEM
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// Where to write the authority that was made, in PEM
    #[arg(long, conflicts_with = "certificate")]
    ca_out: Option<PathBuf>,
    /// Host name
    #[arg(long, default_value = "fortigate")]
    hostname: String,
    /// Serial number
    #[arg(long, default_value = "FGVM04TM24000001")]
    serial: String,
    /// Serial number of another member of the HA cluster; may be repeated
    #[arg(long)]
    ha_peer: Vec<String>,
    /// FortiOS version; before 7.4.1 there are no batch transactions
    #[arg(long, default_value = "7.4.8")]
    firmware: Firmware,
    /// Name of the administrator
    #[arg(long, default_value = "admin")]
    admin_user: String,
    /// File with the administrator's password; without one it is empty
    #[arg(long)]
    admin_password_file: Option<PathBuf>,
    /// File with the token of the API user `api`
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// How many VDOMs the licence allows, root included
    #[arg(long, default_value_t = 10)]
    vdoms: usize,
    /// Milliseconds by which every answer is slower
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// Refuse action=move within a transaction
    #[arg(long)]
    no_move_in_transactions: bool,
    /// How many saved configurations the device keeps; 0 is a device without a disk
    #[arg(long, default_value_t = 20)]
    revisions: usize,
    /// Configuration to start with: JSON, {vdom or "global": {"path/name": [rows]}}
    #[arg(long)]
    seed: Option<PathBuf>,
    /// End when standard input ends
    #[arg(long)]
    until_eof: bool,
}

/// Runs the simulator until it is told to end.
pub fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let options = options(&arguments)?;
    let simulator = Simulator::start(&options).await?;
    if let (Some(path), Some(authority)) = (&arguments.ca_out, &simulator.authority) {
        std::fs::write(path, authority).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let identity = &options.identity;
    let serials: Vec<&String> = std::iter::once(&identity.serial).chain(&identity.peers).collect();
    let ready = json!({
        "url": simulator.url(),
        "admin": simulator.admin_url(),
        "serial": identity.serial,
        "serials": serials,
    });
    println!("{ready}");
    let (mut input, mut rest) = (tokio::io::stdin(), Vec::new());
    tokio::select! {
        signal = tokio::signal::ctrl_c() => signal?,
        _ = input.read_to_end(&mut rest), if arguments.until_eof => {}
    }
    Ok(())
}

fn options(arguments: &Arguments) -> anyhow::Result<Options> {
    let certificate = match (&arguments.certificate, &arguments.key) {
        (Some(certificate), Some(key)) => {
            Certificate::Files { certificate: certificate.clone(), key: key.clone() }
        }
        _ => Certificate::Made,
    };
    let password = arguments.admin_password_file.as_deref().map(secret).transpose()?;
    let seed = arguments.seed.as_deref().map(|path| anyhow::Ok(serde_json::from_str(&text(path)?)?));
    Ok(Options {
        listen: arguments.listen,
        admin_listen: arguments.admin,
        certificate,
        identity: Identity {
            hostname: arguments.hostname.clone(),
            serial: arguments.serial.clone(),
            peers: arguments.ha_peer.clone(),
            firmware: arguments.firmware,
        },
        admin: Login { name: arguments.admin_user.clone(), password: password.unwrap_or_default() },
        token: arguments.token_file.as_deref().map(secret).transpose()?,
        vdom_limit: arguments.vdoms,
        moves_in_transactions: !arguments.no_move_in_transactions,
        revisions: arguments.revisions,
        delay: Duration::from_millis(arguments.latency),
        seed: seed.transpose()?,
    })
}

/// A secret never stands on the command line, where everybody on the machine reads it.
fn secret(path: &Path) -> anyhow::Result<String> {
    Ok(text(path)?.trim_end_matches(['\r', '\n']).to_owned())
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
