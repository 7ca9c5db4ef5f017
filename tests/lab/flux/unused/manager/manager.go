// Package manager stands in for Amazon's package of the same name, as storage
// beside it does for Google's.
package manager

import "io"

// ReadSeekCloser gives what it is given.
func ReadSeekCloser(from io.Reader) io.Reader { return from }
