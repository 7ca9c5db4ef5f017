package main

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

// estateSize is what the flags say about the estate of the host municipality.
type estateSize struct {
	hosts, vms, datastores, portGroups int
}

// estate is the host municipality's vCenter while it is being filled: what is
// the controller's (the folder and the pool Tenants, the templates to clone
// from) and what is not and must never change.
type estate struct {
	context.Context
	client  *vim25.Client
	seed    string
	hosts   []*object.HostSystem
	root    *object.Folder
	pool    *object.ResourcePool
	cluster *object.ClusterComputeResource
	dvs     *object.DistributedVirtualSwitch
	finder  *find.Finder
	made    int
}

// machine is a VM of the estate.
type machine struct {
	name, guest, network string
	cpus                 int32
	memoryMB, diskGB     int64
	annotation           string
	extra                []types.BaseOptionValue
	template, off        bool
}

func (s estateSize) create(service *simulator.Service, seed string) error {
	ctx := context.Background()
	client, err := vim25.NewClient(ctx, service)
	if err != nil {
		return err
	}
	e := &estate{Context: ctx, client: client, seed: seed, finder: find.NewFinder(client)}
	if err := e.locate(); err != nil {
		return err
	}
	for _, g := range []struct {
		name, description string
		vlan              int32
	}{{"templates", "where templates are sealed", 0}, {"drift-servers", "the municipality's own servers", 10}} {
		if err := e.portGroup(g.name, g.description, g.vlan); err != nil {
			return err
		}
	}
	foreignPool, err := e.pool.Create(e, "Drift", types.DefaultResourceConfigSpec())
	if err != nil {
		return err
	}
	if _, err := e.pool.Create(e, "Tenants", types.DefaultResourceConfigSpec()); err != nil {
		return err
	}
	if _, err := e.root.CreateFolder(e, "Tenants"); err != nil {
		return err
	}
	templates, err := e.root.CreateFolder(e, "Templates")
	if err != nil {
		return err
	}
	drift, err := e.root.CreateFolder(e, "Drift")
	if err != nil {
		return err
	}
	// A folder with the name of ours at another place, and a VM in it with a
	// name that a tenant would choose: neither is the controller's.
	lookalike, err := drift.CreateFolder(e, "Tenants")
	if err != nil {
		return err
	}

	for _, m := range []machine{
		{name: "windows-server-2022", guest: "windows2019srvNext_64Guest", network: "templates", cpus: 2, memoryMB: 4096, diskGB: 40, template: true},
		{name: "ubuntu-24.04", guest: "ubuntu64Guest", network: "templates", cpus: 1, memoryMB: 2048, diskGB: 20, template: true},
	} {
		if _, err := e.machine(templates, e.pool, m); err != nil {
			return err
		}
	}
	own := []types.BaseOptionValue{&types.OptionValue{Key: "drift.owner", Value: "IT"}}
	var apart []types.ManagedObjectReference
	for _, m := range []machine{
		{name: "legacy-fs01", guest: "windows9Server64Guest", network: "drift-servers", cpus: 2, memoryMB: 4096, diskGB: 100, annotation: "File server, do not touch", extra: own},
		{name: "legacy-db01", guest: "centos7_64Guest", network: "drift-servers", cpus: 4, memoryMB: 8192, diskGB: 200, annotation: "Payroll", extra: own},
	} {
		vm, err := e.machine(drift, foreignPool, m)
		if err != nil {
			return err
		}
		apart = append(apart, vm.Reference())
	}
	if _, err := e.machine(lookalike, foreignPool, machine{name: "fs01", guest: "ubuntu64Guest", network: "drift-servers", cpus: 1, memoryMB: 1024, diskGB: 10, off: true}); err != nil {
		return err
	}
	for i := range s.vms {
		m := machine{name: fmt.Sprintf("DC0_C0_RP0_VM%d", i), guest: "otherGuest", network: "drift-servers", cpus: 1, memoryMB: 512, diskGB: 10}
		if _, err := e.machine(e.root, e.pool, m); err != nil {
			return err
		}
	}
	return e.wait(e.cluster.Reconfigure(e, &types.ClusterConfigSpecEx{RulesSpec: []types.ClusterRuleSpec{{
		ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationAdd},
		Info: &types.ClusterAntiAffinityRuleSpec{
			ClusterRuleInfo: types.ClusterRuleInfo{Name: "drift-apart", Enabled: types.NewBool(true)}, Vm: apart},
	}}}, true))
}

