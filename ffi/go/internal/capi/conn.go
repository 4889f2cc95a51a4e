//go:build cgo && unix

package capi

/*
#include <stdlib.h>
#include <grpclb.h>

#cgo noescape grpclb_conn_new
#cgo nocallback grpclb_conn_new
#cgo noescape grpclb_conn_free
#cgo nocallback grpclb_conn_free
#cgo noescape grpclb_conn_recv_batch
#cgo nocallback grpclb_conn_recv_batch
#cgo noescape grpclb_conn_poll_events
#cgo nocallback grpclb_conn_poll_events
#cgo noescape grpclb_conn_start_call
#cgo nocallback grpclb_conn_start_call
#cgo noescape grpclb_conn_unary
#cgo nocallback grpclb_conn_unary
#cgo noescape grpclb_conn_send_message
#cgo nocallback grpclb_conn_send_message
#cgo noescape grpclb_conn_begin_message
#cgo nocallback grpclb_conn_begin_message
#cgo noescape grpclb_conn_half_close
#cgo nocallback grpclb_conn_half_close
#cgo noescape grpclb_conn_send_head
#cgo nocallback grpclb_conn_send_head
#cgo noescape grpclb_conn_send_status
#cgo nocallback grpclb_conn_send_status
#cgo noescape grpclb_conn_reply
#cgo nocallback grpclb_conn_reply
#cgo noescape grpclb_conn_release
#cgo nocallback grpclb_conn_release
#cgo noescape grpclb_conn_cancel
#cgo nocallback grpclb_conn_cancel
#cgo noescape grpclb_conn_take
#cgo nocallback grpclb_conn_take
#cgo noescape grpclb_conn_poll_timeout
#cgo nocallback grpclb_conn_poll_timeout
#cgo noescape grpclb_conn_handle_timeout
#cgo nocallback grpclb_conn_handle_timeout
#cgo noescape grpclb_conn_carrier_lost
#cgo nocallback grpclb_conn_carrier_lost
#cgo noescape grpclb_conn_shutdown
#cgo nocallback grpclb_conn_shutdown
#cgo noescape grpclb_conn_is_closed
#cgo nocallback grpclb_conn_is_closed
#cgo noescape grpclb_conn_calls
#cgo nocallback grpclb_conn_calls
#cgo noescape grpclb_conn_last_error
#cgo nocallback grpclb_conn_last_error
*/
import "C"

import "unsafe"

// What a connection's events are.
const (
	ConnReady     = C.GRPCLB_CONN_READY
	ConnCall      = C.GRPCLB_CONN_CALL
	ConnMetadata  = C.GRPCLB_CONN_METADATA
	ConnMessage   = C.GRPCLB_CONN_MESSAGE
	ConnHalfClose = C.GRPCLB_CONN_HALF_CLOSE
	ConnStatus    = C.GRPCLB_CONN_STATUS
	ConnWritable  = C.GRPCLB_CONN_WRITABLE
	ConnStartable = C.GRPCLB_CONN_STARTABLE
	ConnGoAway    = C.GRPCLB_CONN_GOAWAY

	ConnFlagEnd  = C.GRPCLB_CONN_FLAG_END
	ConnFlagLast = C.GRPCLB_CONN_FLAG_LAST

	FateSeen      = C.GRPCLB_FATE_SEEN
	FateNeverLeft = C.GRPCLB_FATE_NEVER_LEFT
	FateRefused   = C.GRPCLB_FATE_REFUSED

	ConfigServer                = C.GRPCLB_CONFIG_SERVER
	ConfigKeepaliveWithoutCalls = C.GRPCLB_CONFIG_KEEPALIVE_WITHOUT_CALLS
	ConfigAutoRelease           = C.GRPCLB_CONFIG_AUTO_RELEASE

	ErrTooLarge    = C.GRPCLB_ERR_TOO_LARGE
	ErrGoingAway   = C.GRPCLB_ERR_GOING_AWAY
	ErrClosed      = C.GRPCLB_ERR_CLOSED
	ErrMetadata    = C.GRPCLB_ERR_METADATA
	ErrWrongLength = C.GRPCLB_ERR_WRONG_LENGTH
	ErrHeadSent    = C.GRPCLB_ERR_HEAD_SENT
	ErrHTTP2       = C.GRPCLB_ERR_HTTP2
)

