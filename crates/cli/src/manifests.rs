//! Manifests from files: what could be read and is right, and everything that is wrong with the rest.

mod sound;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use vertskommune_api::manifest::{self, MAX_FILE, Origin, Problem, Skipped};
use vertskommune_api::{
    Catalogue, HostProvider, RuleSet, Tenant, validate_host, validate_rule_set, validate_tenant,
};
use vertskommune_core::host::Host;
use vertskommune_core::names::{ProviderName, TenantName};
use vertskommune_core::tenant::ValidatedTenant;

use sound::SoundPart;

/// Folders within folders, so that a circle of links ends.
const MAX_DEPTH: usize = 16;

/// What a set of manifests says.
#[derive(Default)]
pub(crate) struct Manifests {
    /// The tenants that are right in themselves.
    pub(crate) tenants: BTreeMap<TenantName, Written<ValidatedTenant>>,
    /// The tenants whose manifests are being deleted.
    pub(crate) leaving: BTreeSet<TenantName>,
    /// Tenants that are not right in themselves, as far as they could be read.
    pub(crate) refused: BTreeMap<TenantName, Written<Tenant>>,
    /// The host's endpoints that are right in themselves.
    pub(crate) hosts: BTreeMap<ProviderName, Written<Host>>,
    /// The host's endpoints that are not.
    pub(crate) refused_hosts: BTreeSet<ProviderName>,
    /// The host's rule sets that are right in themselves.
    pub(crate) catalogue: Catalogue,
    /// Objects of other kinds.
    pub(crate) skipped: Vec<Skipped>,
    /// All that is wrong.
    pub(crate) problems: Vec<Problem>,
}

/// Something and where it was written.
pub(crate) struct Written<T> {
    pub(crate) object: T,
    pub(crate) origin: Origin,
}

/// The texts of files, as they were when they were read.
pub(crate) struct Files {
    /// By the name that people know a file by.
    pub(crate) texts: BTreeMap<String, FileText>,
    unreadable: Vec<Problem>,
}

/// The text of one file.
#[derive(Clone)]
pub(crate) struct FileText {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Reads manifests from files, and from folders with all that is below them.
pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Manifests> {
    Ok(validate(files(paths)?.parse()))
}

/// Reads files, and folders with all that is below them.
pub(crate) fn files(paths: &[PathBuf]) -> anyhow::Result<Files> {
    let mut files = BTreeSet::new();
    for path in paths {
        let kind = path.metadata().with_context(|| {
            format!("{} cannot be read: name a file or folder of manifests that exists", path.display())
        })?;
        if kind.is_dir() {
            find(path, 0, &mut files)?;
        } else {
            files.insert(path.clone());
        }
    }
    let mut texts = BTreeMap::new();
    let mut unreadable = Vec::new();
    for path in files {
        let name = path.display().to_string();
        match text(&path) {
            Ok(text) => drop(texts.insert(name, FileText { path, text })),
            Err(message) => {
                unreadable.push(Problem {
                    file: name,
                    line: 1,
                    object: String::new(),
                    field: String::new(),
                    message,
                });
            }
        }
    }
    Ok(Files { texts, unreadable })
}

impl Files {
    /// The same files with other texts.
    pub(crate) fn with(&self, texts: BTreeMap<String, FileText>) -> Self {
        Self { texts, unreadable: self.unreadable.clone() }
    }

