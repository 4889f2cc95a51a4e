//go:build cgo && unix

// Package capi is the one place that knows C: the functions of grpclb.h, one for one, with Go's types. None of them
// keeps a pointer or calls back, so nothing escapes and a crossing allocates nothing.
package capi

/*
#include <stdlib.h>
#include <grpclb.h>

#cgo noescape grpclb_reactor_new
#cgo nocallback grpclb_reactor_new
#cgo noescape grpclb_reactor_free
#cgo nocallback grpclb_reactor_free
#cgo noescape grpclb_reactor_descriptor
#cgo nocallback grpclb_reactor_descriptor
#cgo noescape grpclb_reactor_poll_events
#cgo nocallback grpclb_reactor_poll_events
#cgo noescape grpclb_reactor_flush
#cgo nocallback grpclb_reactor_flush
#cgo noescape grpclb_reactor_start_packed
#cgo nocallback grpclb_reactor_start_packed
#cgo noescape grpclb_reactor_send
#cgo nocallback grpclb_reactor_send
#cgo noescape grpclb_reactor_half_close
#cgo nocallback grpclb_reactor_half_close
#cgo noescape grpclb_reactor_recv
#cgo nocallback grpclb_reactor_recv
#cgo noescape grpclb_reactor_forget
#cgo nocallback grpclb_reactor_forget
#cgo noescape grpclb_reactor_endpoints
#cgo nocallback grpclb_reactor_endpoints
#cgo noescape grpclb_reactor_state
#cgo nocallback grpclb_reactor_state
#cgo noescape grpclb_reactor_close
#cgo nocallback grpclb_reactor_close
#cgo noescape grpclb_code_name
#cgo nocallback grpclb_code_name
#cgo noescape grpclb_version
#cgo nocallback grpclb_version
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Results below 0.
const (
	ErrArgument      = C.GRPCLB_ERR_ARGUMENT
	ErrTarget        = C.GRPCLB_ERR_TARGET
	ErrServiceConfig = C.GRPCLB_ERR_SERVICE_CONFIG
	ErrEnded         = C.GRPCLB_ERR_ENDED
	ErrBlocked       = C.GRPCLB_ERR_BLOCKED
)

// What an event says.
const (
	Headers  = C.GRPCLB_EVENT_HEADERS
	Message  = C.GRPCLB_EVENT_MESSAGE
	Writable = C.GRPCLB_EVENT_WRITABLE
	Ended    = C.GRPCLB_EVENT_ENDED
)

// Flags of Start.
const (
	Stream       = C.GRPCLB_CALL_STREAM
	WaitForReady = C.GRPCLB_CALL_WAIT_FOR_READY
)

// Version of the C library.
func Version() string { return C.GoString(C.grpclb_version()) }

// CodeName is the name of a status code or an error.
func CodeName(code int32) string { return C.GoString(C.grpclb_code_name(C.int32_t(code))) }

// Error is what a function refused.
type Error struct {
	Code int32
	Text string
}

func (e *Error) Error() string {
	if e.Text != "" {
		return e.Text
	}
	return CodeName(e.Code)
}

// Config is grpclb_channel_config; zero values are defaults.
type Config struct {
	ServiceConfig, Authority                *string
	MaxMessageSize                          uint32
	KeepaliveTime, KeepaliveTimeout         uint64
	ConnectTimeout                          uint64
	InitialBackoff, MaxBackoff, IdleTimeout uint64
}

// EventCapacity is how many events one turn brings at most.
const EventCapacity = 128

// Reactor is grpclb_reactor. One goroutine at a time.
type Reactor struct {
	c *C.grpclb_reactor
	// In C's memory: what C writes into it is not for the garbage collector, nor for cgo's checks.
	events *[EventCapacity]Event
}

// NewReactor makes one.
func NewReactor(target string, config *Config) (Reactor, error) {
	var text [1024]C.char
	var made *C.grpclb_reactor
	var free []*C.char
	defer func() {
		for _, s := range free {
			C.free(unsafe.Pointer(s))
		}
	}()
	str := func(s string) *C.char {
		free = append(free, C.CString(s))
		return free[len(free)-1]
	}
	c := (*C.grpclb_channel_config)(C.calloc(1, C.size_t(unsafe.Sizeof(C.grpclb_channel_config{}))))
	defer C.free(unsafe.Pointer(c))
	*c = C.grpclb_channel_config{
		size:                 C.uint32_t(unsafe.Sizeof(*c)),
		max_message_size:     C.uint32_t(config.MaxMessageSize),
		keepalive_time_ns:    C.uint64_t(config.KeepaliveTime),
		keepalive_timeout_ns: C.uint64_t(config.KeepaliveTimeout),
		connect_timeout_ns:   C.uint64_t(config.ConnectTimeout),
		initial_backoff_ns:   C.uint64_t(config.InitialBackoff),
		max_backoff_ns:       C.uint64_t(config.MaxBackoff),
		idle_timeout_ns:      C.uint64_t(config.IdleTimeout),
	}
	if config.ServiceConfig != nil {
		c.service_config = str(*config.ServiceConfig)
	}
	if config.Authority != nil {
		c.authority = str(*config.Authority)
	}
	code := C.grpclb_reactor_new(str(target), c, &made, &text[0], C.size_t(len(text)))
	if code != 0 {
		return Reactor{}, &Error{int32(code), C.GoString(&text[0])}
	}
	events := C.calloc(EventCapacity, C.size_t(unsafe.Sizeof(Event{})))
	return Reactor{c: made, events: (*[EventCapacity]Event)(events)}, nil
}

// Free ends its use.
func (r *Reactor) Free() {
	C.grpclb_reactor_free(r.c)
	C.free(unsafe.Pointer(r.events))
	*r = Reactor{}
}

// Descriptor is readable when PollEvents has something to do.
func (r *Reactor) Descriptor() int { return int(C.grpclb_reactor_descriptor(r.c)) }

// Turn is grpclb_turn.
type Turn struct {
	Count, State int32
	Ready        uint64
	// Nanoseconds; 0: more to do at once; the largest number: for ever.
	Timeout uint64
}

func turn(t C.grpclb_turn) Turn {
	return Turn{int32(t.count), int32(t.state), uint64(t.ready_endpoints), uint64(t.timeout_ns)}
}

// PollEvents drives the reactor. The events, and what they hold, are valid until the reactor's next method.
func (r *Reactor) PollEvents() ([]Event, Turn) {
	t := turn(C.grpclb_reactor_poll_events(r.c, (*C.grpclb_event)(&r.events[0]), EventCapacity))
	return r.events[:max(t.Count, 0)], t
}

// Flush writes what commands made.
func (r *Reactor) Flush() Turn { return turn(C.grpclb_reactor_flush(r.c)) }

// CallID names a call; its index is dense.
type CallID struct{ Index, Generation uint32 }

func (id CallID) c() C.grpclb_call_id {
	return C.grpclb_call_id{index: C.uint32_t(id.Index), generation: C.uint32_t(id.Generation)}
}

// Start starts a call; 0 for timeout and max is none.
func (r *Reactor) Start(flags uint32, path string, metadata []byte, timeout uint64, max uint32, request []byte) (CallID, int32) {
	s := C.grpclb_reactor_start_packed(r.c, C.uint32_t(flags),
		(*C.char)(unsafe.Pointer(unsafe.StringData(path))), C.size_t(len(path)),
		(*C.uint8_t)(unsafe.SliceData(metadata)), C.size_t(len(metadata)),
		C.uint64_t(timeout), C.uint32_t(max),
		(*C.uint8_t)(unsafe.SliceData(request)), C.size_t(len(request)))
	return CallID{uint32(s.call.index), uint32(s.call.generation)}, int32(s.result)
}

// Send sends a stream's message: 0, 1, ErrBlocked or ErrEnded.
func (r *Reactor) Send(id CallID, message []byte) int32 {
	return int32(C.grpclb_reactor_send(r.c, id.c(), (*C.uint8_t)(unsafe.SliceData(message)), C.size_t(len(message))))
}

// HalfClose ends the sending side of a stream.
func (r *Reactor) HalfClose(id CallID) int32 { return int32(C.grpclb_reactor_half_close(r.c, id.c())) }

// Recv takes a stream's next message, valid until the reactor's next method. 1: there is one.
func (r *Reactor) Recv(id CallID) ([]byte, int32) {
	m := C.grpclb_reactor_recv(r.c, id.c())
	return octets(unsafe.Pointer(m.octets), m.len), int32(m.result)
}

// Forget cancels and forgets a call.
func (r *Reactor) Forget(id CallID) { C.grpclb_reactor_forget(r.c, id.c()) }

// State is the channel's; connect leaves IDLE.
func (r *Reactor) State(connect bool) int32 {
	var c C.int32_t
	if connect {
		c = 1
	}
	return int32(C.grpclb_reactor_state(r.c, c))
}

// Close ends the channel.
func (r *Reactor) Close() { C.grpclb_reactor_close(r.c) }

// Endpoints is "address STATE, address STATE".
func (r *Reactor) Endpoints() string {
	text := make([]byte, 1024)
	for {
		n := int(C.grpclb_reactor_endpoints(r.c, (*C.char)(unsafe.Pointer(&text[0])), C.size_t(len(text))))
		if n < len(text) {
			return string(text[:n])
		}
		text = make([]byte, n+1)
	}
}

// Event is grpclb_event. Octets it gives lie in C's memory.
type Event C.grpclb_event

// ID is the call's.
func (e *Event) ID() CallID { return CallID{uint32(e.call.index), uint32(e.call.generation)} }

// What is Headers, Message, Writable, Ended, added up.
func (e *Event) What() uint32 { return uint32(e.what) }

// Code is the status code.
func (e *Event) Code() int32 { return int32(e.code) }

// StatusMessage is why it is not OK.
func (e *Event) StatusMessage() []byte { return octets(unsafe.Pointer(e.message), e.message_len) }

// Response is the message of a unary call.
func (e *Event) Response() []byte { return octets(unsafe.Pointer(e.response), e.response_len) }

// Headers is packed.
func (e *Event) Headers() []byte { return octets(unsafe.Pointer(e.metadata), e.headers_len) }

// Trailers is packed.
func (e *Event) Trailers() []byte {
	if e.trailers_len == 0 {
		return nil
	}
	return octets(unsafe.Add(unsafe.Pointer(e.metadata), uintptr(e.headers_len)), e.trailers_len)
}

// Peer is who serves the call.
func (e *Event) Peer() []byte { return octets(unsafe.Pointer(e.peer), e.peer_len) }

// PickOrder counts the channel's picks.
func (e *Event) PickOrder() uint64 { return uint64(e.pick_order) }

func octets(at unsafe.Pointer, n C.size_t) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(at), int(n))
}

// String is for failures.
func (id CallID) String() string { return fmt.Sprintf("call %d.%d", id.Index, id.Generation) }
