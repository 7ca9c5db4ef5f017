package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi/cli"
	_ "github.com/vmware/govmomi/cli/vm/snapshot"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/nfc"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// ask reads an answer of the admin port.
func (r *session) ask(path string, into any) {
	r.t.Helper()
	res, err := http.Get(r.admin + path)
	check(r.t, err)
	defer res.Body.Close()
	check(r.t, json.NewDecoder(res.Body).Decode(into))
}

// tell sends an order with a body to the admin port.
func (r *session) tell(path, body string) {
	r.t.Helper()
	res, err := http.Post(r.admin+path, "application/json", strings.NewReader(body))
	check(r.t, err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(res.Body)
		r.t.Fatalf("%s %s: %s", path, body, said)
	}
}

func (r *session) vm(path string) *object.VirtualMachine {
	r.t.Helper()
	vm, err := r.finder.VirtualMachine(r, path)
	check(r.t, err)
	return vm
}

func (r *session) snapshot(vm *object.VirtualMachine, quiesce bool) (types.ManagedObjectReference, error) {
	r.t.Helper()
	task, err := vm.CreateSnapshot(r, "backup", "mark", false, quiesce)
	check(r.t, err)
	info, err := task.WaitForResult(r)
	if err != nil {
		return types.ManagedObjectReference{}, err
	}
	return info.Result.(types.ManagedObjectReference), nil
}

// export opens a lease by govmomi's own client, and waits until it is ready.
func (r *session) export(vm *object.VirtualMachine, snapshot types.ManagedObjectReference) (*nfc.Lease, *nfc.LeaseInfo) {
	r.t.Helper()
	lease, err := vm.ExportSnapshot(r, &snapshot)
	check(r.t, err)
	info, err := lease.Wait(r, nil)
	check(r.t, err)
	return lease, info
}

// download keeps the lease alive meanwhile: govmomi waits for somebody to take
// its reports.
func (r *session) download(lease *nfc.Lease, info *nfc.LeaseInfo) (string, error) {
	r.t.Helper()
	updater := lease.StartUpdater(r, info)
	defer updater.Done()
	file := filepath.Join(r.t.TempDir(), info.Items[0].Path)
	return file, lease.DownloadFile(r, file, info.Items[0], soap.Download{})
}

func needsQEMU(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("nothing may be skipped here: run `make install`")
	}
	t.Skip("qemu-img is missing (Debian's qemu-utils)")
}

// unpack lets QEMU make the raw disk of a stream, and returns its SHA-256.
func unpack(t *testing.T, file string) string {
	t.Helper()
	raw := file + ".raw"
	if said, err := exec.Command("qemu-img", "convert", "-f", "vmdk", "-O", "raw", file, raw).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v: %s", err, said)
	}
	return sumOf(t, raw)
}

