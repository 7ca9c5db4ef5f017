//! Every read and write once, in the order in which a tenant comes and goes.

use std::time::Duration;

use vsphere_client::{
    Adapter, Address, Allocation, AntiAffinityRule, ChangeKind, Client, CloneSpec, Customization, Device,
    DeviceChange, DiskGrowth, ExtraConfig, FaultClass, Identity, Location, Mac, Mor, NewDisk, NewNic,
    NewPortgroup, Nic, NicEdit, NicKind, PoolSpec, PortConnection, PortgroupChange, RuleChange, Scope,
    Select, Shares, Step, VmConfig, Watch, anti_affinity_rules,
};

use crate::lab::{Estate, Lab, always, done, estate, finish, hardware};

const UUID: &str = "11111111-2222-5333-8444-555555555555";

async fn port_of(client: &Client, estate: &Estate, name: &str) -> (Mor, PortConnection) {
    let mut found = None;
    let select = [Select { kind: "DistributedVirtualPortgroup", paths: &["name", "key"] }];
    let root = client.service().await.unwrap().root_folder;
    client
        .list(&root, &select, 100, |o| {
            if o.text("name") == Some(name) {
                let portgroup_key = o.text("key").unwrap().to_owned();
                let switch_uuid = estate.switch.1.clone();
                found = Some((o.mor.clone(), PortConnection { switch_uuid, portgroup_key }));
            }
        })
        .await
        .unwrap();
    found.unwrap()
}

fn nics(devices: &[Device]) -> Vec<Nic> {
    devices.iter().filter_map(|d| if let Device::Nic(nic) = d { Some(nic.clone()) } else { None }).collect()
}

#[tokio::test]
async fn folders_and_pools() {
    let Some(lab) = Lab::start(&[]) else { return };
    let client = lab.client().await;
    let (estate, writer) = (estate(&client).await, client.writer(&always));

    let folder = writer.create_folder(&estate.tenants, "ibestad & <sønner>").await.unwrap();
    let taken = writer.create_folder(&estate.tenants, "ibestad & <sønner>").await.unwrap_err();
    assert_eq!(taken.class(), Some(FaultClass::Duplicate));
    assert_eq!(taken.fault().unwrap().object(), Some(folder.clone()));
    done(&client, writer.rename(&folder, "ibestad").await).await;
    assert_eq!(client.find_by_inventory_path("DC0/vm/Tenants/ibestad").await.unwrap(), Some(folder.clone()));
    assert_eq!(client.find_by_inventory_path("DC0/vm/Tenants/nobody").await.unwrap(), None);

    let inner = writer.create_folder(&estate.vm_folder, "inner").await.unwrap();
    done(&client, writer.move_into_folder(&folder, std::slice::from_ref(&inner)).await).await;
    assert_eq!(client.read(&inner, &["parent"]).await.unwrap().unwrap().mor("parent"), Some(folder.clone()));
    let steps = [Step { kind: "Folder", path: "childEntity", recursive: true }];
    let mut below = vec![];
    let scope = Scope::Traverse { from: &estate.tenants, steps: &steps };
    client
        .retrieve(scope, &[Select { kind: "Folder", paths: &["name"] }], 100, |o| below.push(o.mor))
        .await
        .unwrap();
    below.sort();
    let mut expected = vec![folder.clone(), inner.clone()];
    expected.sort();
    assert_eq!(below, expected);

    let spec = PoolSpec {
        cpu: Allocation { shares: Shares::High, ..Allocation::default() },
        memory: Allocation { shares: Shares::Custom(77), limit: Some(4096), ..Allocation::default() },
    };
    let pool = writer.create_resource_pool(&estate.pool, "ibestad", &spec).await.unwrap();
    let read = async || {
        let o = client
            .read(&pool, &["name", "config.cpuAllocation", "config.memoryAllocation"])
            .await
            .unwrap()
            .unwrap();
        let share = |path: &str| Allocation::read(o.get(path).unwrap()).unwrap();
        (o.text("name").unwrap().to_owned(), share("config.cpuAllocation"), share("config.memoryAllocation"))
    };
    assert_eq!(read().await, ("ibestad".to_owned(), spec.cpu, spec.memory));
    writer.update_resource_pool(&pool, Some("ibestad-2"), Some(&PoolSpec::default())).await.unwrap();
    assert_eq!(read().await, ("ibestad-2".to_owned(), Allocation::default(), Allocation::default()));

    for object in [&pool, &inner, &folder] {
        done(&client, writer.destroy(object).await).await;
        assert_eq!(client.read(object, &["name"]).await.unwrap(), None, "{object}");
    }
}

