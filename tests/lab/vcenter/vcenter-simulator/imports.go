package main

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// ImportVApp is called by the simulator for the method of that name. As in a
// real vSphere the VM is made first, its disks are sent to a host afterwards,
// nothing else can be done with it meanwhile, and it is removed again unless the
// lease is completed. The simulator's own keeps the VM and forgets the bytes.
func (e *exports) ImportVApp(ctx *simulator.Context, req *types.ImportVApp) soap.HasFault {
	refuse := func(fault types.BaseMethodFault) soap.HasFault {
		return &methods.ImportVAppBody{Fault_: simulator.Fault("", fault)}
	}
	spec, ok := req.Spec.(*types.VirtualMachineImportSpec)
	if !ok {
		return refuse(&types.InvalidArgument{InvalidProperty: "spec"})
	}
	if req.Folder == nil {
		return refuse(&types.InvalidArgument{InvalidProperty: "folder"})
	}
	folder, ok := ctx.Map.Get(*req.Folder).(*simulator.Folder)
	if !ok {
		return refuse(&types.ManagedObjectNotFound{Obj: *req.Folder})
	}
	l := &lease{
		exports: e, ctx: ctx, token: uuid.NewString(), vm: spec.ConfigSpec.Name, imports: true,
		order: e.orderFor(spec.ConfigSpec.Name),
	}
	e.begin(ctx, l)
	time.AfterFunc(time.Duration(l.order.PrepareMS)*time.Millisecond, func() {
		if l.order.Fault != "" {
			fault, _ := faultOf(l.order.Fault)
			l.fail("failed", fault)
			return
		}
		own := &simulator.Context{Context: context.Background(), Session: ctx.Session, Map: ctx.Map}
		// The simulator would make a second VM of the name.
		if taken := holder(own, place{folder.Self, l.vm}); taken != nil {
			l.fail("failed", &types.DuplicateName{Name: l.vm, Object: *taken})
			return
		}
		body := folder.CreateVMTask(own, &types.CreateVM_Task{
			This: folder.Self, Config: spec.ConfigSpec, Pool: req.This, Host: req.Host,
		})
		task := own.Map.Get(body.(*methods.CreateVM_TaskBody).Res.Returnval).(*simulator.Task)
		task.Wait()
		if task.Info.Error != nil {
			l.fail("failed", task.Info.Error.Fault)
			return
		}
		l.made(own.Map.Get(task.Info.Result.(types.ManagedObjectReference)).(*simulator.VirtualMachine))
	})
	return &methods.ImportVAppBody{Res: &types.ImportVAppResponse{Returnval: l.Self}}
}

// made gives a lease its new VM, with disks that hold nothing yet.
func (l *lease) made(vm *simulator.VirtualMachine) {
	e := l.exports
	var devices []types.BaseVirtualDevice
	newContext(e.registry).WithLock(vm, func() { devices = vm.Config.Hardware.Device })
	for _, device := range devices {
		if d, ok := device.(*types.VirtualDisk); ok {
			e.contents.put(vm.Self, d.Key, map[int64][]byte{})
		}
	}
	files := filesOf(vm.Self, devices, e.contents.of(vm))
	e.mu.Lock()
	l.entity, l.files = vm.Self, files
	ended := l.ended != ""
	e.mu.Unlock()
	if ended {
		l.undo()
		return
	}
	l.ready()
}

// undo removes what an import has made that was not completed.
func (l *lease) undo() {
	l.exports.mu.Lock()
	entity := l.entity
	l.exports.mu.Unlock()
	vm, ok := l.exports.registry.Get(entity).(*simulator.VirtualMachine)
	if !l.imports || !ok {
		return
	}
	ctx := &simulator.Context{Context: context.Background(), Session: l.ctx.Session, Map: l.ctx.Map}
	body := vm.DestroyTask(ctx, &types.Destroy_Task{This: vm.Self})
	ctx.Map.Get(body.(*methods.Destroy_TaskBody).Res.Returnval).(*simulator.Task).Wait()
	l.exports.contents.forget(vm.Self)
}

