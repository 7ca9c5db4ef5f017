//! `vertskommune suspend` and `resume`: whether anything is done for a tenant.

use clap::Args;
use serde_json::json;
use vertskommune_api::Tenant;
use vertskommune_core::names::TenantName;

use crate::arguments::InCluster;
use crate::embedded;
use crate::exit::Exit;
use crate::{output, program};

/// Has the controller do nothing for a tenant until it is resumed
///
/// It sets `spec.suspend` in the cluster. Whatever applies the manifest from a repository puts that field back if it is
/// written there: then commit it there too.
#[derive(Args)]
pub(crate) struct Suspend {
    /// The tenant
    #[arg(value_name = "TENANT")]
    tenant: TenantName,
    #[command(flatten)]
    cluster: InCluster,
}

/// Ends `suspend`
///
/// It sets `spec.suspend` to false in the cluster. Whatever applies the manifest from a repository puts that field back if
/// it is written there: then commit it there too.
#[derive(Args)]
pub(crate) struct Resume {
    /// The tenant
    #[arg(value_name = "TENANT")]
    tenant: TenantName,
    #[command(flatten)]
    cluster: InCluster,
}

impl Suspend {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let name = self.tenant.as_str();
        let program = program::name();
        let told = format!("tenant {name}: suspended; nothing is done for it until {program} resume {name}");
        embedded::block_on(set(name, &self.cluster, true, &told))
    }
}

impl Resume {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let name = self.tenant.as_str();
        embedded::block_on(set(name, &self.cluster, false, &format!("tenant {name}: resumed")))
    }
}

async fn set(name: &str, cluster: &InCluster, suspend: bool, told: &str) -> anyhow::Result<Exit> {
    let cluster = cluster.access.connect().await?;
    let differs = |tenant: &Tenant| tenant.spec.suspend != suspend;
    let patch = |tenant: &Tenant| differs(tenant).then(|| json!({"spec": {"suspend": suspend}}));
    let tenant = cluster.change(name, patch).await?;
    output::write(|out| writeln!(out, "{told}"))?;
    if let Some(pipeline) = pipeline(&tenant) {
        output::note(format_args!(
            "{pipeline} applies this manifest and may put spec.suspend back: commit suspend: {suspend} there too"
        ));
    }
    Ok(Exit::Success)
}

/// What applies this manifest from a repository, as far as the object shows it.
fn pipeline(tenant: &Tenant) -> Option<String> {
    let metadata = &tenant.metadata;
    let label = |name: &str| metadata.labels.as_ref()?.get(name).cloned();
    let annotation = |name: &str| metadata.annotations.as_ref()?.get(name).cloned();
    let of = |controller: &str, name: Option<String>, namespace: Option<String>| {
        name.map(|name| format!("{controller} {}/{name}", namespace.unwrap_or_default()))
    };
    let flux = |kind: &str, prefix: &str| {
        of(kind, label(&format!("{prefix}/name")), label(&format!("{prefix}/namespace")))
    };
    flux("Flux Kustomization", "kustomize.toolkit.fluxcd.io")
        .or_else(|| flux("Flux HelmRelease", "helm.toolkit.fluxcd.io"))
        .or_else(|| {
            let tracked = annotation("argocd.argoproj.io/tracking-id")?;
            Some(format!("Argo CD application {}", tracked.split(':').next().unwrap_or_default()))
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vertskommune_api::TenantSpec;

    use super::*;

    #[test]
    fn what_applies_the_manifest_is_read_from_the_object() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let kustomization = [
            ("kustomize.toolkit.fluxcd.io/name", "tenants"),
            ("kustomize.toolkit.fluxcd.io/namespace", "flux-system"),
        ];
        let argo = [("argocd.argoproj.io/tracking-id", "tenants:vertskommune.no/Tenant:/ibestad")];
        for (labels, annotations, expected) in [
            (&kustomization[..], &[][..], Some("Flux Kustomization flux-system/tenants")),
            (&[], &argo, Some("Argo CD application tenants")),
            (&[("a", "b")], &[], None),
        ] {
            let mut tenant = Tenant::new("ibestad", TenantSpec::default());
            tenant.metadata.labels = Some(map(labels));
            tenant.metadata.annotations = Some(map(annotations));
            assert_eq!(pipeline(&tenant).as_deref(), expected);
        }
    }
}
