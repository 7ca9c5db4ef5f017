//! An export that is open: a lease on the disks of a snapshot.

use std::collections::BTreeMap;
use std::io::Read;

use futures::future::BoxFuture;
use serde_json::Value as Json;
use tokio::task::spawn_blocking;
use vertskommune_core::backup::facts::{Hindrance, Obstacle};
use vertskommune_provider::{Export, ExportedDisk, ProviderError};
use vsphere_client::{Device, LeaseDisk};

use super::disks::Given;
use super::held::Held;
use crate::failure::of_lease;

/// An open export, before it is told what it has to remove.
pub(super) struct Opened {
    lease: vsphere_client::Export,
    endpoint: String,
    configuration: Json,
    disks: Vec<ExportedDisk>,
    sources: BTreeMap<String, LeaseDisk>,
    obstacles: Vec<Obstacle>,
}

/// An open export. Its lease goes before its snapshot, also where it is dropped.
struct Open {
    opened: Opened,
    held: Held,
}

impl Opened {
    /// Takes a lease for what a machine gives, with the devices of its snapshot.
    pub(super) fn new(
        lease: vsphere_client::Export,
        endpoint: &str,
        given: &Given,
        hardware: &[Device],
        configuration: Json,
    ) -> Self {
        let (mut disks, mut sources) = (Vec::new(), BTreeMap::new());
        for source in lease.disks() {
            let Some(disk) = source.of(hardware) else { continue };
            if let Some(name) = given.names.get(&disk.key) {
                disks.push(ExportedDisk { name: name.clone(), bytes: disk.capacity_bytes });
                sources.insert(name.clone(), source.clone());
            }
        }
        let mut obstacles = given.obstacles.clone();
        obstacles.extend(given.names.values().filter(|name| !sources.contains_key(*name)).map(|name| {
            let detail = Some("the export of the snapshot does not have it".to_owned());
            Obstacle { disk: Some(name.clone()), why: Hindrance::ExportRefused, detail }
        }));
        Self { lease, endpoint: endpoint.to_owned(), configuration, disks, sources, obstacles }
    }

    /// The export, with the snapshot that goes with it.
    pub(super) fn held_by(self, held: Held) -> impl Export {
        Open { opened: self, held }
    }

    async fn open(&self, name: &str) -> Result<Box<dyn Read + Send>, ProviderError> {
        let disk = self.disks.iter().find(|disk| disk.name == name);
        let (Some(disk), Some(source)) = (disk, self.sources.get(name)) else {
            return Err(ProviderError::Refused(format!("the export has no disk {name}")));
        };
        let download = self.lease.download(source).await;
        let download = download.map_err(|error| of_lease(&self.endpoint, &error))?;
        let reader = spawn_blocking(move || vmdk::Reader::new(download)).await;
        let reader = reader.map_err(|_| ProviderError::Conflict("the process is stopping".to_owned()))?;
        let reader = reader.map_err(|error| ProviderError::Protocol(format!("{name}: {error}")))?;
        if reader.capacity() != disk.bytes {
            let (bytes, sent) = (disk.bytes, reader.capacity());
            let why = format!("{name} has {bytes} bytes, and what is sent of it claims {sent}");
            return Err(ProviderError::Protocol(why));
        }
        Ok(Box::new(reader))
    }
}

impl Export for Open {
    fn configuration(&self) -> &Json {
        &self.opened.configuration
    }

    fn disks(&self) -> &[ExportedDisk] {
        &self.opened.disks
    }

    fn obstacles(&self) -> &[Obstacle] {
        &self.opened.obstacles
    }

    fn read<'a>(&'a self, disk: &'a str) -> BoxFuture<'a, Result<Box<dyn Read + Send>, ProviderError>> {
        Box::pin(self.opened.open(disk))
    }

    fn close(self: Box<Self>, whole: bool) -> BoxFuture<'static, Result<(), ProviderError>> {
        Box::pin(async move {
            let Open { opened, held } = *self;
            let lease = opened.lease;
            let ended = if whole { lease.complete().await } else { lease.abort().await };
            if let Err(error) = ended {
                // It ends by itself; each stream has told its own end.
                tracing::debug!(%error, "an export's lease was not ended in good order");
            }
            held.release().await
        })
    }
}
