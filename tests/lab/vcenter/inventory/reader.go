package main

import (
	"context"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// reader collects the inventory.
type reader struct {
	context.Context
	client *vim25.Client

	fields   map[int32]string
	entities map[types.ManagedObjectReference]mo.ManagedEntity
	portKeys map[string]string // port group key to name
}

func (r *reader) read() (*Inventory, error) {
	out := &Inventory{
		Vcenter: r.client.ServiceContent.About.InstanceUuid,
		Folders: []Folder{}, Vms: []Vm{}, Pools: []Pool{}, PortGroups: []PortGroup{}, Rules: []Rule{},
	}
	all, err := view.NewManager(r.client).CreateContainerView(r, r.client.ServiceContent.RootFolder, nil, true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = all.Destroy(context.Background()) }()

	var entities []mo.ManagedEntity
	if err := r.all(all, "ManagedEntity", []string{"name", "parent", "customValue"}, &entities); err != nil {
		return nil, err
	}
	r.entities = map[types.ManagedObjectReference]mo.ManagedEntity{}
	for _, e := range entities {
		r.entities[e.Self] = e
	}
	if err := r.readFields(); err != nil {
		return nil, err
	}
	for _, step := range []func(*view.ContainerView, *Inventory) error{r.readNetworks, r.readFolders, r.readPools, r.readVms, r.readRules} {
		if err := step(all, out); err != nil {
			return nil, err
		}
	}
	out.sort()
	return out, nil
}

// all retrieves every object of a kind; none is no error.
func (r *reader) all(v *view.ContainerView, kind string, paths []string, into any) error {
	return v.Retrieve(r, []string{kind}, paths, into)
}

func (r *reader) readFields() error {
	r.fields = map[int32]string{}
	ref := r.client.ServiceContent.CustomFieldsManager
	if ref == nil {
		return nil
	}
	var m mo.CustomFieldsManager
	if err := property.DefaultCollector(r.client).RetrieveOne(r, *ref, []string{"field"}, &m); err != nil {
		return err
	}
	for _, f := range m.Field {
		r.fields[f.Key] = f.Name
	}
	return nil
}

// path names an object from the root down; a parent out of sight shows as "?".
func (r *reader) path(ref types.ManagedObjectReference) string {
	var names []string
	for ref != r.client.ServiceContent.RootFolder {
		e, ok := r.entities[ref]
		if !ok {
			names = append(names, "?")
			break
		}
		names = append(names, e.Name)
		if e.Parent == nil {
			break
		}
		ref = *e.Parent
	}
	for i, j := 0, len(names)-1; i < j; i, j = i+1, j-1 {
		names[i], names[j] = names[j], names[i]
	}
	return "/" + strings.Join(names, "/")
}

func (r *reader) pathOf(ref *types.ManagedObjectReference) string {
	if ref == nil {
		return ""
	}
	return r.path(*ref)
}

func (r *reader) customValues(ref types.ManagedObjectReference) map[string]string {
	out := map[string]string{}
	for _, v := range r.entities[ref].CustomValue {
		if s, ok := v.(*types.CustomFieldStringValue); ok && s.Value != "" {
			name := r.fields[s.Key]
			if name == "" {
				name = fmt.Sprint(s.Key)
			}
			out[name] = s.Value
		}
	}
	return out
}

func (r *reader) readFolders(_ *view.ContainerView, out *Inventory) error {
	for ref := range r.entities {
		if ref.Type == "Folder" || ref.Type == "Datacenter" {
			out.Folders = append(out.Folders, Folder{Path: r.path(ref), Ref: ref.Value, CustomValues: r.customValues(ref)})
		}
	}
	return nil
}

func (r *reader) readNetworks(v *view.ContainerView, out *Inventory) error {
	r.portKeys = map[string]string{}
	var groups []mo.DistributedVirtualPortgroup
	if err := r.all(v, "DistributedVirtualPortgroup", []string{"name", "key", "config"}, &groups); err != nil {
		return err
	}
	for _, g := range groups {
		r.portKeys[g.Key] = g.Name
		p := PortGroup{Path: r.path(g.Self), Name: g.Name, Ref: g.Self.Value, Vlan: vlan(g.Config.DefaultPortConfig),
			Description: g.Config.Description, CustomValues: r.customValues(g.Self)}
		if s := g.Config.DistributedVirtualSwitch; s != nil {
			p.Switch = r.entities[*s].Name
		}
		out.PortGroups = append(out.PortGroups, p)
	}
	return nil
}

func vlan(setting types.BaseDVPortSetting) string {
	s, ok := setting.(*types.VMwareDVSPortSetting)
	if !ok {
		return ""
	}
	switch v := s.Vlan.(type) {
	case *types.VmwareDistributedVirtualSwitchVlanIdSpec:
		return fmt.Sprint(v.VlanId)
	case *types.VmwareDistributedVirtualSwitchTrunkVlanSpec:
		var ranges []string
		for _, t := range v.VlanId {
			ranges = append(ranges, fmt.Sprintf("%d-%d", t.Start, t.End))
		}
		return "trunk " + strings.Join(ranges, ",")
	case *types.VmwareDistributedVirtualSwitchPvlanSpec:
		return fmt.Sprint("private ", v.PvlanId)
	}
	return ""
}

func (r *reader) readPools(v *view.ContainerView, out *Inventory) error {
	var pools []mo.ResourcePool
	if err := r.all(v, "ResourcePool", []string{"config"}, &pools); err != nil {
		return err
	}
	for _, p := range pools {
		out.Pools = append(out.Pools, Pool{Path: r.path(p.Self), Ref: p.Self.Value,
			CPU: allocation(p.Config.CpuAllocation), Memory: allocation(p.Config.MemoryAllocation), CustomValues: r.customValues(p.Self)})
	}
	return nil
}

func allocation(a types.ResourceAllocationInfo) (out Allocation) {
	out.Limit = -1
	if a.Reservation != nil {
		out.Reservation = *a.Reservation
	}
	if a.Limit != nil {
		out.Limit = *a.Limit
	}
	if a.ExpandableReservation != nil {
		out.Expandable = *a.ExpandableReservation
	}
	if s := a.Shares; s != nil {
		out.Shares = string(s.Level)
		if s.Level == types.SharesLevelCustom {
			out.Shares = fmt.Sprint("custom ", s.Shares)
		}
	}
	return out
}

func (r *reader) readVms(v *view.ContainerView, out *Inventory) error {
	var vms []mo.VirtualMachine
	if err := r.all(v, "VirtualMachine", []string{"name", "config", "runtime.host", "runtime.powerState", "resourcePool", "snapshot"}, &vms); err != nil {
		return err
	}
	for _, m := range vms {
		vm := Vm{Path: r.path(m.Self), Name: m.Name, Ref: m.Self.Value, Power: string(m.Runtime.PowerState),
			Host: r.pathOf(m.Runtime.Host), Pool: r.pathOf(m.ResourcePool),
			Disks: []Disk{}, Nics: []Nic{}, ExtraConfig: map[string]string{}, CustomValues: r.customValues(m.Self)}
		if c := m.Config; c != nil { // None while a VM is being made.
			vm.InstanceUUID, vm.UUID, vm.Template, vm.Guest, vm.Annotation = c.InstanceUuid, c.Uuid, c.Template, c.GuestId, c.Annotation
			vm.CPUs, vm.MemoryMB, vm.Files = c.Hardware.NumCPU, c.Hardware.MemoryMB, c.Files.VmPathName
			vm.CPUHotAdd = c.CpuHotAddEnabled != nil && *c.CpuHotAddEnabled
			vm.MemoryHotAdd = c.MemoryHotAddEnabled != nil && *c.MemoryHotAddEnabled
			for _, o := range c.ExtraConfig {
				vm.ExtraConfig[o.GetOptionValue().Key] = fmt.Sprint(o.GetOptionValue().Value)
			}
			r.readDevices(c.Hardware.Device, &vm)
		}
		if m.Snapshot != nil {
			vm.Snapshots = snapshots("", m.Snapshot.RootSnapshotList)
		}
		out.Vms = append(out.Vms, vm)
	}
	return nil
}

func snapshots(above string, trees []types.VirtualMachineSnapshotTree) (out []string) {
	for _, t := range trees {
		out = append(out, above+t.Name)
		out = append(out, snapshots(above+t.Name+"/", t.ChildSnapshotList)...)
	}
	sort.Strings(out)
	return out
}

func (r *reader) readDevices(devices []types.BaseVirtualDevice, vm *Vm) {
	for _, d := range devices {
		if disk, ok := d.(*types.VirtualDisk); ok {
			file := ""
			if b, ok := disk.Backing.(types.BaseVirtualDeviceFileBackingInfo); ok {
				file = b.GetVirtualDeviceFileBackingInfo().FileName
			}
			vm.Disks = append(vm.Disks, Disk{Key: disk.Key, CapacityKB: disk.CapacityInKB, File: file})
			continue
		}
		card, ok := d.(types.BaseVirtualEthernetCard)
		if !ok {
			continue
		}
		c := card.GetVirtualEthernetCard()
		nic := Nic{Key: c.Key, Type: reflect.TypeOf(d).Elem().Name(), Mac: c.MacAddress}
		switch b := c.Backing.(type) {
		case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
			nic.Network = r.portKeys[b.Port.PortgroupKey]
			if nic.Network == "" {
				nic.Network = "gone: " + b.Port.PortgroupKey
			}
		case *types.VirtualEthernetCardNetworkBackingInfo:
			nic.Network = b.DeviceName
		}
		vm.Nics = append(vm.Nics, nic)
	}
	sort.Slice(vm.Disks, func(a, b int) bool { return vm.Disks[a].Key < vm.Disks[b].Key })
	sort.Slice(vm.Nics, func(a, b int) bool { return vm.Nics[a].Key < vm.Nics[b].Key })
}

func (r *reader) readRules(v *view.ContainerView, out *Inventory) error {
	var clusters []mo.ClusterComputeResource
	if err := r.all(v, "ClusterComputeResource", []string{"configurationEx"}, &clusters); err != nil {
		return err
	}
	for _, c := range clusters {
		config, ok := c.ConfigurationEx.(*types.ClusterConfigInfoEx)
		if !ok {
			continue
		}
		for _, base := range config.Rule {
			info := base.GetClusterRuleInfo()
			rule := Rule{Cluster: r.path(c.Self), Name: info.Name, Key: info.Key, Kind: reflect.TypeOf(base).Elem().Name(),
				Enabled: info.Enabled != nil && *info.Enabled, Vms: []string{}}
			var vms []types.ManagedObjectReference
			switch x := base.(type) {
			case *types.ClusterAntiAffinityRuleSpec:
				vms = x.Vm
			case *types.ClusterAffinityRuleSpec:
				vms = x.Vm
			}
			for _, vm := range vms {
				rule.Vms = append(rule.Vms, r.path(vm))
			}
			sort.Strings(rule.Vms)
			out.Rules = append(out.Rules, rule)
		}
	}
	return nil
}
