package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// exports stands in for ExportSnapshot. The simulator hands out the files of its
// datastores, which are empty; here a snapshot's disks have bytes, which leave
// as they leave a real vSphere: stream-optimized, over HTTPS, from a host whose
// certificate the vCenter's CA does not cover and whose thumbprint the lease
// tells. The lease ends when no progress is reported. Imports go the other way;
// see imports.go.
type exports struct {
	// Searches read the first field of whatever is in the registry as its mo type.
	mo.HistoryCollector

	registry *simulator.Registry
	contents *contents
	host     *nfcHost
	vcenter  string // host and port

	mu      sync.Mutex
	timeout time.Duration
	orders  []*exportOrder
	leases  []*lease
}

// exportOrder says how exports or imports are to go wrong, or only otherwise.
type exportOrder struct {
	VM            string `json:"vm"`             // name of the VM, "*" for any
	Max           int    `json:"max"`            // how many exports, 0 for all
	PrepareMS     int    `json:"prepare_ms"`     // how long the lease is initializing
	Fault         string `json:"fault"`          // the lease fails with this fault instead
	Code          int    `json:"code"`           // the answer to a download or upload
	CutAfter      int64  `json:"cut_after"`      // the connection breaks after so many bytes of a disk
	TruncateAfter int64  `json:"truncate_after"` // the answer ends, as if it were whole
	StallAfter    int64  `json:"stall_after"`    // nothing more comes
	Rate          int64  `json:"rate"`           // bytes a second
	Thumbprint    string `json:"thumbprint"`     // "wrong" or "none"
	Through       string `json:"through"`        // "vcenter": URLs with a * that go there

	used int
}

func newExports(registry *simulator.Registry, contents *contents, host *nfcHost, vcenter string, timeout time.Duration) *exports {
	e := &exports{
		HistoryCollector: mo.HistoryCollector{Self: types.ManagedObjectReference{Type: "LabExports", Value: "LabExports"}},
		registry:         registry, contents: contents, host: host, vcenter: vcenter, timeout: timeout,
	}
	registry.Put(e)
	return e
}

// Lock and Unlock opt out of the registry's lock.
func (e *exports) Lock()   {}
func (e *exports) Unlock() {}

// divert sends an export or import to us; the request's body still names the
// snapshot or the pool.
func (e *exports) divert(ctx *simulator.Context, method *simulator.Method) {
	switch method.Name {
	case "ExportSnapshot":
		if _, ok := ctx.Map.Get(method.This).(*simulator.VirtualMachineSnapshot); ok {
			method.This = e.Self
		}
	case "ImportVApp":
		if _, ok := ctx.Map.Get(method.This).(*simulator.ResourcePool); ok {
			method.This = e.Self
		}
	}
}

// ExportSnapshot is called by the simulator for the method of that name.
func (e *exports) ExportSnapshot(ctx *simulator.Context, req *types.ExportSnapshot) soap.HasFault {
	snapshot, ok := ctx.Map.Get(req.This).(*simulator.VirtualMachineSnapshot)
	if !ok {
		return &methods.ExportSnapshotBody{Fault_: simulator.Fault("", &types.ManagedObjectNotFound{Obj: req.This})}
	}
	disks, _ := e.contents.in(req.This)
	vm := nameOfEntity(ctx.Map.Get(snapshot.Vm))
	l := &lease{
		exports: e, ctx: ctx, token: uuid.NewString(), vm: vm, snapshot: req.This, entity: snapshot.Vm,
		files: filesOf(snapshot.Vm, snapshot.Config.Hardware.Device, disks), order: e.orderFor(vm),
	}
	e.begin(ctx, l)
	time.AfterFunc(time.Duration(l.order.PrepareMS)*time.Millisecond, func() {
		if l.order.Fault != "" {
			fault, _ := faultOf(l.order.Fault)
			l.fail("failed", fault)
		} else if l.running.Err() == nil {
			l.ready()
		}
	})
	return &methods.ExportSnapshotBody{Res: &types.ExportSnapshotResponse{Returnval: l.Self}}
}

// begin makes a lease known to the session and to us.
func (e *exports) begin(ctx *simulator.Context, l *lease) {
	l.Self = types.ManagedObjectReference{Type: "HttpNfcLease", Value: "session-" + uuid.NewString()}
	l.State, l.Mode = types.HttpNfcLeaseStateInitializing, string(types.HttpNfcLeaseModePushOrGet)
	l.running, l.stop = context.WithCancel(context.Background())
	ctx.Session.Put(l)
	e.mu.Lock()
	e.leases = append(e.leases, l)
	e.mu.Unlock()
}

