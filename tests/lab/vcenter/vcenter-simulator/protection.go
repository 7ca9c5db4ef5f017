package main

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// quiescing makes snapshots fail that shall be quiesced, and only those.
type quiescing struct {
	mu     sync.Mutex
	faults map[string]string // by the VM's name, "*" for any
}

func (q *quiescing) set(vm, fault string) error {
	if _, err := faultOf(fault); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.faults[vm] = fault
	return nil
}

func (q *quiescing) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.faults)
}

// rule is how a snapshot fails; nil when it does not.
func (q *quiescing) rule(method *simulator.Method, vm string) *faultRule {
	switch body := method.Body.(type) {
	case *types.CreateSnapshot_Task:
		if !body.Quiesce {
			return nil
		}
	case *types.CreateSnapshotEx_Task:
		if body.QuiesceSpec == nil {
			return nil
		}
	default:
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, name := range []string{vm, "*"} {
		if fault := q.faults[name]; fault != "" {
			return &faultRule{Method: method.Name, Type: fault}
		}
	}
	return nil
}

// amend has a snapshot taken without quiescing where the guest does not run, as
// vSphere does without a word.
func (q *quiescing) amend(registry *simulator.Registry, method *simulator.Method) {
	vm, ok := registry.Get(method.This).(*simulator.VirtualMachine)
	if !ok {
		return
	}
	runs := false
	newContext(registry).WithLock(vm, func() {
		runs = vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
	})
	if runs {
		return
	}
	switch body := method.Body.(type) {
	case *types.CreateSnapshot_Task:
		body.Quiesce = false
	case *types.CreateSnapshotEx_Task:
		body.QuiesceSpec = nil
	}
}

// obstacle makes a VM one that cannot be backed up by its disks' export.
type obstacle struct {
	VM        string `json:"vm"`        // name or reference
	Disk      int32  `json:"disk"`      // device key; 0 for the first one
	Mode      string `json:"mode"`      // the disk's mode, such as independent_persistent
	RDM       string `json:"rdm"`       // the disk is a LUN: physicalMode or virtualMode
	Sharing   string `json:"sharing"`   // the disk's sharing, such as sharingMultiWriter
	Encrypted bool   `json:"encrypted"` // the VM and the disk are
	TPM       bool   `json:"tpm"`       // the VM has one, and is encrypted
}

// put changes the VM's hardware behind everybody's back.
func (o *obstacle) put(registry *simulator.Registry) error {
	vm, err := vmNamed(registry, o.VM)
	if err != nil {
		return err
	}
	ctx := newContext(registry)
	ctx.WithLock(vm, func() {
		key := &types.CryptoKeyId{KeyId: "lab-key", ProviderId: &types.KeyProviderId{Id: "lab"}}
		var devices []types.BaseVirtualDevice
		found := o.Mode == "" && o.RDM == "" && o.Sharing == "" && !o.Encrypted
		for _, device := range vm.Config.Hardware.Device {
			d, ok := device.(*types.VirtualDisk)
			if !ok || found || o.Disk != 0 && o.Disk != d.Key {
				devices = append(devices, device)
				continue
			}
			found = true
			changed := *d
			if changed.Backing, err = o.backing(d.Backing, key); err != nil {
				return
			}
			devices = append(devices, &changed)
		}
		if !found {
			err = fmt.Errorf("%s has no such disk", o.VM)
			return
		}
		if o.TPM {
			devices = append(devices, &types.VirtualTPM{VirtualDevice: types.VirtualDevice{Key: 11000}})
		}
		changes := []types.PropertyChange{
			{Name: "config.hardware.device", Val: devices},
			{Name: "config.changeVersion", Val: time.Now().UTC().Format(time.RFC3339Nano)},
		}
		if o.TPM || o.Encrypted {
			changes = append(changes, types.PropertyChange{Name: "config.keyId", Val: key})
		}
		ctx.Update(vm, changes)
	})
	return err
}

func (o *obstacle) backing(old types.BaseVirtualDeviceBackingInfo, key *types.CryptoKeyId) (types.BaseVirtualDeviceBackingInfo, error) {
	flat, ok := old.(*types.VirtualDiskFlatVer2BackingInfo)
	if !ok {
		return nil, fmt.Errorf("%s is a special disk already", o.VM)
	}
	changed := *flat
	if o.Mode != "" {
		changed.DiskMode = o.Mode
	}
	if o.Sharing != "" {
		changed.Sharing = o.Sharing
	}
	if o.Encrypted {
		changed.KeyId = key
	}
	if o.RDM == "" {
		return &changed, nil
	}
	return &types.VirtualDiskRawDiskMappingVer1BackingInfo{
		VirtualDeviceFileBackingInfo: changed.VirtualDeviceFileBackingInfo, LunUuid: "lab-lun", DeviceName: "vml.lab",
		CompatibilityMode: o.RDM, DiskMode: changed.DiskMode, Uuid: changed.Uuid,
	}, nil
}

// vmNamed finds a VM by its reference, or by its name if only one has it.
func vmNamed(registry *simulator.Registry, name string) (found *simulator.VirtualMachine, err error) {
	for _, entity := range registry.All("VirtualMachine") {
		vm := entity.(*simulator.VirtualMachine)
		if vm.Self.Value != name && vm.Name != name {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("more than one VM is named %s: give its reference", name)
		}
		found = vm
	}
	if found == nil {
		return nil, fmt.Errorf("no VM is named %s", name)
	}
	return found, nil
}

// snapshotState is a snapshot as the admin port tells it.
type snapshotState struct {
	VM          string `json:"vm"`
	Snapshot    string `json:"snapshot"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Quiesced    bool   `json:"quiesced"`
	Memory      bool   `json:"memory"`
}

func snapshots(registry *simulator.Registry) []snapshotState {
	out := []snapshotState{}
	for _, entity := range registry.All("VirtualMachine") {
		vm := entity.(*simulator.VirtualMachine)
		newContext(registry).WithLock(vm, func() {
			if vm.Snapshot == nil {
				return
			}
			var walk func([]types.VirtualMachineSnapshotTree)
			walk = func(tree []types.VirtualMachineSnapshotTree) {
				for _, s := range tree {
					out = append(out, snapshotState{vm.Name, s.Snapshot.Value, s.Name, s.Description, s.Quiesced, s.State == types.VirtualMachinePowerStatePoweredOn})
					walk(s.ChildSnapshotList)
				}
			}
			walk(vm.Snapshot.RootSnapshotList)
		})
	}
	return out
}

// adminProtection serves what concerns snapshots, exports and the bytes of disks.
func adminProtection(mux *http.ServeMux, w *world) {
	mux.HandleFunc("GET /snapshots", func(out http.ResponseWriter, _ *http.Request) { reply(out, snapshots(w.registry)) })
	mux.HandleFunc("GET /leases", func(out http.ResponseWriter, _ *http.Request) { reply(out, w.exports.list()) })
	mux.HandleFunc("POST /leases/expire", func(out http.ResponseWriter, _ *http.Request) {
		reply(out, map[string]int{"expired": w.exports.expire()})
	})
	mux.HandleFunc("POST /lease-timeout", func(out http.ResponseWriter, r *http.Request) {
		s, err := strconv.Atoi(r.URL.Query().Get("s"))
		if err == nil {
			w.exports.setTimeout(time.Duration(s) * time.Second)
		}
		done(out, err)
	})
	mux.HandleFunc("POST /export", func(out http.ResponseWriter, r *http.Request) {
		o := &exportOrder{VM: "*"}
		if decode(out, r, o) {
			done(out, w.exports.add(o))
		}
	})
	mux.HandleFunc("DELETE /export", func(out http.ResponseWriter, _ *http.Request) {
		w.exports.clear()
		done(out, nil)
	})
	mux.HandleFunc("POST /quiesce", func(out http.ResponseWriter, r *http.Request) {
		vm, fault := r.URL.Query().Get("vm"), r.URL.Query().Get("fault")
		if fault == "" {
			fault = "FilesystemQuiesceFault"
		}
		done(out, w.quiescing.set(vm, fault))
	})
	mux.HandleFunc("DELETE /quiesce", func(out http.ResponseWriter, _ *http.Request) {
		w.quiescing.clear()
		done(out, nil)
	})
	mux.HandleFunc("POST /obstacle", func(out http.ResponseWriter, r *http.Request) {
		var o obstacle
		if decode(out, r, &o) {
			done(out, o.put(w.registry))
		}
	})
	mux.HandleFunc("GET /disks", func(out http.ResponseWriter, r *http.Request) {
		disks, err := w.disksAsked(r)
		if err != nil {
			done(out, err)
			return
		}
		for _, d := range disks {
			d.SHA256 = d.hash()
		}
		reply(out, disks)
	})
	mux.HandleFunc("GET /disks/bytes", func(out http.ResponseWriter, r *http.Request) {
		disks, err := w.disksAsked(r)
		if err == nil && len(disks) != 1 {
			err = fmt.Errorf("%d disks match, name one by its key", len(disks))
		}
		if err != nil {
			done(out, err)
			return
		}
		_ = disks[0].raw(out)
	})
	mux.HandleFunc("POST /disks/change", func(out http.ResponseWriter, r *http.Request) {
		vm, err := vmNamed(w.registry, r.URL.Query().Get("vm"))
		disks, err2 := w.disksAsked(r)
		grains, err3 := strconv.ParseInt(r.URL.Query().Get("grains"), 10, 64)
		for _, e := range []error{err, err2, err3} {
			if e != nil {
				done(out, e)
				return
			}
		}
		for _, d := range disks {
			w.contents.write(vm.Self, d, grains)
		}
		done(out, nil)
	})
	mux.HandleFunc("POST /disks/prepare", func(out http.ResponseWriter, r *http.Request) {
		disks, err := w.disksAsked(r)
		for i := 0; err == nil && i < len(disks); i++ {
			err = w.contents.prepare(disks[i])
		}
		done(out, err)
	})
	mux.HandleFunc("POST /disks/size", func(out http.ResponseWriter, r *http.Request) {
		longest, err := strconv.ParseInt(r.URL.Query().Get("longest"), 10, 64)
		filled, err2 := strconv.ParseInt(r.URL.Query().Get("filled"), 10, 64)
		if err == nil {
			err = err2
		}
		if err == nil {
			w.contents.sizes(longest, filled)
		}
		done(out, err)
	})
}

// disksAsked are the disks that a request means: of a VM as they are now, or of
// a snapshot; all of them or the one of a key. They are copies, so that the hash
// can be put into them.
func (w *world) disksAsked(r *http.Request) ([]*disk, error) {
	query := r.URL.Query()
	var all []*disk
	if snapshot := query.Get("snapshot"); snapshot != "" {
		var ok bool
		if all, ok = w.contents.in(types.ManagedObjectReference{Type: "VirtualMachineSnapshot", Value: snapshot}); !ok {
			return nil, fmt.Errorf("there is no snapshot %s", snapshot)
		}
	} else {
		vm, err := vmNamed(w.registry, query.Get("vm"))
		if err != nil {
			return nil, err
		}
		all = w.contents.of(vm)
	}
	found := []*disk{}
	for _, d := range all {
		if key := query.Get("key"); key == "" || key == fmt.Sprint(d.Key) {
			copied := *d
			found = append(found, &copied)
		}
	}
	return found, nil
}
