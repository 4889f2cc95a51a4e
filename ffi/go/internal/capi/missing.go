//go:build !cgo || !unix

package capi

// Without cgo this does not compile, and says so by this name.
var _ = grpclb_needs_cgo_and_a_unix_system__set_CGO_ENABLED_1_and_install_a_C_compiler
