package main

import (
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// place is a name in a folder: the one thing of which there can be only one.
type place struct {
	folder types.ManagedObjectReference
	name   string
}

// cloning stands in for CloneVM_Task of every VM. It adds what the simulator
// lacks: a clone takes time and shows progress, its name is taken from the
// moment the task starts, and the fields of the clone's spec that the simulator
// drops are kept. It is an object of the registry, so that calls can be sent to
// it, and a listener to updates, so that the fields are there when the task ends.
type cloning struct {
	// Searches read the first field of whatever is in the registry as its mo type.
	mo.HistoryCollector

	registry *simulator.Registry
	mu       sync.Mutex
	duration time.Duration
	running  map[place]*running
}

// running is a clone between its call and the end of its task.
type running struct {
	ctx    *simulator.Context
	spec   *types.VirtualMachineConfigSpec // until the VM has its fields
	unlock func()                          // since the VM is in the inventory
}

func newCloning(registry *simulator.Registry, duration time.Duration) *cloning {
	c := &cloning{
		HistoryCollector: mo.HistoryCollector{Self: types.ManagedObjectReference{Type: "LabCloning", Value: "LabCloning"}},
		registry:         registry,
		running:          map[place]*running{},
	}
	c.setDuration(duration)
	registry.Put(c)
	registry.AddHandler(c)
	return c
}

// setDuration makes the simulator wait before it carries out a clone. While it
// waits the VM is not there, and LockHandoff keeps the template readable.
func (c *cloning) setDuration(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.duration = d
	setTaskDelay(map[string]int{"CloneVm": int(d.Milliseconds())})
}

// setTaskDelay delays tasks by the simulator's names of them; "" delays all.
func setTaskDelay(ms map[string]int) {
	byTask := map[string]int{"LockHandoff": 0}
	for task, delay := range simulator.TaskDelay.MethodDelay {
		byTask[task] = delay
	}
	for task, delay := range ms {
		byTask[task] = delay
	}
	simulator.TaskDelay = simulator.DelayConfig{Delay: byTask[""], MethodDelay: byTask}
}

func (c *cloning) Reference() types.ManagedObjectReference { return c.Self }

// Lock and Unlock opt out of the registry's lock: clones run beside each other.
func (c *cloning) Lock()   {}
func (c *cloning) Unlock() {}

// divert sends a clone to us; the request's body still names the template.
func (c *cloning) divert(ctx *simulator.Context, method *simulator.Method) {
	if _, ok := ctx.Map.Get(method.This).(*simulator.VirtualMachine); ok {
		method.This = c.Self
	}
}

// CloneVMTask is called by the simulator for CloneVM_Task.
func (c *cloning) CloneVMTask(ctx *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	vm, ok := ctx.Map.Get(req.This).(*simulator.VirtualMachine)
	if !ok {
		return &methods.CloneVM_TaskBody{Fault_: simulator.Fault("", &types.ManagedObjectNotFound{Obj: req.This})}
	}
	at := place{req.Folder, req.Name}
	duration, reserved := c.reserve(ctx, at, req.Spec.Config)
	// A clone that still runs has no object yet: its reference cannot be found.
	taken := &types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-being-cloned"}
	if reserved {
		if taken = holder(ctx, at); taken != nil {
			c.release(at)
		}
	}
	if taken != nil {
		task := simulator.CreateTask(vm, "cloneVm", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, &types.DuplicateName{Name: req.Name, Object: *taken}
		})
		task.Info.Name = "CloneVM_Task" // Another name than the delayed one: it fails at once.
		return &methods.CloneVM_TaskBody{Res: &types.CloneVM_TaskResponse{Returnval: task.Run(ctx)}}
	}
	var body soap.HasFault
	ctx.WithLock(vm, func() { body = vm.CloneVMTask(ctx, req) })
	res := body.(*methods.CloneVM_TaskBody).Res
	if res == nil {
		c.release(at)
		return body
	}
	go c.follow(at, ctx.Map.Get(res.Returnval).(*simulator.Task), duration)
	return body
}

