// Command starter brings the lab up in parallel, says when it is ready, and
// takes all of it down again: when its command ends, at the end of standard
// input, on SIGINT or SIGTERM, when its parent is gone, and, since every process
// asks the kernel to die with the starter, after SIGKILL as well.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// options is the command line.
type options struct {
	state, bin                   string
	noKubernetes, noVCenter      bool
	audit, untilEOF, restart     bool
	vms, hosts, vcenters         int
	cloneTime                    time.Duration
	sessionTimeout, vcenterFlags string
	fortigate, fortigateSeed     string
	command                      []string
}

func init() {
	// The kernel's "die with your parent" means the parent's thread, so every
	// child is started from this one, which lives as long as the process.
	runtime.LockOSThread()
}

func main() {
	var o options
	flag.StringVar(&o.state, "state", "", "directory for data, logs, kubeconfig and lab.json")
	flag.StringVar(&o.bin, "bin", "", "directory of the lab's binaries")
	flag.BoolVar(&o.noKubernetes, "no-kubernetes", false, "leave out etcd and kube-apiserver")
	flag.BoolVar(&o.noVCenter, "no-vcenter", false, "leave out the vCenter simulator")
	flag.BoolVar(&o.audit, "audit", false, "write an audit log of the API server (metadata of every request)")
	flag.BoolVar(&o.untilEOF, "until-eof", false, "print lab.json in one line when ready and stay up until standard input ends")
	flag.BoolVar(&o.restart, "restart", false, "start a peer again that ends by itself, on its port and with its data, as a kubelet does")
	flag.IntVar(&o.vms, "vms", 2, "foreign VMs in each vCenter")
	flag.IntVar(&o.hosts, "hosts", 3, "hosts of each vCenter's cluster")
	flag.IntVar(&o.vcenters, "vcenters", 1, "vCenters: vcenter-main, vcenter-other, vcenter-3 …")
	flag.DurationVar(&o.cloneTime, "clone-time", 0, "how long a clone takes")
	flag.StringVar(&o.sessionTimeout, "session-timeout", "", "idle time after which a vCenter session ends")
	flag.StringVar(&o.vcenterFlags, "vcenter-flags", "", "further flags of the simulator, separated by spaces")
	flag.StringVar(&o.fortigate, "fortigate", "", "the program fortios-simulator, which is no part of --bin; without it there is no FortiGate")
	flag.StringVar(&o.fortigateSeed, "fortigate-seed", "", "what the FortiGate holds at first")
	flag.Parse()
	o.command = flag.Args()
	code, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		if code == 0 {
			code = 1
		}
	}
	os.Exit(code)
}

// lab is what runs, and what lab.json says of it.
type lab struct {
	State      string         `json:"state"`
	Bin        string         `json:"bin"`
	Logs       string         `json:"logs"`
	Kubeconfig string         `json:"kubeconfig,omitempty"`
	Kubernetes *kubernetes    `json:"kubernetes,omitempty"`
	VCenter    *vcenter       `json:"vcenter,omitempty"`
	VCenters   []*vcenter     `json:"vcenters,omitempty"`
	FortiGate  *fortigate     `json:"fortigate,omitempty"`
	PIDs       map[string]int `json:"pids"`
	ReadyMS    int64          `json:"readyMs"`

	options options
	nest    *nest
}

func run(o options) (code int, err error) {
	begin := time.Now()
	if o.state == "" || o.bin == "" {
		return 2, errors.New("--state and --bin are needed")
	}
	if o.untilEOF == (len(o.command) > 0) {
		return 2, errors.New("give either --until-eof or a command after --")
	}
	if o.state, err = filepath.Abs(o.state); err != nil {
		return 2, err
	}
	if err := prepare(o.state); err != nil {
		return 2, err
	}
	parent := os.Getppid()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)

	l := &lab{State: o.state, Bin: o.bin, Logs: filepath.Join(o.state, "logs"), options: o, nest: newNest(filepath.Join(o.state, "logs"), o.restart)}
	defer l.nest.clear()
	ready := make(chan error, 1)
	go func() { ready <- l.bringUp() }()
	stop := make(chan string, 2)
	go watchParent(parent, stop)

	var ended chan error
	var command *exec.Cmd
	for {
		select {
		case start := <-l.nest.starts:
			start() // on this thread
		case err := <-ready:
			if err != nil {
				return 1, err
			}
			l.ReadyMS, l.PIDs = time.Since(begin).Milliseconds(), l.nest.pids()
			line, err := l.write()
			if err != nil {
				return 1, err
			}
			if o.untilEOF {
				fmt.Println(string(line))
				go func() {
					_, _ = io.Copy(io.Discard, os.Stdin)
					stop <- "standard input ended"
				}()
				continue
			}
			if command, err = l.startCommand(); err != nil {
				return 127, err
			}
			ended = make(chan error, 1)
			go func() { ended <- command.Wait() }()
		case err := <-ended:
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
					return 128 + int(status.Signal()), nil
				}
				return exit.ExitCode(), nil
			}
			return 0, err
		case name := <-l.nest.died:
			if command != nil {
				_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
			}
			return 1, fmt.Errorf("%s ended by itself; see %s", name, filepath.Join(l.Logs, name+".log"))
		case s := <-signals:
			if command == nil {
				return 128 + int(s.(syscall.Signal)), nil
			}
			_ = syscall.Kill(-command.Process.Pid, s.(syscall.Signal))
			go func() { // A command that does not heed the signal is not waited for.
				time.Sleep(10 * time.Second)
				stop <- "the command did not end"
			}()
		case why := <-stop:
			if command != nil {
				_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
			}
			if o.untilEOF {
				return 0, nil
			}
			return 1, errors.New(why)
		}
	}
}