// blocks refuses what cannot be done with a VM while it is imported.
func (e *exports) blocks(method *simulator.Method) types.BaseMethodFault {
	if method.This.Type != "VirtualMachine" || !strings.HasSuffix(method.Name, "_Task") {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.leases {
		if l.imports && l.ended == "" && l.entity == method.This {
			return &types.TaskInProgress{}
		}
	}
	return nil
}

// receive answers a POST of a disk's stream, spoilt as the order says.
func (l *lease) receive(w http.ResponseWriter, r *http.Request, f *exported) {
	if l.order.Code != 0 {
		// To its end, since a client that still sends may not hear the answer.
		_, _ = io.Copy(io.Discard, r.Body)
		http.Error(w, http.StatusText(l.order.Code), l.order.Code)
		return
	}
	if kind := r.Header.Get("Content-Type"); kind != "application/x-vnd.vmware-streamVmdk" {
		http.Error(w, "not a disk: "+kind, http.StatusUnsupportedMediaType)
		return
	}
	in := &receiver{lease: l, file: f, in: r.Body, asked: r.Context(), begun: time.Now()}
	stop := context.AfterFunc(l.running, func() {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now())
	})
	defer stop()
	capacity, grains, err := readStream(in)
	if in.cut || l.running.Err() != nil {
		panic(http.ErrAbortHandler)
	}
	if err == nil && capacity != f.disk.Capacity {
		err = fmt.Errorf("the stream has %d bytes and the disk %d", capacity, f.disk.Capacity)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.exports.contents.put(l.entity, f.disk.Key, grains)
	w.WriteHeader(http.StatusCreated)
}

// receiver is the way of a disk's bytes from the client.
type receiver struct {
	lease *lease
	file  *exported
	in    io.Reader
	asked context.Context
	begun time.Time
	got   int64
	cut   bool
}

func (r *receiver) Read(b []byte) (int, error) {
	order := r.lease.order
	if order.CutAfter > 0 && r.got >= order.CutAfter {
		r.cut = true
		return 0, errCut
	}
	if order.StallAfter > 0 && r.got >= order.StallAfter {
		r.wait(time.Hour)
		r.cut = true
		return 0, errCut
	}
	n, err := r.in.Read(b)
	r.got += int64(n)
	if order.Rate > 0 {
		due := time.Duration(float64(r.got) / float64(order.Rate) * float64(time.Second))
		r.wait(due - time.Since(r.begun))
	}
	r.lease.exports.mu.Lock()
	r.file.sent = r.got
	r.lease.exports.mu.Unlock()
	return n, err
}

func (r *receiver) wait(d time.Duration) { r.lease.wait(d, r.asked) }

// readStream reads a stream-optimized VMDK: its capacity, and what its grains
// hold. What ends before its footer and end marker is refused.
func readStream(in io.Reader) (int64, map[int64][]byte, error) {
	var header vmdkHeader
	if err := binary.Read(in, binary.LittleEndian, &header); err != nil {
		return 0, nil, fmt.Errorf("no header: %w", err)
	}
	if header.Magic != [4]byte{'K', 'D', 'M', 'V'} || header.CompressionKind != 1 || header.Grain != grainSectors {
		return 0, nil, fmt.Errorf("not a stream-optimized VMDK with grains of %d bytes", grainSize)
	}
	if _, err := io.CopyN(io.Discard, in, int64(header.Overhead-1)*sector); err != nil {
		return 0, nil, err
	}
	grains, footer := map[int64][]byte{}, false
	for {
		var mark [sector]byte
		if _, err := io.ReadFull(in, mark[:]); err != nil {
			return 0, nil, fmt.Errorf("it ends too early: %w", err)
		}
		at, size := binary.LittleEndian.Uint64(mark[:]), int(binary.LittleEndian.Uint32(mark[8:]))
		switch kind := binary.LittleEndian.Uint32(mark[12:]); {
		case size > 0:
			packed := append([]byte{}, mark[12:]...)
			if rest := size - len(packed); rest > 0 {
				more := make([]byte, (rest+sector-1)/sector*sector)
				if _, err := io.ReadFull(in, more); err != nil {
					return 0, nil, err
				}
				packed = append(packed, more...)
			}
			unpack, err := zlib.NewReader(bytes.NewReader(packed[:size]))
			if err != nil {
				return 0, nil, err
			}
			content, err := io.ReadAll(io.LimitReader(unpack, grainSize+1))
			if err != nil || len(content) != grainSize {
				return 0, nil, fmt.Errorf("a grain of %d bytes: %v", len(content), err)
			}
			grains[int64(at/grainSectors)] = content
		case kind == 0 && footer:
			_, err := io.Copy(io.Discard, in)
			return int64(header.Capacity) * sector, grains, err
		case kind == 0:
			return 0, nil, fmt.Errorf("it ends without a footer")
		default:
			footer = kind == markFooter
			if _, err := io.CopyN(io.Discard, in, int64(at)*sector); err != nil {
				return 0, nil, err
			}
		}
	}
}
