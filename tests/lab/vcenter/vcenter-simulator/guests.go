package main

import (
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// guests stands in for ShutdownGuest of those that are deaf: the call is
// answered as ever, and they stay up. It is an object of the registry, so that
// calls can be sent to it.
type guests struct {
	// Searches read the first field of whatever is in the registry as its mo type.
	mo.HistoryCollector

	mu   sync.Mutex
	deaf map[string]bool // by the VM's name
}

func newGuests(registry *simulator.Registry) *guests {
	g := &guests{
		HistoryCollector: mo.HistoryCollector{Self: types.ManagedObjectReference{Type: "LabGuests", Value: "LabGuests"}},
		deaf:             map[string]bool{},
	}
	registry.Put(g)
	return g
}

// Reference makes it an object of the registry.
func (g *guests) Reference() types.ManagedObjectReference { return g.Self }

func (g *guests) set(vm string, deaf bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deaf[vm] = deaf
}

func (g *guests) divert(ctx *simulator.Context, method *simulator.Method) {
	if method.Name != "ShutdownGuest" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.deaf[nameOfEntity(ctx.Map.Get(method.This))] {
		method.This = g.Self
	}
}

// ShutdownGuest does nothing. The simulator finds a method by its name.
func (g *guests) ShutdownGuest(*simulator.Context, *types.ShutdownGuest) soap.HasFault {
	return &methods.ShutdownGuestBody{Res: &types.ShutdownGuestResponse{}}
}
