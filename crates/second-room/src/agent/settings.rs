//! What root lets the agent do.

use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;
use serde::Deserialize;

use crate::Label;
use crate::protocol::{QuotaMode, Reason, Refusal};

/// The agent's settings. The file belongs to root and nobody else may write it.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Settings {
    /// The folder of all backups: an absolute path without links, of folders that belong to root.
    pub(crate) root: PathBuf,
    /// The installations that this host serves.
    pub(crate) installations: Vec<Label>,
    /// How quotas are held.
    #[serde(default)]
    pub(crate) quota: QuotaMode,
    /// The folder of authorized keys, a file for each account, as sshd's `AuthorizedKeysFile` names it.
    #[serde(default = "keys")]
    pub(crate) keys: PathBuf,
    /// The numbers that accounts may have; nobody else may give them out.
    #[serde(default)]
    pub(crate) uids: Uids,
}

/// A range of numbers, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Uids {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl Default for Uids {
    fn default() -> Self {
        Self { first: 20_000, last: 29_999 }
    }
}

fn keys() -> PathBuf {
    PathBuf::from("/etc/vertskommune/keys")
}

impl Settings {
    /// Reads and checks them.
    pub(crate) fn read(path: &Path) -> Result<Self, Refusal> {
        let at = path.display();
        let mut file = std::fs::File::options()
            .read(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .map_err(|error| Refusal::system(format_args!("reading the agent's settings {at}"), error))?;
        let metadata = file.metadata().map_err(|error| Refusal::system(&at, error))?;
        let wrong = |what: &dyn std::fmt::Display| {
            Refusal::new(Reason::Host, format!("the agent's settings {at} cannot be used: {what}"))
        };
        // Whoever writes this file is root on this host.
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 || !metadata.is_file() {
            return Err(wrong(&"it has to be a file that belongs to root and that nobody else may write"));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| Refusal::system(path.display(), error))?;
        Self::parse(&text).map_err(|error| wrong(&error))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        for (field, path) in [("root", &settings.root), ("keys", &settings.keys)] {
            let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
            if !path.is_absolute() || !path.components().all(plain) || path.parent().is_none() {
                return Err(format!("{field} has to be an absolute path without `..`"));
            }
        }
        let Uids { first, last } = settings.uids;
        // Below are the system's own, 65534 is nobody, and -1 means no one.
        if first < 1000 || last < first || last >= u32::MAX - 1 || (first..=last).contains(&65_534) {
            return Err("uids has to be a range from 1000 on, without 65534".to_owned());
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_whole_and_cannot_point_at_the_system() {
        let settings = Settings::parse(r#"{"root":"/srv/vertskommune","installations":["nord"]}"#);
        let settings = settings.map(|settings| (settings.quota, settings.keys, settings.uids));
        assert_eq!(settings, Ok((QuotaMode::None, keys(), Uids::default())), "what is not given");
        for wrong in [
            "{}",
            r#"{"root":"/","installations":[]}"#,
            r#"{"root":"srv","installations":[]}"#,
            r#"{"root":"/srv/../etc","installations":[]}"#,
            r#"{"root":"/srv","installations":["../x"]}"#,
            r#"{"root":"/srv","installations":[],"quota":"user"}"#,
            r#"{"root":"/srv","installations":[],"quotas":"none"}"#,
            r#"{"root":"/srv","installations":[],"keys":"keys"}"#,
            r#"{"root":"/srv","installations":[],"uids":{"first":0,"last":10}}"#,
            r#"{"root":"/srv","installations":[],"uids":{"first":2000,"last":1999}}"#,
            r#"{"root":"/srv","installations":[],"uids":{"first":60000,"last":70000}}"#,
        ] {
            assert!(Settings::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_others_may_write_is_no_settings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.json");
        std::fs::write(&path, r#"{"root":"/srv","installations":[]}"#).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(Settings::read(&path).map_err(|refusal| refusal.reason), Err(Reason::Host));
    }
}