// ConnConfig is grpclb_conn_config.
type ConnConfig struct {
	Flags, Streams, DecoderTable, EncoderTable, Arena, Outbox, MaxMessageSize uint32
	MaxHeaderListSize, StreamWindow, ConnectionWindow                         uint32
	KeepaliveTime, KeepaliveTimeout, MaxAge, MaxAgeGrace, MaxIdle, Seed       uint64
}

// ConnEventCapacity is how many events a batch has at most.
const ConnEventCapacity = 64

// Conn is grpclb_conn. One goroutine at a time.
type Conn struct {
	c      *C.grpclb_conn
	events *[ConnEventCapacity]ConnEvent // in C's memory
}

// NewConn makes one; false: the config is refused.
func NewConn(config *ConnConfig, now uint64) (Conn, bool) {
	c := C.grpclb_conn_config{
		flags: C.uint32_t(config.Flags), streams: C.uint32_t(config.Streams),
		decoder_table: C.uint32_t(config.DecoderTable), encoder_table: C.uint32_t(config.EncoderTable),
		arena: C.uint32_t(config.Arena), outbox: C.uint32_t(config.Outbox),
		max_message_size: C.uint32_t(config.MaxMessageSize), max_header_list_size: C.uint32_t(config.MaxHeaderListSize),
		stream_window: C.uint32_t(config.StreamWindow), connection_window: C.uint32_t(config.ConnectionWindow),
		keepalive_time_ns: C.uint64_t(config.KeepaliveTime), keepalive_timeout_ns: C.uint64_t(config.KeepaliveTimeout),
		max_age_ns: C.uint64_t(config.MaxAge), max_age_grace_ns: C.uint64_t(config.MaxAgeGrace),
		max_idle_ns: C.uint64_t(config.MaxIdle), seed: C.uint64_t(config.Seed),
	}
	c.size = C.uint32_t(unsafe.Sizeof(c))
	made := C.grpclb_conn_new(&c, C.uint64_t(now))
	if made == nil {
		return Conn{}, false
	}
	events := C.calloc(ConnEventCapacity, C.size_t(unsafe.Sizeof(ConnEvent{})))
	return Conn{made, (*[ConnEventCapacity]ConnEvent)(events)}, true
}

// Free ends its use.
func (c Conn) Free() {
	C.grpclb_conn_free(c.c)
	C.free(unsafe.Pointer(c.events))
}

// RecvBatch takes octets; events are valid until the next RecvBatch, what was taken, and the code.
func (c Conn) RecvBatch(now uint64, input []byte) (events []ConnEvent, taken int, code int32) {
	b := C.grpclb_conn_recv_batch(c.c, C.uint64_t(now), (*C.uint8_t)(unsafe.SliceData(input)), C.size_t(len(input)),
		(*C.grpclb_conn_event)(&c.events[0]), ConnEventCapacity)
	return c.events[:b.count], int(b.taken), int32(b.code)
}

// PollEvents gives what time and commands made.
func (c Conn) PollEvents() []ConnEvent {
	n := C.grpclb_conn_poll_events(c.c, (*C.grpclb_conn_event)(&c.events[0]), ConnEventCapacity)
	return c.events[:max(n, 0)]
}

// StartCall starts a call.
func (c Conn) StartCall(now uint64, head []byte, timeout uint64) int64 {
	return int64(C.grpclb_conn_start_call(c.c, C.uint64_t(now), (*C.uint8_t)(unsafe.SliceData(head)), C.size_t(len(head)),
		C.uint64_t(timeout)))
}

// Unary starts a call and sends its message.
func (c Conn) Unary(now uint64, head []byte, timeout uint64, message []byte) (call, taken int64) {
	s := C.grpclb_conn_unary(c.c, C.uint64_t(now), (*C.uint8_t)(unsafe.SliceData(head)), C.size_t(len(head)),
		C.uint64_t(timeout), (*C.uint8_t)(unsafe.SliceData(message)), C.size_t(len(message)))
	return int64(s.call), int64(s.taken)
}

// SendMessage sends a part of a message.
func (c Conn) SendMessage(call int64, message []byte, last bool) int64 {
	var l C.int32_t
	if last {
		l = 1
	}
	return int64(C.grpclb_conn_send_message(c.c, C.int64_t(call), (*C.uint8_t)(unsafe.SliceData(message)),
		C.size_t(len(message)), l))
}

// BeginMessage announces one.
func (c Conn) BeginMessage(call int64, n uint32) int32 {
	return int32(C.grpclb_conn_begin_message(c.c, C.int64_t(call), C.uint32_t(n)))
}

