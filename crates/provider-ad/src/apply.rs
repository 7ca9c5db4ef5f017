//! Carrying out steps: each looks at both sides first, does exactly what it says, and may be done again from wherever it ended.

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use vertskommune_core::directory::health::{Problem, Refused};
use vertskommune_core::directory::{Direction, TrustKind};
use vertskommune_core::facts::Facts;
use vertskommune_core::names::TenantName;
use vertskommune_core::resource::Value;
use vertskommune_core::step::Step;
use vertskommune_provider::secrets::of_secret;
use vertskommune_provider::{Applied, Ctx, Left, ProviderError};

use crate::HostDirectory;
use crate::agent::Agent;
use crate::expand::{read_direction, read_kind};
use crate::failure::{AskError, of_refusal, word};
use crate::observe::Known;
use crate::protocol::{Ask, Ensure, Refusal, Secret};
use crate::schema::{field, side, stand};
use crate::settings::Settings;
use crate::steps::{operation, which};

/// The entry of a Secret with what both administrations have agreed on.
pub(crate) const AGREED: &str = "trustSecret";

/// Why a step was not carried out.
enum Stop {
    /// What it expects is not there.
    NotSent(String),
    /// Something failed.
    Failed(ProviderError),
    /// That side refused.
    Refused(&'static str, Refusal),
}

impl From<ProviderError> for Stop {
    fn from(error: ProviderError) -> Self {
        Self::Failed(error)
    }
}

/// A step, read.
struct Order<'a> {
    step: &'a Step,
    tenant: &'a TenantName,
    domain: String,
    netbios: String,
    sid: Option<String>,
    partner: Option<Agent>,
}

impl HostDirectory {
    /// Carries out one step.
    pub(crate) async fn carry_out_step(&self, step: &Step, ctx: &Ctx) -> Applied {
        let tenant = &step.resource.tenant;
        let late = |_| Err(Stop::Failed(ProviderError::Timeout("the step did not end in time".to_owned())));
        let ended = tokio::time::timeout_at(ctx.deadline, self.step(step, ctx)).await.unwrap_or_else(late);
        // Whatever came of it, whether the trust works is tried anew.
        self.state().health.remove(tenant);
        let applied = match ended {
            Ok(()) => {
                self.state().refused.remove(tenant);
                Applied::Done
            }
            Err(Stop::NotSent(why) | Stop::Failed(ProviderError::NotPermitted(why))) => Applied::NotSent(why),
            Err(Stop::Failed(error)) if error.left() == Left::Unknown => Applied::Unknown(error.to_string()),
            Err(Stop::Failed(error)) => Applied::Failed(error),
            Err(Stop::Refused(by, refusal)) => {
                if let Some(reason) = word(refusal.reason) {
                    let message = refusal.message.clone();
                    let refused = Refused { by: which(by), reason: reason.to_owned(), message };
                    self.state().refused.insert(tenant.clone(), refused);
                }
                Applied::Failed(of_refusal(&self.installation, refusal))
            }
        };
        tracing::debug!(step = %step.id(), operation = %step.operation, ?applied, "carried out");
        applied
    }

