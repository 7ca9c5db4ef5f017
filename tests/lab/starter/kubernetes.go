package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// kubernetes is the API server as lab.json describes it.
type kubernetes struct {
	URL      string `json:"url"`
	CA       string `json:"ca"`
	AuditLog string `json:"auditLog,omitempty"`
}

// auditPolicy logs who did what to which object, without its content.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
`

func (l *lab) startKubernetes() error {
	dir := filepath.Join(l.State, "kubernetes")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ids, err := newIdentities(dir)
	if err != nil {
		return err
	}
	store, err := l.startEtcd()
	if err != nil {
		return err
	}

	args := []string{
		"--etcd-servers=" + store,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		"--cert-dir=" + dir,
		"--tls-cert-file=" + ids.servingCert, "--tls-private-key-file=" + ids.servingKey,
		"--client-ca-file=" + ids.ca,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + ids.accountKey, "--service-account-signing-key-file=" + ids.accountKey,
		"--service-cluster-ip-range=10.96.0.0/16",
		"--authorization-mode=RBAC",
		// No controller makes a default service account, so none can be required.
		"--disable-admission-plugins=ServiceAccount",
		// There is no node to route to, and a loopback address is refused as an endpoint.
		"--endpoint-reconciler-type=none",
	}
	k := &kubernetes{CA: ids.ca}
	if l.options.audit {
		policy := filepath.Join(dir, "audit-policy.yaml")
		if err := os.WriteFile(policy, []byte(auditPolicy), 0o644); err != nil {
			return err
		}
		k.AuditLog = filepath.Join(l.Logs, "audit.log")
		args = append(args, "--audit-policy-file="+policy, "--audit-log-path="+k.AuditLog, "--audit-log-mode=blocking")
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ids.caPEM)
	pair, err := tls.X509KeyPair(ids.adminCertPEM, ids.adminKeyPEM)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}}}
	answers := func(path string) bool {
		res, err := client.Get(k.URL + path)
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	}
	err = l.nest.attempt("kube-apiserver", func() (*peer, error) {
		ports, err := freePorts(1)
		if err != nil {
			return nil, err
		}
		k.URL = fmt.Sprintf("https://127.0.0.1:%d", ports[0])
		return l.nest.start("kube-apiserver", nil, filepath.Join(l.Bin, "kube-apiserver"), append(args, fmt.Sprintf("--secure-port=%d", ports[0]))...)
	}, func() bool { return answers("/readyz") && answers("/api/v1/namespaces/default") })
	if err != nil {
		return err
	}
	l.Kubernetes, l.Kubeconfig = k, filepath.Join(l.State, "kubeconfig")
	return os.WriteFile(l.Kubeconfig, kubeconfig(k.URL, ids), 0o600)
}

// startEtcd returns the URL of the store.
func (l *lab) startEtcd() (url string, err error) {
	data := filepath.Join(l.State, "etcd")
	client := &http.Client{Timeout: 2 * time.Second}
	err = l.nest.attempt("etcd", func() (*peer, error) {
		if err := os.RemoveAll(data); err != nil {
			return nil, err
		}
		ports, err := freePorts(2)
		if err != nil {
			return nil, err
		}
		url = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
		peerURL := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
		return l.nest.start("etcd", nil, filepath.Join(l.Bin, "etcd"),
			"--name=lab", "--data-dir="+data, "--unsafe-no-fsync", "--logger=zap", "--log-level=warn",
			"--listen-client-urls="+url, "--advertise-client-urls="+url,
			"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL, "--initial-cluster=lab="+peerURL)
	}, func() bool {
		res, err := client.Get(url + "/health")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return url, err
}

func kubeconfig(url string, ids *identities) []byte {
	data := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: lab
clusters:
  - name: lab
    cluster:
      server: %s
      certificate-authority-data: %s
users:
  - name: admin
    user:
      client-certificate-data: %s
      client-key-data: %s
contexts:
  - name: lab
    context: {cluster: lab, user: admin, namespace: default}
`, url, data(ids.caPEM), data(ids.adminCertPEM), data(ids.adminKeyPEM))
}
