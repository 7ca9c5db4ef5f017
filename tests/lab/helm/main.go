// Command helm renders and installs the chart in deploy/chart.
//
// It is built from source because neither Debian nor the Go module proxy has the
// program.
package main

import (
	"fmt"
	"os"

	"helm.sh/helm/v4/pkg/cmd"
)

func main() {
	helm, err := cmd.NewRootCmd(os.Stdout, os.Args[1:], cmd.SetupLogging)
	if err == nil {
		err = helm.Execute() // Which says itself what is wrong.
	} else {
		fmt.Fprintln(os.Stderr, "helm:", err)
	}
	if err != nil {
		os.Exit(1)
	}
}