// reserve takes the place unless a running clone has it.
func (c *cloning) reserve(ctx *simulator.Context, at place, spec *types.VirtualMachineConfigSpec) (time.Duration, bool) {
	if spec == nil {
		spec = &types.VirtualMachineConfigSpec{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[at] != nil {
		return 0, false
	}
	c.running[at] = &running{ctx: ctx, spec: spec}
	return c.duration, true
}

// holder names the object in the inventory that has the place, if any. It is
// called without our own lock, since the folder's is held when we are told of a
// new VM.
func holder(ctx *simulator.Context, at place) *types.ManagedObjectReference {
	folder, ok := ctx.Map.Get(at.folder).(*simulator.Folder)
	if !ok {
		return nil
	}
	var children []types.ManagedObjectReference
	ctx.WithLock(folder, func() { children = append(children, folder.ChildEntity...) })
	for _, ref := range children {
		// The registry's own search panics on a VM that has no name yet.
		if nameOfEntity(ctx.Map.Get(ref)) == at.name {
			return &ref
		}
	}
	return nil
}

func (c *cloning) release(at place) {
	c.mu.Lock()
	clone := c.running[at]
	delete(c.running, at)
	c.mu.Unlock()
	if clone.unlock != nil {
		clone.unlock()
	}
}

// follow reports progress until the task ends, then frees the name: from there
// on the VM itself holds it.
func (c *cloning) follow(at place, task *simulator.Task, duration time.Duration) {
	defer c.release(at)
	ctx, begin, shown := newContext(c.registry), time.Now(), int32(0)
	for done := false; !done; time.Sleep(2 * time.Millisecond) {
		ctx.WithLock(task, func() {
			done = task.Info.State == types.TaskInfoStateSuccess || task.Info.State == types.TaskInfoStateError
			if done || duration == 0 {
				return
			}
			percent := min(int32(time.Since(begin)*100/duration), 99)
			if percent >= shown+5 {
				shown = percent
				ctx.Update(task, []types.PropertyChange{{Name: "info.progress", Val: percent}})
			}
		})
	}
}

// PutObject sees the VM enter the inventory. The simulator puts it there without
// name, identity and extraConfig and fills it in afterwards. So that no reader
// sees it half made, it is named at once and locked, on behalf of the clone's own
// context, until the clone is done.
func (c *cloning) PutObject(_ *simulator.Context, o mo.Reference) {
	vm, ok := o.(*simulator.VirtualMachine)
	if !ok || vm.Parent == nil || vm.Config == nil || vm.Name != "" {
		return
	}
	// What is known so far is the directory, which is named after the VM, with
	// a number in parentheses if there was one already.
	var dir object.DatastorePath
	dir.FromString(vm.Config.Files.SnapshotDirectory)
	name := dir.Path
	c.mu.Lock()
	clone := c.running[place{*vm.Parent, name}]
	if clone == nil {
		if i := strings.LastIndex(name, " ("); i > 0 {
			name = name[:i]
			clone = c.running[place{*vm.Parent, name}]
		}
	}
	c.mu.Unlock()
	if clone == nil || clone.unlock != nil {
		return
	}
	vm.Name = name
	unlock := c.registry.AcquireLock(clone.ctx, vm)
	c.mu.Lock()
	clone.unlock = unlock
	c.mu.Unlock()
}

// UpdateObject completes a clone's VM while it is being made.
func (c *cloning) UpdateObject(_ *simulator.Context, o mo.Reference, _ []types.PropertyChange) {
	vm, ok := o.(*mo.VirtualMachine)
	if !ok || vm.Parent == nil || vm.Config == nil || vm.Name == "" {
		return
	}
	var spec *types.VirtualMachineConfigSpec
	c.mu.Lock()
	if clone := c.running[place{*vm.Parent, vm.Name}]; clone != nil {
		spec, clone.spec = clone.spec, nil // Once: later changes are the callers' own.
	}
	c.mu.Unlock()
	if spec == nil {
		return
	}
	if spec.Annotation != "" {
		vm.Config.Annotation = spec.Annotation
		vm.Summary.Config.Annotation = spec.Annotation
	}
	if spec.CpuHotAddEnabled != nil {
		vm.Config.CpuHotAddEnabled = spec.CpuHotAddEnabled
	}
	if spec.MemoryHotAddEnabled != nil {
		vm.Config.MemoryHotAddEnabled = spec.MemoryHotAddEnabled
	}
	if spec.NumCoresPerSocket != nil {
		vm.Config.Hardware.NumCoresPerSocket = spec.NumCoresPerSocket
	}
}

// RemoveObject is part of the listener's interface.
func (c *cloning) RemoveObject(*simulator.Context, types.ManagedObjectReference) {}
