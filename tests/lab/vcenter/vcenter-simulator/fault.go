package main

import (
	"fmt"
	"math/rand"
	"reflect"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// faultRule says which calls fail, and how.
type faultRule struct {
	Method      string  `json:"method"`
	Object      string  `json:"object"` // name of the object, "*" for any
	Type        string  `json:"type"`   // a fault type of vim25
	Message     string  `json:"message"`
	Probability float64 `json:"probability"`
	Max         int     `json:"max"`  // 0: no end
	Skip        int     `json:"skip"` // let so many pass first
	DelayMS     int     `json:"delay_ms"`
	InTask      bool    `json:"in_task"` // the task fails, not the call

	seen, hits int
}

// faultOf makes a fault by the name of its type.
func faultOf(name string) (types.BaseMethodFault, error) {
	if t, ok := types.TypeFunc()(name); ok {
		if fault, ok := reflect.New(t).Interface().(types.BaseMethodFault); ok {
			return fault, nil
		}
	}
	return nil, fmt.Errorf("%q is no fault of vim25", name)
}

// faultRules keeps the rules for failing tasks; failing calls are the
// simulator's own business.
type faultRules struct {
	service   *simulator.Service
	quiescing *quiescing
	mu        sync.Mutex
	inTask    []*faultRule
	made      int
}

func (f *faultRules) add(r *faultRule) error {
	fault, err := faultOf(r.Type)
	if err != nil {
		return err
	}
	if !r.InTask {
		f.service.AddFaultRule(&simulator.FaultInjectionRule{
			MethodName: r.Method, ObjectType: "*", ObjectName: r.Object, Probability: r.Probability,
			FaultType: simulator.FaultTypeCustom, Fault: fault, Message: r.Message,
			Delay: r.DelayMS, MaxCount: r.Max, SkipCount: r.Skip, Enabled: true,
		})
		return nil
	}
	if _, ok := failingTasks[r.Method]; !ok {
		return fmt.Errorf("no failing task is written for %s", r.Method)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inTask = append(f.inTask, r)
	return nil
}

func (f *faultRules) clear() {
	f.service.ClearFaultRules()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inTask = nil
}

// divert sends a call whose task shall fail to a failing object of its own.
func (f *faultRules) divert(ctx *simulator.Context, method *simulator.Method) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.inTask {
		if r.Method != method.Name || (r.Max > 0 && r.hits >= r.Max) {
			continue
		}
		if r.Object != "*" && r.Object != nameOfEntity(ctx.Map.Get(method.This)) {
			continue
		}
		if rand.Float64() >= r.Probability {
			continue
		}
		if r.seen++; r.seen <= r.Skip {
			continue
		}
		r.hits++
		f.send(ctx, method, r)
		return true
	}
	if r := f.quiescing.rule(method, nameOfEntity(ctx.Map.Get(method.This))); r != nil {
		f.send(ctx, method, r)
		return true
	}
	return false
}

// send gives a call to a new object that lets its task fail.
func (f *faultRules) send(ctx *simulator.Context, method *simulator.Method, r *faultRule) {
	f.made++
	failing := &failing{
		HistoryCollector: mo.HistoryCollector{Self: types.ManagedObjectReference{Type: "LabFailing", Value: fmt.Sprint("failing-", f.made)}},
		entity:           method.This,
		rule:             r,
	}
	ctx.Map.Put(failing)
	method.This = failing.Self
}

// failingTasks has the simulator's name of each task that can be made to fail.
var failingTasks = map[string]string{
	"CloneVM_Task": "cloneVm", "ReconfigVM_Task": "reconfigVm", "PowerOnVM_Task": "powerOn", "PowerOffVM_Task": "powerOff",
	"Destroy_Task": "destroy", "Rename_Task": "rename", "RelocateVM_Task": "relocateVm", "CreateSnapshot_Task": "createSnapshot",
	"CreateSnapshotEx_Task": "createSnapshotEx", "RemoveSnapshot_Task": "removeSnapshot",
	"MoveIntoFolder_Task": "moveIntoFolder", "AddDVPortgroup_Task": "addDVPortgroup",
	"ReconfigureDVPortgroup_Task": "reconfigureDvPortgroup", "ReconfigureComputeResource_Task": "reconfigureCompute",
}

// failing answers one call with a task that ends in the rule's fault.
type failing struct {
	// Searches read the first field of whatever is in the registry as its mo type.
	mo.HistoryCollector

	entity types.ManagedObjectReference
	rule   *faultRule
}

// Reference makes it an object of the registry.
func (f *failing) Reference() types.ManagedObjectReference { return f.Self }

func (f *failing) start(ctx *simulator.Context) types.ManagedObjectReference {
	ctx.Map.Remove(ctx, f.Self)
	task := simulator.CreateTask(f.entity, failingTasks[f.rule.Method], func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		time.Sleep(time.Duration(f.rule.DelayMS) * time.Millisecond)
		fault, _ := faultOf(f.rule.Type)
		return nil, fault
	})
	return task.Run(ctx)
}