// locate finds what the simulator's model has made.
func (e *estate) locate() error {
	dc, err := e.finder.DefaultDatacenter(e)
	if err != nil {
		return err
	}
	e.finder.SetDatacenter(dc)
	folders, err := dc.Folders(e)
	if err != nil {
		return err
	}
	e.root = folders.VmFolder
	if e.cluster, err = e.finder.ClusterComputeResource(e, "DC0_C0"); err != nil {
		return err
	}
	if e.pool, err = e.cluster.ResourcePool(e); err != nil {
		return err
	}
	if e.hosts, err = e.finder.HostSystemList(e, "*"); err != nil {
		return err
	}
	net, err := e.finder.Network(e, "DVS0")
	if err != nil {
		return err
	}
	e.dvs = object.NewDistributedVirtualSwitch(e.client, net.Reference())
	return nil
}

func (e *estate) wait(task *object.Task, err error) error {
	if err != nil {
		return err
	}
	return task.Wait(e)
}

func (e *estate) portGroup(name, description string, vlan int32) error {
	return e.wait(e.dvs.AddPortgroup(e, []types.DVPortgroupConfigSpec{{
		Name: name, Description: description, NumPorts: 8, AutoExpand: types.NewBool(true),
		Type: string(types.DistributedVirtualPortgroupPortgroupTypeEarlyBinding),
		DefaultPortConfig: &types.VMwareDVSPortSetting{
			Vlan: &types.VmwareDistributedVirtualSwitchVlanIdSpec{VlanId: vlan}},
	}}))
}

// identity gives the same UUID for the same vCenter and name, run after run.
func (e *estate) identity(kind, name string) string {
	space := sha256.Sum256([]byte(e.seed))
	return uuid.NewSHA1(uuid.UUID(space[:16]), []byte(kind+"/"+name)).String()
}

func (e *estate) machine(folder *object.Folder, pool *object.ResourcePool, m machine) (*object.VirtualMachine, error) {
	network, err := e.finder.Network(e, m.network)
	if err != nil {
		return nil, err
	}
	backing, err := network.EthernetCardBackingInfo(e)
	if err != nil {
		return nil, err
	}
	store := fmt.Sprintf("[LocalDS_%d]", 0)
	var devices object.VirtualDeviceList
	scsi, err := devices.CreateSCSIController("pvscsi")
	if err != nil {
		return nil, err
	}
	nic, err := devices.CreateEthernetCard("vmxnet3", backing)
	if err != nil {
		return nil, err
	}
	disk := devices.CreateDisk(scsi.(types.BaseVirtualController), types.ManagedObjectReference{}, fmt.Sprintf("%s %s/%s.vmdk", store, m.name, m.name))
	disk.CapacityInKB = m.diskGB << 20
	disk.CapacityInBytes = m.diskGB << 30
	changes, err := object.VirtualDeviceList{scsi, disk, nic}.ConfigSpec(types.VirtualDeviceConfigSpecOperationAdd)
	if err != nil {
		return nil, err
	}
	path := folder.Reference().Value + "/" + m.name
	spec := types.VirtualMachineConfigSpec{
		Name: m.name, GuestId: m.guest, NumCPUs: m.cpus, MemoryMB: m.memoryMB, Annotation: m.annotation, ExtraConfig: m.extra,
		Uuid: e.identity("bios", path), InstanceUuid: e.identity("instance", path),
		Files: &types.VirtualMachineFileInfo{VmPathName: store}, DeviceChange: changes,
	}
	host := e.hosts[e.made%len(e.hosts)]
	e.made++
	task, err := folder.CreateVM(e, spec, pool, host)
	if err != nil {
		return nil, err
	}
	info, err := task.WaitForResult(e)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.name, err)
	}
	vm := object.NewVirtualMachine(e.client, info.Result.(types.ManagedObjectReference))
	switch {
	case m.template:
		return vm, vm.MarkAsTemplate(e)
	case m.off:
		return vm, nil
	default:
		return vm, e.wait(vm.PowerOn(e))
	}
}
