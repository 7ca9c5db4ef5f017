package main

import (
	"github.com/vmware/govmomi/simulator"
)

// The simulator's hosts have 4 GB of memory: too little for one real server.
const (
	hostMemory    = 8 << 40
	datastoreSize = 400 << 40
)

// furnish gives hosts and datastores the size of a real host municipality's.
func furnish(registry *simulator.Registry) {
	for _, entity := range registry.All("HostSystem") {
		host := entity.(*simulator.HostSystem)
		// The simulator shares one description among all hosts.
		hardware := *host.Summary.Hardware
		hardware.MemorySize = hostMemory
		host.Summary.Hardware = &hardware
		if host.Hardware != nil {
			info := *host.Hardware
			info.MemorySize = hostMemory
			host.Hardware = &info
		}
	}
	for _, entity := range registry.All("Datastore") {
		store := entity.(*simulator.Datastore)
		store.Summary.Capacity, store.Summary.FreeSpace = datastoreSize, datastoreSize
		store.Info.GetDatastoreInfo().FreeSpace = datastoreSize
	}
}