// The simulator finds a method by its name, so each needs one.

func (f *failing) CloneVMTask(ctx *simulator.Context, _ *types.CloneVM_Task) soap.HasFault {
	return &methods.CloneVM_TaskBody{Res: &types.CloneVM_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) ReconfigVMTask(ctx *simulator.Context, _ *types.ReconfigVM_Task) soap.HasFault {
	return &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) PowerOnVMTask(ctx *simulator.Context, _ *types.PowerOnVM_Task) soap.HasFault {
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) PowerOffVMTask(ctx *simulator.Context, _ *types.PowerOffVM_Task) soap.HasFault {
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) DestroyTask(ctx *simulator.Context, _ *types.Destroy_Task) soap.HasFault {
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) RenameTask(ctx *simulator.Context, _ *types.Rename_Task) soap.HasFault {
	return &methods.Rename_TaskBody{Res: &types.Rename_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) RelocateVMTask(ctx *simulator.Context, _ *types.RelocateVM_Task) soap.HasFault {
	return &methods.RelocateVM_TaskBody{Res: &types.RelocateVM_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) CreateSnapshotTask(ctx *simulator.Context, _ *types.CreateSnapshot_Task) soap.HasFault {
	return &methods.CreateSnapshot_TaskBody{Res: &types.CreateSnapshot_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) CreateSnapshotExTask(ctx *simulator.Context, _ *types.CreateSnapshotEx_Task) soap.HasFault {
	return &methods.CreateSnapshotEx_TaskBody{Res: &types.CreateSnapshotEx_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) RemoveSnapshotTask(ctx *simulator.Context, _ *types.RemoveSnapshot_Task) soap.HasFault {
	return &methods.RemoveSnapshot_TaskBody{Res: &types.RemoveSnapshot_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) MoveIntoFolderTask(ctx *simulator.Context, _ *types.MoveIntoFolder_Task) soap.HasFault {
	return &methods.MoveIntoFolder_TaskBody{Res: &types.MoveIntoFolder_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) AddDVPortgroupTask(ctx *simulator.Context, _ *types.AddDVPortgroup_Task) soap.HasFault {
	return &methods.AddDVPortgroup_TaskBody{Res: &types.AddDVPortgroup_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) ReconfigureDVPortgroupTask(ctx *simulator.Context, _ *types.ReconfigureDVPortgroup_Task) soap.HasFault {
	return &methods.ReconfigureDVPortgroup_TaskBody{Res: &types.ReconfigureDVPortgroup_TaskResponse{Returnval: f.start(ctx)}}
}

func (f *failing) ReconfigureComputeResourceTask(ctx *simulator.Context, _ *types.ReconfigureComputeResource_Task) soap.HasFault {
	return &methods.ReconfigureComputeResource_TaskBody{Res: &types.ReconfigureComputeResource_TaskResponse{Returnval: f.start(ctx)}}
}

// nameOfEntity reads the name of an inventory object, "" for others.
func nameOfEntity(o mo.Reference) string {
	e, ok := o.(mo.Entity)
	if !ok {
		return ""
	}
	if name := e.Entity().Name; name != "" {
		return name
	}
	switch x := o.(type) {
	case *simulator.DistributedVirtualSwitch:
		return x.Name
	case *simulator.DistributedVirtualPortgroup:
		return x.Name
	}
	return ""
}

func (w *world) nameOf(object string) string { return nameOfEntity(w.registry.Get(refOf(object))) }
