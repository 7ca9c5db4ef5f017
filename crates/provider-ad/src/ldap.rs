//! A directory as a plain account sees it over LDAPS: its SID and its trusts. It never writes: LDAP cannot make a trust, and
//! removing one there leaves its account behind.

mod entry;
mod failure;

use std::sync::Arc;
use std::time::Duration;

use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchEntry, StdStream};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vertskommune_provider::secrets::of_secret;
use vertskommune_provider::{Ctx, ProviderError};

pub(crate) use entry::TrustedDomain;

/// The longest that any wait may take.
const WAIT: Duration = Duration::from_secs(10);

/// Active Directory gives at most 1000 entries at once.
const PAGE: i32 = 500;

/// Whom to read, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    /// The controller's name, which its certificate must have.
    pub(crate) name: String,
    /// Where it is reached: a name or an address.
    pub(crate) address: String,
    /// Its port of LDAPS.
    pub(crate) port: u16,
    /// The authority that vouches for its certificate, in PEM. No other one counts.
    pub(crate) authority: String,
    /// The directory's domain by its DNS name.
    pub(crate) domain: String,
    /// The plain account, such as `reader@host.test`.
    pub(crate) user: String,
    /// The Secret with its password.
    pub(crate) secret: String,
    /// The Secret's entry.
    pub(crate) entry: String,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The domain's own SID.
    pub(crate) sid: String,
    /// Its trusts, by their domain.
    pub(crate) trusts: Vec<TrustedDomain>,
}

/// Reads the domain's SID and its trusts.
///
/// # Errors
/// [`ProviderError::Misidentified`] where the authority does not vouch for who answers, or the directory is another domain's; nothing
/// of the password was sent then.
pub(crate) async fn trusts(reader: &Reader, ctx: &Ctx) -> Result<Seen, ProviderError> {
    tokio::select! {
        seen = reader.look(ctx) => seen,
        () = ctx.cancel.cancelled() => Err(ProviderError::NotPermitted("the process is stopping".to_owned())),
    }
}

/// The authorities of a PEM text, as they are trusted.
///
/// # Errors
/// Says what is wrong with the text.
pub(crate) fn authorities(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(roots)
}

impl Reader {
    /// The domain's distinguished name, such as `DC=host,DC=test`.
    fn base(&self) -> String {
        self.domain.split('.').map(|label| format!("DC={label}")).collect::<Vec<_>>().join(",")
    }

    fn endpoint(&self) -> String {
        format!("ldaps://{}:{}", self.name, self.port)
    }

    async fn look(&self, ctx: &Ctx) -> Result<Seen, ProviderError> {
        let password = self.password(ctx).await?;
        // It ends with this call, however that ends.
        let mut connection = JoinSet::new();
        let mut ldap = self.connect(&mut connection, ctx).await?;
        // Before the password is sent: what everybody may read.
        let base = self.base();
        self.is_the_domain(&mut ldap, &base, ctx).await?;
        let bound = self.within(ctx, "logging in", ldap.simple_bind(&self.user, &password)).await?;
        self.check(&bound)?;
        let own =
            self.search(&mut ldap, (&base, Scope::Base), "(objectClass=*)", &["objectSid"], ctx).await?;
        let own = own.first().and_then(|entry| entry::sid(entry, "objectSid"));
        let sid = own.ok_or_else(|| {
            ProviderError::NoSight(format!("{} does not tell {} the SID of {base}", self.name, self.user))
        })?;
        let below = format!("CN=System,{base}");
        let filter = "(objectClass=trustedDomain)";
        let entries =
            self.search(&mut ldap, (&below, Scope::OneLevel), filter, entry::ATTRIBUTES, ctx).await?;
        let trusts: Result<Vec<_>, _> = entries.iter().map(TrustedDomain::read).collect();
        let mut trusts = trusts.map_err(|error| ProviderError::NoSight(format!("{}: {error}", self.name)))?;
        trusts.sort_by(|one, other| one.domain.cmp(&other.domain));
        // Whatever it answers, all is read.
        let _ = self.within(ctx, "parting", ldap.unbind()).await;
        Ok(Seen { sid, trusts })
    }

    async fn password(&self, ctx: &Ctx) -> Result<String, ProviderError> {
        let name = &self.secret;
        let secret = ctx.secrets.get(name).await.map_err(|error| of_secret(name, &error))?;
        let password = secret.text(&self.entry).map_err(|error| of_secret(name, &error))?;
        // LDAP takes either for somebody without a name, and lets him in.
        let wrong = if password.is_empty() {
            format!(
                "Secret {name}: its entry {} is empty: write the password of {} there",
                self.entry, self.user
            )
        } else if self.user.is_empty() {
            format!("{} is to be read as somebody without a name: name an account", self.name)
        } else {
            return Ok(password.to_owned());
        };
        Err(ProviderError::Refused(wrong))
    }

    async fn connect(&self, connection: &mut JoinSet<()>, ctx: &Ctx) -> Result<Ldap, ProviderError> {
        let config = self.config()?;
        let lost = |error: std::io::Error| ProviderError::Unreachable {
            endpoint: self.endpoint(),
            why: format!("{}:{}: {error}", self.address, self.port),
        };
        let stream = TcpStream::connect((self.address.as_str(), self.port));
        let stream = self.timely(ctx, "connecting", stream).await?;
        let stream = stream.and_then(TcpStream::into_std).map_err(lost)?;
        let settings = LdapConnSettings::new().set_config(config).set_std_stream(StdStream::Tcp(stream));
        let url = self.endpoint();
        let standing = LdapConnAsync::with_settings(settings, &url);
        let (driver, ldap) = self.within(ctx, "shaking hands", standing).await?;
        connection.spawn(async move {
            // Whoever waits for an answer is told.
            let _ = driver.drive().await;
        });
        Ok(ldap)
    }

