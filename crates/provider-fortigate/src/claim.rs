//! Our claim as the one writer of a FortiGate: an address object with a reserved name, whose comment says who writes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vertskommune_provider::{Claim, Ctx, ProviderError};

use crate::Fortigate;
use crate::client::{At, Error, Permit, Row, provider_error};

/// The name of the object. It refers to nothing and nothing refers to it.
const NAME: &str = "vertskommune.claim";

/// The claim as it is written; a comment takes 255 characters.
#[derive(Serialize, Deserialize)]
struct Written {
    installation: String,
    holder: String,
    expires: Timestamp,
}

impl Fortigate {
    /// Takes or renews the claim.
    pub(crate) async fn hold_claim(&self, claim: &Claim, ctx: &Ctx) -> Result<(), ProviderError> {
        let client = self.client(ctx).await?;
        let fail = |error: Error| provider_error(&self.host.endpoint, &error);
        let at = At { vdom: &self.settings.vdom, table: "firewall/address" };
        let there = client.row(at, NAME).await.map_err(fail)?;
        if let Some(there) = &there {
            refuse_living(comment(there), claim, Timestamp::now())?;
        }
        let written = Written {
            installation: claim.installation.to_string(),
            holder: holder(claim),
            expires: claim.expires,
        };
        let text = serde_json::to_string(&written).unwrap_or_default();
        let row =
            json!({"name": NAME, "type": "ipmask", "subnet": "0.0.0.0 255.255.255.255", "comment": text});
        let Json::Object(row) = row else { return Ok(()) };
        let permit = ctx.clone();
        let permit: &Permit = &move || permit.permit().map_err(|error| error.to_string());
        let writer = client.writer(permit);
        match there {
            Some(_) => writer.update(at, NAME, &row).await.map_err(fail)?,
            None => drop(writer.create(at, &row).await.map_err(fail)?),
        }
        // Nothing here is atomic: of two that wrote at once, the one whose claim was overwritten must not begin.
        let there = client.row(at, NAME).await.map_err(fail)?;
        refuse_living(there.as_ref().map(comment).unwrap_or_default(), claim, Timestamp::now())
    }
}

fn comment(row: &Row) -> &str {
    row.get("comment").and_then(Json::as_str).unwrap_or_default()
}

/// The holder as it is written, which leaves room for the rest within the limit of a comment.
fn holder(claim: &Claim) -> String {
    claim.holder.chars().take(100).collect()
}

/// Refuses where the claim that is there is another's and has not run out.
fn refuse_living(there: &str, claim: &Claim, now: Timestamp) -> Result<(), ProviderError> {
    if there.is_empty() {
        return Ok(());
    }
    let Ok(there) = serde_json::from_str::<Written>(there) else {
        let why = format!("the claim in the address object {NAME} is not understood: delete that object");
        return Err(ProviderError::Protocol(why));
    };
    let is_ours = there.installation == claim.installation.as_str() && there.holder == holder(claim);
    if is_ours || claim.take_over || there.expires <= now {
        return Ok(());
    }
    Err(ProviderError::Claimed {
        installation: there.installation,
        holder: there.holder,
        expires: there.expires,
    })
}
