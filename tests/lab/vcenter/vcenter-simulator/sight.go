package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// sight takes away the right to read a folder and all below it, as when a role
// is revoked by mistake. The simulator keeps permissions but enforces none, so
// the objects are taken out of its registry and out of the lists that name them
// (childEntity, and vm of hosts, pools, datastores and networks). That makes
// reads, searches, container views and running watches see what a caller
// without the right sees: the objects are not there, and watches get "leave".
// What remains of them:
//
//   - a call on a hidden object, or naming one, is refused with NoPermission;
//   - a read of a hidden object by reference gives missingSet with NoPermission;
//   - the name of a hidden folder stays taken in its parent.
//
// Limits: it holds for every account alike; a list view that names a hidden
// object loses it without a word; tasks that run on a hidden VM go on and their
// results are seen; recent tasks and events still name hidden objects.
type sight struct {
	registry *simulator.Registry
	mu       sync.Mutex
	folders  map[string]*hiddenFolder
	hidden   map[types.ManagedObjectReference]bool
}

// hiddenFolder is a folder and all that was below it, parents first.
type hiddenFolder struct {
	name    string
	ref     types.ManagedObjectReference
	parent  *simulator.Folder
	objects []mo.Reference
}

func newSight(registry *simulator.Registry) *sight {
	return &sight{registry: registry, folders: map[string]*hiddenFolder{}, hidden: map[types.ManagedObjectReference]bool{}}
}

var errNoSuchFolder = errors.New("no such folder below the VM folder")

// hide takes a path below the datacenter's VM folder, such as "Tenants/a".
func (s *sight) hide(path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.folders[path] != nil {
		return nil
	}
	ctx := newContext(s.registry)
	dc, ok := s.registry.Any("Datacenter").(*simulator.Datacenter)
	if !ok {
		return errNoSuchFolder
	}
	at := s.registry.Get(dc.VmFolder).(*simulator.Folder)
	var parent *simulator.Folder
	for name := range strings.SplitSeq(path, "/") {
		child, ok := s.registry.FindByName(name, at.ChildEntity).(*simulator.Folder)
		if !ok {
			return errNoSuchFolder
		}
		parent, at = at, child
	}
	h := &hiddenFolder{name: at.Name, ref: at.Self, parent: parent}
	s.gather(at, &h.objects)
	s.folders[path] = h
	s.list(ctx, parent, h.ref, false)
	for _, o := range slices.Backward(h.objects) {
		if vm, ok := o.(*simulator.VirtualMachine); ok {
			s.listVM(ctx, vm, false)
		}
		s.hidden[o.Reference()] = true
		s.registry.Remove(ctx, o.Reference())
	}
	return nil
}

// show gives sight back; all of it when path is empty.
func (s *sight) show(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx := newContext(s.registry)
	for at, h := range s.folders {
		if path != "" && path != at {
			continue
		}
		delete(s.folders, at)
		// The lists first: a container view takes in an object only if it can
		// walk to it when it is put back.
		s.list(ctx, h.parent, h.ref, true)
		for _, o := range h.objects {
			delete(s.hidden, o.Reference())
			if vm, ok := o.(*simulator.VirtualMachine); ok {
				s.listVM(ctx, vm, true)
			}
			s.registry.Put(o)
		}
	}
}

func (s *sight) gather(f *simulator.Folder, out *[]mo.Reference) {
	*out = append(*out, f)
	for _, ref := range f.ChildEntity {
		switch child := s.registry.Get(ref).(type) {
		case *simulator.Folder:
			s.gather(child, out)
		case nil:
			// Hidden already, by a path further down.
		default:
			*out = append(*out, child)
		}
	}
}

// list puts a folder into its parent's list or takes it out, and tells watches.
func (s *sight) list(ctx *simulator.Context, parent *simulator.Folder, ref types.ManagedObjectReference, in bool) {
	ctx.WithLock(parent, func() {
		children := without(parent.ChildEntity, ref)
		if in {
			children = append(children, ref)
		}
		ctx.Update(parent, []types.PropertyChange{{Name: "childEntity", Val: children}})
	})
}

func without(refs []types.ManagedObjectReference, ref types.ManagedObjectReference) []types.ManagedObjectReference {
	return slices.DeleteFunc(slices.Clone(refs), func(r types.ManagedObjectReference) bool { return r == ref })
}

// listVM does the same in everything that lists its VMs.
func (s *sight) listVM(ctx *simulator.Context, vm *simulator.VirtualMachine, in bool) {
	change := s.registry.RemoveReference
	if in {
		change = s.registry.AddReference
	}
	var holders []types.ManagedObjectReference
	if vm.Runtime.Host != nil {
		holders = append(holders, *vm.Runtime.Host)
	}
	if vm.ResourcePool != nil {
		holders = append(holders, *vm.ResourcePool)
	}
	holders = append(holders, vm.Datastore...)
	holders = append(holders, vm.Network...)
	for _, ref := range holders {
		switch h := s.registry.Get(ref).(type) {
		case *simulator.HostSystem:
			change(ctx, h, &h.Vm, vm.Self)
		case *simulator.ResourcePool:
			change(ctx, h, &h.Vm, vm.Self)
		case *simulator.Datastore:
			change(ctx, h, &h.Vm, vm.Self)
		case *simulator.DistributedVirtualPortgroup:
			// The simulator does not list VMs here, so there is nothing to add.
			if !in {
				change(ctx, h, &h.Vm, vm.Self)
			}
		}
	}
}

