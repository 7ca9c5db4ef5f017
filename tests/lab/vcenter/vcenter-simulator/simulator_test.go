package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// TestMain lets the test binary stand in for the command.
func TestMain(m *testing.M) {
	if os.Getenv("LAB_RUN_SIMULATOR") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// session is a simulator and a client logged in to it.
type session struct {
	t *testing.T
	context.Context
	*govmomi.Client
	admin     string
	tenants   *object.Folder
	pool      *object.ResourcePool
	template  *object.VirtualMachine
	collector *property.Collector
	finder    *find.Finder
}

func start(t *testing.T, flags ...string) *session {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"-password", "secret"}, flags...)...)
	cmd.Env = append(os.Environ(), "LAB_RUN_SIMULATOR=1", "TMPDIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	check(t, err)
	var said ready
	check(t, json.Unmarshal(line, &said))
	u, err := url.Parse(said.URL)
	check(t, err)
	u.User = url.UserPassword("vertskommune@vsphere.local", "secret")
	c, err := govmomi.NewClient(ctx, u, true)
	check(t, err)
	r := &session{t: t, Context: ctx, Client: c, admin: said.Admin, collector: property.DefaultCollector(c.Client), finder: find.NewFinder(c.Client)}
	dc, err := r.finder.DefaultDatacenter(ctx)
	check(t, err)
	r.finder.SetDatacenter(dc)
	r.tenants, err = r.finder.Folder(ctx, "/DC0/vm/Tenants")
	check(t, err)
	r.pool, err = r.finder.ResourcePool(ctx, "DC0_C0/Resources/Tenants")
	check(t, err)
	r.template, err = r.finder.VirtualMachine(ctx, "Templates/ubuntu-24.04")
	check(t, err)
	return r
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *session) order(method, path string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r, method, r.admin+path, strings.NewReader(""))
	check(r.t, err)
	res, err := http.DefaultClient.Do(req)
	check(r.t, err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		r.t.Fatalf("%s %s: %s", method, path, res.Status)
	}
}

func (r *session) clone(folder *object.Folder, name string, config *types.VirtualMachineConfigSpec) *object.Task {
	r.t.Helper()
	pool := r.pool.Reference()
	task, err := r.template.Clone(r, folder, name, types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{Pool: &pool}, Config: config})
	check(r.t, err)
	return task
}

