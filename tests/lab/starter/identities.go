package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// identities are the keys and certificates of one API server: a CA, the serving
// certificate, an administrator's, and the key that signs service accounts'
// tokens. Paths are for the API server, PEM for the kubeconfig.
type identities struct {
	ca, servingCert, servingKey, accountKey string
	caPEM, adminCertPEM, adminKeyPEM        []byte
}

func newIdentities(dir string) (*identities, error) {
	now := time.Now()
	serial := now.UnixNano()
	template := func(subject pkix.Name) *x509.Certificate {
		serial++
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: subject,
			NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := template(pkix.Name{CommonName: "lab kubernetes CA"})
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	issue := func(leaf *x509.Certificate) (cert, key []byte, err error) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &k.PublicKey, caKey)
		if err != nil {
			return nil, nil, err
		}
		key, err = encodeKey(k)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key, err
	}

	ids := &identities{
		ca: filepath.Join(dir, "ca.crt"), servingCert: filepath.Join(dir, "serving.crt"), servingKey: filepath.Join(dir, "serving.key"),
		accountKey: filepath.Join(dir, "service-account.key"),
		caPEM:      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
	}
	serving := template(pkix.Name{CommonName: "kube-apiserver"})
	serving.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	serving.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	serving.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)}
	servingCert, servingKey, err := issue(serving)
	if err != nil {
		return nil, err
	}
	admin := template(pkix.Name{CommonName: "lab-admin", Organization: []string{"system:masters"}})
	admin.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if ids.adminCertPEM, ids.adminKeyPEM, err = issue(admin); err != nil {
		return nil, err
	}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// The API server takes the public half only out of a key in this form.
	account, err := x509.MarshalECPrivateKey(signer)
	if err != nil {
		return nil, err
	}
	for path, content := range map[string][]byte{
		ids.ca: ids.caPEM, ids.servingCert: servingCert, ids.servingKey: servingKey, ids.accountKey: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: account}),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}
