// Command etcd is the store of the lab's kube-apiserver.
//
// It is built from source because the module refuses `go install` for its
// replace lines, and because distributions carry versions that are too old for
// the API server's consistent reads from its watch cache.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