#[tokio::test]
async fn port_groups() {
    let Some(lab) = Lab::start(&[]) else { return };
    let client = lab.client().await;
    let (estate, writer) = (estate(&client).await, client.writer(&always));
    let spec =
        NewPortgroup { name: "ibestad-123".into(), vlan: 123, description: "owner: x".into(), ports: 8 };
    done(&client, writer.add_portgroup(&estate.switch.0, &spec).await).await;
    let again = writer.add_portgroup(&estate.switch.0, &spec).await.unwrap();
    assert_eq!(finish(&client, again).await.unwrap_err().class(), FaultClass::Duplicate);

    let (portgroup, _) = port_of(&client, &estate, "ibestad-123").await;
    let read = async || {
        let paths = ["name", "config.description", "config.defaultPortConfig", "config.configVersion"];
        let o = client.read(&portgroup, &paths).await.unwrap().unwrap();
        let vlan = o.get("config.defaultPortConfig").unwrap().int_at("vlan.vlanId").unwrap();
        let text = |path: &str| o.text(path).unwrap_or_default().to_owned();
        (text("name"), vlan, text("config.description"), text("config.configVersion"))
    };
    let (name, vlan, description, config_version) = read().await;
    assert_eq!((&*name, vlan, &*description), ("ibestad-123", 123, "owner: x"));
    let change = PortgroupChange {
        config_version,
        name: Some("ibestad-124".into()),
        vlan: Some(124),
        description: Some("owner: y".into()),
    };
    done(&client, writer.reconfigure_portgroup(&portgroup, &change).await).await;
    let (_, vlan, description, _) = read().await;
    assert_eq!((vlan, &*description), (124, "owner: y"));
    done(&client, writer.destroy(&portgroup).await).await;
}

fn clone_spec(estate: &Estate, nic: Nic, port: PortConnection) -> CloneSpec {
    CloneSpec {
        location: Location {
            datastore: Some(estate.datastore.0.clone()),
            pool: Some(estate.pool.clone()),
            ..Location::default()
        },
        config: VmConfig {
            instance_uuid: Some(UUID.into()),
            annotation: Some("managed <by> & us".into()),
            cpus: Some(4),
            cores_per_socket: Some(2),
            memory_mb: Some(4096),
            cpu_hot_add: Some(true),
            memory_hot_add: Some(true),
            devices: vec![
                DeviceChange::EditNic(NicEdit { nic, port, mac: Mac::Assign }),
                DeviceChange::AddDisk(NewDisk {
                    key: -101,
                    controller_key: 1000,
                    unit_number: 1,
                    capacity_bytes: 20 << 30,
                    thin: true,
                    datastore_name: Some(estate.datastore.1.clone()),
                    profile_id: Some("no-such-policy".into()),
                }),
            ],
            extra_config: [("vertskommune.owner", "a/b"), ("guestinfo.userdata", "x")].into_iter().collect(),
            ..VmConfig::default()
        },
        customization: Some(Customization {
            identity: Identity::Sysprep("<unattend>\r\n</unattend>".into()),
            adapters: vec![Adapter {
                address: Address::Fixed {
                    address: [10, 0, 0, 5].into(),
                    mask: [255, 255, 255, 0].into(),
                    gateways: vec![[10, 0, 0, 1].into()],
                },
                dns_servers: vec![[10, 0, 0, 2].into()],
                dns_domain: Some("ibestad.example".into()),
            }],
        }),
    }
}