func sumOf(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	check(t, err)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestAnExportHasTheBytesOfTheSnapshot(t *testing.T) {
	needsQEMU(t)
	r := start(t)
	vm := r.vm("Drift/legacy-fs01")
	snapshot, err := r.snapshot(vm, true)
	check(t, err)
	var before, frozen, now []disk
	r.ask("/disks?vm=legacy-fs01", &before)
	r.tell("/disks/change?vm=legacy-fs01&grains=3", "")
	r.ask("/disks?vm=legacy-fs01", &now)
	r.ask("/disks?snapshot="+snapshot.Value, &frozen)
	if frozen[0].SHA256 != before[0].SHA256 || now[0].SHA256 == before[0].SHA256 || before[0].Bytes != 16<<20 {
		t.Fatalf("before %+v, frozen %+v, now %+v", before, frozen, now)
	}

	lease, info := r.export(vm, snapshot)
	if len(info.Items) != 1 || info.TotalDiskCapacityInKB != 16<<10 || !strings.HasSuffix(info.Items[0].DeviceId, "/ParaVirtualSCSIController0:0") {
		t.Fatalf("%+v", info)
	}
	file, err := r.download(lease, info)
	check(t, err)
	if got := unpack(t, file); got != frozen[0].SHA256 {
		t.Errorf("QEMU makes other bytes of the stream")
	}
	manifest, err := lease.GetManifest(r)
	check(t, err)
	b, err := os.ReadFile(file)
	check(t, err)
	sum := sha1.Sum(b)
	if len(manifest) != 1 || manifest[0].Sha1 != hex.EncodeToString(sum[:]) || manifest[0].Size != int64(len(b)) || manifest[0].Capacity != 16<<20 {
		t.Errorf("%+v", manifest)
	}
	check(t, lease.Complete(r))
	var leases []leaseState
	r.ask("/leases", &leases)
	if len(leases) != 1 || leases[0].Ended != "completed" || leases[0].Disks[0].SHA1 != manifest[0].Sha1 {
		t.Errorf("%+v", leases)
	}
	if err := lease.Progress(r, 1); !fault.Is(err, &types.InvalidState{}) {
		t.Errorf("progress of a completed lease: %v", err)
	}
	res, err := r.Client.Client.Client.Get(info.Items[0].URL.String())
	check(t, err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("a URL outlives its lease: %s", res.Status)
	}
}

func TestSizesAreAsTold(t *testing.T) {
	needsQEMU(t)
	// More than one table of grains, an end within a grain, and far from full.
	r := start(t, "-longest-disk", fmt.Sprint(100<<20+512), "-filled-disk", fmt.Sprint(2<<20))
	vm := r.vm("Drift/legacy-db01")
	snapshot, err := r.snapshot(vm, false)
	check(t, err)
	lease, info := r.export(vm, snapshot)
	file, err := r.download(lease, info)
	check(t, err)
	var disks []disk
	r.ask("/disks?snapshot="+snapshot.Value, &disks)
	if got := unpack(t, file); got != disks[0].SHA256 || disks[0].Bytes != 100<<20+512 || disks[0].Capacity != 200<<30 {
		t.Errorf("%+v", disks)
	}
	if size, err := os.Stat(file); err != nil || size.Size() > 4<<20 {
		t.Errorf("%d bytes: %v", size.Size(), err)
	}
	if said, err := exec.Command("qemu-img", "check", "-f", "vmdk", file).CombinedOutput(); err != nil {
		t.Errorf("qemu-img check: %s", said)
	}
	check(t, lease.Abort(r, nil))
}

func TestGovcExportsWithTheThumbprintOfTheLease(t *testing.T) {
	needsQEMU(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	r := start(t, "-ca-out", ca)
	_, err := r.snapshot(r.vm("Drift/legacy-fs01"), false)
	check(t, err)
	u := *r.Client.URL()
	u.User = url.UserPassword("vertskommune@vsphere.local", "secret")
	t.Setenv("GOVC_URL", u.String())
	t.Setenv("GOVC_TLS_CA_CERTS", ca)
	t.Setenv("GOVC_PERSIST_SESSION", "false")
	govc := func() (string, int) {
		dir := t.TempDir()
		return filepath.Join(dir, "disk-0.vmdk"), cli.Run([]string{"snapshot.export", "-vm", "legacy-fs01", "-d", dir, "backup"})
	}
	file, code := govc()
	var disks []disk
	r.ask("/disks?vm=legacy-fs01", &disks)
	if code != 0 || unpack(t, file) != disks[0].SHA256 {
		t.Errorf("govc ends with %d", code)
	}
	r.tell("/export", `{"thumbprint": "wrong"}`)
	if _, code := govc(); code == 0 {
		t.Error("govc accepts a host with another thumbprint")
	}
}

func TestALeaseEndsWithoutProgress(t *testing.T) {
	r := start(t, "-lease-timeout", "1s")
	vm := r.vm("Drift/legacy-fs01")
	snapshot, err := r.snapshot(vm, false)
	check(t, err)
	lease, info := r.export(vm, snapshot)
	if info.LeaseTimeout != 1 {
		t.Errorf("%+v", info)
	}
	begun := time.Now()
	for time.Since(begun) < 1500*time.Millisecond {
		check(t, lease.Progress(r, 50))
		time.Sleep(100 * time.Millisecond)
	}
	for begun = time.Now(); time.Since(begun) < 5*time.Second; time.Sleep(50 * time.Millisecond) {
		var o mo.HttpNfcLease
		if o, err = lease.Properties(r); err != nil || o.State == types.HttpNfcLeaseStateError {
			break
		}
	}
	if err := lease.Progress(r, 50); !fault.Is(err, &types.Timedout{}) {
		t.Errorf("progress of an expired lease: %v", err)
	}
	_, err = lease.Wait(r, nil)
	if !fault.Is(err, &types.Timedout{}) {
		t.Errorf("an expired lease: %v", err)
	}
}

func TestExportsGoWrongAsOrdered(t *testing.T) {
	r := start(t)
	vm := r.vm("Drift/legacy-fs01")
	snapshot, err := r.snapshot(vm, false)
	check(t, err)
	for order, well := range map[string]bool{
		`{"cut_after": 100000, "max": 1}`:               false,
		`{"code": 503, "max": 1}`:                       false,
		`{"vm": "legacy-db01", "code": 503}`:            true,
		`{"through": "vcenter", "prepare_ms": 300}`:     true,
		`{"truncate_after": 100000, "rate": 100000000}`: true, // HTTP does not notice.
	} {
		r.order(http.MethodDelete, "/export")
		r.tell("/export", order)
		lease, info := r.export(vm, snapshot)
		_, err := r.download(lease, info)
		if (err == nil) != well {
			t.Errorf("%s: %v", order, err)
		}
		check(t, lease.Abort(r, nil))
	}
	r.order(http.MethodDelete, "/export")
	r.tell("/export", `{"fault": "FileLocked"}`)
	lease, err := vm.ExportSnapshot(r, &snapshot)
	check(t, err)
	if _, err := lease.Wait(r, nil); !fault.Is(err, &types.FileLocked{}) {
		t.Errorf("a lease that fails: %v", err)
	}
}

func TestSnapshotsFailAndVMsResist(t *testing.T) {
	r := start(t)
	vm := r.vm("Drift/legacy-fs01")
	r.order(http.MethodPost, "/quiesce?vm=legacy-fs01&fault=ApplicationQuiesceFault")
	if _, err := r.snapshot(vm, true); !fault.Is(err, &types.ApplicationQuiesceFault{}) {
		t.Errorf("a quiesced snapshot: %v", err)
	}
	snapshot, err := r.snapshot(vm, false)
	check(t, err)
	var listed []snapshotState
	r.ask("/snapshots", &listed)
	if want := (snapshotState{"legacy-fs01", snapshot.Value, "backup", "mark", false, false}); len(listed) != 1 || listed[0] != want {
		t.Errorf("%+v", listed)
	}
	r.tell("/fault", `{"method": "RemoveSnapshot_Task", "type": "FileLocked", "in_task": true, "max": 1}`)
	for _, well := range []bool{false, true} {
		task, err := vm.RemoveSnapshot(r, snapshot.Value, false, types.NewBool(true))
		check(t, err)
		if err := task.Wait(r); (err == nil) != well {
			t.Errorf("the snapshot's removal: %v", err)
		}
	}

	r.tell("/obstacle", `{"vm": "legacy-fs01", "mode": "independent_persistent"}`)
	r.tell("/obstacle", `{"vm": "legacy-db01", "rdm": "physicalMode"}`)
	r.tell("/obstacle", `{"vm": "legacy-db01", "tpm": true}`)
	devices, err := vm.Device(r)
	check(t, err)
	d := devices.SelectByType((*types.VirtualDisk)(nil))[0].(*types.VirtualDisk)
	if d.Backing.(*types.VirtualDiskFlatVer2BackingInfo).DiskMode != "independent_persistent" {
		t.Errorf("%+v", d.Backing)
	}
	var got mo.VirtualMachine
	check(t, r.vm("Drift/legacy-db01").Properties(r, r.vm("Drift/legacy-db01").Reference(), []string{"config"}, &got))
	list := object.VirtualDeviceList(got.Config.Hardware.Device)
	rdm := list.SelectByBackingInfo((*types.VirtualDiskRawDiskMappingVer1BackingInfo)(nil))
	if got.Config.KeyId == nil || len(rdm) != 1 || len(list.SelectByType((*types.VirtualTPM)(nil))) != 1 {
		t.Errorf("%+v", got.Config.Hardware.Device)
	}
	snapshot, err = r.snapshot(vm, false)
	check(t, err)
	if _, info := r.export(vm, snapshot); len(info.Items) != 0 {
		t.Errorf("an independent disk is exported: %+v", info.Items)
	}
}
