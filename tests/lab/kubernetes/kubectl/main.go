// Command kubectl is the client of the lab, of the same version as its API server.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	command := cmd.NewDefaultKubectlCommand()
	if err := cli.RunNoErrOutput(command); err != nil {
		// The error is printed and turned into kubectl's own exit codes here.
		util.CheckErr(err)
	}
	os.Exit(0)
}