func TestCloneTakesTimeAndKeepsItsSpec(t *testing.T) {
	r := start(t, "-clone-time", "400ms")
	task := r.clone(r.tenants, "web01", &types.VirtualMachineConfigSpec{
		Annotation: "note", CpuHotAddEnabled: types.NewBool(true), NumCPUs: 3, NumCoresPerSocket: types.NewInt32(3)})
	if _, err := r.finder.VirtualMachine(r, "/DC0/vm/Tenants/web01"); err == nil {
		t.Error("the VM is there before its clone is done")
	}
	again := r.clone(r.tenants, "web01", nil).Wait(r)
	if !fault.Is(again, &types.DuplicateName{}) {
		t.Errorf("a second clone of the name: %v", again)
	}
	var seen []int32
	for {
		var got mo.Task
		check(t, r.collector.RetrieveOne(r, task.Reference(), []string{"info"}, &got))
		if got.Info.State != types.TaskInfoStateRunning {
			break
		}
		if n := len(seen); n == 0 || seen[n-1] != got.Info.Progress {
			seen = append(seen, got.Info.Progress)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if len(seen) < 4 {
		t.Errorf("progress: %v", seen)
	}
	vm, err := r.finder.VirtualMachine(r, "/DC0/vm/Tenants/web01")
	check(t, err)
	var got mo.VirtualMachine
	check(t, r.collector.RetrieveOne(r, vm.Reference(), []string{"config"}, &got))
	c := got.Config
	if c.Annotation != "note" || c.CpuHotAddEnabled == nil || c.Hardware.NumCPU != 3 || *c.Hardware.NumCoresPerSocket != 3 {
		t.Errorf("annotation %q, hot-add %v, CPUs %d", c.Annotation, c.CpuHotAddEnabled, c.Hardware.NumCPU)
	}
}

func TestHiddenFolderLeavesAndReturns(t *testing.T) {
	r := start(t)
	folder, err := r.tenants.CreateFolder(r, "a")
	check(t, err)
	info, err := r.clone(folder, "web01", nil).WaitForResult(r)
	check(t, err)
	vm := info.Result.(types.ManagedObjectReference)

	v, err := view.NewManager(r.Client.Client).CreateContainerView(r, r.tenants.Reference(), []string{"VirtualMachine"}, true)
	check(t, err)
	changes := make(chan types.ObjectUpdateKind, 8)
	go func() {
		filter := new(property.WaitFilter).Add(v.Reference(), "VirtualMachine", []string{"name"}, v.TraversalSpec())
		_ = property.WaitForUpdates(r, property.DefaultCollector(r.Client.Client), filter, func(updates []types.ObjectUpdate) bool {
			for _, u := range updates {
				if u.Obj == vm {
					changes <- u.Kind
				}
			}
			return false
		})
	}()
	await := func(kind types.ObjectUpdateKind) {
		t.Helper()
		select {
		case got := <-changes:
			if got != kind {
				t.Errorf("the watch says %s and not %s", got, kind)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("the watch does not say %s", kind)
		}
	}
	await(types.ObjectUpdateKindEnter)
	r.order(http.MethodPost, "/hide?folder=Tenants/a")
	await(types.ObjectUpdateKindLeave)

	res, err := methods.RetrievePropertiesEx(r, r.Client.Client, &types.RetrievePropertiesEx{
		This: r.ServiceContent.PropertyCollector,
		SpecSet: []types.PropertyFilterSpec{{
			PropSet:   []types.PropertySpec{{Type: "VirtualMachine", PathSet: []string{"name", "config.instanceUuid"}}},
			ObjectSet: []types.ObjectSpec{{Obj: vm}}}}})
	check(t, err)
	if o := res.Returnval.Objects; len(o) != 1 || o[0].Obj != vm || len(o[0].MissingSet) != 2 || len(o[0].PropSet) != 0 {
		t.Errorf("a direct read of a hidden VM: %+v", o)
	} else if _, ok := o[0].MissingSet[0].Fault.Fault.(*types.NoPermission); !ok {
		t.Errorf("%T", o[0].MissingSet[0].Fault.Fault)
	}
	_, err = object.NewVirtualMachine(r.Client.Client, vm).PowerOn(r)
	if !fault.Is(err, &types.NoPermission{}) {
		t.Errorf("a call on a hidden VM: %v", err)
	}
	_, err = r.tenants.CreateFolder(r, "a")
	if !fault.Is(err, &types.DuplicateName{}) {
		t.Errorf("a folder with the hidden one's name: %v", err)
	}
	pool := r.pool.Reference()
	_, err = r.template.Clone(r, folder, "web02", types.VirtualMachineCloneSpec{Location: types.VirtualMachineRelocateSpec{Pool: &pool}})
	if !fault.Is(err, &types.NoPermission{}) {
		t.Errorf("a clone into a hidden folder: %v", err)
	}

	r.order(http.MethodDelete, "/hide")
	await(types.ObjectUpdateKindEnter)
	if _, err := r.finder.VirtualMachine(r, "/DC0/vm/Tenants/a/web01"); err != nil {
		t.Error(err)
	}
}

func TestReadsAreNoWrites(t *testing.T) {
	for method, write := range map[string]bool{
		"RetrievePropertiesEx": false, "WaitForUpdatesEx": false, "CreateContainerView": false, "CreateFilter": false, "Login": false,
		"CreateFolder": true, "CloneVM_Task": true, "ShutdownGuest": true, "SetField": true, "UpdateConfig": true, "Destroy_Task": true,
		"QueryEvents": false, "FindByUuid": false, "CreateCustomizationSpec": true, "CheckCustomizationSpec": false,
	} {
		if isWrite(method) != write {
			t.Errorf("%s: write is %v", method, !write)
		}
	}
}

func TestCallIsReadOutOfAnyEnvelope(t *testing.T) {
	got, ok := soapCall([]byte(`<?xml version="1.0"?><e:Envelope xmlns:e="x"><e:Header><name>no</name></e:Header><e:Body><v:CloneVM_Task xmlns:v="urn:vim25"><v:_this type="VirtualMachine">vm-1</v:_this><v:folder type="Folder">group-2</v:folder><v:name>web01</v:name></v:CloneVM_Task></e:Body></e:Envelope>`))
	if want := (call{method: "CloneVM_Task", object: "VirtualMachine:vm-1", name: "web01", write: true}); !ok || got != want {
		t.Errorf("%+v", got)
	}
	got, ok = soapCall([]byte(`<Envelope><Body><SetField><_this type="CustomFieldsManager">CustomFieldsManager</_this><entity type="Folder">group-2</entity><key>1</key><value>v</value></SetField></Body></Envelope>`))
	if want := (call{method: "SetField", object: "Folder:group-2", write: true}); !ok || got != want {
		t.Errorf("a custom field is about its entity: %+v", got)
	}
}

func TestManyClonesAtOnceAreNeverSeenHalfMade(t *testing.T) {
	r := start(t)
	windows, err := r.finder.VirtualMachine(r, "Templates/windows-server-2022")
	check(t, err)
	v, err := view.NewManager(r.Client.Client).CreateContainerView(r, r.tenants.Reference(), []string{"VirtualMachine"}, true)
	check(t, err)
	stop, seen := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				seen <- nil
				return
			default:
			}
			var vms []mo.VirtualMachine
			if err := v.Retrieve(r, []string{"VirtualMachine"}, []string{"name", "config.extraConfig"}, &vms); err != nil {
				seen <- err
				return
			}
			for _, vm := range vms {
				marked := false
				for _, o := range vm.Config.ExtraConfig {
					marked = marked || o.GetOptionValue().Key == "owner"
				}
				if vm.Name == "" || !marked {
					seen <- fmt.Errorf("half made: %q %v", vm.Name, marked)
					return
				}
			}
		}
	}()
	pool := r.pool.Reference()
	var tasks []*object.Task
	for i := range 60 {
		from := r.template
		if i%2 == 1 {
			from = windows
		}
		task, err := from.Clone(r, r.tenants, fmt.Sprintf("vm%02d", i/3), types.VirtualMachineCloneSpec{
			Location: types.VirtualMachineRelocateSpec{Pool: &pool},
			Config:   &types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "owner", Value: "us"}}}})
		check(t, err)
		tasks = append(tasks, task)
	}
	made := 0
	for _, task := range tasks {
		if task.Wait(r) == nil {
			made++
		}
	}
	close(stop)
	check(t, <-seen)
	if made != 20 {
		t.Errorf("%d of 20 names", made)
	}
}

