package main

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// grainSize is the piece of a disk that has one content.
const grainSize = 64 << 10

var zeros [grainSize]byte

// filling is what a grain holds.
type filling int

const (
	nothing filling = iota
	text            // can be compressed
	noise           // cannot
)

// disk is a disk with bytes: the same VM name and device key give the same ones,
// run after run, but for grains that were written since.
type disk struct {
	Key      int32  `json:"key"`
	Label    string `json:"label"`
	Bytes    int64  `json:"bytes"`    // as long as its stream says
	Capacity int64  `json:"capacity"` // as the VM's hardware says
	SHA256   string `json:"sha256,omitempty"`

	seed    string
	share   uint16           // of 65536 grains so many have content
	written map[int64]int64  // how often a grain was written
	stored  map[int64][]byte // what came by an import, instead of the seed's; nil without one
}

// fill gives the content of a grain. The first one always has some.
func (d *disk) fill(grain int64, into []byte) filling {
	times := d.written[grain]
	if d.stored != nil && times == 0 {
		clear(into)
		if copy(into, d.stored[grain]) == 0 {
			return nothing
		}
		return text
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", d.seed, grain, times))
	if times == 0 && grain > 0 && binary.BigEndian.Uint16(sum[:]) >= d.share {
		clear(into)
		return nothing
	}
	if sum[2]&1 == 1 && grain > 0 {
		_, _ = rand.NewChaCha8(sum).Read(into)
		return noise
	}
	line := fmt.Appendf(nil, "%s grain %d, written %d times\n", d.seed, grain, times)
	copy(into, bytes.Repeat(line, len(into)/len(line)+1))
	return text
}

// each walks through the disk grain by grain; the last one may be shorter.
func (d *disk) each(f func(grain int64, content []byte, what filling) error) error {
	var buffer [grainSize]byte
	for grain := int64(0); grain*grainSize < d.Bytes; grain++ {
		content := buffer[:min(grainSize, d.Bytes-grain*grainSize)]
		if err := f(grain, content, d.fill(grain, content)); err != nil {
			return err
		}
	}
	return nil
}

// raw writes the disk as it is.
func (d *disk) raw(out io.Writer) error {
	return d.each(func(_ int64, content []byte, _ filling) error {
		_, err := out.Write(content)
		return err
	})
}

func (d *disk) hash() string {
	sum := sha256.New()
	_ = d.raw(sum)
	return hex.EncodeToString(sum.Sum(nil))
}

// contents knows what is on the VMs' disks, now and in each snapshot.
type contents struct {
	registry *simulator.Registry
	mu       sync.Mutex
	// longest is the most that a disk has, whatever the VM's hardware says, and
	// filled about how much of it is not zero.
	longest, filled int64
	// seeds has the name that a VM had when its disks were first looked at.
	seeds   map[types.ManagedObjectReference]string
	written map[types.ManagedObjectReference]map[int32]map[int64]int64
	// stored has what imports have brought, by VM, device key and grain.
	stored map[types.ManagedObjectReference]map[int32]map[int64][]byte
	frozen map[types.ManagedObjectReference][]*disk
	// prepared has streams that were made beforehand, by what is on the disk.
	prepared map[string]*prepared
}

// prepared is a stream that was made beforehand, a file in memory, with its hash.
type prepared struct {
	bytes []byte
	sha1  string
}

func newContents(registry *simulator.Registry, longest, filled int64) *contents {
	c := &contents{
		registry: registry, longest: longest, filled: filled,
		seeds:   map[types.ManagedObjectReference]string{},
		written: map[types.ManagedObjectReference]map[int32]map[int64]int64{},
		stored:  map[types.ManagedObjectReference]map[int32]map[int64][]byte{},
		frozen:  map[types.ManagedObjectReference][]*disk{},

		prepared: map[string]*prepared{},
	}
	registry.AddHandler(c)
	return c
}

// Reference makes it a listener of the registry.
func (c *contents) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "LabContents", Value: "LabContents"}
}

// PutObject keeps what the disks of a new snapshot hold at this moment.
func (c *contents) PutObject(_ *simulator.Context, o mo.Reference) {
	snapshot, ok := o.(*simulator.VirtualMachineSnapshot)
	if !ok {
		return
	}
	vm, ok := c.registry.Get(snapshot.Vm).(*simulator.VirtualMachine)
	if !ok {
		return
	}
	disks := c.disks(vm.Self, vm.Name, snapshot.Config.Hardware.Device)
	snapshot.Config.Hardware.Device = asLongAs(disks, snapshot.Config.Hardware.Device)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen[snapshot.Self] = disks
}

// asLongAs is a snapshot's hardware with disks as long as its export has them,
// as they are in a real vSphere. The VM's own hardware stays.
func asLongAs(disks []*disk, hardware []types.BaseVirtualDevice) []types.BaseVirtualDevice {
	lengths := map[int32]int64{}
	for _, d := range disks {
		lengths[d.Key] = d.Bytes
	}
	devices := make([]types.BaseVirtualDevice, len(hardware))
	for i, device := range hardware {
		devices[i] = device
		if d, ok := device.(*types.VirtualDisk); ok {
			changed := *d
			changed.CapacityInBytes, changed.CapacityInKB = lengths[d.Key], lengths[d.Key]>>10
			devices[i] = &changed
		}
	}
	return devices
}

