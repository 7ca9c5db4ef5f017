//! Our claim as the one writer of a FortiGate: an address object with a reserved name, whose comment says who writes.

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use vertskommune_provider::{Claim, Ctx, ProviderError};

use crate::Fortigate;
use crate::client::{At, Error, Permit, Row, provider_error};

/// The name of the object. It refers to nothing and nothing refers to it.
pub(crate) const NAME: &str = "vertskommune.claim";

impl Fortigate {
    /// Takes or renews the claim.
    pub(crate) async fn hold_claim(&self, claim: &Claim, ctx: &Ctx) -> Result<(), ProviderError> {
        let client = self.client(ctx).await?;
        self.identify(&client).await?;
        let fail = |error: Error| provider_error(&self.host.endpoint, &error);
        let at = At { vdom: &self.settings.vdom, table: "firewall/address" };
        // A transaction of ours may hold the table.
        let turn = self.turn(at.vdom);
        let _turn = turn.lock().await;
        let there = client.row(at, NAME).await.map_err(fail)?;
        if let Some(there) = &there {
            claim.stands_beside(comment(there), Timestamp::now())?;
        }
        let permit = ctx.clone();
        let permit: &Permit = &move || permit.permit().map_err(|error| error.to_string());
        let writer = client.writer(permit);
        let row = row(claim);
        match there {
            Some(_) => writer.update(at, NAME, &row).await.map_err(fail)?,
            None => match writer.create(at, &row).await {
                // It was not there a moment ago.
                Err(Error::Duplicate(_)) => {
                    let why = "another made its claim at the same moment".to_owned();
                    return Err(ProviderError::Conflict(why));
                }
                made => drop(made.map_err(fail)?),
            },
        }
        // Nothing here is atomic: of two that wrote at once, the one whose claim was overwritten must not begin.
        match client.row(at, NAME).await.map_err(fail)? {
            // What was taken over is gone now; whoever else stands here was the last to write.
            Some(there) => {
                Claim { take_over: false, ..claim.clone() }.stands_beside(comment(&there), Timestamp::now())
            }
            None => Err(ProviderError::NoSight("our claim was written and cannot be read back".to_owned())),
        }
    }
}

fn row(claim: &Claim) -> Row {
    let attributes = [
        ("name", json!(NAME)),
        ("type", json!("ipmask")),
        ("subnet", json!("0.0.0.0 255.255.255.255")),
        ("comment", json!(claim.text())),
    ];
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn comment(row: &Row) -> &str {
    row.get("comment").and_then(Json::as_str).unwrap_or_default()
}
