package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// lease is an export or import that goes on: an object of the session that asked
// for it.
type lease struct {
	mo.HttpNfcLease

	exports  *exports
	ctx      *simulator.Context
	order    exportOrder
	token    string // in the URLs, which need no session
	vm       string
	imports  bool
	snapshot types.ManagedObjectReference // of an export
	entity   types.ManagedObjectReference // the VM; of an import, once it is made
	files    []*exported
	running  context.Context // until the lease ends
	stop     context.CancelFunc
	timer    *time.Timer

	// Under the exports' lock.
	ended    string
	progress int
}

// exported is one disk of a lease.
type exported struct {
	key, target string
	disk        *disk

	// Under the exports' lock.
	requests int
	sent     int64
	sha1     string
}

// ready gives the lease its URLs, as after the preparations of a real host.
func (l *lease) ready() {
	info := &types.HttpNfcLeaseInfo{
		Lease: l.Self, Entity: l.entity, LeaseTimeout: int32(l.exports.patience().Seconds()),
	}
	base, thumbprint := l.exports.address(l.order)
	for _, f := range l.files {
		info.TotalDiskCapacityInKB += f.disk.Bytes >> 10
		importKey := ""
		if l.imports {
			importKey = strings.Replace(f.key, l.entity.Value, l.vm, 1)
		}
		info.DeviceUrl = append(info.DeviceUrl, types.HttpNfcLeaseDeviceUrl{
			Key: f.key, ImportKey: importKey, Url: fmt.Sprintf("%s/nfc/%s/%s", base, l.token, f.target), SslThumbprint: thumbprint,
			Disk: types.NewBool(true), TargetId: f.target,
		})
	}
	l.exports.mu.Lock()
	l.timer = time.AfterFunc(l.exports.timeout, l.expire)
	l.exports.mu.Unlock()
	l.update(types.HttpNfcLeaseStateReady, types.PropertyChange{Name: "info", Val: info})
}

// fail ends the lease with a fault that its owner reads from it.
func (l *lease) fail(how string, fault types.BaseMethodFault) {
	if l.end(how) {
		defer l.undo()
		l.update(types.HttpNfcLeaseStateError, types.PropertyChange{
			Name: "error", Val: &types.LocalizedMethodFault{Fault: fault, LocalizedMessage: "the lab has ended this lease"}})
	}
}

// expire ends a lease of which no progress was reported.
func (l *lease) expire() { l.fail("timedout", &types.Timedout{}) }

func (l *lease) update(state types.HttpNfcLeaseState, change types.PropertyChange) {
	ctx := &simulator.Context{Context: context.Background(), Session: l.ctx.Session, Map: l.ctx.Map}
	ctx.WithLock(l, func() {
		ctx.Update(l, []types.PropertyChange{{Name: "state", Val: state}, change})
	})
}

// end stops the downloads; it says whether the lease had not ended before.
func (l *lease) end(how string) bool {
	l.exports.mu.Lock()
	defer l.exports.mu.Unlock()
	if l.ended != "" {
		return false
	}
	l.ended = how
	if l.timer != nil {
		l.timer.Stop()
	}
	l.stop()
	return true
}

// refusal is the fault of a call on a lease that has ended or not yet begun.
func (l *lease) refusal() types.BaseMethodFault {
	l.exports.mu.Lock()
	defer l.exports.mu.Unlock()
	switch {
	case l.ended == "timedout":
		return &types.Timedout{}
	case l.ended != "" || l.timer == nil:
		return &types.InvalidState{}
	default:
		return nil
	}
}

// HttpNfcLeaseProgress keeps the lease alive.
func (l *lease) HttpNfcLeaseProgress(_ *simulator.Context, req *types.HttpNfcLeaseProgress) soap.HasFault {
	body := &methods.HttpNfcLeaseProgressBody{}
	if fault := l.refusal(); fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	l.TransferProgress = req.Percent
	l.exports.mu.Lock()
	l.progress++
	l.timer.Reset(l.exports.timeout)
	l.exports.mu.Unlock()
	body.Res = &types.HttpNfcLeaseProgressResponse{}
	return body
}

