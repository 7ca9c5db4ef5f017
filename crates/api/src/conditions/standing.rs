//! What an object's status means to whoever waits for it. Tests hold kstatus, which decides so for Flux, to the same.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};

use super::{READY, STALLED, is_true};

/// How far an object has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// All that is ours to do is done.
    Current,
    /// It is not done yet, or nobody has looked at this generation.
    InProgress,
    /// Nothing goes on until a person changes something.
    Failed,
    /// It is on its way out.
    Terminating,
}

impl Standing {
    /// As kstatus calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Current => "Current",
            Self::InProgress => "InProgress",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
        }
    }
}

/// How far the object has come of which a status says this, observed at that generation.
pub fn standing(metadata: &ObjectMeta, observed: Option<i64>, conditions: &[Condition]) -> Standing {
    if metadata.deletion_timestamp.is_some() {
        Standing::Terminating
    } else if observed.is_none() || observed != metadata.generation {
        Standing::InProgress
    } else if is_true(conditions, STALLED) {
        Standing::Failed
    } else if is_true(conditions, READY) {
        Standing::Current
    } else {
        Standing::InProgress
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::conditions::{Conditions, Truth};

    #[test]
    fn each_status_has_its_standing() {
        let epoch = Timestamp::UNIX_EPOCH;
        let made = |ready: Truth, stalled: bool| {
            let mut conditions = Conditions::new(&[], Some(2), epoch);
            conditions.set(READY, ready, "Converged", "It is so");
            match (ready, stalled) {
                (Truth::True, _) => {}
                (_, true) => conditions.stalled("Refused", "It is so"),
                (_, false) => conditions.reconciling("Progressing", "It is so"),
            }
            conditions.finish()
        };
        let suspended = {
            let mut conditions = Conditions::new(&[], Some(2), epoch);
            conditions.set(READY, false, "Suspended", "It is so");
            conditions.finish()
        };
        let cases = [
            ("it is done", Some(2), false, made(Truth::True, false), Standing::Current),
            ("it goes on", Some(2), false, made(Truth::False, false), Standing::InProgress),
            ("it cannot be told yet", Some(2), false, made(Truth::Unknown, false), Standing::InProgress),
            ("it waits for a person", Some(2), false, made(Truth::False, true), Standing::Failed),
            ("it is suspended", Some(2), false, suspended, Standing::InProgress),
            ("it was done before a change", Some(1), false, made(Truth::True, false), Standing::InProgress),
            (
                "it was refused before a change",
                Some(1),
                false,
                made(Truth::False, true),
                Standing::InProgress,
            ),
            ("nobody looked yet", Some(-1), false, vec![], Standing::InProgress),
            ("there is no status at all", None, false, vec![], Standing::InProgress),
            ("it leaves, though it is done", Some(2), true, made(Truth::True, false), Standing::Terminating),
        ];
        for (case, observed, leaves, conditions, expected) in cases {
            let deletion_timestamp = leaves.then_some(Time(epoch));
            let metadata = ObjectMeta { generation: Some(2), deletion_timestamp, ..ObjectMeta::default() };
            assert_eq!(standing(&metadata, observed, &conditions), expected, "{case}");
        }
    }
}
