//! Another version of a rule set for some tenants: who pins which, what the manifests say with the new pin, and what that
//! changes. Everything is read and compared here, and nothing is written.

mod wave;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use anyhow::bail;
use vertskommune_api::manifest::{self, Problem, Repin, repin};
use vertskommune_api::{Catalogue, Tenant};
use vertskommune_core::names::TenantName;
use vertskommune_core::step::Step;
use vertskommune_core::tenant::ValidatedTenant;
use vertskommune_core::violation::Violation;

use crate::embedded;
use crate::forecast::forecast;
use crate::manifests::{self, FileText, Files, Manifests};
pub(crate) use wave::Wave;
use wave::wave_of;

/// A version of a rule set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) name: String,
    pub(crate) version: i32,
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let version = |text: &str| text.parse().ok().filter(|version| *version > 0);
        match text.split_once('@').map(|(name, after)| (name, version(after))) {
            Some((name, Some(version))) if !name.is_empty() => Ok(Self { name: name.to_owned(), version }),
            _ => Err("write name and version, such as municipality-baseline@4".to_owned()),
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// Which tenants are meant: those of a wave and those that are named; all where there is neither.
pub(crate) struct Choice<'a> {
    pub(crate) wave: Option<Wave>,
    pub(crate) tenants: &'a [TenantName],
    /// Whether a tenant may go back to an older version.
    pub(crate) downgrade: bool,
}

/// What is proposed.
pub(crate) struct Proposal {
    pub(crate) tenants: BTreeMap<TenantName, Proposed>,
    /// What is wrong with the tenants that are to change, as they would be then.
    pub(crate) problems: Vec<Problem>,
    /// What is wrong with others, and holds nothing up.
    pub(crate) aside: Vec<Problem>,
    /// The texts of the files that change, by the name of the file.
    pub(crate) texts: BTreeMap<String, String>,
}

/// What is proposed for one tenant.
pub(crate) struct Proposed {
    pub(crate) file: String,
    pub(crate) line: u64,
    /// The pin as it is; none where the tenant does not use the set.
    pub(crate) from: Option<String>,
    /// Its wave, of those that were asked for.
    pub(crate) wave: Option<u32>,
    pub(crate) standing: Standing,
    /// What changes in its firewall; none where that cannot be told, since one of the two is not valid.
    pub(crate) changes: Option<Vec<Step>>,
}

/// How a tenant stands to what is proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is to come to a newer version.
    Upgrade,
    /// It is to go back to an older version.
    Downgrade,
    /// It would have to go back, and that was not allowed.
    Newer,
    /// It has the version already.
    Current,
    /// It does not use the set.
    Unused,
    /// It is not meant this time.
    NotChosen,
}

impl Standing {
    /// Whether the pin is to change.
    pub(crate) fn changes(self) -> bool {
        matches!(self, Self::Upgrade | Self::Downgrade)
    }
}

/// What these files would say with that version for the chosen tenants.
///
/// # Errors
/// The version or a tenant that is named does not exist.
pub(crate) fn propose(files: &Files, to: &Pin, choice: &Choice<'_>) -> anyhow::Result<Proposal> {
    let read = files.parse();
    let before = manifests::validate(read.clone());
    exists(to, &before)?;
    named(choice, &read)?;

    // Who is to change, and who may not.
    let mut proposal = Proposal {
        tenants: BTreeMap::new(),
        problems: Vec::new(),
        aside: Vec::new(),
        texts: BTreeMap::new(),
    };
    let mut pins: BTreeMap<&str, Vec<Repin<'_>>> = BTreeMap::new();
    for tenant in &read.tenants {
        let (name, use_of) = (name(&tenant.object), Use::of(&tenant.object, to));
        let proposed = proposed(&name, tenant, use_of.as_ref(), to, choice);
        let index = use_of.map_or(0, |it| it.index);
        proposal.problems.extend(stopped(&name, tenant, &proposed, index, to, choice));
        if let (true, Some(from)) = (proposed.standing.changes(), &proposed.from) {
            let pin = Repin { origin: &tenant.origin, index, from: from.clone(), to: to.to_string() };
            pins.entry(&tenant.origin.file).or_default().push(pin);
        }
        proposal.tenants.insert(name, proposed);
    }

    // The files as they would be, by the same way that every command reads them.
    let mut texts = files.texts.clone();
    for (file, pins) in pins {
        let Some(FileText { text, .. }) = texts.get_mut(file) else { continue };
        match repin(text, &pins) {
            Ok(changed) => {
                proposal.texts.insert(file.to_owned(), changed.clone());
                *text = changed;
            }
            Err(problems) => proposal.problems.extend(problems),
        }
    }
    proposal.compare(&before, manifests::validate(files.with(texts).parse()));
    Ok(proposal)
}

impl Proposal {
    /// The tenants that are to change.
    pub(crate) fn changing(&self) -> impl Iterator<Item = (&TenantName, &Proposed)> {
        self.tenants.iter().filter(|(_, proposed)| proposed.standing.changes())
    }