    async fn step(&self, step: &Step, ctx: &Ctx) -> Result<(), Stop> {
        let order = self.order(step)?;
        let seen = self.see(&order, ctx).await?;
        for (name, expected) in &step.expects {
            let is = seen.get(name).unwrap_or(&Json::Null);
            if is != expected {
                return Err(Stop::NotSent(format!("{name} is {is} and not {expected} any more")));
            }
        }
        let stands =
            |name: &str| [stand::WHOLE, stand::HALF].iter().any(|it| seen.get(name) == Some(&json!(it)));
        match step.operation.as_str() {
            operation::CREATE => self.make(&order, false, ctx).await,
            operation::RENEW => {
                // The host's side alone is of no use to anybody: whoever dies from here on leaves what the next look sees as such.
                if stands(field::TENANT) && order.partner.is_some() {
                    self.remove_side(&order, side::TENANT, ctx).await?;
                }
                self.make(&order, true, ctx).await
            }
            operation::ADOPT => self.each_side(&order, ctx, |it, of| it.adoption(&order, of)).await,
            operation::SET => self.each_side(&order, ctx, |it, of| Ok(it.setting(&order, of))).await,
            operation::HEAL => self.each_side(&order, ctx, |it, of| Ok(it.healing(&order, of))).await,
            operation::FORWARD => self.each_side(&order, ctx, |it, of| Ok(it.forwarding(&order, of))).await,
            operation::REMOVE => {
                // The host's last: while its record is there the step is planned again.
                for of in [side::TENANT, side::HOST] {
                    if names(step, field::SIDES, of) {
                        self.remove_side(&order, of, ctx).await?;
                    }
                }
                Ok(())
            }
            other => Err(ProviderError::Refused(format!("this plugin has no step {other}")).into()),
        }
    }

