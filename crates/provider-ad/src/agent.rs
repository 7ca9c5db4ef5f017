//! The agents' client: one connection for what is asked together, each wait with a limit. What is asked and answered is
//! `protocol`'s.

use std::time::Duration;

use ssh_session::{HostKey, Limits, Session, Target};
use vertskommune_core::names::{Installation, TenantName};
use vertskommune_provider::{Ctx, ProviderError};
use vertskommune_provider_ssh::{address, agent_key, off_the_runtime};

use crate::failure::AskError;
use crate::protocol::{Answer, Ask, COMMAND, Done, LONGEST_ANSWER, Refusal, Request, wipe};

/// The account of an agent whose endpoint names none. On Windows it has another name.
const USER: &str = "root";

/// So long an answer may take. The agent itself gives up after 25 seconds, and has waited 10 for others before.
const ANSWER: Duration = Duration::from_secs(40);

/// Until it is asked the first time it may take as long.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(10),
    handshake: Duration::from_secs(15),
    login: Duration::from_secs(15),
    answer: ANSWER,
};

/// Where an agent is: `ssh://[user@]host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// As it was written, for people.
    pub(crate) endpoint: String,
    /// The host's name or address.
    pub(crate) host: String,
    /// sshd's port.
    pub(crate) port: u16,
    /// As whom.
    pub(crate) user: String,
}

impl Address {
    /// Reads an endpoint; none where the text is none.
    pub(crate) fn read(endpoint: &str) -> Option<Self> {
        let rest = endpoint.strip_prefix("ssh://")?;
        let (user, rest) = rest.rsplit_once('@').unwrap_or((USER, rest));
        let (host, port) = address(&format!("ssh://{rest}"))?;
        is_account(user).then(|| Self { endpoint: endpoint.to_owned(), host, port, user: user.to_owned() })
    }
}

/// Names of accounts on Linux and on Windows. `sshd` there takes `domain\name` as well, and we do not need it.
fn is_account(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && !name.starts_with('-') && name.chars().all(plain)
}

/// Whom to ask.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) installation: Installation,
    pub(crate) address: Address,
    host_key: HostKey,
    secret: String,
    /// The tenant whose manifest names it; none where it is the host's own.
    tenant: Option<TenantName>,
}

impl Agent {
    /// The agent there, whose host must show that key, and which lets the key in that Secret in.
    pub(crate) fn new(
        installation: &Installation,
        address: Address,
        host_key: HostKey,
        secret: &str,
    ) -> Self {
        Self {
            installation: installation.clone(),
            address,
            host_key,
            secret: secret.to_owned(),
            tenant: None,
        }
    }

    /// The same for another installation.
    #[must_use]
    pub(crate) fn of_installation(self, installation: &Installation) -> Self {
        Self { installation: installation.clone(), ..self }
    }

    /// The same as a tenant's manifest names it: its Secret must be the tenant's own.
    #[must_use]
    pub(crate) fn of_tenant(self, tenant: &TenantName) -> Self {
        Self { tenant: Some(tenant.clone()), ..self }
    }

    /// Asks one thing.
    pub(crate) async fn ask(&self, ask: Ask, ctx: &Ctx) -> Result<Done, AskError> {
        match self.ask_all(vec![ask], ctx).await?.pop() {
            Some(answer) => answer.map_err(AskError::Refused),
            None => Err(ProviderError::Protocol("the agent was asked nothing".to_owned()).into()),
        }
    }

    /// Asks one after the other in one connection, the next also where one is refused: as many answers as were asked for.
    pub(crate) async fn ask_all(
        &self,
        asks: Vec<Ask>,
        ctx: &Ctx,
    ) -> Result<Vec<Result<Done, Refusal>>, ProviderError> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let key = agent_key(&self.secret, self.tenant.as_ref(), ctx).await?;
        let target = self.target();
        let installation = self.installation.to_string();
        let endpoint = &self.address.endpoint;
        let outputs = off_the_runtime(ctx, endpoint, move |cancel| {
            let mut session = Session::open(&target, &key, LIMITS, cancel)?;
            let mut outputs = Vec::with_capacity(asks.len());
            for ask in asks {
                let mut request = Request::new(&installation, ask).to_json();
                let output = session.exec(COMMAND, &request, LONGEST_ANSWER, ANSWER);
                wipe(&mut request);
                outputs.push(output?.stdout);
            }
            Ok(outputs)
        });
        let read = |stdout: Vec<u8>| {
            Answer::read(&stdout).map_err(|error| ProviderError::Protocol(format!("{endpoint}: {error}")))
        };
        outputs.await?.into_iter().map(read).collect()
    }

    fn target(&self) -> Target {
        Target {
            host: self.address.host.clone(),
            port: self.address.port,
            user: self.address.user.clone(),
            host_key: self.host_key.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_says_where_and_as_whom() {
        for (written, expected) in [
            ("ssh://dc1.ibestad.test", Some(("root", "dc1.ibestad.test", 22))),
            ("ssh://10.13.10.5:2222", Some(("root", "10.13.10.5", 2222))),
            (
                "ssh://svc-vertskommune@dc1.ibestad.test:22",
                Some(("svc-vertskommune", "dc1.ibestad.test", 22)),
            ),
            ("ssh://root@[fd00::5]:22", Some(("root", "fd00::5", 22))),
            ("ssh://@dc1.ibestad.test", None),
            ("ssh://-x@dc1.ibestad.test", None),
            ("ssh://root:password@dc1.ibestad.test", None),
            ("ssh://a@b@dc1.ibestad.test", None),
            ("ssh://root@-oProxyCommand=x", None),
            ("ldaps://dc1.ibestad.test", None),
        ] {
            let read = Address::read(written);
            let read = read.as_ref().map(|it| (it.user.as_str(), it.host.as_str(), it.port));
            assert_eq!(read, expected, "{written}");
        }
    }
}