    /// Holds the manifests as they would be against those that are.
    fn compare(&mut self, before: &Manifests, after: Manifests) {
        let mut concerned: BTreeSet<String> =
            self.changing().map(|(name, _)| format!("Tenant/{name}")).collect();
        for (name, proposed) in &mut self.tenants {
            let valid = |manifests: &Manifests| -> Option<ValidatedTenant> {
                manifests.tenants.get(name).map(|tenant| tenant.object.clone())
            };
            let is_changed = proposed.standing.changes() && self.texts.contains_key(&proposed.file);
            if let (true, Some(after)) = (is_changed, valid(&after)) {
                // What the firewall would say of this tenant cannot be told while its own manifest is refused.
                let provider = after.firewall.as_ref().map(|firewall| &firewall.provider);
                concerned.extend(provider.map(|provider| format!("HostProvider/{provider}")));
                proposed.changes = valid(before).map(|before| forecast(&before, &after));
            }
        }
        let any = !concerned.is_empty();
        // Of a file that cannot be read it cannot be told who is in it.
        let concerns =
            |problem: &Problem| any && (problem.object.is_empty() || concerned.contains(&problem.object));
        let (here, aside): (Vec<_>, Vec<_>) = embedded::problems(after).into_iter().partition(concerns);
        self.problems.extend(here);
        self.problems.sort();
        self.problems.dedup();
        self.aside.extend(aside);
        self.aside.sort();
        self.aside.dedup();
    }
}

/// The use of a set by a tenant.
struct Use {
    /// Its place in the list.
    index: usize,
    /// The pin as it is written.
    pin: String,
    /// The version, where it is one.
    version: Option<i32>,
}

impl Use {
    fn of(tenant: &Tenant, set: &Pin) -> Option<Self> {
        tenant.spec.rule_sets().enumerate().find_map(|(index, pin)| {
            let (name, version) = pin.split_once('@')?;
            (name == set.name).then(|| Self { index, pin: pin.to_owned(), version: version.parse().ok() })
        })
    }
}

fn name(tenant: &Tenant) -> TenantName {
    TenantName::new(tenant.metadata.name.clone().unwrap_or_default())
}

fn proposed(
    name: &TenantName,
    tenant: &manifest::Manifest<Tenant>,
    use_of: Option<&Use>,
    to: &Pin,
    choice: &Choice<'_>,
) -> Proposed {
    let wave = choice.wave.map(|wave| wave_of(name, wave.of));
    let is_meant = choice.tenants.contains(name)
        || choice.wave.map_or(choice.tenants.is_empty(), |asked| wave == Some(asked.number));
    let standing = match use_of.map(|it| it.version.unwrap_or_default()) {
        None => Standing::Unused,
        Some(version) if version == to.version => Standing::Current,
        Some(_) if !is_meant => Standing::NotChosen,
        Some(version) if version < to.version => Standing::Upgrade,
        Some(_) if choice.downgrade => Standing::Downgrade,
        Some(_) => Standing::Newer,
    };
    let field = use_of.map_or_else(String::new, |it| field(it.index));
    Proposed {
        file: tenant.origin.file.clone(),
        line: tenant.origin.line_of(&field),
        from: use_of.map(|it| it.pin.clone()),
        wave,
        standing,
        changes: None,
    }
}

fn field(index: usize) -> String {
    format!("spec.firewall.ruleSets[{index}]")
}

/// Why a tenant that is meant cannot change.
fn stopped(
    name: &TenantName,
    tenant: &manifest::Manifest<Tenant>,
    proposed: &Proposed,
    index: usize,
    to: &Pin,
    choice: &Choice<'_>,
) -> Option<Problem> {
    let violation = match (proposed.standing, &proposed.from) {
        (Standing::Newer, Some(from)) => {
            let message =
                format!("is {from}, which is newer than {to}: add --allow-downgrade to go back to it");
            Violation::new(field(index), message)
        }
        (Standing::Unused, _) if choice.tenants.contains(name) => {
            let message = format!("has no version of {}: add {to} by hand", to.name);
            Violation::new("spec.firewall.ruleSets", message)
        }
        _ => return None,
    };
    Some(tenant.origin.problem(violation))
}

/// Whether there is such a version.
fn exists(to: &Pin, manifests: &Manifests) -> anyhow::Result<()> {
    let catalogue: &Catalogue = &manifests.catalogue;
    if catalogue.get(&to.to_string()).is_some() {
        return Ok(());
    }
    let refused = manifests.problems.iter().filter(|problem| problem.object.starts_with("RuleSet/"));
    let refused = said(refused);
    let mut versions: Vec<_> =
        catalogue.sets().filter(|set| set.name == to.name).map(|set| set.version).collect();
    versions.sort_unstable();
    if versions.is_empty() {
        let names: BTreeSet<_> = catalogue.sets().map(|set| set.name.as_str()).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let known = if names.is_empty() {
            "no RuleSet is among the manifests: name the catalogue with --file too".to_owned()
        } else {
            format!("there is {names}")
        };
        bail!("there is no rule set {}: {known}{refused}", to.name);
    }
    let known: Vec<_> = versions.iter().map(|version| format!("{}@{version}", to.name)).collect();
    bail!("there is no {to} in the catalogue: there is {}{refused}", known.join(", "))
}

/// Problems, each on a line of its own after what is said of them.
fn said<'a>(problems: impl Iterator<Item = &'a Problem>) -> String {
    problems.fold(String::new(), |said, problem| format!("{said}\n{problem}"))
}

/// Whether all that are named are there.
fn named(choice: &Choice<'_>, read: &manifest::Manifests) -> anyhow::Result<()> {
    let known: BTreeSet<TenantName> = read.tenants.iter().map(|tenant| name(&tenant.object)).collect();
    if let Some(missing) = choice.tenants.iter().find(|name| !known.contains(*name)) {
        let known: Vec<_> = known.iter().map(TenantName::as_str).collect();
        let object = format!("Tenant/{missing}");
        let why = said(read.problems.iter().filter(|problem| problem.object == object));
        bail!("there is no tenant {missing} that can be read: there is {}{why}", known.join(", "));
    }
    Ok(())
}