    fn order<'a>(&self, step: &'a Step) -> Result<Order<'a>, ProviderError> {
        let missing = |name: &str| ProviderError::Refused(format!("the step does not say its {name}"));
        let tenant = &step.resource.tenant;
        let partner = match (
            text(step, field::ENDPOINT),
            text(step, field::IDENTITY),
            text(step, field::PARTNER_SECRET),
        ) {
            (Some(endpoint), Some(identity), Some(secret)) => {
                Some(self.partner(tenant, endpoint, identity, secret)?)
            }
            _ => None,
        };
        Ok(Order {
            step,
            tenant,
            domain: text(step, field::DOMAIN).ok_or_else(|| missing(field::DOMAIN))?.to_owned(),
            netbios: text(step, field::NETBIOS).ok_or_else(|| missing(field::NETBIOS))?.to_owned(),
            sid: text(step, field::SID).map(ToOwned::to_owned),
            partner,
        })
    }

    /// The trust's fields as they are now.
    async fn see(&self, order: &Order<'_>, ctx: &Ctx) -> Result<Facts, Stop> {
        let wanted = self.state().wanted.get(order.tenant).cloned();
        let wanted =
            wanted.ok_or_else(|| Stop::NotSent("no manifest asks for a trust any more".to_owned()))?;
        let other = async {
            match &order.partner {
                Some(agent) => self.told(agent, ctx).await.map(Some),
                None => Ok(None),
            }
        };
        let (host, theirs) = futures::try_join!(self.host_told(ctx), other)?;
        let removes = order.step.operation == operation::REMOVE;
        if let (Some(expected), Some(told)) = (&order.sid, &theirs)
            && *expected != told.description.sid
            && !removes
        {
            let (expected, found) = (expected.clone(), told.description.sid.clone());
            return Err(ProviderError::Misidentified { expected, found }.into());
        }
        let theirs = theirs.map(Ok);
        let known = Known {
            tenant: order.tenant,
            wanted: &wanted,
            host: &host,
            theirs: theirs.as_ref(),
            health: None,
            refused: None,
        };
        // Before anything is taken away: what one side would refuse afterwards would leave the other alone.
        match known.forbidden(&self.settings).filter(|_| !removes) {
            Some(refused) => Err(ProviderError::Refused(Problem::Refused(refused).to_string()).into()),
            None => Ok(known.fields(&self.settings)),
        }
    }

    /// Makes both sides with a secret that both get and nobody keeps.
    async fn make(&self, order: &Order<'_>, anew: bool, ctx: &Ctx) -> Result<(), Stop> {
        let secret = self.secret(order, ctx).await?;
        for of in [side::HOST, side::TENANT] {
            let name = if of == side::HOST { field::HOST_FORWARDER } else { field::TENANT_FORWARDER };
            if known(order.step, name) == Some(&json!(true)) && self.agent_of(order, of).is_some() {
                self.ask(order, of, self.forwarding(order, of), ctx).await?;
            }
        }
        for of in [side::HOST, side::TENANT] {
            if self.agent_of(order, of).is_some() {
                let ask = Ask::Ensure(self.ensuring(order, of, anew, secret.clone())?);
                self.ask(order, of, ask, ctx).await?;
            }
        }
        // The side that was made first could not set up its channel before the other stood.
        if order.partner.is_some() && direction_of(order, side::HOST)?.lets_in() {
            let ask = Ask::Heal { domain: order.domain.clone() };
            if let Err(Stop::Failed(error)) = self.ask(order, side::HOST, ask, ctx).await {
                tracing::debug!(tenant = %order.tenant, %error, "the channel is set up later");
            }
        }
        Ok(())
    }

    async fn secret(&self, order: &Order<'_>, ctx: &Ctx) -> Result<Secret, ProviderError> {
        if order.partner.is_some() {
            return Secret::random().map_err(|error| {
                ProviderError::Refused(format!("no random numbers are to be had: {error}"))
            });
        }
        let name = text(order.step, field::PARTNER_SECRET)
            .ok_or_else(|| ProviderError::Refused("the step names no Secret".to_owned()))?;
        let secret = ctx.secrets.get_of(name, order.tenant).await.map_err(|error| of_secret(name, &error))?;
        let agreed = secret.text(AGREED).map_err(|error| of_secret(name, &error))?;
        Secret::agreed(agreed)
            .map_err(|error| ProviderError::Refused(format!("Secret {name}: {AGREED}: {error}")))
    }

    /// The other side as this one sees it: domain, NetBIOS name, SID.
    fn partner_of(&self, order: &Order<'_>, of: &str) -> Result<(String, String, String), ProviderError> {
        if of == side::TENANT {
            let Settings { domain, netbios, sid, .. } = &self.settings;
            return Ok((domain.clone(), netbios.clone(), sid.clone()));
        }
        let sid = order.sid.clone().ok_or_else(|| {
            ProviderError::Refused(
                "the SID of the tenant's domain is not known: see whether its agent answers".to_owned(),
            )
        })?;
        Ok((order.domain.clone(), order.netbios.clone(), sid))
    }

    fn ensuring(
        &self,
        order: &Order<'_>,
        of: &str,
        anew: bool,
        secret: Secret,
    ) -> Result<Ensure, ProviderError> {
        let (domain, netbios, sid) = self.partner_of(order, of)?;
        let (selective, filters_sids) = ways(order.step, of);
        Ok(Ensure {
            tenant: order.tenant.to_string(),
            domain,
            netbios,
            sid,
            direction: direction_of(order, of)?,
            kind: kind_of(order)?.into(),
            selective,
            filters_sids,
            secret,
            anew,
            remove_orphan: names(order.step, field::ORPHANS, of),
        })
    }

    fn adoption(&self, order: &Order<'_>, of: &str) -> Result<Ask, ProviderError> {
        let (domain, _, sid) = self.partner_of(order, of)?;
        let (direction, kind) = (direction_of(order, of)?, kind_of(order)?.into());
        Ok(Ask::Adopt { tenant: order.tenant.to_string(), domain, sid, direction, kind })
    }

    fn setting(&self, order: &Order<'_>, of: &str) -> Ask {
        let (selective, filters_sids) = ways(order.step, of);
        Ask::Set {
            tenant: order.tenant.to_string(),
            domain: self.partner_domain(order, of),
            selective,
            filters_sids,
        }
    }

    fn forwarding(&self, order: &Order<'_>, of: &str) -> Ask {
        let dns_servers = match (of, known(order.step, field::DNS)) {
            (side::HOST, Some(servers)) => serde_json::from_value(servers.clone()).unwrap_or_default(),
            (side::HOST, None) => Vec::new(),
            _ => self.settings.dns.clone(),
        };
        Ask::Forward { tenant: order.tenant.to_string(), domain: self.partner_domain(order, of), dns_servers }
    }

    fn partner_domain(&self, order: &Order<'_>, of: &str) -> String {
        if of == side::HOST { order.domain.clone() } else { self.settings.domain.clone() }
    }

    async fn remove_side(&self, order: &Order<'_>, of: &'static str, ctx: &Ctx) -> Result<(), Stop> {
        let (domain, _, sid) = self.partner_of(order, of)?;
        self.ask(order, of, Ask::Remove { tenant: order.tenant.to_string(), domain, sid }, ctx).await
    }

    /// That it was tried counts, whatever comes of it.
    fn healing(&self, order: &Order<'_>, of: &str) -> Ask {
        self.state().healed.insert((order.tenant.clone(), which(of)), Timestamp::now());
        Ask::Heal { domain: self.partner_domain(order, of) }
    }

    /// The same on each of the step's sides.
    async fn each_side(
        &self,
        order: &Order<'_>,
        ctx: &Ctx,
        ask: impl Fn(&Self, &str) -> Result<Ask, ProviderError>,
    ) -> Result<(), Stop> {
        for of in [side::HOST, side::TENANT] {
            if names(order.step, field::SIDES, of) {
                let ask = ask(self, of)?;
                self.ask(order, of, ask, ctx).await?;
            }
        }
        Ok(())
    }

    fn agent_of<'a>(&'a self, order: &'a Order<'_>, of: &str) -> Option<&'a Agent> {
        if of == side::HOST { Some(&self.agent) } else { order.partner.as_ref() }
    }

    /// Asks one side for what changes it.
    async fn ask(&self, order: &Order<'_>, of: &'static str, ask: Ask, ctx: &Ctx) -> Result<(), Stop> {
        let agent = self.agent_of(order, of);
        let agent = agent
            .ok_or_else(|| ProviderError::Refused("the tenant's side has no agent of ours".to_owned()))?;
        ctx.permit()?;
        match agent.ask(ask, ctx).await {
            Ok(_) => Ok(()),
            Err(AskError::Failed(error)) => Err(error.into()),
            Err(AskError::Refused(refusal)) => Err(Stop::Refused(of, refusal)),
        }
    }
}

