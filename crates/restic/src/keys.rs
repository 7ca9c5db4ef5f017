//! The keys of a repository: every one of them opens it.

use serde::Deserialize;

use crate::child::Input;
use crate::error::Error;
use crate::output::Output;
use crate::password::Password;
use crate::repository::{Bounds, Repository};

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// The beginning of its id, which is the name of its file.
    pub id: String,
    /// Whether it is the one that the repository was just opened with.
    #[serde(default)]
    pub current: bool,
    /// Who made it.
    #[serde(default)]
    pub user_name: String,
    /// Where.
    #[serde(default)]
    pub host_name: String,
    /// When, as restic writes it.
    #[serde(default)]
    pub created: String,
}

impl Repository {
    /// The keys. Takes no lock.
    pub async fn keys(&self, bounds: &Bounds) -> Result<Vec<Key>, Error> {
        self.ask(["key", "list", "--json", "--no-lock"].map(Into::into), bounds).await
    }

    /// Adds a key, so that `password` opens the repository too, and gives its id. One that opens it already is left as it
    /// is, so that a second try adds no second key.
    pub async fn add_key(&self, password: &Password, bounds: &Bounds) -> Result<String, Error> {
        let with = self.opened_with(password.clone());
        match with.current_key(bounds).await {
            Err(Error::WrongPassword) => {}
            known => return known,
        }
        let file = password.path();
        let arguments = [&"key", &"add", &"--new-password-file" as &dyn AsRef<std::ffi::OsStr>, &file];
        let arguments = arguments.map(|argument| argument.as_ref().to_owned());
        self.call(arguments, Input::Nothing, Output::Words, bounds).await?;
        with.current_key(bounds).await
    }

    /// The key that this password opens.
    pub async fn current_key(&self, bounds: &Bounds) -> Result<String, Error> {
        let keys = self.keys(bounds).await?;
        let current = keys.into_iter().find(|key| key.current);
        current
            .map(|key| key.id)
            .ok_or_else(|| Error::Answer("none of the keys is the current one".to_owned()))
    }
}