// filesOf are the disks of a VM or snapshot with this hardware that a lease has:
// not those that no snapshot holds.
func filesOf(vm types.ManagedObjectReference, hardware []types.BaseVirtualDevice, disks []*disk) (files []*exported) {
	devices := map[int32]types.BaseVirtualDevice{}
	for _, d := range hardware {
		devices[d.GetVirtualDevice().Key] = d
	}
	for _, content := range disks {
		d, ok := devices[content.Key].(*types.VirtualDisk)
		if !ok {
			continue
		}
		flat, ok := d.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		if !ok || strings.HasPrefix(flat.DiskMode, "independent") {
			continue
		}
		unit, bus, kind := int32(0), int32(0), "VirtualController"
		if d.UnitNumber != nil {
			unit = *d.UnitNumber
		}
		if c, ok := devices[d.ControllerKey].(types.BaseVirtualController); ok {
			bus = c.GetVirtualController().BusNumber
			kind = strings.TrimPrefix(fmt.Sprintf("%T", c), "*types.")
		}
		files = append(files, &exported{
			key:    fmt.Sprintf("/%s/%s%d:%d", vm.Value, kind, bus, unit),
			target: fmt.Sprintf("disk-%d.vmdk", len(files)), disk: content,
		})
	}
	return files
}

func (e *exports) patience() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.timeout
}

// address is where downloads go, and the thumbprint that the lease tells.
func (e *exports) address(o exportOrder) (base, thumbprint string) {
	base, thumbprint = "https://"+e.host.address, e.host.thumbprint
	if o.Through == "vcenter" {
		_, port, _ := net.SplitHostPort(e.vcenter)
		base, thumbprint = "https://*:"+port, ""
	}
	switch o.Thumbprint {
	case "wrong":
		thumbprint = strings.Repeat("00:", 19) + "00"
	case "none":
		thumbprint = ""
	}
	return base, thumbprint
}

func (e *exports) add(o *exportOrder) error {
	if o.Fault != "" {
		if _, err := faultOf(o.Fault); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.orders = append(e.orders, o)
	return nil
}

func (e *exports) clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.orders = nil
}

// orderFor is the first order that is left for a VM.
func (e *exports) orderFor(vm string) exportOrder {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range e.orders {
		if (o.VM == "*" || o.VM == vm) && (o.Max == 0 || o.used < o.Max) {
			o.used++
			return *o
		}
	}
	return exportOrder{}
}

func (e *exports) setTimeout(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.timeout = d
}

// expire ends all leases as if nobody had reported progress, and says how many.
func (e *exports) expire() int {
	e.mu.Lock()
	var open []*lease
	for _, l := range e.leases {
		if l.ended == "" {
			open = append(open, l)
		}
	}
	e.mu.Unlock()
	for _, l := range open {
		l.expire()
	}
	return len(open)
}

// leaseState is a lease as the admin port tells it.
type leaseState struct {
	Lease    string          `json:"lease"`
	VM       string          `json:"vm"`
	Snapshot string          `json:"snapshot"`
	Ended    string          `json:"ended,omitempty"` // completed, aborted, timedout or failed
	Progress int             `json:"progress"`        // how often it was reported
	Disks    []exportedState `json:"disks"`
}

type exportedState struct {
	Key      string `json:"key"`
	Device   int32  `json:"device"`
	Target   string `json:"target"`
	Requests int    `json:"requests"`
	Sent     int64  `json:"sent"`
	SHA1     string `json:"sha1,omitempty"`
}

// list tells all leases that ever were, the oldest first.
func (e *exports) list() []leaseState {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := []leaseState{}
	for _, l := range e.leases {
		state := leaseState{Lease: l.Self.Value, VM: l.vm, Snapshot: l.snapshot.Value, Ended: l.ended, Progress: l.progress, Disks: []exportedState{}}
		for _, f := range l.files {
			state.Disks = append(state.Disks, exportedState{f.key, f.disk.Key, f.target, f.requests, f.sent, f.sha1})
		}
		out = append(out, state)
	}
	return out
}

// intercept serves the URLs of leases of ours and leaves all others alone.
func (e *exports) intercept(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l, f := e.find(r.URL)
		switch {
		case l == nil:
			next.ServeHTTP(w, r)
		case l.refusal() != nil:
			http.NotFound(w, r)
		case l.imports && r.Method == http.MethodPost:
			l.receive(w, r, f)
		case l.imports:
			http.Error(w, "the disk of an import is posted", http.StatusMethodNotAllowed)
		case r.Method != http.MethodGet:
			http.Error(w, "an export is only read", http.StatusMethodNotAllowed)
		default:
			l.send(w, r, f)
		}
	})
}

func (e *exports) find(u *url.URL) (*lease, *exported) {
	token, target, _ := strings.Cut(strings.TrimPrefix(u.Path, "/nfc/"), "/")
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.leases {
		if l.token != token {
			continue
		}
		for _, f := range l.files {
			if f.target == target {
				f.requests++
				return l, f
			}
		}
	}
	return nil, nil
}