/// The direction as that side has it.
fn direction_of(order: &Order<'_>, of: &str) -> Result<Direction, ProviderError> {
    let direction = text(order.step, field::DIRECTION).and_then(read_direction);
    let direction =
        direction.ok_or_else(|| ProviderError::Refused("the step's direction is none".to_owned()))?;
    Ok(if of == side::HOST { direction } else { direction.mirrored() })
}

fn kind_of(order: &Order<'_>) -> Result<TrustKind, ProviderError> {
    let kind = text(order.step, field::KIND).and_then(read_kind);
    kind.ok_or_else(|| ProviderError::Refused("the step's type is none".to_owned()))
}

/// Whether authentication is selective on that side, and SIDs are filtered. Where nobody of the other side gets in it does not matter.
fn ways(step: &Step, of: &str) -> (bool, bool) {
    let (selective, filters) = if of == side::HOST {
        (field::HOST_SELECTIVE, field::HOST_FILTERS)
    } else {
        (field::TENANT_SELECTIVE, field::TENANT_FILTERS)
    };
    let is = |name: &str, otherwise| known(step, name).and_then(Json::as_bool).unwrap_or(otherwise);
    (is(selective, false), is(filters, true))
}

/// Whether that side is in the step's list.
fn names(step: &Step, name: &str, of: &str) -> bool {
    known(step, name).and_then(Json::as_array).is_some_and(|sides| sides.contains(&json!(of)))
}

fn known<'a>(step: &'a Step, name: &str) -> Option<&'a Json> {
    step.fields.get(name).and_then(Value::as_known)
}

fn text<'a>(step: &'a Step, name: &str) -> Option<&'a str> {
    known(step, name).and_then(Json::as_str)
}
