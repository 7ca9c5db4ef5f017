package main

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// searching stands in for FindByInventoryPath. The simulator's own panics when
// it comes by a VM that a clone is just putting into the inventory and that has
// no name yet, and then keeps the lock of the search index for good.
type searching struct {
	// Searches read the first field of whatever is in the registry as its mo type.
	mo.SearchIndex

	index *simulator.SearchIndex
}

func newSearching(registry *simulator.Registry) *searching {
	index := registry.SearchIndex()
	s := &searching{index: index}
	s.Self = types.ManagedObjectReference{Type: "LabSearching", Value: "LabSearching"}
	registry.Put(s)
	return s
}

// Lock and Unlock opt out of the registry's lock: searches only read.
func (s *searching) Lock()   {}
func (s *searching) Unlock() {}

// divert sends a search to us.
func (s *searching) divert(method *simulator.Method) {
	if method.Name == "FindByInventoryPath" {
		method.This = s.Self
	}
}

// FindByInventoryPath is called by the simulator for the method of that name.
func (s *searching) FindByInventoryPath(ctx *simulator.Context, req *types.FindByInventoryPath) soap.HasFault {
	for {
		if body := s.try(ctx, req); body != nil {
			return body
		}
		time.Sleep(time.Millisecond)
	}
}

// try searches once; nothing where it came by a VM without a name.
func (s *searching) try(ctx *simulator.Context, req *types.FindByInventoryPath) (body soap.HasFault) {
	defer func() {
		if recover() != nil {
			body = nil
		}
	}()
	return s.index.FindByInventoryPath(ctx, req)
}
