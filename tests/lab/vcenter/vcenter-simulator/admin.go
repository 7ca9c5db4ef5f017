package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// newAdmin serves the admin port. Every answer is JSON; every order is answered
// when it is in force.
func newAdmin(w *world, d *door) http.Handler {
	mux := http.NewServeMux()
	t := w.traffic

	mux.HandleFunc("GET /stats", func(out http.ResponseWriter, _ *http.Request) {
		calls, writes := t.stats()
		reply(out, map[string]any{"calls": calls, "writes": writes})
	})
	mux.HandleFunc("POST /stats/reset", func(out http.ResponseWriter, _ *http.Request) {
		t.resetStats()
		done(out, nil)
	})
	mux.HandleFunc("GET /journal", func(out http.ResponseWriter, _ *http.Request) { reply(out, t.read()) })
	mux.HandleFunc("POST /journal/reset", func(out http.ResponseWriter, _ *http.Request) {
		t.resetJournal()
		done(out, nil)
	})

	mux.HandleFunc("POST /cut", func(out http.ResponseWriter, r *http.Request) {
		c := cut{At: "before"}
		if !decode(out, r, &c) {
			return
		}
		if c.At != "before" && c.At != "after" {
			http.Error(out, `at: "before" or "after"`, http.StatusBadRequest)
			return
		}
		c.Armed, c.Fired, c.Method = true, false, ""
		t.mu.Lock()
		t.cut = c
		t.mu.Unlock()
		done(out, nil)
	})
	mux.HandleFunc("GET /cut", func(out http.ResponseWriter, _ *http.Request) {
		t.mu.Lock()
		c := t.cut
		t.mu.Unlock()
		reply(out, c)
	})
	mux.HandleFunc("DELETE /cut", func(out http.ResponseWriter, _ *http.Request) {
		t.mu.Lock()
		t.cut = cut{}
		t.mu.Unlock()
		done(out, nil)
	})

	mux.HandleFunc("POST /fault", func(out http.ResponseWriter, r *http.Request) {
		rule := &faultRule{Object: "*", Probability: 1}
		if decode(out, r, rule) {
			done(out, w.faults.add(rule))
		}
	})
	mux.HandleFunc("DELETE /fault", func(out http.ResponseWriter, _ *http.Request) {
		w.faults.clear()
		done(out, nil)
	})
	mux.HandleFunc("POST /http", func(out http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.URL.Query().Get("code"))
		count := 1
		if c := r.URL.Query().Get("count"); c != "" && err == nil {
			count, err = strconv.Atoi(c)
		}
		if err == nil {
			t.mu.Lock()
			t.failCode, t.failLeft = code, count
			t.mu.Unlock()
		}
		done(out, err)
	})
	mux.HandleFunc("POST /delay", func(out http.ResponseWriter, r *http.Request) {
		ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
		if err == nil {
			t.mu.Lock()
			t.delay = time.Duration(ms) * time.Millisecond
			t.mu.Unlock()
		}
		done(out, err)
	})
	mux.HandleFunc("POST /task-delay", func(out http.ResponseWriter, r *http.Request) {
		ms := map[string]int{}
		if decode(out, r, &ms) {
			setTaskDelay(ms)
			done(out, nil)
		}
	})
	mux.HandleFunc("POST /tasks/forget", func(out http.ResponseWriter, _ *http.Request) {
		reply(out, map[string]int{"forgotten": w.forgetTasks()})
	})
	mux.HandleFunc("POST /clone-time", func(out http.ResponseWriter, r *http.Request) {
		ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
		if err == nil {
			w.clones.setDuration(time.Duration(ms) * time.Millisecond)
		}
		done(out, err)
	})

	mux.HandleFunc("POST /guest", func(out http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		deaf, err := strconv.ParseBool(query.Get("deaf"))
		if err == nil {
			_, err = vmNamed(w.registry, query.Get("vm"))
		}
		if err == nil {
			w.guests.set(query.Get("vm"), deaf)
		}
		done(out, err)
	})
	mux.HandleFunc("POST /sessions/expire", func(out http.ResponseWriter, _ *http.Request) {
		n, err := w.expireSessions()
		if err != nil {
			done(out, err)
			return
		}
		reply(out, map[string]int{"expired": n})
	})
	mux.HandleFunc("POST /pause", func(out http.ResponseWriter, _ *http.Request) { done(out, d.close()) })
	mux.HandleFunc("POST /resume", func(out http.ResponseWriter, _ *http.Request) { done(out, d.open()) })

	mux.HandleFunc("GET /hide", func(out http.ResponseWriter, _ *http.Request) { reply(out, w.hidden.paths()) })
	mux.HandleFunc("POST /hide", func(out http.ResponseWriter, r *http.Request) {
		done(out, w.hidden.hide(r.URL.Query().Get("folder")))
	})
	mux.HandleFunc("DELETE /hide", func(out http.ResponseWriter, r *http.Request) {
		w.hidden.show(r.URL.Query().Get("folder"))
		done(out, nil)
	})
	adminProtection(mux, w)
	return mux
}

func reply(out http.ResponseWriter, v any) {
	out.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(out).Encode(v)
}

func done(out http.ResponseWriter, err error) {
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	reply(out, map[string]bool{"ok": true})
}

func decode(out http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

// expireSessions ends every session: the next call of each is refused with
// NotAuthenticated.
func (w *world) expireSessions() (int, error) {
	ctx := context.Background()
	c, err := vim25.NewClient(ctx, w.service)
	if err != nil {
		return 0, err
	}
	var m mo.SessionManager
	if err := mo.RetrieveProperties(ctx, c, c.ServiceContent.PropertyCollector, *c.ServiceContent.SessionManager, &m); err != nil {
		return 0, err
	}
	n := 0
	for _, s := range m.SessionList {
		if _, err := methods.TerminateSession(ctx, c, &types.TerminateSession{This: m.Self, SessionId: []string{s.Key}}); err == nil {
			n++
		}
	}
	return n, nil
}
