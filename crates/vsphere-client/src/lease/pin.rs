//! The one certificate that a host may show.
//!
//! A lease's URL points at an ESXi host, the certificate of which vCenter's CA covers only where
//! somebody has seen to it. But the lease itself came over a connection that the CA covers, and it
//! tells the thumbprint of the host's certificate. So that certificate is accepted, and no other:
//! whoever shows it must also prove to have its key, as in any handshake.
//!
//! vSphere's thumbprint is the SHA-1 of the certificate's DER form. SHA-1 no longer resists the
//! making of two alike, but it does resist the making of one like a given one, and that is what a
//! stranger would have to do here. A thumbprint of SHA-256's length is taken as such.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

/// The thumbprint of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    digest: Box<[u8]>,
}

impl Pin {
    /// Reads hexadecimal digits, with or without colons between.
    pub(crate) fn read(thumbprint: &str) -> Option<Pin> {
        let digits: Option<Vec<u8>> = thumbprint
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits?;
        if !digits.len().is_multiple_of(2) {
            return None;
        }
        let digest: Box<[u8]> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        algorithm(digest.len()).map(|_| Pin { digest })
    }

    fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        algorithm(self.digest.len())
            .is_some_and(|algorithm| digest(algorithm, certificate).as_ref() == &*self.digest)
    }

    /// The check for a connection to the host that has this certificate.
    pub(crate) fn verifier(&self, provider: Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
        Arc::new(Pinned { pin: self.clone(), provider })
    }
}

fn algorithm(length: usize) -> Option<&'static Algorithm> {
    [&SHA1_FOR_LEGACY_USE_ONLY, &SHA256].into_iter().find(|algorithm| algorithm.output_len() == length)
}

#[derive(Debug)]
struct Pinned {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.pin.matches(end_entity) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a connection failed because of the other side's certificate.
pub(crate) fn refused_certificate(error: &(dyn StdError + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return matches!(error, rustls::Error::InvalidCertificate(_));
    }
    // An io::Error does not count what it holds among its causes.
    let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    held.map(|held| held as &(dyn StdError + 'static))
        .or_else(|| error.source())
        .is_some_and(refused_certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_are_read_and_compared() {
        let certificate = CertificateDer::from(b"abc".as_slice());
        // SHA-1 and SHA-256 of "abc", from FIPS 180.
        let sha1 = "A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D";
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (print, good) in [(sha1, true), (sha256, true), (&*sha1.replace("9D", "9C"), false)] {
            assert_eq!(Pin::read(print).unwrap().matches(&certificate), good, "{print}");
        }
        for bad in ["", "A9", "A9:9", &sha1[..58], &format!("{sha1}:00"), &sha1.replace('A', "G")] {
            assert_eq!(Pin::read(bad), None, "{bad}");
        }
    }
}
