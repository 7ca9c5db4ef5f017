//! A machine that is being made, and how it becomes whole or goes again.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};
use vertskommune_provider::{Ctx, Import, NewServer, ProviderError};
use vsphere_client::{ExtraConfig, LeaseDisk, Mor, Permit, Upload, VmConfig};

use super::machine::finished;
use crate::Vsphere;
use crate::failure::of_lease;
use crate::link::{Link, Session};
use crate::marks::keys;
use crate::rows::{MARK, is_gone};
use crate::settings::Settings;
use crate::task::{End, before_again, end_of};
use crate::under_way::Place;

/// `config.extraConfig["key"].value` of the mark.
pub(super) const RESTORING: &str = "config.extraConfig[\"vertskommune.restoring\"].value";

/// How long vSphere is left to itself with what it removes at the end of a lease.
const MOMENT: Duration = Duration::from_secs(5);

/// How long changing or removing a machine that is off may take.
const CHANGE: Duration = Duration::from_mins(10);

/// A machine that is being made. Dropped before its end, its lease is aborted, and vSphere removes it.
pub(super) struct Making {
    link: Arc<Link>,
    settings: Arc<Settings>,
    ctx: Ctx,
    wanted: NewServer,
    endpoint: String,
    place: Place,
    lease: Option<vsphere_client::Import>,
    pub(super) targets: BTreeMap<String, LeaseDisk>,
    without: Vec<String>,
}

impl Making {
    /// To be called before the machine is asked for.
    pub(super) fn new(
        vsphere: &Vsphere,
        ctx: &Ctx,
        wanted: &NewServer,
        mark: String,
    ) -> Result<Self, ProviderError> {
        Ok(Self {
            link: vsphere.link.clone(),
            settings: vsphere.settings.clone(),
            ctx: ctx.clone(),
            wanted: wanted.clone(),
            endpoint: vsphere.host.endpoint.clone(),
            place: Place::take(&vsphere.host.identity, mark)?,
            lease: None,
            targets: BTreeMap::new(),
            without: Vec::new(),
        })
    }

    /// Takes over the lease under which its disks are written.
    pub(super) fn take(&mut self, lease: vsphere_client::Import, without: Vec<String>) {
        (self.lease, self.without) = (Some(lease), without);
    }

    async fn open(&self, name: &str) -> Result<Box<dyn Write + Send>, ProviderError> {
        let (Some(target), Some(lease)) = (self.targets.get(name), &self.lease) else {
            return Err(ProviderError::Refused(format!("{} has no disk {name}", self.wanted.name)));
        };
        let bytes = self.wanted.disks.iter().find(|disk| disk.name == name).map_or(0, |disk| disk.bytes);
        let upload = lease.upload(target).await.map_err(|error| of_lease(&self.endpoint, &error))?;
        let wrong = |error: vmdk::Error| ProviderError::Protocol(format!("{name}: {error}"));
        let disk = vmdk::Writer::new(upload, bytes, &format!("{name}.vmdk")).map_err(wrong)?;
        Ok(Box::new(Disk { stream: Some(disk), left: bytes }))
    }