#[tokio::test]
async fn a_clone_has_what_was_asked_for() {
    let Some(lab) = Lab::start(&[]) else { return };
    let client = lab.client().await;
    let (estate, writer) = (estate(&client).await, client.writer(&always));
    let (portgroup, port) = port_of(&client, &estate, "drift-servers").await;
    let nic = nics(&hardware(&client, &estate.template).await).remove(0);
    let spec = clone_spec(&estate, nic.clone(), port.clone());

    let task = writer.clone_vm(&estate.template, &estate.tenants, "web-1", &spec).await.unwrap();
    assert!(client.recent_tasks().await.unwrap().contains(&task.0));
    let vm = done(&client, Ok(task.clone())).await.unwrap();
    let info = client.tasks(&[task.0, Mor::new("Task", "task-999999")]).await.unwrap();
    assert_eq!(info.len(), 1, "a task that is gone is left out");
    assert_eq!(info.values().next().unwrap().entity, Some(estate.template.clone()));

    let again = writer.clone_vm(&estate.template, &estate.tenants, "web-1", &spec).await.unwrap();
    let taken = finish(&client, again).await.unwrap_err();
    assert_eq!((taken.class(), taken.object()), (FaultClass::Duplicate, Some(vm.clone())));
    assert_eq!(client.find_by_instance_uuid(UUID).await.unwrap(), vec![vm.clone()]);

    let paths = [
        "name",
        "config.instanceUuid",
        "config.annotation",
        "config.hardware.numCPU",
        "config.hardware.memoryMB",
        "config.hardware.numCoresPerSocket",
        "config.cpuHotAddEnabled",
        "config.extraConfig",
        "runtime.powerState",
        "parent",
        "resourcePool",
        "network",
        "config.extraConfig[\"vertskommune.owner\"].value",
    ];
    let o = client.read(&vm, &paths).await.unwrap().unwrap();
    assert_eq!((o.text("config.instanceUuid"), o.int("config.hardware.numCPU")), (Some(UUID), Some(4)));
    assert_eq!(
        (o.int("config.hardware.memoryMB"), o.bool("config.cpuHotAddEnabled")),
        (Some(4096), Some(true))
    );
    assert_eq!(
        (o.text("config.annotation"), o.text("runtime.powerState")),
        (Some("managed <by> & us"), Some("poweredOff"))
    );
    assert_eq!(
        (o.mor("parent"), o.mor("resourcePool")),
        (Some(estate.tenants.clone()), Some(estate.pool.clone()))
    );
    assert!(o.get("config.extraConfig").unwrap().options().any(|kv| kv == ("vertskommune.owner", "a/b")));
    assert_eq!(o.text("config.extraConfig[\"vertskommune.owner\"].value"), Some("a/b"));
    assert_eq!(o.mors("network"), vec![portgroup]);
    let devices = hardware(&client, &vm).await;
    let disks =
        devices.iter().filter(|d| matches!(d, Device::Disk(d) if d.capacity_bytes == 20 << 30)).count();
    assert_eq!(disks, 2, "the template's disk and ours: {devices:?}");
    let cloned = nics(&devices).remove(0);
    assert_eq!(cloned.port, Some(port));
    assert_ne!(cloned.mac, nic.mac);
}

#[tokio::test]
async fn a_vm_is_changed_watched_and_destroyed() {
    let Some(lab) = Lab::start(&[]) else { return };
    let client = lab.client().await;
    let (estate, writer) = (estate(&client).await, client.writer(&always));
    let (_, port) = port_of(&client, &estate, "drift-servers").await;
    let select =
        [Select { kind: "VirtualMachine", paths: &["name", "runtime.powerState", "config.changeVersion"] }];
    let mut watch = Watch::below(client.clone(), &estate.tenants, &select).await.unwrap();
    let mut changes = async |kind: ChangeKind| loop {
        let found = watch.next(Duration::from_secs(5)).await.unwrap().changes;
        if let Some(change) = found.into_iter().find(|c| c.kind == kind) {
            return change;
        }
    };

    let location = Location { pool: Some(estate.pool.clone()), ..Location::default() };
    let spec = CloneSpec { location: location.clone(), ..CloneSpec::default() };
    let vm =
        done(&client, writer.clone_vm(&estate.template, &estate.tenants, "w", &spec).await).await.unwrap();
    assert_eq!(changes(ChangeKind::Enter).await.object, vm);

    let devices = hardware(&client, &vm).await;
    let disk =
        devices.iter().find_map(|d| if let Device::Disk(d) = d { Some(d.clone()) } else { None }).unwrap();
    let (key, capacity_bytes) = (disk.key, 2 * disk.capacity_bytes);
    let change = VmConfig {
        cpus: Some(8),
        memory_mb: Some(8192),
        annotation: Some("two\r\nlines".into()),
        extra_config: ExtraConfig([("a.b".to_owned(), "c".to_owned())].into()),
        devices: vec![
            DeviceChange::GrowDisk(DiskGrowth { disk, capacity_bytes }),
            DeviceChange::AddNic(NewNic {
                key: -7,
                kind: NicKind::Vmxnet3,
                port: port.clone(),
                plugged: true,
                mac: None,
            }),
        ],
        ..VmConfig::default()
    };
    done(&client, writer.reconfigure_vm(&vm, &change).await).await;
    assert_eq!(changes(ChangeKind::Modify).await.object, vm);
    let devices = hardware(&client, &vm).await;
    assert!(
        devices
            .iter()
            .any(|d| matches!(d, Device::Disk(d) if d.key == key && d.capacity_bytes == capacity_bytes))
    );
    let cards = nics(&devices);
    assert_eq!(cards.len(), 2);
    let change = VmConfig {
        devices: vec![
            DeviceChange::EditNic(NicEdit { nic: cards[0].clone(), port: port.clone(), mac: Mac::Keep }),
            DeviceChange::RemoveNic(cards[1].clone()),
        ],
        ..VmConfig::default()
    };
    done(&client, writer.reconfigure_vm(&vm, &change).await).await;
    let left = nics(&hardware(&client, &vm).await);
    assert_eq!((left.len(), &left[0].mac, &left[0].port), (1, &cards[0].mac, &Some(port)));
    let o = client.read(&vm, &["config.annotation"]).await.unwrap().unwrap();
    assert_eq!(o.text("config.annotation"), Some("two\r\nlines"));

    done(&client, writer.power_on(&vm).await).await;
    let on = writer.power_on(&vm).await.unwrap();
    assert_eq!(finish(&client, on).await.unwrap_err().class(), FaultClass::Busy);
    writer.shutdown_guest(&vm).await.unwrap();
    while client.read(&vm, &["runtime.powerState"]).await.unwrap().unwrap().text("runtime.powerState")
        != Some("poweredOff")
    {
        changes(ChangeKind::Modify).await;
    }
    done(&client, writer.power_on(&vm).await).await;
    done(&client, writer.power_off(&vm).await).await;
    done(&client, writer.relocate_vm(&vm, &location).await).await;
    // The simulator does not know this one.
    let unknown = writer.move_into_resource_pool(&estate.pool, std::slice::from_ref(&vm)).await.unwrap_err();
    assert_eq!(&*unknown.fault().unwrap().kind, "MethodNotFound");
    done(&client, writer.destroy(&vm).await).await;
    assert_eq!(changes(ChangeKind::Leave).await.object, vm);
    watch.close().await.unwrap();
}

