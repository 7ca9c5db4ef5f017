// Package s3 stands in for Amazon's client of the same name, as storage beside
// it does for Google's.
package s3

import (
	"context"
	"errors"
	"io"
)

// Client does nothing.
type Client struct{}

// PutObjectInput is what is to be put where.
type PutObjectInput struct {
	Body        io.Reader
	Bucket, Key *string
}

// NewFromConfig gives a Client.
func NewFromConfig(any) *Client { return &Client{} }

// PutObject refuses.
func (*Client) PutObject(context.Context, *PutObjectInput) (any, error) {
	return nil, errors.ErrUnsupported
}
