//go:build cgo && unix

package capi

/*
#include <grpclb.h>

#cgo noescape grpclb_picker_new
#cgo nocallback grpclb_picker_new
#cgo noescape grpclb_picker_free
#cgo nocallback grpclb_picker_free
#cgo noescape grpclb_picker_handle_resolution
#cgo nocallback grpclb_picker_handle_resolution
#cgo noescape grpclb_picker_handle_resolution_error
#cgo nocallback grpclb_picker_handle_resolution_error
#cgo noescape grpclb_picker_handle_subchannel
#cgo nocallback grpclb_picker_handle_subchannel
#cgo noescape grpclb_picker_connect
#cgo nocallback grpclb_picker_connect
#cgo noescape grpclb_picker_set_busy
#cgo nocallback grpclb_picker_set_busy
#cgo noescape grpclb_picker_shutdown
#cgo nocallback grpclb_picker_shutdown
#cgo noescape grpclb_picker_poll_action
#cgo nocallback grpclb_picker_poll_action
#cgo noescape grpclb_picker_address
#cgo nocallback grpclb_picker_address
#cgo noescape grpclb_picker_state
#cgo nocallback grpclb_picker_state
#cgo noescape grpclb_picker_pick
#cgo nocallback grpclb_picker_pick
#cgo noescape grpclb_picker_version
#cgo nocallback grpclb_picker_version
#cgo noescape grpclb_picker_poll_timeout
#cgo nocallback grpclb_picker_poll_timeout
#cgo noescape grpclb_picker_handle_timeout
#cgo nocallback grpclb_picker_handle_timeout
#cgo noescape grpclb_picker_endpoint_count
#cgo nocallback grpclb_picker_endpoint_count
#cgo noescape grpclb_picker_ready_count
#cgo nocallback grpclb_picker_ready_count
#cgo noescape grpclb_picker_endpoint
#cgo nocallback grpclb_picker_endpoint
*/
import "C"

import "unsafe"

// What HandleSubchannel tells.
const (
	SubchannelReady  = C.GRPCLB_SUBCHANNEL_READY
	SubchannelFailed = C.GRPCLB_SUBCHANNEL_FAILED
	SubchannelLost   = C.GRPCLB_SUBCHANNEL_LOST
)

// What PollAction gives.
const (
	ActionNone    = C.GRPCLB_ACTION_NONE
	ActionResolve = C.GRPCLB_ACTION_RESOLVE
	ActionConnect = C.GRPCLB_ACTION_CONNECT
	ActionClose   = C.GRPCLB_ACTION_CLOSE
)

// What Pick gives.
const (
	PickSubchannel = C.GRPCLB_PICK_SUBCHANNEL
	PickQueue      = C.GRPCLB_PICK_QUEUE
	PickFail       = C.GRPCLB_PICK_FAIL
	PickDrop       = C.GRPCLB_PICK_DROP
)

// Picker is grpclb_picker. Any goroutine.
type Picker struct{ c *C.grpclb_picker }

// PickerConfig is grpclb_picker_config.
type PickerConfig struct {
	Seed, Position                                                                 uint64
	InitialBackoff, MaxBackoff, MinConnectTimeout, HappyEyeballsDelay, IdleTimeout uint64
}

// NewPicker makes one.
func NewPicker(config *PickerConfig) (Picker, error) {
	c := C.grpclb_picker_config{
		seed: C.uint64_t(config.Seed), position: C.uint64_t(config.Position),
		initial_backoff_ns: C.uint64_t(config.InitialBackoff), max_backoff_ns: C.uint64_t(config.MaxBackoff),
		min_connect_timeout_ns:  C.uint64_t(config.MinConnectTimeout),
		happy_eyeballs_delay_ns: C.uint64_t(config.HappyEyeballsDelay), idle_timeout_ns: C.uint64_t(config.IdleTimeout),
	}
	c.size = C.uint32_t(unsafe.Sizeof(c))
	var made *C.grpclb_picker
	if code := C.grpclb_picker_new(&c, &made); code != 0 {
		return Picker{}, &Error{Code: int32(code)}
	}
	return Picker{made}, nil
}

// Free ends its use.
func (p Picker) Free() { C.grpclb_picker_free(p.c) }