// HalfClose ends a client's side.
func (c Conn) HalfClose(call int64) int32 {
	return int32(C.grpclb_conn_half_close(c.c, C.int64_t(call)))
}

// SendHead sends a response's metadata.
func (c Conn) SendHead(call int64, metadata []byte) int32 {
	return int32(C.grpclb_conn_send_head(c.c, C.int64_t(call), (*C.uint8_t)(unsafe.SliceData(metadata)),
		C.size_t(len(metadata))))
}

// SendStatus ends a call.
func (c Conn) SendStatus(call int64, code uint32, message string, trailers []byte) int32 {
	return int32(C.grpclb_conn_send_status(c.c, C.int64_t(call), C.uint32_t(code),
		(*C.uint8_t)(unsafe.StringData(message)), C.size_t(len(message)),
		(*C.uint8_t)(unsafe.SliceData(trailers)), C.size_t(len(trailers))))
}

// Reply answers whole.
func (c Conn) Reply(call int64, message []byte) int32 {
	return int32(C.grpclb_conn_reply(c.c, C.int64_t(call), (*C.uint8_t)(unsafe.SliceData(message)), C.size_t(len(message))))
}

// Release gives window back.
func (c Conn) Release(call int64, n int) { C.grpclb_conn_release(c.c, C.int64_t(call), C.size_t(n)) }

// Cancel ends a call.
func (c Conn) Cancel(call int64) { C.grpclb_conn_cancel(c.c, C.int64_t(call)) }

// Take moves what is to be written to out.
func (c Conn) Take(now uint64, out []byte) int64 {
	return int64(C.grpclb_conn_take(c.c, C.uint64_t(now), (*C.uint8_t)(unsafe.SliceData(out)), C.size_t(len(out))))
}

// PollTimeout is when HandleTimeout is due.
func (c Conn) PollTimeout() uint64 { return uint64(C.grpclb_conn_poll_timeout(c.c)) }

// HandleTimeout tells the time.
func (c Conn) HandleTimeout(now uint64) int32 {
	return int32(C.grpclb_conn_handle_timeout(c.c, C.uint64_t(now)))
}

// CarrierLost ends every call.
func (c Conn) CarrierLost(now uint64) { C.grpclb_conn_carrier_lost(c.c, C.uint64_t(now)) }

// Shutdown ends it gracefully.
func (c Conn) Shutdown(now uint64) { C.grpclb_conn_shutdown(c.c, C.uint64_t(now)) }

// IsClosed tells whether all is done.
func (c Conn) IsClosed() bool { return C.grpclb_conn_is_closed(c.c) == 1 }

// Calls is how many run.
func (c Conn) Calls() int { return int(C.grpclb_conn_calls(c.c)) }

// LastError is why it is over.
func (c Conn) LastError() (code int32, http2 uint32, text string) {
	e := C.grpclb_conn_last_error(c.c)
	return int32(e.code), uint32(e.http2), string(octets(unsafe.Pointer(e.text.at), e.text.len))
}

// ConnEvent is grpclb_conn_event. Octets it gives lie in C's memory.
type ConnEvent C.grpclb_conn_event

// Kind is ConnReady and so on.
func (e *ConnEvent) Kind() uint8 { return uint8(e.kind) }

// Flags is ConnFlagEnd and ConnFlagLast.
func (e *ConnEvent) Flags() uint8 { return uint8(e.flags) }

// Fate is FateSeen and so on.
func (e *ConnEvent) Fate() uint8 { return uint8(e.fate) }

// Code is gRPC's or HTTP/2's.
func (e *ConnEvent) Code() uint32 { return uint32(e.code) }

// Call is 0 when it is none's.
func (e *ConnEvent) Call() int64 { return int64(e.call) }

// Piece is where it lies in the input, and in its message.
func (e *ConnEvent) Piece() (at, n, offset, total uint32) {
	return uint32(e.at), uint32(e.len), uint32(e.offset), uint32(e.total)
}

// Text is words or a path.
func (e *ConnEvent) Text() []byte { return octets(unsafe.Pointer(e.text.at), e.text.len) }

// Fields is packed.
func (e *ConnEvent) Fields() []byte { return octets(unsafe.Pointer(e.fields.at), e.fields.len) }

// Authority of a request.
func (e *ConnEvent) Authority() []byte {
	return octets(unsafe.Pointer(e.authority.at), e.authority.len)
}

// Timeout of a call.
func (e *ConnEvent) Timeout() uint64 { return uint64(e.timeout_ns) }
