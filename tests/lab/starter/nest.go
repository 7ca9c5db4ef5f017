package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// nest holds the processes of the lab.
type nest struct {
	logs   string
	again  bool // what ends by itself is started again
	starts chan func()
	died   chan string

	mu       sync.Mutex
	peers    map[string]*peer
	clearing bool
}

// peer is one running process of the lab.
type peer struct {
	name  string
	cmd   *exec.Cmd
	gone  chan struct{}
	ready bool
}

func newNest(logs string, again bool) *nest {
	// What the command leaves behind becomes our child, so that we find it.
	const setChildSubreaper = 36
	_, _, _ = syscall.RawSyscall6(syscall.SYS_PRCTL, setChildSubreaper, 1, 0, 0, 0, 0)
	return &nest{logs: logs, again: again, starts: make(chan func()), died: make(chan string, 8), peers: map[string]*peer{}}
}

// start runs a binary on the main thread, with its output in a log.
func (n *nest) start(name string, env []string, path string, args ...string) (*peer, error) {
	type result struct {
		p   *peer
		err error
	}
	got := make(chan result, 1)
	n.starts <- func() {
		p, err := n.startHere(name, env, path, args)
		got <- result{p, err}
	}
	r := <-got
	return r.p, r.err
}

func (n *nest) startHere(name string, env []string, path string, args []string) (*peer, error) {
	log, err := os.OpenFile(filepath.Join(n.logs, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	out, err := os.Create(filepath.Join(n.logs, name+".out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	c := exec.Command(path, args...)
	c.Env = append(os.Environ(), env...)
	c.Stdout, c.Stderr = out, log
	// A group of its own keeps Ctrl-C away from it: we end it, in our order.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return nil, err
	}
	p := &peer{name: name, cmd: c, gone: make(chan struct{})}
	n.mu.Lock()
	n.peers[name] = p
	n.mu.Unlock()
	go func() {
		_ = c.Wait()
		close(p.gone)
		n.mu.Lock()
		unexpected := p.ready && !n.clearing
		n.mu.Unlock()
		switch {
		case unexpected && n.again:
			n.starts <- func() {
				next, err := n.startHere(name, env, path, args)
				if err != nil {
					n.died <- name
					return
				}
				n.mu.Lock()
				next.ready = true
				n.mu.Unlock()
			}
		case unexpected:
			n.died <- name
		}
	}()
	return p, nil
}

// errTaken asks for another try on other ports.
var errTaken = errors.New("ended before it was ready")

// attempt starts a peer until it is ready: a free port may be somebody else's
// by the time the peer binds it, so it is tried again on other ports.
func (n *nest) attempt(name string, try func() (*peer, error), ready func() bool) error {
	for left := 5; ; left-- {
		p, err := try()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		err = n.await(p, ready)
		if err == nil {
			return nil
		}
		_ = p.cmd.Process.Kill()
		<-p.gone
		log, _ := os.ReadFile(filepath.Join(n.logs, name+".log"))
		if left == 0 || !errors.Is(err, errTaken) || !bytes.Contains(log, []byte("address already in use")) {
			return fmt.Errorf("%s: %w\n%s", name, err, tail(log))
		}
	}
}

func (n *nest) await(p *peer, ready func() bool) error {
	limit := time.After(90 * time.Second)
	for !ready() {
		select {
		case <-p.gone:
			return errTaken
		case <-limit:
			return errors.New("not ready after 90 s")
		case <-time.After(25 * time.Millisecond): // between two questions
		}
	}
	n.mu.Lock()
	p.ready = true
	n.mu.Unlock()
	return nil
}

func (n *nest) pids() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := map[string]int{"starter": os.Getpid()}
	for name, p := range n.peers {
		out[name] = p.cmd.Process.Pid
	}
	return out
}

// clear ends every process. Nothing of the lab is worth a slow goodbye: the
// state directory is thrown away.
func (n *nest) clear() {
	n.mu.Lock()
	n.clearing = true
	peers := n.peers
	n.mu.Unlock()
	for _, p := range peers {
		_ = p.cmd.Process.Kill()
	}
	for _, p := range peers {
		<-p.gone
	}
	for range 20 {
		left := strays()
		if len(left) == 0 {
			return
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			_, _ = syscall.Wait4(pid, nil, 0, nil)
		}
	}
}

// strays are the processes that have come to us since their parent ended.
func strays() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		// "pid (name) state ppid …", where the name may hold anything.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) > 1 && string(fields[1]) == strconv.Itoa(os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// freePorts finds ports that are free at this moment.
func freePorts(count int) ([]int, error) {
	ports := make([]int, count)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

func tail(log []byte) []byte {
	const most = 2000
	if len(log) > most {
		log = log[len(log)-most:]
	}
	return log
}

func isTerminal(f *os.File) bool {
	var settings [256]byte
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TCGETS, uintptr(unsafe.Pointer(&settings)))
	return errno == 0
}
