//go:build cgo && unix && grpclb_installed

package capi

// The library that `make install-c` installed, found by pkg-config.

// #cgo pkg-config: grpclb
import "C"
