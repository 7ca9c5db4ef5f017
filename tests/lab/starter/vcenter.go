package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// vcenter is one vCenter as lab.json describes it.
type vcenter struct {
	Name         string `json:"name"`
	URL          string `json:"url"`
	CA           string `json:"ca"`
	User         string `json:"user"`
	PasswordFile string `json:"passwordFile"`
	Admin        string `json:"admin"`
	InstanceUUID string `json:"instanceUuid"`
}

func vcenterName(i int) string {
	switch i {
	case 0:
		return "vcenter-main"
	case 1:
		return "vcenter-other"
	default:
		return fmt.Sprintf("vcenter-%d", i+1)
	}
}

func (l *lab) startVCenter(i int) (*vcenter, error) {
	name := vcenterName(i)
	dir := filepath.Join(l.State, name)
	tmp := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, err
	}
	v := &vcenter{
		Name: name, CA: filepath.Join(dir, "ca.pem"), User: "vertskommune@vsphere.local", PasswordFile: filepath.Join(dir, "password"),
		InstanceUUID: fmt.Sprintf("4a1f2a52-6c1b-4f0e-9d6f-%012d", i+1),
	}
	if err := os.WriteFile(v.PasswordFile, []byte(rand.Text()), 0o600); err != nil {
		return nil, err
	}
	args := []string{
		"-ca-out=" + v.CA, "-user=" + v.User, "-password-file=" + v.PasswordFile, "-instance-uuid=" + v.InstanceUUID,
		fmt.Sprintf("-vms=%d", l.options.vms), fmt.Sprintf("-hosts=%d", l.options.hosts), "-clone-time=" + l.options.cloneTime.String(),
	}
	if l.options.sessionTimeout != "" {
		args = append(args, "-session-timeout="+l.options.sessionTimeout)
	}
	args = append(args, strings.Fields(l.options.vcenterFlags)...)
	// The simulator chooses its ports itself and says them when it answers. Its
	// datastores are temporary directories: here they are removed with the state.
	out := filepath.Join(l.Logs, name+".out")
	return v, l.nest.attempt(name, func() (*peer, error) {
		return l.nest.start(name, []string{"TMPDIR=" + tmp}, filepath.Join(l.Bin, "vcenter-simulator"), args...)
	}, func() bool {
		line, err := os.ReadFile(out)
		if err != nil || !bytes.HasSuffix(line, []byte("\n")) {
			return false
		}
		var said struct{ URL, Admin string }
		if json.Unmarshal(line, &said) != nil {
			return false
		}
		v.URL, v.Admin = said.URL, said.Admin
		return true
	})
}
