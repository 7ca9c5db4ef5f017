// Command probe tries the features that the controller needs against the
// simulator, in process, and prints what came of each. The table in
// tests/lab/README.md is its output put into words: run it again when the
// simulator's version changes.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/pbm"
	pbmtypes "github.com/vmware/govmomi/pbm/types"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	_ "github.com/vmware/govmomi/pbm/simulator"
)

// trial is the estate one run works on.
type trial struct {
	context.Context
	*vim25.Client
	vms     []*object.VirtualMachine
	cluster *object.ClusterComputeResource
	dvs     *object.DistributedVirtualSwitch
	pool    *object.ResourcePool
	vmRoot  *object.Folder
	store   *object.Datastore
}

func main() {
	log.SetFlags(0)
	log.SetOutput(os.Stderr)
	model := simulator.VPX()
	model.Machine = 4
	err := model.Run(func(ctx context.Context, c *vim25.Client) error {
		t, err := newTrial(ctx, c)
		if err != nil {
			return err
		}
		for _, step := range []struct {
			feature string
			try     func() (string, error)
		}{
			{"anti-affinity rule", t.rules},
			{"port group with description", t.portGroup},
			{"custom attribute on a folder", t.customValue},
			{"storage policies", t.policies},
			{"create a storage policy", t.createPolicy},
			{"VM storage profile by reconfigure", t.profileOnVM},
			{"shut down the guest", t.shutdown},
			{"customization specs", t.customization},
			{"guest customization with a clone", t.cloneCustomized},
			{"extraConfig by reconfigure", t.extraConfig},
			{"move into folder", t.move},
			{"update a pool", t.updatePool},
			{"pool: reservation beyond the parent", t.overcommitPool},
			{"destroy a pool that has VMs", t.destroyPool},
			{"hot-add flags", t.hotAdd},
			{"CPU count while powered on", t.cpuWhileOn},
			{"clone: config fields", t.cloneFields},
			{"linked clone", t.linkedClone},
			{"snapshot, remove, revert", t.snapshot},
			{"disk grow and shrink", t.diskGrow},
			{"NIC to another port group", t.nicMove},
			{"remove a port group in use", t.portGroupInUse},
			{"reconfigure a port group", t.portGroupReconfigure},
			{"rename to a taken name", t.renameTaken},
			{"destroy a VM that runs", t.destroyRunning},
			{"stale changeVersion", t.staleChangeVersion},
			{"recent tasks", t.recentTasks},
			{"permissions", t.permissions},
			{"events", t.events},
		} {
			said, err := step.try()
			if err != nil {
				said = fmt.Sprintf("%s FAILED %T %v", said, err, err)
			}
			fmt.Printf("%-40s %s\n", step.feature, said)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}

func newTrial(ctx context.Context, c *vim25.Client) (*trial, error) {
	f := find.NewFinder(c)
	dc, err := f.DefaultDatacenter(ctx)
	if err != nil {
		return nil, err
	}
	f.SetDatacenter(dc)
	t := &trial{Context: ctx, Client: c}
	if t.vms, err = f.VirtualMachineList(ctx, "DC0_C0_RP0_VM*"); err != nil {
		return nil, err
	}
	if t.cluster, err = f.ClusterComputeResource(ctx, "DC0_C0"); err != nil {
		return nil, err
	}
	net, err := f.Network(ctx, "DVS0")
	if err != nil {
		return nil, err
	}
	t.dvs = object.NewDistributedVirtualSwitch(c, net.Reference())
	if t.pool, err = f.ResourcePool(ctx, "DC0_C0/Resources"); err != nil {
		return nil, err
	}
	if t.store, err = f.Datastore(ctx, "LocalDS_0"); err != nil {
		return nil, err
	}
	folders, err := dc.Folders(ctx)
	if err != nil {
		return nil, err
	}
	t.vmRoot = folders.VmFolder
	return t, nil
}

func (t *trial) wait(k *object.Task, err error) error {
	if err != nil {
		return fmt.Errorf("refused at once: %w", err)
	}
	return k.Wait(t)
}

func (t *trial) read(ref types.ManagedObjectReference, paths []string, into any) error {
	return property.DefaultCollector(t.Client).RetrieveOne(t, ref, paths, into)
}

func (t *trial) rules() (string, error) {
	spec := types.ClusterConfigSpecEx{RulesSpec: []types.ClusterRuleSpec{{
		ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationAdd},
		Info: &types.ClusterAntiAffinityRuleSpec{
			ClusterRuleInfo: types.ClusterRuleInfo{Name: "apart", Enabled: types.NewBool(true)},
			Vm:              []types.ManagedObjectReference{t.vms[0].Reference(), t.vms[1].Reference()},
		},
	}}}
	if err := t.wait(t.cluster.Reconfigure(t, &spec, true)); err != nil {
		return "add:", err
	}
	read := func() string {
		var c mo.ClusterComputeResource
		if err := t.read(t.cluster.Reference(), []string{"configurationEx"}, &c); err != nil {
			return err.Error()
		}
		said := ""
		for _, r := range c.ConfigurationEx.(*types.ClusterConfigInfoEx).Rule {
			i := r.GetClusterRuleInfo()
			said += fmt.Sprintf("[%T key=%d name=%s uuid=%v", r, i.Key, i.Name, i.RuleUuid != "")
			if a, ok := r.(*types.ClusterAntiAffinityRuleSpec); ok {
				said += fmt.Sprintf(" vms=%d", len(a.Vm))
			}
			said += "]"
		}
		return said
	}
	said := "added " + read()
	again := t.wait(t.cluster.Reconfigure(t, &spec, true))
	said += fmt.Sprintf("; same name again: %v", again)
	spec.RulesSpec[0].Operation = types.ArrayUpdateOperationEdit
	info := spec.RulesSpec[0].Info.(*types.ClusterAntiAffinityRuleSpec)
	info.Key = 1
	info.Vm = append(info.Vm, t.vms[2].Reference())
	edit := t.wait(t.cluster.Reconfigure(t, &spec, true))
	said += fmt.Sprintf("; edit: %v %s", edit, read())
	drop := types.ClusterConfigSpecEx{RulesSpec: []types.ClusterRuleSpec{{
		ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationRemove, RemoveKey: int32(1)},
	}}}
	said += fmt.Sprintf("; remove: %v %s", t.wait(t.cluster.Reconfigure(t, &drop, true)), read())
	said += fmt.Sprintf("; remove again: %v", t.wait(t.cluster.Reconfigure(t, &drop, true)))
	return said, nil
}

func portGroupSpec(name string, vlan int32) types.DVPortgroupConfigSpec {
	return types.DVPortgroupConfigSpec{
		Name: name, Description: "vertskommune tenant=a", NumPorts: 8, AutoExpand: types.NewBool(true),
		Type: string(types.DistributedVirtualPortgroupPortgroupTypeEarlyBinding),
		DefaultPortConfig: &types.VMwareDVSPortSetting{
			Vlan: &types.VmwareDistributedVirtualSwitchVlanIdSpec{VlanId: vlan},
		},
	}
}

func (t *trial) group(name string) (*mo.DistributedVirtualPortgroup, error) {
	f := find.NewFinder(t.Client)
	dc, err := f.DefaultDatacenter(t)
	if err != nil {
		return nil, err
	}
	n, err := f.SetDatacenter(dc).Network(t, name)
	if err != nil {
		return nil, err
	}
	var pg mo.DistributedVirtualPortgroup
	return &pg, t.read(n.Reference(), nil, &pg)
}

func (t *trial) portGroup() (string, error) {
	k, err := t.dvs.AddPortgroup(t, []types.DVPortgroupConfigSpec{portGroupSpec("tenant-a", 120)})
	if err != nil {
		return "", err
	}
	info, err := k.WaitForResult(t)
	if err != nil {
		return "", err
	}
	pg, err := t.group("tenant-a")
	if err != nil {
		return "", err
	}
	set, _ := pg.Config.DefaultPortConfig.(*types.VMwareDVSPortSetting)
	said := fmt.Sprintf("result=%v description=%q vlan=%+v key=%s", info.Result, pg.Config.Description, set.Vlan, pg.Key)
	again := t.wait(t.dvs.AddPortgroup(t, []types.DVPortgroupConfigSpec{portGroupSpec("tenant-a", 120)}))
	return said + fmt.Sprintf("; again: %v; dvs type %s", again, t.dvs.Reference().Type), nil
}

func (t *trial) customValue() (string, error) {
	m, err := object.GetCustomFieldsManager(t.Client)
	if err != nil {
		return "", err
	}
	def, err := m.Add(t, "vertskommune.owner", "Folder", nil, nil)
	if err != nil {
		return "add", err
	}
	_, dup := m.Add(t, "vertskommune.owner", "Folder", nil, nil)
	f, err := t.vmRoot.CreateFolder(t, "marked")
	if err != nil {
		return "", err
	}
	if err := m.Set(t, f.Reference(), def.Key, "tenant-a"); err != nil {
		return "set", err
	}
	var folder mo.Folder
	if err := t.read(f.Reference(), []string{"customValue", "value"}, &folder); err != nil {
		return "", err
	}
	pg, _ := t.group("tenant-a")
	onGroup := m.Set(t, pg.Reference(), def.Key, "x")
	onPool := m.Set(t, t.pool.Reference(), def.Key, "x")
	return fmt.Sprintf("customValue=%d value=%d second definition: %v; Folder-typed field on port group: %v, on pool: %v",
		len(folder.CustomValue), len(folder.Value), dup, onGroup, onPool), nil
}

func (t *trial) policies() (string, error) {
	c, err := pbm.NewClient(t, t.Client)
	if err != nil {
		return "", err
	}
	ids, err := c.QueryProfile(t, pbmtypes.PbmProfileResourceType{ResourceType: string(pbmtypes.PbmProfileResourceTypeEnumSTORAGE)}, "")
	if err != nil {
		return "query", err
	}
	list, err := c.RetrieveContent(t, ids)
	if err != nil {
		return "content", err
	}
	said := ""
	for _, p := range list {
		said += fmt.Sprintf("%q ", p.GetPbmProfile().Name)
	}
	hubs, err := c.CheckRequirements(t, []pbmtypes.PbmPlacementHub{{HubType: "Datastore", HubId: t.store.Reference().Value}}, nil,
		[]pbmtypes.BasePbmPlacementRequirement{&pbmtypes.PbmPlacementCapabilityProfileRequirement{ProfileId: ids[0]}})
	return said + fmt.Sprintf("; compatible datastores %d %v", len(hubs.CompatibleDatastores()), err), nil
}

func (t *trial) createPolicy() (string, error) {
	c, err := pbm.NewClient(t, t.Client)
	if err != nil {
		return "", err
	}
	id, err := c.CreateProfile(t, pbmtypes.PbmCapabilityProfileCreateSpec{
		Name:         "gold",
		ResourceType: pbmtypes.PbmProfileResourceType{ResourceType: string(pbmtypes.PbmProfileResourceTypeEnumSTORAGE)},
		Constraints:  &pbmtypes.PbmCapabilitySubProfileConstraints{},
	})
	if err != nil {
		return "", err
	}
	return "id " + id.UniqueId, nil
}

func (t *trial) profileOnVM() (string, error) {
	spec := types.VirtualMachineConfigSpec{VmProfile: []types.BaseVirtualMachineProfileSpec{
		&types.VirtualMachineDefinedProfileSpec{ProfileId: "aa6d5a82-1c88-45da-85d3-3d74b91a5bad"}}}
	if err := t.wait(t.vms[0].Reconfigure(t, spec)); err != nil {
		return "", err
	}
	c, err := pbm.NewClient(t, t.Client)
	if err != nil {
		return "", err
	}
	got, err := c.QueryAssociatedProfiles(t, []pbmtypes.PbmServerObjectRef{{
		ObjectType: string(pbmtypes.PbmObjectTypeVirtualMachine), Key: t.vms[0].Reference().Value}})
	return fmt.Sprintf("accepted; associated profiles: %+v", got), err
}

func (t *trial) shutdown() (string, error) {
	var vm mo.VirtualMachine
	_ = t.read(t.vms[3].Reference(), []string{"guest", "runtime"}, &vm)
	said := fmt.Sprintf("tools=%s/%s ip=%q host=%q before=%s", vm.Guest.ToolsStatus, vm.Guest.ToolsRunningStatus, vm.Guest.IpAddress, vm.Guest.HostName, vm.Runtime.PowerState)
	if err := t.vms[3].ShutdownGuest(t); err != nil {
		return said, err
	}
	err := t.vms[3].WaitForPowerState(t, types.VirtualMachinePowerStatePoweredOff)
	again := t.vms[3].ShutdownGuest(t)
	return said + fmt.Sprintf("; after=poweredOff; again: %v", again), err
}

func linuxSpec() types.CustomizationSpec {
	return types.CustomizationSpec{
		Identity: &types.CustomizationLinuxPrep{
			HostName: &types.CustomizationFixedName{Name: "web01"}, Domain: "a.example"},
		NicSettingMap: []types.CustomizationAdapterMapping{{Adapter: types.CustomizationIPSettings{
			Ip: &types.CustomizationFixedIp{IpAddress: "192.0.2.10"}, SubnetMask: "255.255.255.0", Gateway: []string{"192.0.2.1"}}}},
	}
}

func (t *trial) customization() (string, error) {
	m := object.NewCustomizationSpecManager(t.Client)
	err := m.CreateCustomizationSpec(t, types.CustomizationSpecItem{
		Info: types.CustomizationSpecInfo{Name: "linux-a", Type: "Linux", Description: "d"}, Spec: linuxSpec()})
	if err != nil {
		return "create", err
	}
	got, err := m.GetCustomizationSpec(t, "linux-a")
	if err != nil {
		return "get", err
	}
	said := fmt.Sprintf("created, read %q", got.Info.Name)
	return said, m.DeleteCustomizationSpec(t, "linux-a")
}

func (t *trial) clone(name string, spec types.VirtualMachineCloneSpec) (*object.VirtualMachine, error) {
	if spec.Location.Pool == nil {
		ref := t.pool.Reference()
		spec.Location.Pool = &ref
	}
	k, err := t.vms[0].Clone(t, t.vmRoot, name, spec)
	if err != nil {
		return nil, err
	}
	info, err := k.WaitForResult(t)
	if err != nil {
		return nil, err
	}
	return object.NewVirtualMachine(t.Client, info.Result.(types.ManagedObjectReference)), nil
}

func (t *trial) cloneCustomized() (string, error) {
	spec := linuxSpec()
	vm, err := t.clone("customized", types.VirtualMachineCloneSpec{Customization: &spec, PowerOn: true})
	if err != nil {
		return "", err
	}
	var got mo.VirtualMachine
	err = t.read(vm.Reference(), []string{"guest"}, &got)
	return fmt.Sprintf("guest host=%q ip=%q", got.Guest.HostName, got.Guest.IpAddress), err
}

func options(kv ...string) (out []types.BaseOptionValue) {
	for i := 0; i < len(kv); i += 2 {
		out = append(out, &types.OptionValue{Key: kv[i], Value: kv[i+1]})
	}
	return
}

func (t *trial) extra(vm *object.VirtualMachine, key string) string {
	var got mo.VirtualMachine
	if err := t.read(vm.Reference(), []string{"config.extraConfig"}, &got); err != nil {
		return err.Error()
	}
	for _, o := range got.Config.ExtraConfig {
		if v := o.GetOptionValue(); v.Key == key {
			return fmt.Sprintf("%q", v.Value)
		}
	}
	return "absent"
}

func (t *trial) extraConfig() (string, error) {
	vm := t.vms[1]
	set := func(v string) error {
		return t.wait(vm.Reconfigure(t, types.VirtualMachineConfigSpec{ExtraConfig: options("vertskommune.tenant", v)}))
	}
	if err := set("a"); err != nil {
		return "", err
	}
	said := "set " + t.extra(vm, "vertskommune.tenant")
	if err := set("b"); err != nil {
		return said, err
	}
	said += ", changed " + t.extra(vm, "vertskommune.tenant")
	err := set("")
	return said + ", emptied " + t.extra(vm, "vertskommune.tenant"), err
}

func (t *trial) move() (string, error) {
	f, err := t.vmRoot.CreateFolder(t, "target")
	if err != nil {
		return "", err
	}
	_, dup := t.vmRoot.CreateFolder(t, "target")
	if err := t.wait(f.MoveInto(t, []types.ManagedObjectReference{t.vms[1].Reference()})); err != nil {
		return "", err
	}
	var vm mo.VirtualMachine
	err = t.read(t.vms[1].Reference(), []string{"parent"}, &vm)
	return fmt.Sprintf("moved %v; CreateFolder of a taken name: %v", vm.Parent.Value == f.Reference().Value, dup), err
}

func poolSpec(mhz, mb int64) types.ResourceConfigSpec {
	s := types.DefaultResourceConfigSpec()
	s.CpuAllocation.Limit, s.CpuAllocation.Reservation = &mhz, types.NewInt64(0)
	s.MemoryAllocation.Limit, s.MemoryAllocation.Reservation = &mb, types.NewInt64(0)
	s.CpuAllocation.ExpandableReservation = types.NewBool(false)
	s.MemoryAllocation.ExpandableReservation = types.NewBool(false)
	return s
}

func (t *trial) updatePool() (string, error) {
	p, err := t.pool.Create(t, "tenant-a", poolSpec(1000, 2048))
	if err != nil {
		return "create", err
	}
	show := func() string {
		var got mo.ResourcePool
		if err := t.read(p.Reference(), []string{"config", "runtime"}, &got); err != nil {
			return err.Error()
		}
		a := got.Config
		return fmt.Sprintf("cpu limit=%d expandable=%v, memory limit=%d shares=%v", *a.CpuAllocation.Limit, *a.CpuAllocation.ExpandableReservation, *a.MemoryAllocation.Limit, a.MemoryAllocation.Shares)
	}
	said := "created " + show()
	_, dup := t.pool.Create(t, "tenant-a", poolSpec(1, 1))
	said += fmt.Sprintf("; again: %v", dup)
	next := poolSpec(3000, 4096)
	next.CpuAllocation.ExpandableReservation = types.NewBool(true)
	err = p.UpdateConfig(t, "", &next)
	return said + "; updated " + show(), err
}

func (t *trial) overcommitPool() (string, error) {
	s := poolSpec(-1, -1)
	s.MemoryAllocation.Reservation = types.NewInt64(1 << 30)
	p, err := t.pool.Create(t, "huge", s)
	if err == nil {
		_ = t.wait(p.Destroy(t))
		return "accepted", nil
	}
	return "", err
}

func (t *trial) destroyPool() (string, error) {
	p, err := t.pool.Create(t, "brief", poolSpec(-1, -1))
	if err != nil {
		return "", err
	}
	ref := p.Reference()
	vm, err := t.clone("in-brief", types.VirtualMachineCloneSpec{Location: types.VirtualMachineRelocateSpec{Pool: &ref}})
	if err != nil {
		return "", err
	}
	if err := t.wait(p.Destroy(t)); err != nil {
		return "destroy:", err
	}
	var got mo.VirtualMachine
	err = t.read(vm.Reference(), []string{"resourcePool"}, &got)
	return fmt.Sprintf("destroyed; its VM is now in the parent: %v", got.ResourcePool != nil && *got.ResourcePool == t.pool.Reference()), err
}

func (t *trial) hotAdd() (string, error) {
	vm := t.vms[3] // powered off by the shutdown above
	err := t.wait(vm.Reconfigure(t, types.VirtualMachineConfigSpec{
		CpuHotAddEnabled: types.NewBool(true), MemoryHotAddEnabled: types.NewBool(true), NumCoresPerSocket: types.NewInt32(1), Annotation: "note"}))
	if err != nil {
		return "", err
	}
	var got mo.VirtualMachine
	err = t.read(vm.Reference(), []string{"config"}, &got)
	show := func(b *bool) string {
		if b == nil {
			return "unset"
		}
		return fmt.Sprint(*b)
	}
	return fmt.Sprintf("cpu=%s memory=%s annotation=%q", show(got.Config.CpuHotAddEnabled), show(got.Config.MemoryHotAddEnabled), got.Config.Annotation), err
}

func (t *trial) cpuWhileOn() (string, error) {
	err := t.wait(t.vms[2].Reconfigure(t, types.VirtualMachineConfigSpec{NumCPUs: 3, MemoryMB: 3072}))
	var got mo.VirtualMachine
	_ = t.read(t.vms[2].Reference(), []string{"config.hardware", "runtime.powerState"}, &got)
	return fmt.Sprintf("%s, hot-add off: cpus=%d memory=%d", got.Runtime.PowerState, got.Config.Hardware.NumCPU, got.Config.Hardware.MemoryMB), err
}

func (t *trial) cloneFields() (string, error) {
	vm, err := t.clone("fields", types.VirtualMachineCloneSpec{Config: &types.VirtualMachineConfigSpec{
		InstanceUuid: "11111111-2222-3333-4444-555555555555", NumCPUs: 3, MemoryMB: 3072, Annotation: "note", NumCoresPerSocket: types.NewInt32(3),
		CpuHotAddEnabled: types.NewBool(true), ExtraConfig: options("vertskommune.tenant", "a"), GuestId: "ubuntu64Guest"}})
	if err != nil {
		return "", err
	}
	var got mo.VirtualMachine
	if err := t.read(vm.Reference(), []string{"config", "runtime"}, &got); err != nil {
		return "", err
	}
	_, dup := t.clone("fields", types.VirtualMachineCloneSpec{})
	twin, terr := t.clone("twin", types.VirtualMachineCloneSpec{Config: &types.VirtualMachineConfigSpec{InstanceUuid: "11111111-2222-3333-4444-555555555555"}})
	_ = twin
	return fmt.Sprintf("instanceUuid=%s cpus=%d cores=%v memory=%d annotation=%q hotadd=%v guest=%s extra=%s power=%s; same name again: %v; same instanceUuid: %v",
		got.Config.InstanceUuid, got.Config.Hardware.NumCPU, got.Config.Hardware.NumCoresPerSocket, got.Config.Hardware.MemoryMB, got.Config.Annotation,
		got.Config.CpuHotAddEnabled != nil, got.Config.GuestId, t.extra(vm, "vertskommune.tenant"), got.Runtime.PowerState, dup, terr), nil
}

func (t *trial) linkedClone() (string, error) {
	k, err := t.vms[0].CreateSnapshot(t, "base", "", false, false)
	if err != nil {
		return "", err
	}
	info, err := k.WaitForResult(t)
	if err != nil {
		return "", err
	}
	snap := info.Result.(types.ManagedObjectReference)
	_, err = t.clone("linked", types.VirtualMachineCloneSpec{Snapshot: &snap, Location: types.VirtualMachineRelocateSpec{
		DiskMoveType: string(types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking)}})
	return "accepted (a full clone in truth)", err
}

func (t *trial) snapshot() (string, error) {
	vm := t.vms[2]
	if err := t.wait(vm.CreateSnapshot(t, "before", "d", false, true)); err != nil {
		return "create", err
	}
	var got mo.VirtualMachine
	if err := t.read(vm.Reference(), []string{"snapshot"}, &got); err != nil {
		return "read", err
	}
	if err := t.wait(vm.RevertToSnapshot(t, "before", false)); err != nil {
		return "revert", err
	}
	return fmt.Sprintf("%d in tree; reverted; removed", len(got.Snapshot.RootSnapshotList)), t.wait(vm.RemoveSnapshot(t, "before", true, nil))
}

func (t *trial) diskGrow() (string, error) {
	vm := t.vms[3]
	devices, err := vm.Device(t)
	if err != nil {
		return "", err
	}
	d := devices.SelectByType((*types.VirtualDisk)(nil))[0].(*types.VirtualDisk)
	said := fmt.Sprintf("%d KB", d.CapacityInKB)
	d.CapacityInKB *= 2
	d.CapacityInBytes = d.CapacityInKB * 1024
	if err := vm.EditDevice(t, d); err != nil {
		return said, err
	}
	d.CapacityInKB /= 4
	d.CapacityInBytes = d.CapacityInKB * 1024
	return said + " doubled; shrink:", vm.EditDevice(t, d)
}

func (t *trial) nicMove() (string, error) {
	vm := t.vms[3]
	devices, err := vm.Device(t)
	if err != nil {
		return "", err
	}
	pg, err := t.group("tenant-a")
	if err != nil {
		return "", err
	}
	b, err := object.NewDistributedVirtualPortgroup(t.Client, pg.Reference()).EthernetCardBackingInfo(t)
	if err != nil {
		return "backing", err
	}
	nic := devices.SelectByType((*types.VirtualEthernetCard)(nil))[0]
	nic.GetVirtualDevice().Backing = b
	if err := vm.EditDevice(t, nic); err != nil {
		return "", err
	}
	var got mo.VirtualMachine
	_ = t.read(vm.Reference(), []string{"network"}, &got)
	pg, _ = t.group("tenant-a")
	return fmt.Sprintf("edited; vm.network names it: %v; portgroup.vm counts %d", len(got.Network) > 0 && got.Network[0] == pg.Reference(), len(pg.Vm)), nil
}

func (t *trial) portGroupInUse() (string, error) {
	pg, err := t.group("tenant-a")
	if err != nil {
		return "", err
	}
	err = t.wait(object.NewDistributedVirtualPortgroup(t.Client, pg.Reference()).Destroy(t))
	if err == nil {
		return "destroyed although a NIC uses it", nil
	}
	return "refused:", err
}

func (t *trial) portGroupReconfigure() (string, error) {
	if err := t.wait(t.dvs.AddPortgroup(t, []types.DVPortgroupConfigSpec{portGroupSpec("tenant-b", 130)})); err != nil {
		return "", err
	}
	pg, err := t.group("tenant-b")
	if err != nil {
		return "", err
	}
	spec := portGroupSpec("tenant-b", 131)
	spec.ConfigVersion = pg.Config.ConfigVersion
	spec.Description = "changed"
	if err := t.wait(object.NewDistributedVirtualPortgroup(t.Client, pg.Reference()).Reconfigure(t, spec)); err != nil {
		return "", err
	}
	before := pg.Config.ConfigVersion
	pg, err = t.group("tenant-b")
	set, _ := pg.Config.DefaultPortConfig.(*types.VMwareDVSPortSetting)
	return fmt.Sprintf("vlan=%+v description=%q configVersion %q -> %q", set.Vlan, pg.Config.Description, before, pg.Config.ConfigVersion), err
}

func (t *trial) renameTaken() (string, error) {
	if err := t.wait(t.vms[2].Rename(t, "fields")); err != nil {
		return "refused:", err
	}
	return "accepted", t.wait(t.vms[2].Rename(t, "DC0_C0_RP0_VM2"))
}

func (t *trial) destroyRunning() (string, error) {
	vm, err := t.clone("running", types.VirtualMachineCloneSpec{PowerOn: true})
	if err != nil {
		return "", err
	}
	if err := t.wait(vm.Destroy(t)); err != nil {
		return "refused:", err
	}
	return "destroyed", nil
}

func (t *trial) staleChangeVersion() (string, error) {
	if err := t.wait(t.vms[2].Reconfigure(t, types.VirtualMachineConfigSpec{ChangeVersion: "stale", Annotation: "x"})); err != nil {
		return "refused:", err
	}
	return "accepted", nil
}

func (t *trial) recentTasks() (string, error) {
	m := task.NewManager(t.Client)
	var got mo.TaskManager
	if err := t.read(m.Reference(), []string{"recentTask"}, &got); err != nil {
		return "", err
	}
	var last mo.Task
	if n := len(got.RecentTask); n > 0 {
		_ = t.read(got.RecentTask[n-1], []string{"info"}, &last)
	}
	return fmt.Sprintf("%d listed; last name=%s descriptionId=%s entityName=%s reason=%T", len(got.RecentTask), last.Info.Name, last.Info.DescriptionId, last.Info.EntityName, last.Info.Reason), nil
}

func (t *trial) permissions() (string, error) {
	m := object.NewAuthorizationManager(t.Client)
	f, err := t.vmRoot.CreateFolder(t, "walled")
	if err != nil {
		return "", err
	}
	if err := m.SetEntityPermissions(t, f.Reference(), []types.Permission{{Principal: "user", RoleId: -5, Propagate: true}}); err != nil {
		return "set", err
	}
	list, err := m.RetrieveEntityPermissions(t, f.Reference(), false)
	if err != nil {
		return "read", err
	}
	var got mo.Folder
	err = t.read(f.Reference(), []string{"name"}, &got)
	has, herr := m.HasPrivilegeOnEntity(t, f.Reference(), "x", []string{"VirtualMachine.Inventory.CreateFromExisting"})
	return fmt.Sprintf("set NoAccess, %d listed; the folder is still read: %q; HasPrivilegeOnEntity %v %v", len(list), got.Name, has, herr), err
}

func (t *trial) events() (string, error) {
	em := t.ServiceContent.EventManager
	res, err := methods.QueryEvents(t, t.Client, &types.QueryEvents{This: *em, Filter: types.EventFilterSpec{
		Entity: &types.EventFilterSpecByEntity{Entity: t.vms[2].Reference(), Recursion: types.EventFilterSpecRecursionOptionSelf}}})
	if err != nil {
		return "", err
	}
	kinds := map[string]int{}
	for _, e := range res.Returnval {
		kinds[fmt.Sprintf("%T", e)]++
	}
	return fmt.Sprint(kinds), nil
}
