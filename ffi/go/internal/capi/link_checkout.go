//go:build cgo && unix && !grpclb_installed

package capi

// The library of this checkout, which `make go` (or `make c`) at its top builds.

/*
#cgo CFLAGS: -I${SRCDIR}/../../../include
#cgo LDFLAGS: ${SRCDIR}/../../../../target/c/lib/libgrpclb.a
#cgo linux LDFLAGS: -lpthread -ldl -lm
#cgo darwin LDFLAGS: -framework Security -framework CoreFoundation -liconv
#if !__has_include("../../../../target/c/include/grpclb.h")
#error "libgrpclb is not built: run `make go` at the top of the checkout, or build with -tags grpclb_installed after `make install-c`"
#endif
*/
import "C"
