//! Servers that give disks out whose bytes are known, and that break off when told to; and what is made anew of them.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value as Json, json};
use vertskommune_core::backup::facts::Obstacle;
use vertskommune_core::names::TenantName;
use vertskommune_provider::{
    Ctx, Export, ExportError, ExportedDisk, Exports, Import, Imports, NewServer, ProviderError, Wanted,
};

/// All servers of a test: each has the same disks.
#[derive(Clone)]
pub(crate) struct Servers(Arc<Mutex<Inner>>);

#[derive(Default)]
pub(crate) struct Inner {
    /// Names and sizes. The bytes follow from both.
    pub(crate) disks: Vec<(&'static str, u64)>,
    /// What stands in the way of all.
    pub(crate) hindered: Vec<Obstacle>,
    /// What stands in the way of single disks.
    pub(crate) obstacles: Vec<Obstacle>,
    /// After so many bytes a disk breaks off.
    pub(crate) breaks_at: Option<u64>,
    /// So long each MiB takes.
    pub(crate) pause: Duration,
    /// How often the disks were changed: their first MiB is another then.
    pub(crate) changes: u8,
    /// Exports that are open.
    pub(crate) open: usize,
    /// How each export that is closed was.
    pub(crate) closed: Vec<bool>,
}

impl Servers {
    pub(crate) fn new(disks: &[(&'static str, u64)]) -> Self {
        Self(Arc::new(Mutex::new(Inner { disks: disks.to_vec(), ..Inner::default() })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// A disk's bytes.
    pub(crate) fn bytes(&self, disk: &str) -> Vec<u8> {
        let mut all = Vec::new();
        self.disk(disk, None).read_to_end(&mut all).unwrap();
        all
    }

    fn disk(&self, name: &str, breaks_at: Option<u64>) -> Disk {
        let state = self.state();
        let size = state.disks.iter().find(|(it, _)| *it == name).unwrap().1;
        let seed = name.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let random = seed | 1;
        Disk { size, at: 0, random, changes: state.changes, breaks_at, pause: state.pause }
    }
}

/// Noise that does not compress, and is the same each time.
struct Disk {
    size: u64,
    at: u64,
    random: u64,
    changes: u8,
    breaks_at: Option<u64>,
    pause: Duration,
}

impl Read for Disk {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.breaks_at.is_some_and(|at| self.at >= at) {
            return Err(io::Error::other("the host went away"));
        }
        let left = usize::try_from(self.size - self.at).unwrap();
        let length = into.len().min(left).min(64 << 10);
        for byte in &mut into[..length] {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            *byte = self.random.to_le_bytes()[3];
        }
        if self.at < 1 << 20 {
            into[..length].iter_mut().for_each(|byte| *byte ^= self.changes);
        }
        let before = self.at >> 20;
        self.at += length as u64;
        if self.at >> 20 > before {
            std::thread::sleep(self.pause);
        }
        Ok(length)
    }
}

impl Exports for Servers {
    fn export<'a>(
        &'a self,
        wanted: &'a Wanted,
        _ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Box<dyn Export>, ExportError>> {
        Box::pin(async move {
            let mut state = self.state();
            if !state.hindered.is_empty() {
                return Err(ExportError::Hindered(state.hindered.clone()));
            }
            state.open += 1;
            let disks = state.disks.iter();
            let disks = disks.map(|(name, bytes)| ExportedDisk { name: (*name).to_owned(), bytes: *bytes });
            Ok(Box::new(Opened {
                servers: self.clone(),
                disks: disks.collect(),
                obstacles: state.obstacles.clone(),
                configuration: json!({
                    "name": wanted.server, "vcpus": 2,
                    "disks": state.disks.iter().map(|(name, _)| json!({ "name": name })).collect::<Vec<_>>(),
                }),
                is_closed: false,
            }) as Box<dyn Export>)
        })
    }

    fn tidy<'a>(&'a self, _: &'a TenantName, _: &'a Ctx) -> BoxFuture<'a, Result<usize, ProviderError>> {
        Box::pin(async { Ok(0) })
    }
}

struct Opened {
    servers: Servers,
    disks: Vec<ExportedDisk>,
    obstacles: Vec<Obstacle>,
    configuration: Json,
    is_closed: bool,
}

impl Export for Opened {
    fn configuration(&self) -> &Json {
        &self.configuration
    }

    fn disks(&self) -> &[ExportedDisk] {
        &self.disks
    }

    fn obstacles(&self) -> &[Obstacle] {
        &self.obstacles
    }

    fn read<'a>(&'a self, disk: &'a str) -> BoxFuture<'a, Result<Box<dyn Read + Send>, ProviderError>> {
        let breaks_at = self.servers.state().breaks_at;
        let disk = self.servers.disk(disk, breaks_at);
        Box::pin(async move { Ok(Box::new(disk) as Box<dyn Read + Send>) })
    }

    fn close(mut self: Box<Self>, whole: bool) -> BoxFuture<'static, Result<(), ProviderError>> {
        self.is_closed = true;
        let mut state = self.servers.state();
        state.open -= 1;
        state.closed.push(whole);
        drop(state);
        Box::pin(async { Ok(()) })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.is_closed {
            self.servers.state().open -= 1;
        }
    }
}

/// Takes in machines that are made anew.
#[derive(Clone, Default)]
pub(crate) struct Machines(Arc<Mutex<Made>>);

/// What was made.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) wanted: Option<NewServer>,
    pub(crate) disks: BTreeMap<String, Vec<u8>>,
    /// How it was closed.
    pub(crate) whole: Option<bool>,
    /// After so many bytes of a disk no more are taken.
    pub(crate) breaks_at: Option<usize>,
}

impl Machines {
    pub(crate) fn state(&self) -> MutexGuard<'_, Made> {
        self.0.lock().unwrap()
    }
}

impl Imports for Machines {
    fn import<'a>(
        &'a self,
        wanted: &'a NewServer,
        _: &'a Ctx,
    ) -> BoxFuture<'a, Result<Box<dyn Import>, ProviderError>> {
        let mut state = self.state();
        *state = Made { wanted: Some(wanted.clone()), breaks_at: state.breaks_at, ..Made::default() };
        Box::pin(async { Ok(Box::new(Making(self.clone())) as Box<dyn Import>) })
    }
}

struct Making(Machines);

struct NewDisk(Machines, String);

impl Import for Making {
    fn without(&self) -> &[String] {
        &[]
    }

    fn write<'a>(&'a self, disk: &'a str) -> BoxFuture<'a, Result<Box<dyn Write + Send>, ProviderError>> {
        let disk = NewDisk(self.0.clone(), disk.to_owned());
        Box::pin(async { Ok(Box::new(disk) as Box<dyn Write + Send>) })
    }

    fn close(self: Box<Self>, whole: bool) -> BoxFuture<'static, Result<(), ProviderError>> {
        self.0.state().whole = Some(whole);
        Box::pin(async { Ok(()) })
    }
}

impl Write for NewDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state();
        let breaks_at = state.breaks_at;
        let disk = state.disks.entry(self.1.clone()).or_default();
        if breaks_at.is_some_and(|at| disk.len() >= at) {
            return Err(io::Error::other("the host went away"));
        }
        disk.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
