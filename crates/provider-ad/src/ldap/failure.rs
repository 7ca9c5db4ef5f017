//! What an error of LDAP or of TLS means in the words of the contract.

use ldap3::LdapError;
use rustls::{CertificateError, Error as TlsError};
use vertskommune_provider::ProviderError;

use super::Reader;

/// Result codes of LDAP (RFC 4511, appendix A) that mean something to us.
mod code {
    pub(super) const TIME_LIMIT: u32 = 3;
    pub(super) const SIZE_LIMIT: u32 = 4;
    pub(super) const STRONGER_AUTH_REQUIRED: u32 = 8;
    pub(super) const REFERRAL: u32 = 10;
    pub(super) const NO_SUCH_OBJECT: u32 = 32;
    pub(super) const INVALID_CREDENTIALS: u32 = 49;
    pub(super) const INSUFFICIENT_ACCESS: u32 = 50;
    pub(super) const BUSY: u32 = 51;
    pub(super) const UNAVAILABLE: u32 = 52;
}

/// What the directory answers in place of a success.
pub(super) fn of_result(reader: &Reader, code: u32, said: &str) -> ProviderError {
    // The text is the directory's own, with a line's end or a NUL at its end.
    let said = said.trim_matches(|c: char| c.is_control() || c.is_whitespace());
    let told = format!("{} answers {code} to {}: {said}", reader.name, reader.user);
    match code {
        code::INVALID_CREDENTIALS => ProviderError::CredentialsRefused,
        code::STRONGER_AUTH_REQUIRED => ProviderError::Refused(format!(
            "{told}; it wants a connection that is signed or sealed: read it by LDAPS"
        )),
        code::INSUFFICIENT_ACCESS => ProviderError::Permission(told),
        code::SIZE_LIMIT | code::NO_SUCH_OBJECT | code::REFERRAL => ProviderError::NoSight(told),
        code::TIME_LIMIT => ProviderError::Timeout(told),
        code::BUSY | code::UNAVAILABLE => {
            ProviderError::Unreachable { endpoint: reader.endpoint(), why: told }
        }
        _ => ProviderError::Refused(told),
    }
}

/// What a connection failed of.
pub(super) fn of_ldap(reader: &Reader, doing: &str, error: &LdapError) -> ProviderError {
    if let Some(TlsError::InvalidCertificate(wrong)) = tls(error) {
        return of_certificate(reader, wrong);
    }
    if let Some(error) = tls(error) {
        return ProviderError::Protocol(format!("{} while {doing}: {error}", reader.endpoint()));
    }
    match error {
        LdapError::LdapResult { result } => of_result(reader, result.rc, &result.text),
        LdapError::Timeout { .. } => ProviderError::Timeout(format!("{} while {doing}", reader.endpoint())),
        LdapError::UrlParsing { .. } => {
            ProviderError::Refused(format!("{} is no name of a controller: {error}", reader.name))
        }
        LdapError::DecodingUTF8 | LdapError::FilterParsing | LdapError::AdapterInit(_) => {
            ProviderError::Protocol(format!("{} while {doing}: {error}", reader.endpoint()))
        }
        _ => ProviderError::Unreachable {
            endpoint: reader.endpoint(),
            why: format!("the connection ended while {doing}: {error}"),
        },
    }
}

fn of_certificate(reader: &Reader, wrong: &CertificateError) -> ProviderError {
    match wrong {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => ProviderError::Refused(format!(
            "the certificate of {} is not valid at this time: renew it, or set the clock here ({wrong})",
            reader.name
        )),
        _ => ProviderError::Misidentified {
            expected: format!("{}, for which the given authority vouches", reader.name),
            found: format!("a certificate that does not show that ({wrong})"),
        },
    }
}

/// The error of TLS that is behind one of LDAP.
fn tls(error: &LdapError) -> Option<&TlsError> {
    match error {
        LdapError::Io { source } => source.get_ref().and_then(|inner| inner.downcast_ref()),
        LdapError::Rustls { source } => Some(source),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::tests::reader;
    use super::*;

    type Is = fn(&ProviderError) -> bool;

    #[test]
    fn each_answer_has_its_word() {
        let reader = reader();
        let said =
            "80090308: LdapErr: DSID-0C09041C, comment: AcceptSecurityContext error, data 52e, v4563\0";
        assert_eq!(of_result(&reader, 49, said), ProviderError::CredentialsRefused);
        let rows: [(u32, Is); 8] = [
            (3, |error| matches!(error, ProviderError::Timeout(_))),
            (4, |error| matches!(error, ProviderError::NoSight(_))),
            (8, |error| matches!(error, ProviderError::Refused(why) if why.contains("signed or sealed"))),
            (10, |error| matches!(error, ProviderError::NoSight(_))),
            (32, |error| matches!(error, ProviderError::NoSight(_))),
            (50, |error| matches!(error, ProviderError::Permission(_))),
            (51, |error| matches!(error, ProviderError::Unreachable { .. })),
            (53, |error| matches!(error, ProviderError::Refused(_))),
        ];
        for (code, is) in rows {
            let error = of_result(&reader, code, "said\n\0");
            assert!(is(&error) && !error.to_string().contains(char::is_control), "{code}: {error:?}");
        }
    }

    #[test]
    fn a_certificate_tells_who_does_not_answer() {
        let reader = reader();
        let rows: [(TlsError, Is); 4] = [
            (TlsError::InvalidCertificate(CertificateError::UnknownIssuer), |error| {
                matches!(error, ProviderError::Misidentified { .. })
            }),
            (TlsError::InvalidCertificate(CertificateError::NotValidForName), |error| {
                matches!(error, ProviderError::Misidentified { .. })
            }),
            (
                TlsError::InvalidCertificate(CertificateError::Expired),
                |error| matches!(error, ProviderError::Refused(why) if why.contains("renew it")),
            ),
            (TlsError::HandshakeNotComplete, |error| matches!(error, ProviderError::Protocol(_))),
        ];
        for (error, is) in rows {
            // As tokio-rustls gives it.
            let source = io::Error::new(io::ErrorKind::InvalidData, error);
            let error = of_ldap(&reader, "shaking hands", &LdapError::from(source));
            assert!(is(&error), "{error:?}");
        }
        let broken = LdapError::from(io::Error::from(io::ErrorKind::ConnectionReset));
        assert!(matches!(of_ldap(&reader, "reading", &broken), ProviderError::Unreachable { .. }));
    }
}
