package main

import (
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// door is the port of the API. It can be shut, so that the vCenter is gone, and
// opened again at the same port.
type door struct {
	address string
	tls     *tls.Config
	handler http.Handler

	mu     sync.Mutex
	server *http.Server
	// bolt is a socket bound to the port and not listening: connections are
	// refused, and nobody else gets the port while the door is shut.
	bolt int
	shut bool
}

func (d *door) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server != nil {
		return nil
	}
	socket, err := d.listen()
	if err != nil {
		return err
	}
	d.server = &http.Server{Handler: d.handler, TLSConfig: d.tls, ErrorLog: log.New(os.Stderr, "http: ", log.Ltime)}
	go func(s *http.Server) {
		if err := s.ServeTLS(socket, "", ""); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}(d.server)
	return nil
}

func (d *door) listen() (net.Listener, error) {
	if !d.shut {
		return net.Listen("tcp", d.address)
	}
	if err := syscall.Listen(d.bolt, 128); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(d.bolt), "door")
	defer f.Close()
	d.shut = false
	return net.FileListener(f)
}

// close refuses new connections and drops those there are.
func (d *door) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		return nil
	}
	_ = d.server.Close()
	d.server = nil
	tcp, err := net.ResolveTCPAddr("tcp", d.address)
	if err != nil {
		return err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return err
	}
	at := &syscall.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(tcp.IP.To4())}
	for try := 0; ; try++ {
		if err = syscall.Bind(fd, at); err == nil {
			break
		}
		if try == 100 {
			return fmt.Errorf("hold port %d: %w", tcp.Port, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	d.bolt, d.shut = fd, true
	return nil
}
