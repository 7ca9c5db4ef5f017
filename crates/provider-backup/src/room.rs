//! The agent's client: one connection for what is asked together, each wait with a limit.

use std::time::Duration;

use second_room::Label;
use second_room::protocol::{
    Account, AccountState, Answer, Ask, COMMAND, Description, Done, Job, LONGEST_ANSWER, Policy, Reason,
    Refusal, Request,
};
use ssh_session::{HostKey, Limits, Session, Target};
use vertskommune_core::names::{Installation, TenantName};
use vertskommune_provider::{Ctx, ProviderError};
use vertskommune_provider_ssh::{agent_key, off_the_runtime};

use crate::failure;
use crate::settings::Settings;

/// How long one answer of the agent may take: it counts what all repositories take.
const ANSWER: Duration = Duration::from_secs(90);

/// Whom to speak to.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) installation: Installation,
    pub(crate) endpoint: String,
    host: String,
    port: u16,
    host_key: HostKey,
    agent: String,
    credentials: String,
}

/// What the agent tells in one look.
pub(crate) struct Told {
    pub(crate) description: Description,
    pub(crate) accounts: Vec<AccountState>,
    /// What other products' jobs have left, or why it is not told.
    pub(crate) jobs: Result<Vec<Job>, String>,
}

impl Room {
    pub(crate) fn new(installation: &Installation, endpoint: &str, settings: &Settings) -> Self {
        Self {
            installation: installation.clone(),
            endpoint: endpoint.to_owned(),
            host: settings.host.clone(),
            port: settings.port,
            host_key: settings.host_key.clone(),
            agent: settings.agent.clone(),
            credentials: settings.credentials.clone(),
        }
    }

    /// What the host is.
    pub(crate) async fn describe(&self, ctx: &Ctx) -> Result<Description, ProviderError> {
        match self.ask(Ask::Describe {}, ctx).await? {
            Done::Description(description) => Ok(description),
            _ => Err(unexpected()),
        }
    }

    /// The installation's accounts.
    pub(crate) async fn list(&self, ctx: &Ctx) -> Result<Vec<AccountState>, ProviderError> {
        match self.ask(Ask::List {}, ctx).await? {
            Done::Accounts(accounts) => Ok(accounts),
            _ => Err(unexpected()),
        }
    }

    /// Both, and what other products' jobs have left, in one connection. That the last cannot be told, as by an older
    /// agent, hides nothing of the others.
    pub(crate) async fn look(&self, ctx: &Ctx) -> Result<Told, ProviderError> {
        let asks = vec![Ask::Describe {}, Ask::List {}, Ask::Jobs {}];
        let mut answers = self.answers(asks, ctx).await?.into_iter();
        let (description, accounts) = (self.done(answers.next())?, self.done(answers.next())?);
        let jobs = match answers.next() {
            Some(Ok(Done::Jobs(jobs))) => Ok(jobs),
            // What it does not know it cannot read.
            Some(Err(refusal)) if refusal.reason == Reason::Malformed => {
                Err("the agent there tells nothing of other \
                products' jobs yet: install this version of vertskommune there"
                    .to_owned())
            }
            Some(Err(refusal)) => Err(refusal.message),
            _ => return Err(unexpected()),
        };
        match (description, accounts) {
            (Done::Description(description), Done::Accounts(accounts)) => {
                Ok(Told { description, accounts, jobs })
            }
            _ => Err(unexpected()),
        }
    }

    /// Has an account made or completed.
    pub(crate) async fn ensure(&self, ask: Ask, ctx: &Ctx) -> Result<Account, ProviderError> {
        match self.ask(ask, ctx).await? {
            Done::Account(account) => Ok(account),
            _ => Err(unexpected()),
        }
    }

    /// Says what the keeper is to keep.
    pub(crate) async fn set_policy(&self, ask: Ask, ctx: &Ctx) -> Result<Policy, ProviderError> {
        match self.ask(ask, ctx).await? {
            Done::Policy(policy) => Ok(policy),
            _ => Err(unexpected()),
        }
    }

    /// Asks one thing.
    pub(crate) async fn ask(&self, ask: Ask, ctx: &Ctx) -> Result<Done, ProviderError> {
        self.done(self.answers(vec![ask], ctx).await?.pop())
    }

    fn done(&self, answer: Option<Result<Done, Refusal>>) -> Result<Done, ProviderError> {
        let refused = |refusal| failure::of_refusal(&self.installation, refusal);
        answer.ok_or_else(unexpected)?.map_err(refused)
    }

    /// Asks until the first refusal.
    async fn answers(&self, asks: Vec<Ask>, ctx: &Ctx) -> Result<Vec<Result<Done, Refusal>>, ProviderError> {
        let key = agent_key(&self.credentials, None, ctx).await?;
        let installation = label(self.installation.as_str())?;
        let target = self.target(&self.agent);
        let answers = off_the_runtime(ctx, &self.endpoint, move |cancel| {
            let mut session = Session::open(&target, &key, limits(), cancel)?;
            let mut answers = Vec::new();
            for ask in asks {
                let request = Request::new(installation.clone(), ask).to_json();
                let output = session.exec(COMMAND, &request, LONGEST_ANSWER, ANSWER)?;
                let answer = Answer::read(&output.stdout);
                let refused = answer.is_err();
                answers.push(answer);
                if refused {
                    break;
                }
            }
            Ok(answers)
        });
        answers.await
    }

    /// The host, as that user.
    pub(crate) fn target(&self, user: &str) -> Target {
        Target {
            host: self.host.clone(),
            port: self.port,
            user: user.to_owned(),
            host_key: self.host_key.clone(),
        }
    }
}

/// For the agent and for small files: nobody waits for a disk there.
pub(crate) fn limits() -> Limits {
    Limits { answer: Duration::from_secs(60), ..Limits::default() }
}

/// A tenant's or an installation's name as the agent takes it. Names of Kubernetes objects may have dots.
pub(crate) fn label(name: &str) -> Result<Label, ProviderError> {
    Label::new(name)
        .map_err(|error| ProviderError::Refused(format!("{name} has no place in the second room: {error}")))
}

/// The Secret of a tenant's repository.
pub(crate) fn secret_name(tenant: &TenantName) -> String {
    format!("backup-{tenant}")
}

fn unexpected() -> ProviderError {
    ProviderError::Protocol("the agent answers something that was not asked".to_owned())
}
