// Command vcenter-simulator runs govmomi's vCenter simulator as the lab needs
// it: with a certificate that strict TLS clients accept, an account, the estate
// of a host municipality, and an admin port by which a test counts calls, injects
// faults, cuts connections and takes away sight. See tests/lab/README.md.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	// Endpoints besides the core API: storage policies, tags, tokens.
	_ "github.com/vmware/govmomi/lookup/simulator"
	_ "github.com/vmware/govmomi/pbm/simulator"
	_ "github.com/vmware/govmomi/sts/simulator"
	_ "github.com/vmware/govmomi/vapi/cluster/simulator"
	_ "github.com/vmware/govmomi/vapi/simulator"
)

// ready is the one line on standard output that says the simulator answers.
type ready struct {
	URL          string `json:"url"`
	Admin        string `json:"admin"`
	CA           string `json:"ca,omitempty"`
	InstanceUUID string `json:"instance_uuid"`
	StartMS      int64  `json:"start_ms"`
}

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	begin := time.Now()
	var (
		listen         = flag.String("listen", "127.0.0.1:0", "address of the API")
		adminListen    = flag.String("admin", "127.0.0.1:0", "address of the admin port")
		caOut          = flag.String("ca-out", "", "write the CA certificate (PEM) to this file")
		user           = flag.String("user", "vertskommune@vsphere.local", "the one account")
		password       = flag.String("password", "", "its password")
		passwordFile   = flag.String("password-file", "", "read the password from this file")
		instanceUUID   = flag.String("instance-uuid", "4a1f2a52-6c1b-4f0e-9d6f-000000000001", "about.instanceUuid; the UUIDs of the estate's VMs follow from it")
		apiVersion     = flag.String("api-version", "8.0.3.0", "about.apiVersion; the simulator's own is 6.5")
		sessionTimeout = flag.String("session-timeout", "", "idle time after which a session ends, e.g. 5s")
		cloneTime      = flag.Duration("clone-time", 0, "how long a clone takes, with progress")
		leaseTimeout   = flag.Duration("lease-timeout", 5*time.Minute, "how long an export lives without progress, in whole seconds")
		longestDisk    = flag.Int64("longest-disk", 16<<20, "bytes that a disk has in an export at most, whatever its VM says; 0 for no limit")
		filledDisk     = flag.Int64("filled-disk", 8<<20, "about how many of them are not zero")
		estate         estateSize
	)
	flag.IntVar(&estate.hosts, "hosts", 3, "hosts of the cluster")
	flag.IntVar(&estate.vms, "vms", 2, "foreign VMs in the root folder")
	flag.IntVar(&estate.datastores, "datastores", 2, "datastores")
	flag.IntVar(&estate.portGroups, "portgroups", 1, "foreign port groups named DC0_DVPGn")
	flag.Parse()
	if *passwordFile != "" {
		b, err := os.ReadFile(*passwordFile)
		if err != nil {
			return err
		}
		*password = string(b)
	}
	if *password == "" {
		return fmt.Errorf("give -password or -password-file")
	}

	model := simulator.VPX()
	model.Datacenter, model.Cluster = 1, 1
	model.Host, model.Pool, model.App, model.Pod = 0, 0, 0, 0
	model.ClusterHost, model.Datastore, model.Portgroup = estate.hosts, estate.datastores, estate.portGroups
	// The model places its VMs on hosts by chance; the estate creates its own.
	model.Machine = 0
	model.ServiceContent.About.InstanceUuid = *instanceUUID
	about := &model.ServiceContent.About
	about.ApiVersion = *apiVersion
	about.Version = strings.TrimSuffix(*apiVersion, ".0")
	about.FullName = "VMware vCenter Server " + about.Version + " (simulated)"
	if err := model.Create(); err != nil {
		return err
	}
	defer model.Remove()
	furnish(model.Map())
	if err := estate.create(model.Service, *instanceUUID); err != nil {
		return fmt.Errorf("estate: %w", err)
	}
	if *sessionTimeout != "" {
		model.Map().OptionManager().UpdateOptions(&types.UpdateOptions{ChangedValue: []types.BaseOptionValue{
			&types.OptionValue{Key: "config.vmacore.soap.sessionTimeout", Value: *sessionTimeout}}})
	}

	host, _, err := net.SplitHostPort(*listen)
	if err != nil {
		return err
	}
	ca, tlsConfig, err := newAuthority(host)
	if err != nil {
		return err
	}
	service := model.Service
	service.Listen = &url.URL{Host: *listen, User: url.UserPassword(*user, *password)}
	service.TLS = tlsConfig
	service.RegisterEndpoints = true
	// The simulator binds the port and writes its URL into its endpoints; the
	// door takes the port over, since it must be able to close and open again.
	server := service.NewServer()
	address, handler := server.Listener.Addr().String(), server.Config.Handler
	server.Close()

	nfc, err := newNFCHost(host)
	if err != nil {
		return err
	}
	world := &world{service: service, registry: model.Map(), quiescing: &quiescing{faults: map[string]string{}}}
	world.hidden = newSight(world.registry)
	world.faults = &faultRules{service: service, quiescing: world.quiescing}
	world.clones = newCloning(world.registry, *cloneTime)
	world.guests = newGuests(world.registry)
	world.searches = newSearching(world.registry)
	world.filters = newFiltering(world.registry)
	world.contents = newContents(world.registry, *longestDisk, *filledDisk)
	world.exports = newExports(world.registry, world.contents, nfc, address, *leaseTimeout)
	go nfc.serve(world.exports.intercept(http.NotFoundHandler()))
	world.traffic = newTraffic(world, world.exports.intercept(handler))
	world.registry.Handler = world.onCall

	door := &door{address: address, tls: tlsConfig, handler: world.traffic}
	if err := door.open(); err != nil {
		return err
	}
	adminSocket, err := net.Listen("tcp", *adminListen)
	if err != nil {
		return err
	}
	go func() { log.Fatal(http.Serve(adminSocket, newAdmin(world, door))) }()

	if *caOut != "" {
		if err := os.WriteFile(*caOut, ca, 0o644); err != nil {
			return err
		}
	}
	line, err := json.Marshal(ready{
		URL: "https://" + address + "/sdk", Admin: "http://" + adminSocket.Addr().String(), CA: *caOut,
		InstanceUUID: *instanceUUID, StartMS: time.Since(begin).Milliseconds(),
	})
	if err != nil {
		return err
	}
	fmt.Println(string(line))

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	return nil
}
