//! Why a request to the CMDB was refused, and how FortiOS says so.

/// A refusal. The codes are FortiOS' own; where none is published, the README says what stands here and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CmdbError {
    /// There is no such table.
    #[error("no such table")]
    NoSuchTable,
    /// There is no such row.
    #[error("entry not found")]
    NotFound,
    /// The name is taken.
    #[error("a duplicate entry already exists")]
    Duplicate,
    /// Another row has the same value where it must be unique.
    #[error("name conflict on {attribute}")]
    NameConflict {
        /// The attribute that must be unique.
        attribute: String,
    },
    /// Others refer to the row.
    #[error("the entry is used by other {count} entries")]
    InUse {
        /// How many.
        count: usize,
    },
    /// A VDOM that is not empty.
    #[error("the VDOM is in use")]
    VdomInUse,
    /// A list names a row that does not exist.
    #[error("node_check_object fail! for {attribute} {name}")]
    MissingMember {
        /// The attribute within the list.
        attribute: &'static str,
        /// The missing name.
        name: String,
    },
    /// An attribute names a row that does not exist.
    #[error("{attribute} names {name}, which does not exist")]
    MissingReference {
        /// The attribute.
        attribute: &'static str,
        /// The missing name.
        name: String,
    },
    /// A value that the attribute cannot hold.
    #[error("value parse error before '{value}'")]
    BadValue {
        /// The attribute.
        attribute: &'static str,
        /// What was sent.
        value: String,
    },
    /// A text that is too long.
    #[error("{attribute} is longer than {max} bytes")]
    TooLong {
        /// The attribute.
        attribute: &'static str,
        /// How many bytes fit.
        max: usize,
    },
    /// A text with signs that could be read as markup.
    #[error("the string contains XSS vulnerability characters")]
    Markup,
    /// Another VLAN id or another parent for a VLAN that is there.
    #[error("VLAN ID and physical interface stay as they were when the VLAN was created")]
    VlanStays,
    /// An attribute that must not be empty is.
    #[error("{attribute} must not be empty")]
    Required {
        /// The attribute.
        attribute: &'static str,
    },
    /// Two interfaces with addresses of one network.
    #[error("subnets overlap between {interface} and the primary IP of {other}")]
    Overlap {
        /// The interface of the request.
        interface: String,
        /// The interface that has the network.
        other: String,
    },
    /// The table is full.
    #[error("maximum number of entries has been reached")]
    TableFull,
    /// The administrator may not.
    #[error("permission denied")]
    Permission,
    /// A method that the resource has not.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// The request cannot be read.
    #[error("{0}")]
    BadRequest(String),
    /// The request contradicts the configuration.
    #[error("{0}")]
    Conflict(String),
    /// A transaction of this id is not open.
    #[error("transaction {0} does not exist or has expired")]
    NoSuchTransaction(u64),
    /// A transaction may not write this table.
    #[error("{0} is not supported in a transaction")]
    NotInTransaction(String),
    /// Another transaction has written the table.
    #[error("the table is locked by transaction {0}")]
    Locked(u64),
}

impl CmdbError {
    /// The status and FortiOS' code; 0 where FortiOS sends none.
    pub(crate) fn codes(&self) -> (u16, i32) {
        match self {
            Self::NoSuchTable => (404, 0),
            Self::NotFound => (404, -3),
            Self::Duplicate => (500, -5),
            Self::NameConflict { .. } => (500, -100),
            Self::InUse { .. } => (500, -23),
            Self::VdomInUse => (500, -514),
            Self::MissingMember { .. } | Self::BadValue { .. } | Self::TooLong { .. } => (500, -651),
            Self::Required { .. } => (500, -56),
            Self::Markup => (500, -173),
            Self::VlanStays => (500, -522),
            Self::Overlap { .. } => (500, -54),
            Self::TableFull => (500, -4),
            Self::Permission => (403, -37),
            Self::MethodNotAllowed => (405, 0),
            Self::BadRequest(_) => (400, 0),
            Self::Conflict(_) | Self::NotInTransaction(_) | Self::Locked(_) => (500, -7),
            Self::MissingReference { .. } | Self::NoSuchTransaction(_) => (500, -3),
        }
    }

    /// What the command line would have printed, where it prints something.
    pub(crate) fn cli_error(&self) -> Option<String> {
        let (status, code) = self.codes();
        let text = match self {
            Self::InUse { count } => format!("The entry is used by other {count} entries\n"),
            Self::MissingMember { attribute, name } => {
                format!(
                    "node_check_object fail! for {attribute} {name}\n\nvalue parse error before '{name}'\n"
                )
            }
            Self::MissingReference { name, .. } => {
                format!("entry not found in datasource\n\nvalue parse error before '{name}'\n")
            }
            Self::NotFound if status == 404 => return None,
            _ if status == 500 => {
                let mut text = self.to_string();
                text[..1].make_ascii_uppercase();
                text + "\n"
            }
            _ => return None,
        };
        Some(format!("{text}Command fail. Return code {code}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::CmdbError;

    #[test]
    fn the_command_line_speaks_as_fortinet_prints_it() {
        let missing = CmdbError::MissingMember { attribute: "name", name: "x".into() };
        assert_eq!(
            missing.cli_error().as_deref(),
            Some(
                "node_check_object fail! for name x\n\nvalue parse error before 'x'\nCommand fail. Return code -651\n"
            )
        );
        let used = CmdbError::InUse { count: 1 };
        assert_eq!(
            used.cli_error().as_deref(),
            Some("The entry is used by other 1 entries\nCommand fail. Return code -23\n")
        );
    }
}
