//! Certificate and key: from files, or made for the occasion.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::options::Certificate;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read as PEM.
    #[error("cannot read {path}: name a PEM file")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// Certificate and key do not fit.
    #[error("cannot use the certificate with this key")]
    Use(#[from] rustls::Error),
}

/// What the server shows, and the authority that clients have to trust if it was made here.
#[derive(Debug)]
pub(crate) struct Tls {
    /// For the acceptor.
    pub server: Arc<ServerConfig>,
    /// The authority's certificate in PEM.
    pub authority: Option<String>,
}

/// Reads or makes the certificate.
pub(crate) fn prepare(certificate: &Certificate) -> Result<Tls, TlsError> {
    let (chain, key, authority) = match certificate {
        Certificate::Files { certificate, key } => (read_chain(certificate)?, read_key(key)?, None),
        Certificate::Made => {
            let made = make()?;
            (made.chain, made.key, Some(made.authority))
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // HTTP/2 is not offered, so that a cut is one of the connection.
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls { server: Arc::new(server), authority })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

struct Made {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authority: String,
}

fn make() -> Result<Made, TlsError> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "fortios-simulator authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut own = CertificateParams::new(names)?;
    own.distinguished_name.push(DnType::CommonName, "fortios-simulator");
    own.use_authority_key_identifier_extension = true;
    let own_key = KeyPair::generate()?;
    let certificate = own.signed_by(&own_key, &issuer)?;
    let key =
        PrivateKeyDer::try_from(own_key.serialize_der()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    Ok(Made { chain: vec![certificate.der().clone()], key, authority: authority_pem })
}
