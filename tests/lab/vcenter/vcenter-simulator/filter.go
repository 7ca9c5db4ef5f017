package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// filtering stands in for CreateFilter. A filter of the simulator's own is told
// of a change to its view while the folder of a new VM is locked, and waits for
// its own lock; a WaitForUpdatesEx holds that one and waits for the folder. Once
// in some dozens of clones the two meet, and the whole inventory is locked for
// good. So a filter is told by a context that holds nothing.
type filtering struct {
	// Searches read the first field of whatever is in the registry as its mo type.
	mo.PropertyCollector

	registry *simulator.Registry
}

func newFiltering(registry *simulator.Registry) *filtering {
	f := &filtering{registry: registry}
	f.Self = types.ManagedObjectReference{Type: "LabFiltering", Value: "LabFiltering"}
	registry.Put(f)
	return f
}

// Lock and Unlock opt out of the registry's lock: the collector has its own.
func (f *filtering) Lock()   {}
func (f *filtering) Unlock() {}

// divert sends the making of a filter to us; the request's body still names the
// collector.
func (f *filtering) divert(ctx *simulator.Context, method *simulator.Method) {
	if method.Name != "CreateFilter" {
		return
	}
	if _, ok := ctx.Session.Get(method.This).(*simulator.PropertyCollector); ok {
		method.This = f.Self
	}
}

// CreateFilter is called by the simulator for the method of that name.
func (f *filtering) CreateFilter(ctx *simulator.Context, req *types.CreateFilter) soap.HasFault {
	collector, ok := ctx.Session.Get(req.This).(*simulator.PropertyCollector)
	if !ok {
		return &methods.CreateFilterBody{Fault_: simulator.Fault("", &types.ManagedObjectNotFound{Obj: req.This})}
	}
	var body soap.HasFault
	ctx.WithLock(collector, func() { body = collector.CreateFilter(ctx, req) })
	if res := body.(*methods.CreateFilterBody).Res; res != nil {
		if filter, ok := ctx.Session.Get(res.Returnval).(*simulator.PropertyFilter); ok {
			// It has the filter's reference, so it takes its place among the listeners
			// and goes with it.
			f.registry.AddHandler(&toldLater{PropertyFilter: filter, registry: f.registry})
		}
	}
	return body
}

// toldLater is a filter that is told of changes after its teller has gone on.
type toldLater struct {
	*simulator.PropertyFilter

	registry *simulator.Registry
}

// UpdateObject passes on what concerns the filter's own traversal; the simulator
// does nothing with the rest.
func (t *toldLater) UpdateObject(_ *simulator.Context, o mo.Reference, changes []types.PropertyChange) {
	ref := o.Reference()
	for _, set := range t.Spec.ObjectSet {
		if set.Obj == ref {
			go t.PropertyFilter.UpdateObject(newContext(t.registry), o, changes)
			return
		}
	}
}
