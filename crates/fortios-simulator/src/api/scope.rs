//! Which VDOMs a request is about, and whether the answer is one envelope or a list of them.

use std::sync::Arc;

use super::request::Request;
use crate::cmdb::CmdbError;
use crate::store::{Store, Vdom};

/// The VDOMs of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VdomScope {
    /// The VDOMs.
    pub vdoms: Vec<Vdom>,
    /// Whether the answer is a list.
    pub as_list: bool,
    /// Whether the request is about the device and not about a VDOM.
    pub global: bool,
}

/// The VDOM of the device itself.
pub(crate) const MANAGEMENT: &str = "root";

impl VdomScope {
    /// What the parameters `vdom`, `global` and `scope` say.
    pub(crate) fn of(request: &Request, store: &Store) -> Result<Self, CmdbError> {
        let management = || vec![Vdom::from(MANAGEMENT)];
        if request.parameter("global").is_some_and(|value| value == "1" || value == "true") {
            return Ok(Self { vdoms: management(), as_list: true, global: true });
        }
        if request.parameter("scope") == Some("global") {
            return Ok(Self { vdoms: management(), as_list: false, global: true });
        }
        match request.parameter("vdom") {
            None | Some("") => Ok(Self { vdoms: management(), as_list: false, global: false }),
            Some("*") => Ok(Self { vdoms: store.vdoms().cloned().collect(), as_list: true, global: false }),
            Some(names) => {
                let known = |name: &str| store.vdom(name).cloned().ok_or(CmdbError::Permission);
                let vdoms: Result<Vec<Vdom>, CmdbError> = names.split(',').map(known).collect();
                Ok(Self { vdoms: vdoms?, as_list: names.contains(','), global: false })
            }
        }
    }

    /// The one VDOM that a write is for.
    pub(crate) fn single(&self) -> Result<Vdom, CmdbError> {
        match self.vdoms.as_slice() {
            [vdom] => Ok(Arc::clone(vdom)),
            _ => Err(CmdbError::BadRequest("a write names one VDOM".into())),
        }
    }
}