    /// What the files say, as far as it has the form of manifests.
    pub(crate) fn parse(&self) -> manifest::Manifests {
        let texts = self.texts.iter().map(|(name, file)| (name.as_str(), file.text.as_str()));
        let mut manifests = manifest::read(texts);
        manifests.problems.extend(self.unreadable.iter().cloned());
        manifests
    }
}

/// All manifests below a folder. What is hidden belongs to some tool, such as the links of a mounted ConfigMap.
fn find(folder: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) -> anyhow::Result<()> {
    let broken = || format!("the folder {} cannot be read", folder.display());
    for entry in folder.read_dir().with_context(broken)? {
        let path = entry.with_context(broken)?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if hidden {
            continue;
        }
        if path.is_dir() {
            if depth < MAX_DEPTH {
                find(&path, depth + 1, files)?;
            }
        } else if yaml {
            files.insert(path);
        }
    }
    Ok(())
}

/// The text, or what is wrong with the file. A file of any size is read no further than a manifest can be.
fn text(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let most = MAX_FILE as u64 + 1;
    match File::open(file).and_then(|file| file.take(most).read_to_string(&mut text)) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// The objects of a cluster. What the API server let through may still be wrong by what CEL cannot tell.
pub(crate) fn of_cluster(
    tenants: Vec<Tenant>,
    hosts: Vec<HostProvider>,
    rule_sets: Vec<RuleSet>,
) -> manifest::Manifests {
    let tenants =
        tenants.into_iter().map(|tenant| in_cluster("Tenant", tenant.metadata.name.clone(), tenant));
    let hosts = hosts.into_iter().map(|host| in_cluster("HostProvider", host.metadata.name.clone(), host));
    let rule_sets = rule_sets.into_iter().map(|set| in_cluster("RuleSet", set.metadata.name.clone(), set));
    manifest::Manifests {
        tenants: tenants.collect(),
        hosts: hosts.collect(),
        rule_sets: rule_sets.collect(),
        ..manifest::Manifests::default()
    }
}

/// What a cluster would hold if these files were applied to it: an object of a file takes the place of the cluster's, and
/// what `kubectl apply` would leave as it is stays.
pub(crate) fn laid_over(mut below: manifest::Manifests, over: manifest::Manifests) -> manifest::Manifests {
    let mut tenants = over.tenants;
    for tenant in &mut tenants {
        let name = &tenant.object.metadata.name;
        let there = below.tenants.iter().find(|it| it.object.metadata.name == *name);
        if let Some(there) = there.map(|it| &it.object.metadata) {
            let metadata = &mut tenant.object.metadata;
            metadata.deletion_timestamp = there.deletion_timestamp.clone();
            let mut annotations = there.annotations.clone().unwrap_or_default();
            annotations.extend(metadata.annotations.take().unwrap_or_default());
            metadata.annotations = Some(annotations);
        }
    }
    lay(&mut below.tenants, tenants, |it| it.metadata.name.clone());
    lay(&mut below.hosts, over.hosts, |it| it.metadata.name.clone());
    lay(&mut below.rule_sets, over.rule_sets, |it| it.metadata.name.clone());
    below.skipped.extend(over.skipped);
    below.problems.extend(over.problems);
    below
}

fn lay<K>(
    below: &mut Vec<manifest::Manifest<K>>,
    over: Vec<manifest::Manifest<K>>,
    name: impl Fn(&K) -> Option<String>,
) {
    let names: BTreeSet<Option<String>> = over.iter().map(|it| name(&it.object)).collect();
    below.retain(|it| !names.contains(&name(&it.object)));
    below.extend(over);
}

fn in_cluster<K>(kind: &str, name: Option<String>, object: K) -> manifest::Manifest<K> {
    let mut origin = Origin::default();
    "cluster".clone_into(&mut origin.file);
    origin.object = format!("{kind}/{}", name.unwrap_or_default());
    manifest::Manifest { object, origin }
}

/// Sorts what is right in itself from what is not.
pub(crate) fn validate(read: manifest::Manifests) -> Manifests {
    let mut manifests = Manifests { skipped: read.skipped, problems: read.problems, ..Manifests::default() };
    // The catalogue first: tenants pin what is in it.
    for manifest::Manifest { object, origin } in read.rule_sets {
        manifests.rule_set(&object, &origin);
    }
    let mut struck = BTreeSet::new();
    for manifest::Manifest { object, origin } in read.tenants {
        manifests.tenant(object, origin, &mut struck);
    }
    // Of two manifests that say different things of one tenant, neither is the truth.
    manifests.tenants.retain(|name, _| !struck.contains(name));
    for manifest::Manifest { object, origin } in read.hosts {
        manifests.host(&object, origin);
    }
    let refused = &manifests.refused_hosts;
    manifests.hosts.retain(|name, _| !refused.contains(name));
    manifests.problems.sort();
    manifests
}

impl Manifests {
    fn tenant(&mut self, manifest: Tenant, origin: Origin, struck: &mut BTreeSet<TenantName>) {
        let name = TenantName::from(manifest.metadata.name.clone().unwrap_or_default());
        match validate_tenant(&manifest, &self.catalogue) {
            Ok(_) if self.tenants.contains_key(&name) || self.refused.contains_key(&name) => {
                struck.insert(name.clone());
                self.refused.entry(name).or_insert(Written { object: manifest, origin });
            }
            Ok(tenant) => {
                if manifest.metadata.deletion_timestamp.is_some() {
                    self.leaving.insert(name.clone());
                }
                self.tenants.insert(name, Written { object: tenant, origin });
            }
            Err(violations) => {
                struck.insert(name.clone());
                self.problems.extend(violations.into_iter().map(|violation| origin.problem(violation)));
                self.refused.entry(name).or_insert(Written { object: manifest, origin });
            }
        }
    }

    fn rule_set(&mut self, manifest: &RuleSet, origin: &Origin) {
        let valid = validate_rule_set(manifest);
        let taken = valid.and_then(|set| self.catalogue.insert(set).map_err(|wrong| vec![wrong]));
        for violation in taken.err().into_iter().flatten() {
            self.problems.push(origin.problem(violation));
        }
    }

    fn host(&mut self, manifest: &HostProvider, origin: Origin) {
        let name = ProviderName::from(manifest.metadata.name.clone().unwrap_or_default());
        match validate_host(manifest) {
            Ok(host) if !self.hosts.contains_key(&name) => {
                self.hosts.insert(name, Written { object: host, origin });
            }
            Ok(_) => drop(self.refused_hosts.insert(name)),
            Err(violations) => {
                self.problems.extend(violations.into_iter().map(|violation| origin.problem(violation)));
                self.refused_hosts.insert(name);
            }
        }
    }

    /// All tenants as far as they are sound, for the check before a merge.
    pub(crate) fn sound(&self) -> BTreeMap<TenantName, SoundPart> {
        let whole = self.tenants.iter().map(|(name, tenant)| {
            (name.clone(), SoundPart::whole(tenant.object.clone(), tenant.origin.clone()))
        });
        let parts = self.refused.iter().filter_map(|(name, tenant)| {
            let part = SoundPart::of_refused(&tenant.object, &self.catalogue, tenant.origin.clone());
            Some((name.clone(), part?))
        });
        whole.chain(parts).collect()
    }

    /// Whether the endpoint that this tenant names was refused, so that nothing can be said of the tenant there.
    pub(crate) fn is_held_up(&self, tenant: &ValidatedTenant) -> bool {
        tenant.providers().any(|provider| self.refused_hosts.contains(provider))
    }
}