// UpdateObject is part of the listener's interface.
func (c *contents) UpdateObject(*simulator.Context, mo.Reference, []types.PropertyChange) {}

// RemoveObject forgets a snapshot.
func (c *contents) RemoveObject(_ *simulator.Context, ref types.ManagedObjectReference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.frozen, ref)
}

// disks are those of a VM with this hardware, as they are now.
func (c *contents) disks(vm types.ManagedObjectReference, name string, hardware []types.BaseVirtualDevice) []*disk {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seeds[vm] == "" {
		c.seeds[vm] = name
	}
	found := []*disk{}
	for _, device := range hardware {
		d, ok := device.(*types.VirtualDisk)
		if !ok {
			continue
		}
		capacity := d.CapacityInBytes
		if capacity == 0 {
			capacity = d.CapacityInKB << 10
		}
		length := capacity
		stored := c.stored[vm][d.Key]
		if c.longest > 0 && stored == nil {
			length = min(length, c.longest)
		}
		label := ""
		if d.DeviceInfo != nil {
			label = d.DeviceInfo.GetDescription().Label
		}
		// Never more than two in three, so that every disk is sparse.
		share := min(float64(c.filled)/float64(max(length, 1)), 0.66)
		found = append(found, &disk{
			Key: d.Key, Label: label, Bytes: length, Capacity: capacity,
			seed: fmt.Sprintf("%s/%d", c.seeds[vm], d.Key), share: uint16(share * 65535),
			written: maps.Clone(c.written[vm][d.Key]), stored: stored,
		})
	}
	return found
}

// of are the disks of a VM as they are now.
func (c *contents) of(vm *simulator.VirtualMachine) []*disk {
	var disks []*disk
	newContext(c.registry).WithLock(vm, func() { disks = c.disks(vm.Self, vm.Name, vm.Config.Hardware.Device) })
	return disks
}

// in are the disks of a snapshot.
func (c *contents) in(snapshot types.ManagedObjectReference) ([]*disk, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	disks, ok := c.frozen[snapshot]
	return disks, ok
}

// write changes some grains of a disk, the same ones in each run.
func (c *contents) write(vm types.ManagedObjectReference, d *disk, grains int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.written[vm] == nil {
		c.written[vm] = map[int32]map[int64]int64{}
	}
	if c.written[vm][d.Key] == nil {
		c.written[vm][d.Key] = map[int64]int64{}
	}
	all := (d.Bytes + grainSize - 1) / grainSize
	for i := range min(grains, all) {
		c.written[vm][d.Key][i*all/min(grains, all)]++
	}
}

// put replaces what is on a disk by these grains.
func (c *contents) put(vm types.ManagedObjectReference, key int32, grains map[int64][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stored[vm] == nil {
		c.stored[vm] = map[int32]map[int64][]byte{}
	}
	c.stored[vm][key] = grains
}

// forget drops what imports have brought to a VM.
func (c *contents) forget(vm types.ManagedObjectReference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.stored, vm)
}

// sizes sets how long and how full disks are from now on.
func (c *contents) sizes(longest, filled int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.longest, c.filled = longest, filled
}

// prepare makes the stream of a disk beforehand, so that whoever measures an
// export does not measure how the simulator makes up its bytes.
func (c *contents) prepare(d *disk) error {
	if d.stored != nil {
		return fmt.Errorf("what an import has brought is as fast as it is")
	}
	file, err := os.CreateTemp("", "stream-")
	if err != nil {
		return err
	}
	if err = os.Remove(file.Name()); err != nil {
		return err
	}
	sum := sha1.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(file, sum), 1<<20)
	if err = d.stream(buffered); err == nil {
		err = buffered.Flush()
	}
	var mapped []byte
	if err == nil {
		mapped, err = mapFile(file)
	}
	// What is mapped stays.
	_ = file.Close()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prepared[d.content()] = &prepared{mapped, hex.EncodeToString(sum.Sum(nil))}
	return nil
}

func mapFile(file *os.File) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return syscall.Mmap(int(file.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
}

// stream writes a disk's stream, the one that was prepared where there is one,
// and gives its SHA-1.
func (c *contents) stream(d *disk, out io.Writer) (string, error) {
	c.mu.Lock()
	made := c.prepared[d.content()]
	c.mu.Unlock()
	if made == nil {
		sum := sha1.New()
		err := d.stream(io.MultiWriter(out, sum))
		return hex.EncodeToString(sum.Sum(nil)), err
	}
	// In large pieces: each has TLS records of its own, of which the last is
	// small. A real host is a machine of its own.
	for piece := range slices.Chunk(made.bytes, 1<<20) {
		if _, err := out.Write(piece); err != nil {
			return "", err
		}
	}
	return made.sha1, nil
}

// content tells one disk's bytes from all others; empty for what an import has
// brought.
func (d *disk) content() string {
	if d.stored != nil {
		return ""
	}
	return fmt.Sprint(d.seed, d.Bytes, d.share, d.written)
}
