//! Folders, pools, port groups and rules.

use serde_json::{Value as Json, json};
use vertskommune_core::facts::Facts;
use vertskommune_core::names::ResourceId;
use vertskommune_core::resource::Value;
use vertskommune_provider::{Applied, ProviderError};
use vsphere_client::{
    AntiAffinityRule, Fault, Mor, NewPortgroup, PoolSpec, PortgroupChange, RuleChange, anti_affinity_rules,
};

use super::{Act, Outcome, Stop, is_taken, not_sent, refused};
use crate::marks::{REF, portgroup_name, rule_name};
use crate::rows::{Portgroup, RULE_PATHS};

/// Ports that a port group begins with; it grows by itself.
const PORTS: u32 = 8;

impl Act<'_> {
    pub(super) async fn create_folder(&self) -> Outcome {
        let tenant = &self.step.resource.tenant;
        if self.known_folder(tenant).await?.is_some() {
            return Ok(Applied::Done);
        }
        let root = &self.session.layout.root_folder;
        let writer = self.session.client.writer(&*self.permit);
        // No search before it: a name is there once below a root, and the call itself tells that it is taken.
        match writer.create_folder(root, tenant.as_str()).await {
            Ok(folder) => {
                self.vsphere.note_folder(folder, tenant, root);
                Ok(Applied::Done)
            }
            Err(error) => self.taken(error, "folder", tenant.as_str()).await,
        }
    }

    pub(super) async fn create_pool(&self) -> Outcome {
        let tenant = &self.step.resource.tenant;
        if self.known_pool(tenant).await?.is_some() {
            return Ok(Applied::Done);
        }
        let root = &self.session.layout.root_pool;
        let writer = self.session.client.writer(&*self.permit);
        match writer.create_resource_pool(root, tenant.as_str(), &PoolSpec::default()).await {
            Ok(pool) => {
                self.vsphere.note_pool(pool, tenant, root);
                Ok(Applied::Done)
            }
            Err(error) => self.taken(error, "resource pool", tenant.as_str()).await,
        }
    }

    /// The name is taken below a root that is ours: what has it is ours if it can be seen.
    async fn taken(&self, error: vsphere_client::Error, what: &str, name: &str) -> Outcome {
        if !is_taken(&error) {
            return Err(error.into());
        }
        let hidden = || {
            let why = format!("there is a {what} {name} that the account has no right to see");
            Stop::Failed(ProviderError::NoSight(why))
        };
        let object = error.fault().and_then(Fault::object).ok_or_else(hidden)?;
        self.read(&object, &["name"]).await?.map(|_| Applied::Done).ok_or_else(hidden)
    }

    pub(super) async fn rename_folder(&self) -> Outcome {
        let id = &self.step.resource;
        let (mor, folder) =
            self.folder_of(&id.tenant).await?.ok_or_else(|| not_sent("the folder is not there"))?;
        let facts = Facts::from([("name", json!(folder.name))]);
        if self.holds(&facts).await? {
            return Ok(Applied::Done);
        }
        self.expect(&facts)?;
        let task = self.session.client.writer(&*self.permit).rename(&mor, id.tenant.as_str()).await?;
        self.settle(task).await
    }

    pub(super) async fn reconfigure_pool(&self) -> Outcome {
        let id = &self.step.resource;
        let (mor, pool) = self.pool_of(&id.tenant).await?.ok_or_else(|| not_sent("the pool is not there"))?;
        let facts = Facts::from([
            ("name", json!(pool.name)),
            ("shares", json!(pool.shares)),
            ("limits", json!(pool.limits)),
        ]);
        if self.holds(&facts).await? {
            return Ok(Applied::Done);
        }
        self.expect(&facts)?;
        let spec = ["shares", "limits"].iter().any(|field| self.step.fields.contains_key(*field));
        let spec = spec.then(PoolSpec::default);
        let writer = self.session.client.writer(&*self.permit);
        writer.update_resource_pool(&mor, self.text("name"), spec.as_ref()).await?;
        Ok(Applied::Done)
    }

    pub(super) async fn remove_folder(&self) -> Outcome {
        let Some((mor, folder)) = self.folder_of(&self.step.resource.tenant).await? else {
            return Ok(Applied::Done);
        };
        if self.known_identity() != Some(mor.to_string()) {
            return Err(not_sent("it is another folder than was planned for"));
        }
        // vCenter destroys a folder with all that is in it.
        if !folder.children.is_empty() {
            return Err(not_sent(format!("{} objects are in it", folder.children.len())));
        }
        let task = self.session.client.writer(&*self.permit).destroy(&mor).await?;
        self.settle(task).await
    }

    pub(super) async fn remove_pool(&self) -> Outcome {
        let Some((mor, pool)) = self.pool_of(&self.step.resource.tenant).await? else {
            return Ok(Applied::Done);
        };
        if self.known_identity() != Some(mor.to_string()) || pool.children > 0 {
            return Err(not_sent(format!("{} machines or pools are in it", pool.children)));
        }
        let task = self.session.client.writer(&*self.permit).destroy(&mor).await?;
        self.settle(task).await
    }

    fn known_identity(&self) -> Option<String> {
        self.step.expects.get("identity").and_then(Json::as_str).map(str::to_owned)
    }

    pub(super) async fn create_network(&self) -> Outcome {
        let id = &self.step.resource;
        let name = portgroup_name(&id.tenant, &id.key.name);
        let mark = self.mark();
        self.vsphere.note_portgroup(&id.tenant, &name);
        if let Some((_, row)) = self.portgroup_named(&name).await? {
            return ours(&row, &mark);
        }
        let vlan = self.number("vlan").and_then(|vlan| u16::try_from(vlan).ok());
        let vlan = vlan.ok_or_else(|| refused("the step does not say which VLAN".to_owned()))?;
        let spec = NewPortgroup { name: name.clone(), vlan, description: mark.clone(), ports: PORTS };
        let writer = self.session.client.writer(&*self.permit);
        match writer.add_portgroup(&self.session.layout.switch, &spec).await {
            Ok(task) => self.settle(task).await,
            Err(error) if is_taken(&error) => match self.portgroup_named(&name).await? {
                Some((_, row)) => ours(&row, &mark),
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn reconfigure_network(&self) -> Outcome {
        let found = self.network_of(&self.step.resource).await?;
        let (mor, row) = found.ok_or_else(|| not_sent("the port group is not there"))?;
        let facts = Facts::from([("name", json!(row.name)), ("vlan", row.vlan.clone())]);
        if self.holds(&facts).await? {
            return Ok(Applied::Done);
        }
        self.expect(&facts)?;
        let writer = self.session.client.writer(&*self.permit);
        if let Some(name) = self.text("name").filter(|name| *name != row.name) {
            let task = writer.rename(&mor, name).await?;
            match self.settle(task).await? {
                Applied::Done => {}
                other => return Ok(other),
            }
        }
        let Some(vlan) = self.number("vlan") else { return Ok(Applied::Done) };
        let change = PortgroupChange {
            config_version: row.config_version,
            vlan: u16::try_from(vlan).ok(),
            // As they are: the simulator takes what is left out for empty, and with it the mark.
            name: Some(portgroup_name(&self.step.resource.tenant, &self.step.resource.key.name)),
            description: Some(row.description),
        };
        let task = writer.reconfigure_portgroup(&mor, &change).await?;
        self.settle(task).await
    }

    pub(super) async fn remove_network(&self) -> Outcome {
        let Some((mor, row)) = self.network_of(&self.step.resource).await? else { return Ok(Applied::Done) };
        if self.known_identity() != Some(mor.to_string()) || row.vms > 0 {
            return Err(not_sent(format!("{} machines are attached", row.vms)));
        }
        let task = self.session.client.writer(&*self.permit).destroy(&mor).await?;
        self.settle(task).await
    }

    /// Adds a rule or gives it the members that it should have.
    pub(super) async fn set_rule(&self) -> Outcome {
        let id = &self.step.resource;
        let name = rule_name(&self.vsphere.installation, &id.tenant, &id.key.name);
        self.read_ahead(self.referred(), &[&self.session.layout.cluster]).await?;
        let there = self.rules().await?.into_iter().find(|rule| rule.name == name);
        // What is not a change of this step stays: an edit replaces the whole rule.
        let mut members = there.as_ref().map(|rule| rule.vms.clone()).unwrap_or_default();
        for (path, value) in self.step.fields.iter().filter(|(path, _)| path.starts_with("members.")) {
            if let Some(Json::String(from)) = self.step.expects.get(path) {
                members.retain(|member| member.to_string() != *from);
            }
            if let Value::After { resource, .. } = value {
                let member = self.member(resource).await?;
                if !members.contains(&member) {
                    members.push(member);
                }
            }
        }
        let enabled = self.known("enabled").and_then(Json::as_bool);
        let enabled = enabled.or(there.as_ref().map(|rule| rule.enabled)).unwrap_or(true);
        let rule = AntiAffinityRule {
            key: there.as_ref().map_or(0, |rule| rule.key),
            name,
            enabled,
            // A rule that keeps a server off when a host is down would be worse than none.
            mandatory: false,
            vms: members,
        };
        let change = match there {
            Some(there) if there.enabled == enabled && same(&there.vms, &rule.vms) => {
                return Ok(Applied::Done);
            }
            Some(_) => RuleChange::Edit(rule),
            None => RuleChange::Add(rule),
        };
        self.change_rule(change).await
    }

    async fn member(&self, id: &ResourceId) -> Result<Mor, Stop> {
        let text = self.resolve(id).await?;
        text.parse().map_err(|_| refused(format!("{text} is no {REF}")))
    }

    pub(super) async fn remove_rule(&self) -> Outcome {
        let id = &self.step.resource;
        let name = rule_name(&self.vsphere.installation, &id.tenant, &id.key.name);
        match self.rules().await?.into_iter().find(|rule| rule.name == name) {
            Some(rule) => self.change_rule(RuleChange::Remove(rule.key)).await,
            None => Ok(Applied::Done),
        }
    }

    async fn change_rule(&self, change: RuleChange) -> Outcome {
        let cluster = &self.session.layout.cluster;
        let task = self.session.client.writer(&*self.permit).change_rules(cluster, &[change]).await?;
        self.settle(task).await
    }

    async fn rules(&self) -> Result<Vec<AntiAffinityRule>, Stop> {
        let object = self.read(&self.session.layout.cluster, RULE_PATHS).await?;
        let object = object.ok_or_else(|| {
            Stop::Failed(ProviderError::NoSight("the cluster is not visible any more".to_owned()))
        })?;
        Ok(object.get("configurationEx").map(anti_affinity_rules).unwrap_or_default())
    }
}

fn ours(row: &Portgroup, mark: &str) -> Outcome {
    if row.description == mark {
        return Ok(Applied::Done);
    }
    Err(refused(format!("there is a port group {} without our mark: rename it", row.name)))
}

fn same(a: &[Mor], b: &[Mor]) -> bool {
    a.len() == b.len() && a.iter().all(|member| b.contains(member))
}
