package main

import (
	"context"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// world is the simulator with what the lab adds to it.
type world struct {
	service   *simulator.Service
	registry  *simulator.Registry
	hidden    *sight
	faults    *faultRules
	clones    *cloning
	guests    *guests
	searches  *searching
	filters   *filtering
	traffic   *traffic
	contents  *contents
	exports   *exports
	quiescing *quiescing
}

// onCall sees each decoded call before the simulator looks up its object. It
// may refuse the call, or send it to an object of ours by changing method.This:
// the object it returns would not do, because the session's view of method.This
// takes precedence over it.
func (w *world) onCall(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	if ctx.Session == nil {
		return nil, nil // The simulator itself refuses those without a session.
	}
	if fault := w.hidden.check(method); fault != nil {
		return nil, fault
	}
	if fault := w.exports.blocks(method); fault != nil {
		return nil, fault
	}
	if strings.HasPrefix(method.Name, "CreateSnapshot") {
		w.quiescing.amend(w.registry, method)
	}
	if w.faults.divert(ctx, method) {
		return nil, nil
	}
	if method.Name == "CloneVM_Task" {
		w.clones.divert(ctx, method)
	}
	w.guests.divert(ctx, method)
	w.exports.divert(ctx, method)
	w.searches.divert(method)
	w.filters.divert(ctx, method)
	return nil, nil
}

// forgetTasks does away with the tasks that have ended, as a vCenter does some
// minutes after their end, and says how many.
func (w *world) forgetTasks() (forgotten int) {
	for _, object := range w.registry.AllReference("Task") {
		task, ok := object.(*simulator.Task)
		if !ok {
			continue
		}
		ended := false
		ctx := newContext(w.registry)
		ctx.WithLock(task, func() {
			ended = task.Info.State == types.TaskInfoStateSuccess || task.Info.State == types.TaskInfoStateError
		})
		if ended {
			w.registry.Remove(ctx, task.Self)
			forgotten++
		}
	}
	return forgotten
}

// newContext makes a context for work of our own on the registry. Each piece of
// work needs one of its own, since locks are held on behalf of a context.
func newContext(registry *simulator.Registry) *simulator.Context {
	return &simulator.Context{Context: context.Background(), Map: registry}
}