    async fn end(mut self, whole: bool) -> Result<(), ProviderError> {
        let Some(lease) = self.lease.take() else { return Ok(()) };
        let vm = lease.vm().clone();
        let ended = if whole { lease.complete().await } else { lease.abort().await };
        let name = &self.wanted.name;
        match ended {
            Ok(()) if whole => {
                self.release(&vm).await.map_err(|error| {
                    tracing::warn!(name, %error, "a machine that is whole may still carry the mark of one that is not");
                    ProviderError::Refused(format!(
                        "{name} is whole, but whether it still has the mark of one that is not is unknown ({error}): where its \
                         advanced settings have {}, delete that entry to keep it, or the next restore of the tenant removes it",
                        keys::RESTORING
                    ))
                })
            }
            ended => {
                self.remove(&vm).await.map_err(|error| {
                    ProviderError::Refused(format!(
                        "{name} is not whole and may still be there ({error}): the next restore of the tenant removes it"
                    ))
                })?;
                match ended {
                    Err(error) if whole => Err(of_lease(&self.endpoint, &error)),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Takes the mark away: from then on the machine is nobody's.
    async fn release(&self, vm: &Mor) -> Result<(), ProviderError> {
        let session = self.link.session(&self.settings, &self.ctx).await?;
        let permit = session.permit_to_end(&self.ctx);
        let config = VmConfig {
            annotation: Some(finished(&self.wanted)),
            extra_config: ExtraConfig(BTreeMap::from([(keys::RESTORING.to_owned(), String::new())])),
            ..VmConfig::default()
        };
        let begun = Instant::now();
        loop {
            let task = session.client.writer(&*permit).reconfigure_vm(vm, &config).await;
            match end_of(&session, task, CHANGE).await {
                Ok(End::Done) => return Ok(()),
                Ok(End::Gone) => return Err(ProviderError::Conflict("somebody has removed it".to_owned())),
                Ok(End::Busy(error)) => before_again(begun, error).await?,
                // The answer was lost: what stands there tells.
                Err(error) => {
                    let read = session.client.read(vm, &[RESTORING]).await.ok().flatten();
                    let is_free = read.is_some_and(|it| it.text(RESTORING).is_none_or(str::is_empty));
                    return if is_free { Ok(()) } else { Err(error) };
                }
            }
        }
    }

    /// Removes it, as far as vSphere does not.
    async fn remove(&self, vm: &Mor) -> Result<(), ProviderError> {
        let session = self.link.session(&self.settings, &self.ctx).await?;
        let permit = session.permit_to_end(&self.ctx);
        let mark = self.place.mark();
        let removal = Removal { session: &session, permit: &*permit, vm, mark, not_before: MOMENT };
        removal.carry_out().await
    }
}

impl Import for Making {
    fn without(&self) -> &[String] {
        &self.without
    }

    fn write<'a>(&'a self, disk: &'a str) -> BoxFuture<'a, Result<Box<dyn Write + Send>, ProviderError>> {
        Box::pin(self.open(disk))
    }

    fn close(self: Box<Self>, whole: bool) -> BoxFuture<'static, Result<(), ProviderError>> {
        Box::pin(self.end(whole))
    }
}

/// A disk's raw bytes on their way into a stream-optimized VMDK.
struct Disk {
    /// None once it was ended.
    stream: Option<vmdk::Writer<Upload>>,
    left: u64,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::WriteZero)?;
        let written = stream.write(bytes)?;
        self.left = self.left.saturating_sub(written as u64);
        Ok(written)
    }

    /// After the last byte, ends the stream and waits for the host's word.
    fn flush(&mut self) -> io::Result<()> {
        if self.left > 0 {
            return Ok(());
        }
        let Some(stream) = self.stream.take() else { return Ok(()) };
        let upload = stream.finish().map_err(io::Error::from)?;
        Ok(upload.finish()?)
    }
}

/// The removal of a machine that did not become whole. vSphere does that by itself when the lease ends; what is still
/// there a moment later is removed here, if it still carries the mark.
pub(super) struct Removal<'a> {
    pub(super) session: &'a Session,
    pub(super) permit: &'a Permit,
    pub(super) vm: &'a Mor,
    pub(super) mark: &'a str,
    /// How long vSphere may take for it first.
    pub(super) not_before: Duration,
}

impl Removal<'_> {
    pub(super) async fn carry_out(self) -> Result<(), ProviderError> {
        let Self { session, permit, vm, mark, not_before } = self;
        let begun = Instant::now();
        loop {
            let paths = ["name", "runtime.powerState", MARK, RESTORING];
            let read = session.client.read(vm, &paths).await.map_err(|error| session.fail(&error))?;
            let Some(object) = read.filter(|object| !is_gone(object)) else { return Ok(()) };
            let is_ours = object.text(RESTORING) == Some(mark)
                && object.text(MARK).is_none_or(str::is_empty)
                && object.text("runtime.powerState") == Some("poweredOff");
            if !is_ours {
                return Err(ProviderError::Conflict("somebody uses it meanwhile".to_owned()));
            }
            if begun.elapsed() < not_before {
                sleep(Duration::from_millis(200)).await;
                continue;
            }
            let task = session.client.writer(permit).destroy(vm).await;
            match end_of(session, task, CHANGE).await? {
                End::Done | End::Gone => return Ok(()),
                End::Busy(error) => before_again(begun, error).await?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_the_key_that_is_written() {
        assert_eq!(RESTORING, format!("config.extraConfig[\"{}\"].value", keys::RESTORING));
    }
}
