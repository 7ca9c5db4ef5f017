//! The private key that an agent lets in.

use ssh_session::PrivateKey;
use vertskommune_core::names::TenantName;
use vertskommune_provider::secrets::{Secret, of_secret};
use vertskommune_provider::{Ctx, ProviderError};

/// The entry of a Secret with a private key.
pub const KEY: &str = "id_ed25519";

/// The private key in the Secret of that name, which is the tenant's own where a manifest of one names it.
///
/// # Errors
/// Where the Secret cannot be had, or has none.
pub async fn agent_key(
    name: &str,
    tenant: Option<&TenantName>,
    ctx: &Ctx,
) -> Result<PrivateKey, ProviderError> {
    let secret = match tenant {
        Some(tenant) => ctx.secrets.get_of(name, tenant).await,
        None => ctx.secrets.get(name).await,
    };
    private_key(name, &secret.map_err(|error| of_secret(name, &error))?)
}

/// The private key in a Secret, which has that name.
///
/// # Errors
/// [`ProviderError::Refused`] where it has none.
pub fn private_key(name: &str, secret: &Secret) -> Result<PrivateKey, ProviderError> {
    let text = secret.text(KEY).map_err(|error| of_secret(name, &error))?;
    // A key of OpenSSH ends with a line's end, which the store takes off.
    PrivateKey::new(format!("{text}\n"))
        .map_err(|error| ProviderError::Refused(format!("Secret {name}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_key_is_read_with_and_without_its_last_line_end() {
        let key = PrivateKey::random().unwrap();
        for text in [key.expose().to_owned(), key.expose().trim_end().to_owned()] {
            let entries = BTreeMap::from([(KEY.to_owned(), text.into_bytes())]);
            let read = private_key("agent", &Secret { entries, ..Secret::default() }).unwrap();
            assert_eq!(read.public(), key.public());
        }
    }

    #[test]
    fn what_is_wrong_names_the_secret_and_shows_nothing_of_it() {
        for entries in [BTreeMap::new(), BTreeMap::from([(KEY.to_owned(), b"s3cret".to_vec())])] {
            let error = private_key("agent", &Secret { entries, ..Secret::default() }).unwrap_err();
            let said = error.to_string();
            assert!(said.contains("Secret agent") && !said.contains("s3cret"), "{said}");
        }
    }
}
