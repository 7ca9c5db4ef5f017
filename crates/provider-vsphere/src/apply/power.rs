//! Starting, shutting down, retiring and destroying. A guest is asked; nothing is ever switched off hard.

use std::time::Duration;

use serde_json::Value as Json;
use vertskommune_provider::Applied;
use vsphere_client::{DeviceChange, Mac, NicEdit, VmConfig};

use super::{Act, Outcome, not_sent, refused};
use crate::marks::keys;
use crate::order::{Asked, Order};
use crate::rows::Vm;

/// How long the record of a shutdown may take to be written before the guest is asked. Not asked in time, it is asked
/// when the order is late.
const RECORD: Duration = Duration::from_secs(5);

impl Act<'_> {
    /// The first start, or the one that we owe.
    pub(super) async fn power_on(&self) -> Outcome {
        let vm = self.vm().await?;
        match (&vm.order, vm.slim.powered_on) {
            (None, true) => Ok(Applied::Done),
            (Some(order), true) if order.is_settled(self.step.planned_at) => {
                self.order(&vm, None, Duration::from_secs(1)).await
            }
            (Some(_), true) => Err(not_sent("the guest is still shutting down")),
            // The debt in its last form, so that what comes after the start is clear.
            (Some(Order::Restart(_) | Order::Retire(_)), false) => {
                match self.order(&vm, Some(&Order::Start), Duration::from_secs(1)).await? {
                    Applied::Done => self.start(&vm).await,
                    other => Ok(other),
                }
            }
            (Some(Order::Start) | None, false) => self.start(&vm).await,
        }
    }

    async fn start(&self, vm: &Vm) -> Outcome {
        let task = self.session.client.writer(&*self.permit).power_on(&vm.slim.mor).await?;
        self.settle(task).await
    }

    /// Asks the guest to shut down, after it is written down that we did.
    pub(super) async fn shut_down(&self) -> Outcome {
        let vm = self.vm().await?;
        if !vm.slim.powered_on {
            return Ok(Applied::Done);
        }
        self.expect(&self.facts(&vm))?;
        let times = vm.order.as_ref().map_or(0, Order::times) + 1;
        let asked = Asked { at: self.step.planned_at, times };
        let for_good = self.known("retired").and_then(Json::as_bool) == Some(true);
        let order = if for_good { Order::Retire(asked) } else { Order::Restart(asked) };
        match self.order(&vm, Some(&order), RECORD).await? {
            Applied::Done => {}
            other => return Ok(other),
        }
        match self.session.client.writer(&*self.permit).shutdown_guest(&vm.slim.mor).await {
            Ok(()) => {
                self.vsphere.ledger.note_asked(&vm.slim.mor);
                Ok(Applied::Started { operation: "Shutting down the guest".to_owned() })
            }
            Err(error) if error.fault().is_some_and(|fault| &*fault.kind == "ToolsUnavailable") => {
                Err(refused(format!("VMware Tools do not run in {}: shut it down by hand", vm.slim.name)))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn order(&self, vm: &Vm, order: Option<&Order>, grace: Duration) -> Outcome {
        let text = order.map(ToString::to_string).unwrap_or_default();
        let config = VmConfig {
            change_version: Some(vm.slim.change_version.clone()),
            extra_config: [(keys::RESTARTING, text)].into_iter().collect(),
            ..VmConfig::default()
        };
        let task = self.session.client.writer(&*self.permit).reconfigure_vm(&vm.slim.mor, &config).await?;
        self.follow(task, grace).await
    }

    /// Unplugs the network and writes down since when it is retired, in one change.
    pub(super) async fn retire(&self) -> Outcome {
        let vm = self.vm().await?;
        if vm.retired.is_some() {
            return Ok(Applied::Done);
        }
        self.expect(&self.facts(&vm))?;
        if vm.slim.powered_on {
            return Err(not_sent(format!("{} is still on", vm.slim.name)));
        }
        let extra = [(keys::RETIRED, self.step.planned_at.to_string()), (keys::RESTARTING, String::new())];
        let config = VmConfig {
            devices: vm.nics.iter().cloned().map(DeviceChange::UnplugNic).collect(),
            extra_config: extra.into_iter().collect(),
            ..VmConfig::default()
        };
        self.reconfigure(&vm, config).await
    }

    /// Plugs the network in again; the start is owed from then on.
    pub(super) async fn unretire(&self) -> Outcome {
        self.read_ahead(std::iter::once(&self.step.resource).chain(self.referred()), &[]).await?;
        let vm = self.vm().await?;
        if vm.retired.is_none() {
            return Ok(Applied::Done);
        }
        let connections = self.connections().await?;
        let devices = connections.into_iter().filter_map(|(number, port)| {
            let nic = vm.nics.get(number)?.clone();
            Some(DeviceChange::EditNic(NicEdit { nic, port: port?, mac: Mac::Keep }))
        });
        let extra = [(keys::RETIRED, String::new()), (keys::RESTARTING, Order::Start.to_string())];
        let config = VmConfig {
            devices: devices.collect(),
            extra_config: extra.into_iter().collect(),
            ..VmConfig::default()
        };
        self.reconfigure(&vm, config).await
    }

    /// Destroys a retired machine with its disks.
    pub(super) async fn destroy(&self) -> Outcome {
        let Some(vm) = self.server_of(&self.step.resource).await? else { return Ok(Applied::Done) };
        self.expect(&self.facts(&vm))?;
        if vm.retired.is_none() || vm.slim.powered_on || !vm.slim.snapshots.is_empty() {
            return Err(not_sent(format!("{} is not retired, off and free of snapshots", vm.slim.name)));
        }
        let task = self.session.client.writer(&*self.permit).destroy(&vm.slim.mor).await?;
        self.settle(task).await
    }
}