// marker tells a directory of the lab from one that must not be emptied.
const marker = ".vertskommune-lab"

// prepare makes the state directory, or empties one that an earlier lab left.
func prepare(state string) error {
	entries, err := os.ReadDir(state)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(state, marker)); err != nil {
			return fmt.Errorf("%s is neither empty nor a lab's", state)
		}
		for _, name := range []string{"logs", "etcd", "kubernetes", "tmp", "lab.json", "kubeconfig"} {
			if err := os.RemoveAll(filepath.Join(state, name)); err != nil {
				return err
			}
		}
		old, _ := filepath.Glob(filepath.Join(state, "vcenter-*"))
		for _, path := range old {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	for _, dir := range []string{state, filepath.Join(state, "logs"), filepath.Join(state, "tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(state, marker), nil, 0o644)
}

// bringUp starts all peers beside each other and waits until each answers.
func (l *lab) bringUp() error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	start := func(what func() error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := what(); err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		}()
	}
	if !l.options.noKubernetes {
		start(l.startKubernetes)
	}
	if !l.options.noVCenter {
		l.VCenters = make([]*vcenter, l.options.vcenters)
		for i := range l.VCenters {
			start(func() (err error) { l.VCenters[i], err = l.startVCenter(i); return })
		}
	}
	if l.options.fortigate != "" {
		start(func() (err error) { l.FortiGate, err = l.startFortiGate(); return })
	}
	wg.Wait()
	if failed == nil && len(l.VCenters) > 0 {
		l.VCenter = l.VCenters[0]
	}
	return failed
}

// write puts lab.json in place and returns it in one line.
func (l *lab) write() ([]byte, error) {
	pretty, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(l.State, "lab.json")
	if err := os.WriteFile(path+".new", append(pretty, '\n'), 0o600); err != nil {
		return nil, err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, err
	}
	return json.Marshal(l)
}

// startCommand runs the command in a process group of its own, so that what it
// has started can be taken down with it.
func (l *lab) startCommand() (*exec.Cmd, error) {
	c := exec.Command(l.options.command[0], l.options.command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), "LAB_JSON="+filepath.Join(l.State, "lab.json"), "PATH="+l.Bin+":"+os.Getenv("PATH"))
	if l.Kubeconfig != "" {
		c.Env = append(c.Env, "KUBECONFIG="+l.Kubeconfig)
	}
	if v := l.VCenter; v != nil {
		password, err := os.ReadFile(v.PasswordFile)
		if err != nil {
			return nil, err
		}
		c.Env = append(c.Env, "GOVC_URL="+v.URL, "GOVC_USERNAME="+v.User, "GOVC_PASSWORD="+strings.TrimSpace(string(password)),
			"GOVC_TLS_CA_CERTS="+v.CA, "GOVC_PERSIST_SESSION=false")
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if isTerminal(os.Stdin) { // Ctrl-C then goes to the command, and its end to us.
		c.SysProcAttr.Foreground, c.SysProcAttr.Ctty = true, int(os.Stdin.Fd())
	}
	return c, c.Start()
}

// watchParent notices that the parent process is gone. The kernel's own signal
// for that would come too early: when a thread of the parent ends, such as the
// one a test ran in.
func watchParent(parent int, stop chan<- string) {
	for os.Getppid() == parent {
		time.Sleep(250 * time.Millisecond)
	}
	stop <- "the parent is gone"
}
