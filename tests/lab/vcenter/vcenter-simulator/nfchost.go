package main

import (
	"crypto/sha1"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
)

// nfcHost is an ESXi host as a download sees it: a port of its own, with a
// certificate that the host has signed itself.
type nfcHost struct {
	address    string
	thumbprint string // SHA-1 of the certificate
	socket     net.Listener
	tls        *tls.Config
}

func newNFCHost(host string) (*nfcHost, error) {
	config, err := newSelfSigned(host)
	if err != nil {
		return nil, err
	}
	socket, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum(config.Certificates[0].Certificate[0])
	return &nfcHost{
		address: socket.Addr().String(), socket: socket, tls: config,
		thumbprint: strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":"),
	}, nil
}

// serve answers what the handler knows, and nothing else.
func (h *nfcHost) serve(handler http.Handler) {
	server := &http.Server{Handler: handler, TLSConfig: h.tls, ErrorLog: log.New(os.Stderr, "nfc: ", log.Ltime)}
	log.Fatal(server.ServeTLS(h.socket, "", ""))
}
