//! What this process has under way in vCenters, by the marks that it gives to what it makes there.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vertskommune_provider::ProviderError;

/// The marks, with the identity of their vCenter. One for the whole process: a provider is made anew when its
/// `HostProvider` changes, and what it has begun goes on.
static MARKS: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

fn marks() -> MutexGuard<'static, BTreeSet<(String, String)>> {
    MARKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this process has something with this mark under way.
pub(crate) fn is_under_way(vcenter: &str, mark: &str) -> bool {
    marks().contains(&(vcenter.to_owned(), mark.to_owned()))
}

/// The right to one mark, while it lasts.
#[derive(Debug)]
pub(crate) struct Place((String, String));

impl Place {
    /// An error where this process has it already.
    pub(crate) fn take(vcenter: &str, mark: String) -> Result<Self, ProviderError> {
        let key = (vcenter.to_owned(), mark);
        if !marks().insert(key.clone()) {
            return Err(ProviderError::Conflict(format!("{} is under way already", key.1)));
        }
        Ok(Self(key))
    }

    pub(crate) fn mark(&self) -> &str {
        &self.0.1
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        marks().remove(&self.0);
    }
}
