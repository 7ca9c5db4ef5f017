// Command kstatus reads a JSON array of objects from standard input and writes
// an array of what kstatus says of each: Current, InProgress, Failed,
// Terminating, NotFound or Unknown.
//
// It links the library that the kustomize-controller of this module waits by.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	numbers "k8s.io/apimachinery/pkg/util/json"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var objects []any
	// Whole numbers stay such, as the API machinery wants them.
	if err := numbers.Unmarshal(text, &objects); err != nil {
		return err
	}
	verdicts := make([]status.Status, 0, len(objects))
	for i, object := range objects {
		fields, ok := object.(map[string]any)
		if !ok {
			return fmt.Errorf("object %d is none", i)
		}
		result, err := status.Compute(&unstructured.Unstructured{Object: fields})
		if err != nil {
			return fmt.Errorf("object %d: %w", i, err)
		}
		verdicts = append(verdicts, result.Status)
	}
	return json.NewEncoder(out).Encode(verdicts)
}
