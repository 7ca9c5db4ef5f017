//! References to managed objects.

use std::fmt;
use std::str::FromStr;

/// A reference to a managed object of one vCenter: its kind and the id that vCenter gave it.
///
/// An id is unique within one vCenter and is never given to another object. Written as
/// `VirtualMachine:vm-42`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mor {
    /// The managed object's type as vCenter names it, such as `VirtualMachine`.
    pub kind: Box<str>,
    /// vCenter's id, such as `vm-42`.
    pub id: Box<str>,
}

impl Mor {
    /// A reference of this kind and id.
    pub fn new(kind: impl Into<Box<str>>, id: impl Into<Box<str>>) -> Self {
        Mor { kind: kind.into(), id: id.into() }
    }
}

impl fmt::Display for Mor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

/// The text is not of the form `Kind:id`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no reference: write it as Kind:id, such as VirtualMachine:vm-42")]
pub struct BadMor(String);

impl FromStr for Mor {
    type Err = BadMor;

    fn from_str(text: &str) -> Result<Self, BadMor> {
        match text.split_once(':') {
            Some((kind, id)) if !kind.is_empty() && !id.is_empty() => Ok(Mor::new(kind, id)),
            _ => Err(BadMor(text.to_owned())),
        }
    }
}

/// A running or finished task, as every `…_Task` method returns it. Its state is read with
/// [`Client::tasks`](crate::Client::tasks).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[must_use = "a task is only started: its end has to be read"]
pub struct Task(pub Mor);

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Mor;

    #[test]
    fn text_and_back() {
        let vm = Mor::new("VirtualMachine", "vm-42");
        assert_eq!(vm.to_string(), "VirtualMachine:vm-42");
        assert_eq!("VirtualMachine:vm-42".parse(), Ok(vm));
        for bad in ["", "vm-42", ":vm-42", "VirtualMachine:"] {
            assert!(bad.parse::<Mor>().is_err(), "{bad:?}");
        }
    }
}
