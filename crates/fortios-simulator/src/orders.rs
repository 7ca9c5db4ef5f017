//! What the admin port has ordered to go wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// All orders in force.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// Every answer is so much slower.
    pub delay: Duration,
    /// The connection that will be cut.
    pub cut: Option<Cut>,
    /// Requests that fail.
    pub faults: Vec<Fault>,
    /// What must not be read or written.
    pub denied: BTreeSet<Denial>,
}

/// The connection of a write that is closed without an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cut {
    /// The write's number in the journal.
    pub write: u64,
    /// Before it is carried out, or after.
    pub at: CutAt,
    /// Whether it has happened.
    #[serde(default)]
    pub fired: bool,
    /// The method and path of the write that was cut.
    #[serde(default)]
    pub method: Option<String>,
}

/// When a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CutAt {
    /// The write is not carried out.
    Before,
    /// It is, and nobody is told.
    After,
}

/// Requests that fail with a status of their own. What is left out fits everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// `GET`, `POST`, `PUT`, `DELETE`.
    #[serde(default)]
    pub method: Option<String>,
    /// The beginning of the path without `/api/v2/`: `cmdb/firewall/policy`.
    #[serde(default)]
    pub path: Option<String>,
    /// The VDOM that the request names.
    #[serde(default)]
    pub vdom: Option<String>,
    /// The status.
    pub status: u16,
    /// FortiOS' code.
    #[serde(default)]
    pub error: Option<i32>,
    /// What stands as `cli_error`.
    #[serde(default)]
    pub cli_error: Option<String>,
    /// How many fitting requests pass first.
    #[serde(default)]
    pub skip: u64,
    /// How many fail; all where it is left out.
    #[serde(default)]
    pub count: Option<u64>,
    /// Answer with a page of HTML, as FortiOS does when it throttles, and not with an envelope.
    #[serde(default)]
    pub html: bool,
}

/// A right taken away: of a VDOM, of a table, or of a table in a VDOM.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Denial {
    /// The VDOM; all where it is left out.
    pub vdom: Option<String>,
    /// `path/name`; all where it is left out.
    pub table: Option<String>,
}

impl Orders {
    /// The fault that this request meets.
    pub(crate) fn fault(&mut self, method: &str, path: &str, vdom: Option<&str>) -> Option<Fault> {
        let found = self.faults.iter_mut().find_map(|fault| {
            let fits = fault.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
                && fault.path.as_deref().is_none_or(|wanted| path.starts_with(wanted))
                && fault.vdom.as_deref().is_none_or(|wanted| vdom == Some(wanted));
            if !fits {
                return None;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                return None;
            }
            fault.count = fault.count.map(|count| count - 1);
            Some(fault.clone())
        });
        self.faults.retain(|fault| fault.count != Some(0));
        found
    }

    /// Whether the right to a table of a VDOM was taken away.
    pub(crate) fn denies(&self, vdom: &str, table: &str) -> bool {
        self.denied.iter().any(|denial| {
            denial.vdom.as_deref().is_none_or(|denied| denied == vdom)
                && denial.table.as_deref().is_none_or(|denied| denied == table)
        })
    }

    /// Cuts this write, if it is its turn.
    pub(crate) fn cuts(&mut self, seq: u64, at: CutAt, method: &str) -> bool {
        let Some(cut) = self.cut.as_mut().filter(|cut| !cut.fired && cut.write == seq && cut.at == at) else {
            return false;
        };
        cut.fired = true;
        cut.method = Some(method.to_owned());
        true
    }
}