#[tokio::test]
async fn rules_fields_privileges_and_policies() {
    let Some(lab) = Lab::start(&[]) else { return };
    let client = lab.client().await;
    let (estate, writer) = (estate(&client).await, client.writer(&always));

    let mut vms = vec![];
    client
        .list(&estate.vm_folder, &[Select { kind: "VirtualMachine", paths: &["name"] }], 100, |o| {
            vms.push(o.mor);
        })
        .await
        .unwrap();
    let rules = async || {
        let o = client.read(&estate.cluster, &["configurationEx"]).await.unwrap().unwrap();
        let mut rules = anti_affinity_rules(o.get("configurationEx").unwrap());
        rules.retain(|rule| rule.name == "apart");
        rules
    };
    let rule = AntiAffinityRule {
        key: 0,
        name: "apart".into(),
        enabled: true,
        mandatory: false,
        vms: vms[..2].to_vec(),
    };
    done(&client, writer.change_rules(&estate.cluster, &[RuleChange::Add(rule.clone())]).await).await;
    let mut found = rules().await.remove(0);
    assert_eq!((&found.vms, found.enabled), (&rule.vms, true));
    found.vms = vms[1..3].to_vec();
    let key = found.key;
    done(&client, writer.change_rules(&estate.cluster, &[RuleChange::Edit(found)]).await).await;
    assert_eq!(rules().await[0].vms, vms[1..3]);
    done(&client, writer.change_rules(&estate.cluster, &[RuleChange::Remove(key)]).await).await;
    assert!(rules().await.is_empty());

    let field = writer.add_field("tenant", Some("VirtualMachine")).await.unwrap();
    assert!(client.custom_fields().await.unwrap().contains(&field));
    writer.set_field(&vms[0], field.key, "ibestad").await.unwrap();
    let o = client.read(&vms[0], &["customValue"]).await.unwrap().unwrap();
    assert_eq!(o.get("customValue").unwrap().children[0].text_at("value"), Some("ibestad"));

    let privileges = client.privileges(&[estate.tenants.clone(), estate.pool.clone()]).await.unwrap();
    assert_eq!(privileges.len(), 2);
    assert!(privileges[&estate.pool].contains("Resource.AssignVMToPool"));
    assert!(client.current_time().await.unwrap().contains('T'));
    let policies = client.storage_profiles().await.unwrap();
    assert!(policies.iter().any(|p| p.name.contains("vSAN") && !p.id.is_empty()), "{policies:?}");
}