// HandleResolution takes endpoints, one a line.
func (p Picker) HandleResolution(now uint64, endpoints []byte, config string) error {
	var text [1024]C.char
	code := C.grpclb_picker_handle_resolution(p.c, C.uint64_t(now),
		(*C.char)(unsafe.Pointer(unsafe.SliceData(endpoints))), C.size_t(len(endpoints)),
		(*C.char)(unsafe.Pointer(unsafe.StringData(config))), C.size_t(len(config)), &text[0], C.size_t(len(text)))
	if code == 0 {
		return nil
	}
	return &Error{int32(code), C.GoString(&text[0])}
}

// HandleResolutionError tells that the resolver failed.
func (p Picker) HandleResolutionError(now uint64) {
	C.grpclb_picker_handle_resolution_error(p.c, C.uint64_t(now))
}

// HandleSubchannel tells what became of one.
func (p Picker) HandleSubchannel(now uint64, subchannel uint32, event int32) {
	C.grpclb_picker_handle_subchannel(p.c, C.uint64_t(now), C.uint32_t(subchannel), C.int32_t(event))
}

// Connect leaves IDLE.
func (p Picker) Connect(now uint64) { C.grpclb_picker_connect(p.c, C.uint64_t(now)) }

// SetBusy tells whether calls run.
func (p Picker) SetBusy(now uint64, busy bool) {
	var c C.int32_t
	if busy {
		c = 1
	}
	C.grpclb_picker_set_busy(p.c, C.uint64_t(now), c)
}

// Shutdown ends it.
func (p Picker) Shutdown() { C.grpclb_picker_shutdown(p.c) }

// PollAction is what to do next.
func (p Picker) PollAction() (action int32, subchannel uint32) {
	a := C.grpclb_picker_poll_action(p.c)
	return int32(a.action), uint32(a.subchannel)
}

// Address of a subchannel, "" when it is out of use.
func (p Picker) Address(subchannel uint32) string {
	var few [128]byte
	n := int(C.grpclb_picker_address(p.c, C.uint32_t(subchannel), (*C.char)(unsafe.Pointer(&few[0])), C.size_t(len(few))))
	if n < len(few) {
		return string(few[:n])
	}
	many := make([]byte, n+1)
	n = int(C.grpclb_picker_address(p.c, C.uint32_t(subchannel), (*C.char)(unsafe.Pointer(&many[0])), C.size_t(len(many))))
	return string(many[:min(n, len(many)-1)])
}

// State of the channel.
func (p Picker) State() int32 { return int32(C.grpclb_picker_state(p.c)) }

// Pick picks.
func (p Picker) Pick(now uint64) (result int32, subchannel uint32) {
	pick := C.grpclb_picker_pick(p.c, C.uint64_t(now))
	return int32(pick.result), uint32(pick.subchannel)
}

// Version changes when picks may.
func (p Picker) Version() uint32 { return uint32(C.grpclb_picker_version(p.c)) }

// PollTimeout is when HandleTimeout is due.
func (p Picker) PollTimeout() uint64 { return uint64(C.grpclb_picker_poll_timeout(p.c)) }

// HandleTimeout tells that time passed.
func (p Picker) HandleTimeout(now uint64) { C.grpclb_picker_handle_timeout(p.c, C.uint64_t(now)) }

// EndpointCount and ReadyCount.
func (p Picker) EndpointCount() int { return int(C.grpclb_picker_endpoint_count(p.c)) }

// ReadyCount of them are READY.
func (p Picker) ReadyCount() int { return int(C.grpclb_picker_ready_count(p.c)) }

// Endpoint i: address, state, weight and subchannel; ok: there is one.
func (p Picker) Endpoint(i int) (address string, state int32, weight, subchannel uint32, ok bool) {
	text := make([]byte, 128)
	for {
		e := C.grpclb_picker_endpoint(p.c, C.size_t(i), (*C.char)(unsafe.Pointer(&text[0])), C.size_t(len(text)))
		if e.state < 0 {
			return "", 0, 0, 0, false
		}
		if n := int(e.address_len); n < len(text) {
			return string(text[:n]), int32(e.state), uint32(e.weight), uint32(e.subchannel), true
		}
		text = make([]byte, e.address_len+1)
	}
}