func TestAWatchAndNewMachinesDoNotLockEachOtherOut(t *testing.T) {
	r := start(t)
	// The view must hold the folder in which the machines are made.
	v, err := view.NewManager(r.Client.Client).CreateContainerView(r, r.ServiceContent.RootFolder, []string{"Folder", "VirtualMachine"}, true)
	check(t, err)
	filter := new(property.WaitFilter).Add(v.Reference(), "ManagedEntity", []string{"name"}, v.TraversalSpec())
	watching, stop := context.WithCancel(r)
	watched := make(chan error, 1)
	entered := 0
	go func() {
		watched <- property.WaitForUpdates(watching, r.collector, filter, func(updates []types.ObjectUpdate) bool {
			for _, update := range updates {
				if update.Kind == types.ObjectUpdateKindEnter && update.Obj.Type == "VirtualMachine" {
					entered++
				}
			}
			return entered >= 150
		})
	}()
	pool := r.pool.Reference()
	var tasks []*object.Task
	for i := range 150 {
		task, err := r.template.Clone(r, r.tenants, fmt.Sprintf("vm%03d", i), types.VirtualMachineCloneSpec{
			Location: types.VirtualMachineRelocateSpec{Pool: &pool}})
		check(t, err)
		tasks = append(tasks, task)
	}
	for _, task := range tasks {
		check(t, task.Wait(r))
	}
	check(t, <-watched)
	stop()
}
