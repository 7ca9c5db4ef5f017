// Package storage stands in for Google's client of the same name. The
// decryption that the kustomize-controller links can also publish files there,
// which nobody asks of it here, and the real one takes a minute to compile.
package storage

import (
	"context"
	"errors"
	"io"
)

// Client is one that NewClient never gives.
type Client struct{}

// BucketHandle is one of a Client.
type BucketHandle struct{}

// ObjectHandle is one of a BucketHandle.
type ObjectHandle struct{}

// NewClient refuses.
func NewClient(context.Context, ...any) (*Client, error) {
	return nil, errors.ErrUnsupported
}

// Bucket gives one.
func (*Client) Bucket(string) *BucketHandle { return &BucketHandle{} }

// Object gives one.
func (*BucketHandle) Object(string) *ObjectHandle { return &ObjectHandle{} }

// NewWriter gives one that is closed.
func (*ObjectHandle) NewWriter(context.Context) io.WriteCloser {
	_, writer := io.Pipe()
	_ = writer.CloseWithError(errors.ErrUnsupported)
	return writer
}