func (s *sight) paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []string{}
	for path := range s.folders {
		out = append(out, path)
	}
	slices.Sort(out)
	return out
}

func noPermission(ref types.ManagedObjectReference, privilege string) *types.NoPermission {
	return &types.NoPermission{Object: &ref, PrivilegeId: privilege}
}

// check refuses a call that touches what is hidden.
func (s *sight) check(method *simulator.Method) types.BaseMethodFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.hidden) == 0 {
		return nil
	}
	switch body := method.Body.(type) {
	case *types.RetrievePropertiesEx:
		s.strip(body.SpecSet)
		return nil
	case *types.RetrieveProperties:
		s.strip(body.SpecSet)
		return nil
	case *types.CreateFolder:
		if fault := s.nameTaken(body.This, body.Name); fault != nil {
			return fault
		}
	case *types.CloneVM_Task:
		if fault := s.nameTaken(body.Folder, body.Name); fault != nil {
			return fault
		}
	}
	if ref := s.named(reflect.ValueOf(method.Body)); ref != nil {
		return noPermission(*ref, "System.View")
	}
	return nil
}

func (s *sight) nameTaken(parent types.ManagedObjectReference, name string) types.BaseMethodFault {
	for _, h := range s.folders {
		if h.parent.Self == parent && h.name == name {
			return &types.DuplicateName{Name: name, Object: h.ref}
		}
	}
	return nil
}

// strip takes hidden objects out of a read; amend answers for them.
func (s *sight) strip(specs []types.PropertyFilterSpec) {
	for i := range specs {
		specs[i].ObjectSet = slices.DeleteFunc(specs[i].ObjectSet, func(o types.ObjectSpec) bool { return s.hidden[o.Obj] })
	}
}

// named finds the first hidden object that a request's body names.
func (s *sight) named(v reflect.Value) *types.ManagedObjectReference {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return s.named(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			if ref := s.named(v.Index(i)); ref != nil {
				return ref
			}
		}
	case reflect.Struct:
		if ref, ok := v.Interface().(types.ManagedObjectReference); ok {
			if s.hidden[ref] {
				return &ref
			}
			return nil
		}
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue
			}
			if ref := s.named(v.Field(i)); ref != nil {
				return ref
			}
		}
	}
	return nil
}

// amend adds the hidden objects that a read named to its answer, with
// NoPermission for each property, as the API describes ObjectContent.missingSet.
func (s *sight) amend(method string, request []byte, answer *recorder) {
	if method != "RetrievePropertiesEx" && method != "RetrieveProperties" || answer.code != 200 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.hidden) == 0 {
		return
	}
	decoded, err := simulator.UnmarshalBody(types.TypeFunc(), request)
	if err != nil {
		return
	}
	var specs []types.PropertyFilterSpec
	element := "objects"
	switch body := decoded.Body.(type) {
	case *types.RetrievePropertiesEx:
		specs = body.SpecSet
	case *types.RetrieveProperties:
		specs, element = body.SpecSet, "returnval"
	}
	var missing bytes.Buffer
	for _, spec := range specs {
		for _, o := range spec.ObjectSet {
			if s.hidden[o.Obj] && (o.Skip == nil || !*o.Skip) {
				writeMissing(&missing, element, o.Obj, spec.PropSet)
			}
		}
	}
	if missing.Len() == 0 {
		return
	}
	end := []byte("</" + method + "Response>")
	if element == "objects" {
		end = append([]byte("</returnval>"), end...)
	}
	text := answer.body.Bytes()
	if empty := []byte("<returnval/>"); element == "objects" && bytes.Contains(text, empty) {
		text = bytes.Replace(text, empty, []byte("<returnval></returnval>"), 1)
	}
	text = bytes.Replace(text, end, append(missing.Bytes(), end...), 1)
	answer.body = *bytes.NewBuffer(text)
	answer.header.Del("Content-Length")
}

func writeMissing(out *bytes.Buffer, element string, ref types.ManagedObjectReference, props []types.PropertySpec) {
	escape := func(s string) string {
		var b bytes.Buffer
		_ = xml.EscapeText(&b, []byte(s))
		return b.String()
	}
	object := fmt.Sprintf(` type="%s">%s<`, ref.Type, escape(ref.Value))
	fmt.Fprintf(out, "<%s><obj%s/obj>", element, object)
	for _, p := range props {
		if p.Type != ref.Type && p.Type != "ManagedEntity" {
			continue
		}
		for _, path := range p.PathSet {
			fmt.Fprintf(out, `<missingSet><path>%s</path><fault><fault xsi:type="NoPermission"><object%s/object><privilegeId>System.Read</privilegeId></fault><localizedMessage>Permission to perform this operation was denied.</localizedMessage></fault></missingSet>`, escape(path), object)
		}
	}
	fmt.Fprintf(out, "</%s>", element)
}
