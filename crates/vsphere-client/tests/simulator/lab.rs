//! Starts a simulated vCenter for one test, and reaches its admin port.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vsphere_client::{
    Client, Config, Device, Element, Error, Fault, Mor, Object, Secret, Select, Task, TaskState,
};

pub(crate) const USER: &str = "vertskommune@vsphere.local";
pub(crate) const PASSWORD: &str = "lab-only <&> password";

/// A running simulator; it ends with this value.
pub(crate) struct Lab {
    process: Child,
    dir: tempfile::TempDir,
    url: String,
    admin: String,
}

/// The permit of tests that do not care.
#[allow(clippy::unnecessary_wraps, reason = "the form of a permit")]
pub(crate) fn always() -> Result<(), String> {
    Ok(())
}

impl Lab {
    /// None, with a word on it, when the simulator is not built.
    pub(crate) fn start(flags: &[&str]) -> Option<Lab> {
        let Some(bin) = std::env::var_os("VERTSKOMMUNE_LAB_BIN").map(PathBuf::from) else {
            assert!(std::env::var_os("CI").is_none(), "nothing may be skipped here: run `make test`");
            eprintln!("skipped: VERTSKOMMUNE_LAB_BIN does not name the folder of vcenter-simulator");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let mut process = Command::new(bin.join("vcenter-simulator"))
            .args(["-password", PASSWORD, "-ca-out"])
            .arg(dir.path().join("ca.pem"))
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let field = |name: &str| {
            let text =
                line.split_once(&format!("\"{name}\":\"")).unwrap_or_else(|| panic!("{name} in {line:?}")).1;
            text.split('"').next().unwrap().to_owned()
        };
        let (url, admin) = (field("url"), field("admin").trim_start_matches("http://").to_owned());
        Some(Lab { process, dir, url, admin })
    }

    pub(crate) fn config(&self) -> Config {
        let ca = std::fs::read(self.dir.path().join("ca.pem")).unwrap();
        let mut config = Config::new(&self.url, USER, Secret::from(PASSWORD), ca);
        config.requests_per_second = 1000;
        config.timeouts.call = Duration::from_secs(20);
        config
    }

    pub(crate) async fn client(&self) -> Arc<Client> {
        Arc::new(Client::connect(self.config()).await.unwrap())
    }

    /// Sends an order to the admin port.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.admin).await.unwrap();
        let request = format!("{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{method} {path}: {answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) async fn expire_sessions(&self) {
        self.admin("POST", "/sessions/expire", "").await;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the tests need of the simulator's inventory.
pub(crate) struct Estate {
    pub(crate) vm_folder: Mor,
    pub(crate) cluster: Mor,
    pub(crate) tenants: Mor,
    pub(crate) pool: Mor,
    pub(crate) datastore: (Mor, String),
    pub(crate) switch: (Mor, String),
    pub(crate) template: Mor,
}

pub(crate) async fn estate(client: &Client) -> Estate {
    let root = client.service().await.unwrap().root_folder;
    let mut all = vec![];
    let select = [
        Select { kind: "Datacenter", paths: &["vmFolder"] },
        Select { kind: "ManagedEntity", paths: &["name", "parent"] },
        Select { kind: "DistributedVirtualSwitch", paths: &["uuid"] },
        Select { kind: "VirtualMachine", paths: &["config.template"] },
    ];
    client.list(&root, &select, 7, |object| all.push(object)).await.unwrap();
    let object = |kind: &str, name: &str| -> &Object {
        let found = all
            .iter()
            .find(|o| o.mor.kind.ends_with(kind) && (name.is_empty() || o.text("name") == Some(name)));
        found.unwrap_or_else(|| panic!("no {kind} {name}"))
    };
    let vm_folder = object("Datacenter", "").mor("vmFolder").unwrap();
    let tenants =
        all.iter().find(|o| o.text("name") == Some("Tenants") && o.mor("parent") == Some(vm_folder.clone()));
    let (datastore, switch) = (object("Datastore", ""), object("DistributedVirtualSwitch", ""));
    Estate {
        cluster: object("ClusterComputeResource", "").mor.clone(),
        tenants: tenants.unwrap().mor.clone(),
        pool: object("ResourcePool", "Tenants").mor.clone(),
        datastore: (datastore.mor.clone(), datastore.text("name").unwrap().to_owned()),
        switch: (switch.mor.clone(), switch.text("uuid").unwrap().to_owned()),
        template: object("VirtualMachine", "ubuntu-24.04").mor.clone(),
        vm_folder,
    }
}

/// Waits for a task's end by asking, and returns what it made.
pub(crate) async fn finish(client: &Client, task: Task) -> Result<Option<Element>, Fault> {
    let until = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let info = client.tasks(std::slice::from_ref(&task.0)).await.unwrap().remove(&task.0).unwrap();
        match info.state {
            TaskState::Success => return Ok(info.result),
            TaskState::Error => return Err(info.error.unwrap()),
            _ => assert!(std::time::Instant::now() < until, "{task} does not end: {info:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// As [`finish`], of a write that has to succeed.
pub(crate) async fn done(client: &Client, task: Result<Task, Error>) -> Option<Mor> {
    finish(client, task.unwrap()).await.unwrap().as_ref().and_then(Element::mor)
}

pub(crate) async fn hardware(client: &Client, vm: &Mor) -> Vec<Device> {
    let object = client.read(vm, &["config.hardware.device"]).await.unwrap().unwrap();
    vsphere_client::devices(object.get("config.hardware.device").unwrap()).collect()
}
