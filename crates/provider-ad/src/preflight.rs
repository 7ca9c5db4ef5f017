//! Whether the host's directory is as this plugin needs it, a line for each.

use jiff::Timestamp;
use vertskommune_core::reason::Reason;
use vertskommune_provider::{Checked, Ctx, ProviderError};

use crate::observe::Told;
use crate::{HostDirectory, ldap, observe};

/// How far clocks may differ without a word.
const APART: i64 = 60;

impl HostDirectory {
    /// All lines.
    pub(crate) async fn check_all(&self, ctx: &Ctx) -> Vec<Checked> {
        let read = match &self.settings.reader {
            Some(reader) => {
                let read = ldap::trusts(reader, ctx).await;
                let read = read.and_then(|read| {
                    let (expected, found) = (self.settings.sid.clone(), read.sid);
                    if expected == found { Ok(read.trusts.len()) } else { Err(ProviderError::Misidentified { expected, found }) }
                });
                read.map(|count| format!("{count} trusts are seen")).map_err(|error| error.to_string())
            }
            None => Ok("not used: name an account in settings.ldap, and the host's side is seen without its agent too".to_owned()),
        };
        let mut lines = match self.host_told(ctx).await {
            Ok(told) => of_agent(&told),
            Err(error) => {
                let what = match error {
                    ProviderError::Misidentified { .. } => "identity",
                    ProviderError::CredentialsRefused => "credentials",
                    ProviderError::Unreachable { .. } | ProviderError::Timeout(_) => "reachability",
                    ProviderError::NotServed { reason: Reason::NotPdc, .. } => "role",
                    ProviderError::NotServed { .. } => "partners",
                    _ => "agent",
                };
                vec![Checked::new(what, Err(error.to_string()))]
            }
        };
        lines.push(Checked::new("ldap", read));
        lines
    }
}

fn of_agent(told: &Told) -> Vec<Checked> {
    let description = &told.description;
    let pdc = if description.is_pdc {
        Ok(format!("{} is the PDC emulator of {}", description.controller, description.domain))
    } else {
        Err(format!(
            "{} is not the PDC emulator of {}: give the address of the agent there",
            description.controller, description.domain
        ))
    };
    let allowed: Vec<&str> = description.partners.iter().map(|it| it.domain.as_str()).collect();
    let partners = if allowed.is_empty() {
        Err("the agent's file of partners allows none: its administrators write there whom trusts may be made with".to_owned())
    } else {
        Ok(format!("trusts may be made with {}", allowed.join(", ")))
    };
    let apart = Timestamp::now().duration_since(observe::clock(told)).as_secs();
    let clock = if apart.abs() <= APART {
        Ok("the same on both sides".to_owned())
    } else {
        Err(format!(
            "the controller's clock is {apart} s behind this one's: set the clock right that is wrong"
        ))
    };
    vec![
        Checked::new("identity", Ok(format!("{}, {}", description.domain, description.sid))),
        Checked::new("agent", Ok(observe::version(told))),
        Checked::new("role", pdc),
        Checked::new("partners", partners),
        Checked::new("clock", clock),
    ]
}
