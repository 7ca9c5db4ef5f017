//! What another product's job tells of the backups that it takes: one JSON file for each job, which the product's post-job
//! script leaves on the second room's host. Its form is for others to write, and is in `deploy/second-room/README.md`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the form.
pub const VERSION: u32 = 1;

/// The longest status, in bytes: some hundred servers.
pub const LONGEST: usize = 64 << 10;

/// The longest name of a job, in characters, as a manifest may write it.
const LONGEST_NAME: usize = 128;

/// What a job tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobStatus {
    /// [`VERSION`].
    pub version: u32,
    /// The job's name, as the manifest has it.
    pub job: String,
    /// All servers that it backs up, by the names that the manifest gives them.
    pub servers: BTreeMap<String, ServerStatus>,
    /// What a check of the backups found damaged, in one sentence; none where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// What a job tells of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerStatus {
    /// When the last good run began; none where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Timestamp>,
    /// The disks that it holds, by the manifest's names and `system` for the rest, with their sizes in bytes; none where
    /// they are not told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disks: Option<BTreeMap<String, u64>>,
    /// What the last restore of it showed; none where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofStatus>,
    /// What of it could not be backed up the last time, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
}

/// What a restore showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProofStatus {
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
    /// What was wrong, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What came of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It came back as it was.
    Intact,
    /// It did not.
    Damaged,
}

impl JobStatus {
    /// Reads the status of this job, its version first.
    ///
    /// # Errors
    /// Why it tells nothing, in one sentence.
    pub(crate) fn read(text: &[u8], job: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if text.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let unreadable = |error: serde_json::Error| format!("it cannot be read: {error}");
        let Versioned { version } = serde_json::from_slice(text).map_err(unreadable)?;
        if version != VERSION {
            return Err(format!("it has version {version}, and only {VERSION} is known"));
        }
        let status: Self = serde_json::from_slice(text).map_err(unreadable)?;
        if status.job != job {
            let other: String = status.job.chars().take(LONGEST_NAME).collect();
            return Err(format!("it is the status of another job, {other:?}"));
        }
        Ok(status)
    }
}

/// The job whose status a file of that name holds: `%` and two digits stand for a byte as in a URL, since the name of a job
/// may have any character. None where the file holds none, such as one that is being written, which begins with a dot.
pub(crate) fn named_by(file: &str) -> Option<String> {
    let name = file.strip_suffix(".json").filter(|_| !file.starts_with('.'))?;
    let mut bytes = Vec::new();
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let byte = if byte == b'%' { u8::try_from(digit()? * 16 + digit()?).ok()? } else { byte };
        bytes.push(byte);
    }
    let job = String::from_utf8(bytes).ok()?;
    let is_name = (1..=LONGEST_NAME).contains(&job.chars().count()) && !job.chars().any(char::is_control);
    is_name.then_some(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_back_and_is_the_form_that_others_write() {
        let written = r#"{
            "version": 1,
            "job": "Ibestad nightly",
            "servers": {
                "ibe-fs01": {
                    "lastGood": "2026-11-27T22:00:00+01:00",
                    "disks": {"system": 42949672960, "data": 536870912000},
                    "proof": {"at": "2026-11-22T09:00:00Z", "outcome": "damaged", "detail": "it does not start"}
                },
                "ibe-sql01": {"lastGood": "2026-11-27T22:10:00Z", "obstacle": "VSS timed out"},
                "ibe-app01": {}
            },
            "damage": "a file of the chain is missing"
        }"#;
        let status = JobStatus::read(written.as_bytes(), "Ibestad nightly").unwrap();
        assert_eq!(status.servers["ibe-fs01"].last_good, Some("2026-11-27T21:00:00Z".parse().unwrap()));
        assert_eq!(status.servers["ibe-fs01"].proof.as_ref().unwrap().outcome, Outcome::Damaged);
        let passed_on = serde_json::to_vec(&status).unwrap();
        assert_eq!(JobStatus::read(&passed_on, "Ibestad nightly"), Ok(status));
        assert!(passed_on.len() < written.len(), "many of them must fit into one answer");
    }

    #[test]
    fn what_tells_nothing_says_why() {
        let form = |fields: &str| format!(r#"{{"version":1,"job":"a",{fields}}}"#);
        for (text, says) in [
            (String::new(), "cannot be read"),
            ("<xml/>".to_owned(), "cannot be read"),
            (r#"{"version":1,"job":"a","servers":{"#.to_owned(), "cannot be read"),
            (r#"{"job":"a","servers":{}}"#.to_owned(), "missing field `version`"),
            (r#"{"version":2,"whatever":true}"#.to_owned(), "it has version 2, and only 1 is known"),
            (r#"{"version":1,"job":"b","servers":{}}"#.to_owned(), r#"of another job, "b""#),
            (form(r#""damage":"x""#), "missing field `servers`"),
            (form(r#""servers":{"a":{"lastgood":"2026-11-27T22:00:00Z"}}"#), "unknown field `lastgood`"),
            (form(r#""servers":{"a":{"lastGood":"27.11.2026 22:00"}}"#), "cannot be read"),
            (form(r#""servers":{"a":{"lastGood":"2026-11-27T22:00:00"}}"#), "cannot be read"),
            (form(r#""servers":{"a":{"disks":{"data":-1}}}"#), "cannot be read"),
            (form(r#""servers":{"a":{"proof":{"at":"2026-11-27T22:00:00Z","outcome":"ok"}}}"#), "`ok`"),
            (form(r#""servers":{}"#) + &" ".repeat(LONGEST), "longer than 65536 bytes"),
        ] {
            let why = JobStatus::read(text.as_bytes(), "a").unwrap_err();
            assert!(why.contains(says), "{text:.60}: {why}");
        }
    }

    #[test]
    fn a_file_is_named_by_its_job_whatever_that_is_called() {
        for (file, job) in [
            ("ibestad-nightly.json", Some("ibestad-nightly")),
            ("Ibestad%20nightly.json", Some("Ibestad nightly")),
            ("Ibestad nightly.json", Some("Ibestad nightly")),
            ("B%C3%A5tsfjord.json", Some("Båtsfjord")),
            ("%2e%2E%2F%2e%2e%2Fetc.json", Some("../../etc")),
            ("100%25.json", Some("100%")),
            (".Ibestad.json", None),
            (".json", None),
            ("ibestad.json.new", None),
            ("a%2.json", None),
            ("a%zz.json", None),
            ("a%00.json", None),
            ("a%FF.json", None),
        ] {
            assert_eq!(named_by(file).as_deref(), job, "{file}");
        }
        assert_eq!(named_by(&format!("{}.json", "a".repeat(129))), None);
    }
}
