package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// entry is one write in the journal.
type entry struct {
	Seq    int    `json:"seq"`
	Method string `json:"method"`
	Object string `json:"object"`
	Name   string `json:"name"`
	// Caller tells sessions apart; it is no session's key.
	Caller string `json:"caller"`
	// Outcome is "ok", the type of the fault, "http-503", "cut-before",
	// "cut-after", or "running" while the answer is being made.
	Outcome string `json:"outcome"`
	// Carried is the outcome that a caller cut off afterwards did not see.
	Carried string `json:"carried,omitempty"`
	// Task and what became of it, when the method started one.
	Task      string `json:"task,omitempty"`
	TaskState string `json:"task_state,omitempty"`
	TaskFault string `json:"task_fault,omitempty"`
}

// cut says which write loses its connection.
type cut struct {
	Write int    `json:"write"`
	At    string `json:"at"` // "before" or "after" the write is carried out
	Armed bool   `json:"armed"`
	Fired bool   `json:"fired"`
	// Method is the one that was cut.
	Method string `json:"method,omitempty"`
}

// traffic stands between the port and the simulator: it counts calls, keeps the
// journal of writes, and spoils answers as told.
type traffic struct {
	world *world
	next  http.Handler

	mu       sync.Mutex
	calls    map[string]int
	writes   int
	journal  []*entry
	cut      cut
	delay    time.Duration
	failCode int
	failLeft int
}

func newTraffic(w *world, next http.Handler) *traffic {
	return &traffic{world: w, next: next, calls: map[string]int{}}
}

func (t *traffic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var c call
	var body []byte
	if isSOAP(r) {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var ok bool
		if c, ok = soapCall(body); !ok {
			t.next.ServeHTTP(w, r)
			return
		}
		if c.name == "" {
			c.name = t.world.nameOf(c.object)
		}
	} else {
		c = otherCall(r)
	}

	c.caller = callerOf(r)

	e, orders := t.receive(c)
	time.Sleep(orders.delay)
	if orders.code != 0 {
		t.settle(e, fmt.Sprintf("http-%d", orders.code), nil)
		http.Error(w, http.StatusText(orders.code), orders.code)
		return
	}
	if orders.cut == "before" {
		t.settle(e, "cut-before", nil)
		panic(http.ErrAbortHandler)
	}
	if body == nil && e == nil {
		t.next.ServeHTTP(w, r) // Downloads are not kept in memory.
		return
	}
	answer := &recorder{header: http.Header{}, code: http.StatusOK}
	t.next.ServeHTTP(answer, r)
	t.world.hidden.amend(c.method, body, answer)
	if orders.cut == "after" {
		t.settle(e, "cut-after", answer)
		panic(http.ErrAbortHandler)
	}
	t.settle(e, "", answer)
	answer.copyTo(w)
}

// orders is what the tests want done with one call.
type orders struct {
	cut   string
	code  int
	delay time.Duration
}

func (t *traffic) receive(c call) (*entry, orders) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := orders{delay: t.delay}
	t.calls[c.method]++
	if t.failLeft > 0 {
		t.failLeft--
		o.code = t.failCode
	}
	if !c.write {
		return nil, o
	}
	t.writes++
	e := &entry{Seq: len(t.journal), Method: c.method, Object: c.object, Name: c.name, Caller: c.caller, Outcome: "running"}
	t.journal = append(t.journal, e)
	if t.cut.Armed && !t.cut.Fired && t.cut.Write == e.Seq && o.code == 0 {
		t.cut.Fired, t.cut.Method = true, c.method
		o.cut = t.cut.At
	}
	return e, o
}

var (
	faultType = regexp.MustCompile(`<detail>.*?xsi:type="(?:\w+:)?(\w+)"`)
	taskRef   = regexp.MustCompile(`<returnval type="Task"[^>]*>([^<]+)<`)
)

// settle writes down what became of a write.
func (t *traffic) settle(e *entry, outcome string, answer *recorder) {
	if e == nil {
		return
	}
	got := ""
	task := ""
	if answer != nil {
		got = "ok"
		if answer.code >= 400 {
			got = fmt.Sprintf("http-%d", answer.code)
			if m := faultType.FindSubmatch(answer.body.Bytes()); m != nil {
				got = string(m[1])
			}
		} else if m := taskRef.FindSubmatch(answer.body.Bytes()); m != nil {
			task = string(m[1])
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e.Task = task
	if outcome == "" {
		e.Outcome = got
		return
	}
	e.Outcome, e.Carried = outcome, got
}

// read copies the journal, with the state that each task has by now.
func (t *traffic) read() []entry {
	t.mu.Lock()
	out := make([]entry, len(t.journal))
	for i, e := range t.journal {
		out[i] = *e
	}
	t.mu.Unlock()
	for i := range out {
		if out[i].Task != "" {
			out[i].TaskState, out[i].TaskFault = t.world.taskState(out[i].Task)
		}
	}
	return out
}

func (t *traffic) resetJournal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.journal = nil
}

func (t *traffic) stats() (map[string]int, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.calls), t.writes
}

func (t *traffic) resetStats() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls, t.writes = map[string]int{}, 0
}

// recorder keeps an answer until it is decided whether the caller gets it.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

func (r *recorder) copyTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(r.code)
	_, _ = w.Write(r.body.Bytes())
}

func refOf(object string) (ref types.ManagedObjectReference) {
	ref.Type, ref.Value, _ = strings.Cut(object, ":")
	return ref
}

// taskState reads a task's state and, when it failed, the type of its fault.
func (w *world) taskState(id string) (state, fault string) {
	task, ok := w.registry.Get(types.ManagedObjectReference{Type: "Task", Value: id}).(*simulator.Task)
	if !ok {
		return "gone", ""
	}
	ctx := newContext(w.registry)
	ctx.WithLock(task, func() {
		state = string(task.Info.State)
		if task.Info.Error != nil {
			fault = strings.TrimPrefix(fmt.Sprintf("%T", task.Info.Error.Fault), "*types.")
		}
	})
	return state, fault
}
