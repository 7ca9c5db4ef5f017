//! The places of a vCenter that the settings name, found once for each session.

use std::collections::BTreeMap;

use vertskommune_core::names::TenantName;
use vertskommune_provider::ProviderError;
use vsphere_client::{Client, Mor, Scope, Select};

use crate::failure::provider_error;
use crate::settings::Settings;

/// The places that the settings name.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) datacenter: Mor,
    pub(crate) root_folder: Mor,
    pub(crate) root_pool: Mor,
    pub(crate) cluster: Mor,
    pub(crate) switch: Mor,
    pub(crate) switch_uuid: String,
    pub(crate) hosts: Vec<Mor>,
    pub(crate) datastores: BTreeMap<String, Mor>,
    /// By `name@version`. One that is not there is left out.
    pub(crate) templates: BTreeMap<String, Mor>,
    pub(crate) task_manager: Mor,
}

/// Inventory paths, as `FindByInventoryPath` takes them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paths<'a>(pub(crate) &'a Settings);

impl Paths<'_> {
    pub(crate) fn vm(self, below: &str) -> String {
        format!("{}/vm/{below}", self.0.datacenter)
    }

    pub(crate) fn root_folder(self) -> String {
        self.vm(&self.0.folder)
    }

    pub(crate) fn folder(self, tenant: &TenantName) -> String {
        format!("{}/{tenant}", self.root_folder())
    }

    pub(crate) fn server(self, tenant: &TenantName, name: &str) -> String {
        format!("{}/{}", self.folder(tenant), escape(name))
    }

    pub(crate) fn cluster(self) -> String {
        format!("{}/host/{}", self.0.datacenter, self.0.cluster)
    }

    pub(crate) fn root_pool(self) -> String {
        format!("{}/Resources/{}", self.cluster(), self.0.pool)
    }

    pub(crate) fn pool(self, tenant: &TenantName) -> String {
        format!("{}/{tenant}", self.root_pool())
    }

    pub(crate) fn switch(self) -> String {
        format!("{}/network/{}", self.0.datacenter, self.0.switch)
    }

    /// A port group lies in the folder of its switch.
    pub(crate) fn portgroup(self, name: &str) -> String {
        let switch = self.switch();
        let folder = switch.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{}", escape(name))
    }
}

/// A name as a part of a path.
fn escape(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2f")
}

impl Layout {
    /// Finds all places.
    ///
    /// # Errors
    /// [`ProviderError::NoSight`] where one that must be there is not visible.
    pub(crate) async fn find(
        client: &Client,
        settings: &Settings,
        endpoint: &str,
    ) -> Result<Self, ProviderError> {
        let finder = Finder { client, endpoint };
        let paths = Paths(settings);
        let datacenter = finder.must("datacenter", &settings.datacenter).await?;
        let root_folder = finder.must("folder", &paths.root_folder()).await?;
        let cluster = finder.must("cluster", &paths.cluster()).await?;
        let root_pool = finder.must("resource pool", &paths.root_pool()).await?;
        let switch = finder.must("switch", &paths.switch()).await?;
        let mut templates = BTreeMap::new();
        for (name, template) in &settings.templates {
            if let Some(mor) = finder.find(&paths.vm(&template.path)).await? {
                templates.insert(name.clone(), mor);
            }
        }
        let parts = finder.parts(&cluster, &switch).await?;
        let task_manager =
            client.service().await.map_err(|error| provider_error(endpoint, &error))?.task_manager;
        Ok(Self {
            datacenter,
            root_folder,
            root_pool,
            cluster,
            switch,
            switch_uuid: parts.switch_uuid,
            hosts: parts.hosts,
            datastores: parts.datastores,
            templates,
            task_manager,
        })
    }
}

struct Finder<'a> {
    client: &'a Client,
    endpoint: &'a str,
}

/// What hangs on the places themselves.
struct Parts {
    switch_uuid: String,
    hosts: Vec<Mor>,
    datastores: BTreeMap<String, Mor>,
}

impl Finder<'_> {
    async fn find(&self, path: &str) -> Result<Option<Mor>, ProviderError> {
        self.client.find_by_inventory_path(path).await.map_err(|error| provider_error(self.endpoint, &error))
    }

    async fn must(&self, what: &str, path: &str) -> Result<Mor, ProviderError> {
        self.find(path).await?.ok_or_else(|| {
            ProviderError::NoSight(format!(
                "the {what} {path} is not there or the account has no right to see it"
            ))
        })
    }

    async fn parts(&self, cluster: &Mor, switch: &Mor) -> Result<Parts, ProviderError> {
        let fail = |error| provider_error(self.endpoint, &error);
        let (mut hosts, mut stores, mut switch_uuid) = (Vec::new(), Vec::new(), None);
        let select = [
            Select { kind: &cluster.kind, paths: &["host", "datastore"] },
            Select { kind: &switch.kind, paths: &["uuid"] },
        ];
        let objects = [cluster.clone(), switch.clone()];
        let read = self.client.retrieve(Scope::Objects(&objects), &select, 100, |object| {
            if object.mor == *cluster {
                hosts = object.mors("host");
                stores = object.mors("datastore");
            } else {
                switch_uuid = object.text("uuid").map(str::to_owned);
            }
        });
        read.await.map_err(fail)?;
        let mut datastores = BTreeMap::new();
        let select = [Select { kind: "Datastore", paths: &["name"] }];
        let read = self.client.retrieve(Scope::Objects(&stores), &select, 500, |object| {
            if let Some(name) = object.text("name") {
                datastores.insert(name.to_owned(), object.mor.clone());
            }
        });
        read.await.map_err(fail)?;
        let switch_uuid = switch_uuid
            .ok_or_else(|| ProviderError::NoSight("the switch's uuid is not visible".to_owned()))?;
        Ok(Parts { switch_uuid, hosts, datastores })
    }
}