    fn config(&self) -> Result<Arc<ClientConfig>, ProviderError> {
        let wrong = |why: String| {
            ProviderError::Refused(format!("the authority of {} cannot be used: {why}", self.name))
        };
        let roots = authorities(&self.authority).map_err(wrong)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| wrong(error.to_string()))?;
        Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    }

    async fn is_the_domain(&self, ldap: &mut Ldap, base: &str, ctx: &Ctx) -> Result<(), ProviderError> {
        let attribute = "defaultNamingContext";
        let root = self.search(ldap, ("", Scope::Base), "(objectClass=*)", &[attribute], ctx).await?;
        match root.first().and_then(|entry| entry::text(entry, attribute)) {
            Some(found) if found.eq_ignore_ascii_case(base) => Ok(()),
            found => Err(ProviderError::Misidentified {
                expected: base.to_owned(),
                found: found.unwrap_or_else(|| "a directory that does not say what it is".to_owned()),
            }),
        }
    }

    async fn search(
        &self,
        ldap: &mut Ldap,
        (base, scope): (&str, Scope),
        filter: &str,
        attributes: &[&str],
        ctx: &Ctx,
    ) -> Result<Vec<SearchEntry>, ProviderError> {
        // Referrals lead to other directories: they are passed over.
        let mut adapters: Vec<Box<dyn Adapter<'_, _, _>>> = vec![Box::new(EntriesOnly::new())];
        // The root answers at once, and knows no pages.
        if !base.is_empty() {
            adapters.push(Box::new(PagedResults::new(PAGE)));
        }
        let found = async {
            let mut stream = ldap.streaming_search_with(adapters, base, scope, filter, attributes).await?;
            let mut entries = Vec::new();
            while let Some(entry) = stream.next().await? {
                entries.push(SearchEntry::construct(entry));
            }
            Ok::<_, LdapError>((entries, stream.finish().await))
        };
        let (entries, result) = self.within(ctx, "reading", found).await?;
        self.check(&result)?;
        Ok(entries)
    }

    fn check(&self, result: &LdapResult) -> Result<(), ProviderError> {
        if result.rc == 0 { Ok(()) } else { Err(failure::of_result(self, result.rc, &result.text)) }
    }

    async fn within<T>(
        &self,
        ctx: &Ctx,
        doing: &str,
        work: impl Future<Output = Result<T, LdapError>>,
    ) -> Result<T, ProviderError> {
        self.timely(ctx, doing, work).await?.map_err(|error| failure::of_ldap(self, doing, &error))
    }

    async fn timely<T>(
        &self,
        ctx: &Ctx,
        doing: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, ProviderError> {
        let until = ctx.deadline.min(Instant::now() + WAIT);
        tokio::time::timeout_at(until, work).await.map_err(|_| {
            ProviderError::Timeout(format!("{} does not answer in time while {doing}", self.endpoint()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio_util::sync::CancellationToken;
    use vertskommune_provider::secrets::FolderSecrets;
    use vertskommune_provider::{Fenced, Permit};

    use super::*;

    struct Reads;

    impl Permit for Reads {
        fn check(&self) -> Result<(), Fenced> {
            panic!("nothing is written")
        }
    }

    pub(super) fn reader() -> Reader {
        let own = rcgen::generate_simple_self_signed(vec!["hostdc.host.test".to_owned()]).unwrap();
        Reader {
            name: "hostdc.host.test".to_owned(),
            address: "127.0.0.1".to_owned(),
            port: 636,
            authority: own.cert.pem(),
            domain: "host.test".to_owned(),
            user: "reader@host.test".to_owned(),
            secret: "directory".to_owned(),
            entry: "password".to_owned(),
        }
    }

    async fn seen(reader: &Reader, password: &str, limit: Duration) -> Result<Seen, ProviderError> {
        let secrets = tempfile::tempdir().unwrap();
        std::fs::create_dir(secrets.path().join("directory")).unwrap();
        std::fs::write(secrets.path().join("directory/password"), password).unwrap();
        let ctx = Ctx {
            deadline: Instant::now() + limit,
            cancel: CancellationToken::new(),
            secrets: Arc::new(FolderSecrets::new(secrets.path())),
            permit: Arc::new(Reads),
        };
        trusts(reader, &ctx).await
    }

    #[test]
    fn a_domain_has_a_distinguished_name() {
        assert_eq!(reader().base(), "DC=host,DC=test");
    }

    #[test]
    fn an_authority_is_a_certificate() {
        assert!(authorities(&reader().authority).is_ok());
        for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(authorities(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn nobody_logs_in_without_a_name_or_a_password() {
        let limit = Duration::from_secs(5);
        // There is nobody at that port: it would be said.
        let nameless = Reader { user: String::new(), port: 1, ..reader() };
        for (reader, password) in [(nameless, "s3cret"), (Reader { port: 1, ..reader() }, "\n")] {
            let error = seen(&reader, password, limit).await.unwrap_err();
            assert!(matches!(&error, ProviderError::Refused(why) if !why.contains("s3cret")), "{error:?}");
        }
    }

    #[tokio::test]
    async fn who_says_nothing_is_given_up_at_the_deadline() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let reader = Reader { port: silent.local_addr().unwrap().port(), ..reader() };
        let error = seen(&reader, "s3cret", Duration::from_millis(200)).await.unwrap_err();
        assert!(matches!(&error, ProviderError::Timeout(why) if why.contains("shaking hands")), "{error:?}");
    }
}
