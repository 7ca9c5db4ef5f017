//! Starts all of it in process.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::config::SeedError;
use crate::device::Device;
use crate::listener;
use crate::options::Options;
use crate::tls::{self, TlsError};

/// A running simulator; it ends when this is dropped.
#[derive(Debug)]
pub struct Simulator {
    /// Where the REST API listens, by HTTPS.
    pub address: SocketAddr,
    /// Where the admin port listens, by HTTP.
    pub admin_address: SocketAddr,
    /// The authority to trust, in PEM, where the certificate was made for the occasion.
    pub authority: Option<String>,
    end: CancellationToken,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No certificate.
    #[error("no TLS")]
    Tls(#[from] TlsError),
    /// The seed was refused.
    #[error("the seed cannot be loaded")]
    Seed(#[from] SeedError),
    /// A port could not be opened.
    #[error("cannot listen: choose a free port")]
    Listen(#[from] std::io::Error),
}

impl Simulator {
    /// Starts a simulator; it answers when this returns.
    pub async fn start(options: &Options) -> Result<Self, StartError> {
        let tls = tls::prepare(&options.certificate)?;
        let device = Arc::new(Device::new(options)?);
        let end = CancellationToken::new();
        let acceptor = TlsAcceptor::from(tls.server);
        let (address, gate) = listener::listen(device.clone(), acceptor, options.listen, end.clone()).await?;
        let admin_listener = TcpListener::bind(options.admin_listen).await?;
        let admin_address = admin_listener.local_addr()?;
        let admin = Admin { device, gate };
        let answer = move |request| admin.clone().answer(request);
        tokio::spawn(listener::serve_plain(admin_listener, end.clone(), answer));
        Ok(Self { address, admin_address, authority: tls.authority, end })
    }

    /// `https://127.0.0.1:…`
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// `http://127.0.0.1:…`
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin_address)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.end.cancel();
    }
}
