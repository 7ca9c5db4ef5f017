package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
)

// fortigate is the simulated firewall as lab.json describes it.
type fortigate struct {
	Name      string   `json:"name"`
	URL       string   `json:"url"`
	CA        string   `json:"ca"`
	TokenFile string   `json:"tokenFile"`
	Admin     string   `json:"admin"`
	Serials   []string `json:"serials"`
}

func (l *lab) startFortiGate() (*fortigate, error) {
	const name = "fortigate-main"
	dir := filepath.Join(l.State, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f := &fortigate{Name: name, CA: filepath.Join(dir, "ca.pem"), TokenFile: filepath.Join(dir, "token")}
	if err := os.WriteFile(f.TokenFile, []byte(rand.Text()), 0o600); err != nil {
		return nil, err
	}
	args := []string{"--ca-out", f.CA, "--token-file", f.TokenFile}
	if l.options.fortigateSeed != "" {
		args = append(args, "--seed", l.options.fortigateSeed)
	}
	out := filepath.Join(l.Logs, name+".out")
	return f, l.nest.attempt(name, func() (*peer, error) {
		return l.nest.start(name, nil, l.options.fortigate, args...)
	}, func() bool {
		line, err := os.ReadFile(out)
		if err != nil || !bytes.HasSuffix(line, []byte("\n")) {
			return false
		}
		return json.Unmarshal(line, f) == nil
	})
}