// HttpNfcLeaseComplete ends the lease as its owner wishes, who can still read how
// it ended.
func (l *lease) HttpNfcLeaseComplete(ctx *simulator.Context, _ *types.HttpNfcLeaseComplete) soap.HasFault {
	body := &methods.HttpNfcLeaseCompleteBody{}
	if fault := l.refusal(); fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	l.end("completed")
	ctx.Update(l, []types.PropertyChange{{Name: "state", Val: types.HttpNfcLeaseStateDone}})
	body.Res = &types.HttpNfcLeaseCompleteResponse{}
	return body
}

// HttpNfcLeaseAbort ends the lease, also before it is ready.
func (l *lease) HttpNfcLeaseAbort(ctx *simulator.Context, req *types.HttpNfcLeaseAbort) soap.HasFault {
	if !l.end("aborted") {
		return &methods.HttpNfcLeaseAbortBody{Fault_: simulator.Fault("", l.refusal())}
	}
	l.undo()
	ctx.Session.Remove(ctx, req.This)
	return &methods.HttpNfcLeaseAbortBody{Res: &types.HttpNfcLeaseAbortResponse{}}
}

// HttpNfcLeaseGetManifest tells what was sent whole.
func (l *lease) HttpNfcLeaseGetManifest(*simulator.Context, *types.HttpNfcLeaseGetManifest) soap.HasFault {
	body := &methods.HttpNfcLeaseGetManifestBody{}
	if fault := l.refusal(); fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	l.exports.mu.Lock()
	defer l.exports.mu.Unlock()
	body.Res = &types.HttpNfcLeaseGetManifestResponse{}
	for _, f := range l.files {
		if f.sha1 != "" {
			body.Res.Returnval = append(body.Res.Returnval, types.HttpNfcLeaseManifestEntry{
				Key: f.key, Sha1: f.sha1, Size: f.sent, Disk: true, Capacity: f.disk.Bytes})
		}
	}
	return body
}

// send answers a GET with a disk's stream, spoilt as the order says.
func (l *lease) send(w http.ResponseWriter, r *http.Request, f *exported) {
	if l.order.Code != 0 {
		http.Error(w, http.StatusText(l.order.Code), l.order.Code)
		return
	}
	w.Header().Set("Content-Type", "application/x-vnd.vmware-streamVmdk")
	s := &sender{lease: l, file: f, out: w, asked: r.Context(), begun: time.Now()}
	buffered := bufio.NewWriterSize(s, 64<<10)
	sum, err := l.exports.contents.stream(f.disk, buffered)
	if err == nil {
		err = buffered.Flush()
	}
	switch {
	case err == errTruncated: // The answer ends as if it were whole.
	case err != nil:
		panic(http.ErrAbortHandler)
	default:
		l.exports.mu.Lock()
		f.sha1 = sum
		l.exports.mu.Unlock()
	}
}

var (
	errCut       = fmt.Errorf("the order says to cut the connection")
	errTruncated = fmt.Errorf("the order says to end the answer early")
)

// sender is the way of a disk's bytes to the client.
type sender struct {
	lease *lease
	file  *exported
	out   http.ResponseWriter
	asked context.Context
	begun time.Time
	sent  int64
}

func (s *sender) Write(b []byte) (int, error) {
	order := s.lease.order
	for limit, err := range map[int64]error{order.CutAfter: errCut, order.TruncateAfter: errTruncated, order.StallAfter: nil} {
		if limit == 0 || s.sent+int64(len(b)) <= limit {
			continue
		}
		_, _ = s.out.Write(b[:limit-s.sent])
		_ = http.NewResponseController(s.out).Flush()
		if err == nil {
			s.wait(time.Hour)
			err = errCut
		}
		return 0, err
	}
	if order.Rate > 0 {
		due := time.Duration(float64(s.sent+int64(len(b))) / float64(order.Rate) * float64(time.Second))
		s.wait(due - time.Since(s.begun))
	}
	if err := s.lease.running.Err(); err != nil {
		return 0, err
	}
	n, err := s.out.Write(b)
	s.sent += int64(n)
	s.lease.exports.mu.Lock()
	s.file.sent = s.sent
	s.lease.exports.mu.Unlock()
	return n, err
}

// wait lets time pass, unless the client or the lease is gone.
func (s *sender) wait(d time.Duration) { s.lease.wait(d, s.asked) }

func (l *lease) wait(d time.Duration, asked context.Context) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-asked.Done():
	case <-l.running.Done():
	}
}
