package grpclb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"grpclb/internal/capi"
)

// Conn is one HTTP/2 connection and its gRPC calls, client or server, without a socket and without a clock: for a
// net.Conn of your own. Octets that arrived go into Recv, octets to be written come out of Take, now is the time since
// any moment of yours, by a clock that never goes back.
//
// The driver's rule: after Recv, after HandleTimeout, Cancel and CarrierLost PollEvents, and after both Take until it
// gives nothing, and again PollEvents; then wait for octets, for the socket to take more, or for PollTimeout.
//
// Any goroutine may use it, but Recv and PollEvents one at a time. It needs no Close: its memory goes with it.
type Conn struct {
	mu sync.Mutex
	c  capi.Conn
	// A batch of events is being told, and its memory in use.
	telling bool
	event   ConnEvent
}

// ConnConfig is a Conn's settings; 0 is each field's default.
type ConnConfig struct {
	// Server: this side is the server.
	Server bool
	// KeepaliveWithoutCalls: PINGs also while no call runs (gRFC A8).
	KeepaliveWithoutCalls bool
	// AutoRelease gives the window of each message back as it is told, so that Release is never needed: for programs
	// that take all that comes.
	AutoRelease bool
	// Streams is how many calls run at once (128, at most 65 534).
	Streams uint32
	// DecoderTable and EncoderTable are HPACK's, octets (4 096); math.MaxUint32: none.
	DecoderTable, EncoderTable uint32
	// Arena holds header fields of a batch, octets (16 384, at least 1 024); half of it bounds the lists that are taken.
	Arena uint32
	// Outbox holds what waits to be written, octets (32 768, at least 1 024).
	Outbox uint32
	// MaxMessageSize is the largest message taken, octets (4 MiB).
	MaxMessageSize uint32
	// MaxHeaderListSize is the largest header list taken, octets (16 384).
	MaxHeaderListSize uint32
	// StreamWindow and ConnectionWindow are receive windows, octets (1 MiB and 4 MiB).
	StreamWindow, ConnectionWindow uint32
	// KeepaliveTime without an octet received makes a PING (none), KeepaliveTimeout is how long it waits (20 s).
	KeepaliveTime, KeepaliveTimeout time.Duration
	// MaxAge, MaxAgeGrace and MaxIdle are a server's (gRFC A9; none).
	MaxAge, MaxAgeGrace, MaxIdle time.Duration
	// Seed is any number; a server that faces strangers takes one that they cannot guess.
	Seed uint64
}

// What a Conn's methods refuse.
var (
	// ErrBlocked: nothing was taken; ConnWritable or ConnStartable tells when to try again.
	ErrBlocked = errors.New("grpclb: blocked")
	// ErrTooLarge: it can never fit.
	ErrTooLarge = errors.New("grpclb: larger than can be sent")
	// ErrGoingAway: the connection takes no new calls.
	ErrGoingAway = errors.New("grpclb: the connection is going away")
	// ErrCallClosed: the call or connection is over, or this side of the call is.
	ErrCallClosed = errors.New("grpclb: the call or this side of it is over")
	// ErrMetadata: a name or value is not allowed, or there are too many.
	ErrMetadata = errors.New("grpclb: a name or value of the metadata is not allowed")
	// ErrWrongLength: the octets are not the rest of the message that was begun.
	ErrWrongLength = errors.New("grpclb: not the rest of the message that was begun")
	// ErrHeadSent: the response's head was sent before.
	ErrHeadSent = errors.New("grpclb: the response's head was sent before")
	// ErrTelling: Recv or PollEvents was called while another of them runs.
	ErrTelling = errors.New("grpclb: Recv or PollEvents is running")
)

// HTTP2Error is why a connection is over.
type HTTP2Error struct {
	// Code is HTTP/2's (RFC 9113 section 7).
	Code uint32
	// Text is why.
	Text string
}

func (e *HTTP2Error) Error() string {
	return fmt.Sprintf("grpclb: HTTP/2 error %d: %s", e.Code, e.Text)
}

// ConnEventKind is what happened.
type ConnEventKind uint8

const (
	// ConnReady: the peer's SETTINGS arrived.
	ConnReady ConnEventKind = capi.ConnReady
	// ConnCall, at a server: a new call. Text is its path; Authority, Timeout, Fields and End.
	ConnCall ConnEventKind = capi.ConnCall
	// ConnMetadata, at a client: the response's initial metadata, in Fields.
	ConnMetadata ConnEventKind = capi.ConnMetadata
	// ConnMessage: a piece of a message: Data, Offset, Total, Last and End.
	ConnMessage ConnEventKind = capi.ConnMessage
	// ConnHalfClose, at a server: the client sends no more, apart from any message.
	ConnHalfClose ConnEventKind = capi.ConnHalfClose
	// ConnStatus: the call is over, its last event. Code, Text, Fields (trailers), Fate. At a server: before a status was sent.
	ConnStatus ConnEventKind = capi.ConnStatus
	// ConnWritable: sending can go on.
	ConnWritable ConnEventKind = capi.ConnWritable
	// ConnStartable: a call can be started again.
	ConnStartable ConnEventKind = capi.ConnStartable
	// ConnGoAway: the peer takes no new calls here. Call is the last stream that it may process, Code HTTP/2's, Text its words.
	ConnGoAway ConnEventKind = capi.ConnGoAway
)

// Fate says whether a call that failed may be tried again (gRFC A6).
type Fate uint8

const (
	// FateSeen: the server may have seen it.
	FateSeen Fate = capi.FateSeen
	// FateNeverLeft: nothing of it has left; it can be tried again until its deadline.
	FateNeverLeft Fate = capi.FateNeverLeft
	// FateRefused: the server did not process it; it can be tried again once.
	FateRefused Fate = capi.FateRefused
)

// ConnCallID is a call of a Conn, above 0.
type ConnCallID int64

// Index is the call's slot, dense from 0, for an array.
func (c ConnCallID) Index() int { return int(c >> 32) }

// ConnEvent is what happened. It and its octets are valid until the function that is told it returns.
type ConnEvent struct {
	Kind ConnEventKind
	// End: the peer sends no more on this call. Last: the piece is its message's last.
	End, Last bool
	Fate      Fate
	Code      uint32
	Call      ConnCallID
	// Data lies in the input of Recv, from Offset of a message of Total octets.
	Data          []byte
	Offset, Total uint32
	Text          []byte
	Authority     []byte
	// Fields is a packed list; Metadata unpacks it.
	Fields []byte
	// Timeout that the client gives the call; 0: none. The Conn minds it by itself.
	Timeout time.Duration
}

// Metadata makes metadata of Fields; "-bin" values are raw.
func (e *ConnEvent) Metadata() metadata.MD { return unpack(e.Fields) }

// Err is a ConnStatus's error, with details; nil for OK.
func (e *ConnEvent) Err() error {
	if e.Code == 0 {
		return nil
	}
	return toStatus(codes.Code(e.Code), string(e.Text), e.Fields)
}

// Head is a packed list of header fields; make it once and use it for many calls.
type Head []byte

// NewHead is a request's: path is "/package.Service/Method", md may be nil.
func NewHead(path, authority string, md metadata.MD) (Head, error) {
	var head Head
	var err error
	for _, field := range [][2]string{{":path", path}, {":authority", authority}} {
		if head, err = head.with(field[0], field[1]); err != nil {
			return nil, err
		}
	}
	return pack(head, md)
}

// NewMetadata is a response's head or trailers.
func NewMetadata(md metadata.MD) (Head, error) { return pack(nil, md) }

func (h Head) with(name, value string) (Head, error) {
	if len(name) > math.MaxUint16 || len(value) > math.MaxUint16 {
		return nil, fmt.Errorf("grpclb: %s is longer than 65535 octets", name)
	}
	h = binary.BigEndian.AppendUint16(h, uint16(len(name)))
	h = binary.BigEndian.AppendUint16(h, uint16(len(value)))
	return append(append(h, name...), value...), nil
}

// NewConn makes a Conn. An error: a setting is out of its range.
func NewConn(config ConnConfig, now time.Duration) (*Conn, error) {
	c := capi.ConnConfig{
		Streams: config.Streams, DecoderTable: config.DecoderTable, EncoderTable: config.EncoderTable,
		Arena: config.Arena, Outbox: config.Outbox, MaxMessageSize: config.MaxMessageSize,
		MaxHeaderListSize: config.MaxHeaderListSize, StreamWindow: config.StreamWindow,
		ConnectionWindow: config.ConnectionWindow, KeepaliveTime: clock(config.KeepaliveTime),
		KeepaliveTimeout: clock(config.KeepaliveTimeout), MaxAge: clock(config.MaxAge),
		MaxAgeGrace: clock(config.MaxAgeGrace), MaxIdle: clock(config.MaxIdle), Seed: config.Seed,
	}
	for flag, on := range map[uint32]bool{
		capi.ConfigServer: config.Server, capi.ConfigAutoRelease: config.AutoRelease,
		capi.ConfigKeepaliveWithoutCalls: config.KeepaliveWithoutCalls,
	} {
		if on {
			c.Flags |= flag
		}
	}
	made, ok := capi.NewConn(&c, clock(now))
	if !ok {
		return nil, fmt.Errorf("grpclb: ConnConfig: a size is out of its range: %+v", config)
	}
	conn := &Conn{c: made}
	runtime.AddCleanup(conn, capi.Conn.Free, made)
	return conn, nil
}

// do runs what crosses to C.
func (c *Conn) do(what func()) {
	c.mu.Lock()
	what()
	c.mu.Unlock()
	runtime.KeepAlive(c)
}

// limit of a call: 0 is none, and below it one that has passed.
func limit(timeout time.Duration) uint64 {
	if timeout < 0 {
		return 1
	}
	return uint64(timeout)
}

// refused makes an error of a negative number.
func refused(code int64) error {
	if code >= 0 {
		return nil
	}
	switch code {
	case capi.ErrBlocked:
		return ErrBlocked
	case capi.ErrTooLarge:
		return ErrTooLarge
	case capi.ErrGoingAway:
		return ErrGoingAway
	case capi.ErrClosed:
		return ErrCallClosed
	case capi.ErrMetadata:
		return ErrMetadata
	case capi.ErrWrongLength:
		return ErrWrongLength
	case capi.ErrHeadSent:
		return ErrHeadSent
	}
	return fmt.Errorf("grpclb: %s", strings.ToLower(strings.TrimPrefix(capi.CodeName(int32(code)), "GRPCLB_ERR_")))
}

// Recv takes octets that arrived and tells what they say, one event after the other. It takes all of them. The error is
// a *HTTP2Error: the connection is over; write what Take gives, and close the socket.
func (c *Conn) Recv(now time.Duration, input []byte, tell func(*ConnEvent)) error {
	if len(input) > math.MaxInt32 {
		return ErrTooLarge
	}
	if !c.begin() {
		return ErrTelling
	}
	defer c.end()
	for {
		var events []capi.ConnEvent
		var taken int
		var code int32
		c.do(func() { events, taken, code = c.c.RecvBatch(clock(now), input) })
		c.tell(events, input, tell)
		switch {
		case code == 0:
			return nil
		case code == capi.ErrHTTP2:
			return c.Err()
		case code < 0:
			return refused(int64(code))
		}
		input = input[taken:]
	}
}

// PollEvents tells what time and commands made.
func (c *Conn) PollEvents(tell func(*ConnEvent)) error {
	if !c.begin() {
		return ErrTelling
	}
	defer c.end()
	for {
		var events []capi.ConnEvent
		c.do(func() { events = c.c.PollEvents() })
		c.tell(events, nil, tell)
		if len(events) < capi.ConnEventCapacity {
			return nil
		}
	}
}

func (c *Conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.telling {
		return false
	}
	c.telling = true
	return true
}

func (c *Conn) end() {
	c.mu.Lock()
	c.telling = false
	c.mu.Unlock()
	runtime.KeepAlive(c)
}

func (c *Conn) tell(events []capi.ConnEvent, input []byte, tell func(*ConnEvent)) {
	for i := range events {
		e := &events[i]
		at, n, offset, total := e.Piece()
		c.event = ConnEvent{
			Kind: ConnEventKind(e.Kind()), End: e.Flags()&capi.ConnFlagEnd != 0, Last: e.Flags()&capi.ConnFlagLast != 0,
			Fate: Fate(e.Fate()), Code: e.Code(), Call: ConnCallID(e.Call()), Offset: offset, Total: total,
			Text: e.Text(), Authority: e.Authority(), Fields: e.Fields(),
			Timeout: time.Duration(min(e.Timeout(), math.MaxInt64)),
		}
		if c.event.Kind == ConnMessage {
			c.event.Data = input[at : at+n : at+n]
		}
		tell(&c.event)
	}
}

// StartCall, at a client, starts a call; timeout 0: no deadline. ErrBlocked: ConnStartable tells when to try again.
func (c *Conn) StartCall(now time.Duration, head Head, timeout time.Duration) (call ConnCallID, err error) {
	c.do(func() { call = ConnCallID(c.c.StartCall(clock(now), head, limit(timeout))) })
	return max(call, 0), refused(int64(call))
}

// Unary, at a client, is StartCall and SendMessage with the end in one crossing. When taken is less than the message, or
// the call is above 0 in spite of an error (SendMessage's), the call is there all the same, and the rest is to be sent.
func (c *Conn) Unary(now time.Duration, head Head, timeout time.Duration, message []byte) (call ConnCallID, taken int, err error) {
	var n int64
	c.do(func() {
		id, sent := c.c.Unary(clock(now), head, limit(timeout), message)
		call, n = ConnCallID(id), sent
	})
	if call < 0 {
		return 0, 0, refused(int64(call))
	}
	return call, int(max(n, 0)), refused(n)
}

// SendMessage sends (a part of) one message; last: a client's side ends behind it. The first call's length is the
// message's, later calls pass exactly the rest. It gives the octets taken.
func (c *Conn) SendMessage(call ConnCallID, message []byte, last bool) (taken int, err error) {
	var n int64
	c.do(func() { n = c.c.SendMessage(int64(call), message, last) })
	return int(max(n, 0)), refused(n)
}

// BeginMessage announces a message of n octets whose pieces come by SendMessage, of any size.
func (c *Conn) BeginMessage(call ConnCallID, n uint32) error {
	return c.command(func() int32 { return c.c.BeginMessage(int64(call), n) })
}

// HalfClose, at a client: no more messages.
func (c *Conn) HalfClose(call ConnCallID) error {
	return c.command(func() int32 { return c.c.HalfClose(int64(call)) })
}

// SendHead, at a server, sends the response's initial metadata.
func (c *Conn) SendHead(call ConnCallID, metadata Head) error {
	return c.command(func() int32 { return c.c.SendHead(int64(call), metadata) })
}

// SendStatus, at a server, ends the call.
func (c *Conn) SendStatus(call ConnCallID, code codes.Code, message string, trailers Head) error {
	return c.command(func() int32 { return c.c.SendStatus(int64(call), uint32(code), message, trailers) })
}

// Reply, at a server, sends head, one message and status OK, all or nothing. ErrTooLarge: send it in parts.
func (c *Conn) Reply(call ConnCallID, message []byte) error {
	return c.command(func() int32 { return c.c.Reply(int64(call), message) })
}

// Release gives n octets of messages back to the receive window.
func (c *Conn) Release(call ConnCallID, n int) { c.do(func() { c.c.Release(int64(call), max(n, 0)) }) }

// Cancel ends a call. A client's gets its ConnStatus from PollEvents, a server's has no further event.
func (c *Conn) Cancel(call ConnCallID) { c.do(func() { c.c.Cancel(int64(call)) }) }

// Take moves what is to be written to out, as much as fits, and gives its length; 0: there is nothing.
func (c *Conn) Take(now time.Duration, out []byte) (n int) {
	c.do(func() { n = int(max(c.c.Take(clock(now), out), 0)) })
	return n
}

// PollTimeout is when HandleTimeout is due, by your clock; false: never.
func (c *Conn) PollTimeout() (due time.Duration, ok bool) {
	c.do(func() {
		at := c.c.PollTimeout()
		due, ok = time.Duration(min(at, math.MaxInt64)), at != math.MaxUint64
	})
	return due, ok
}

// HandleTimeout tells the time. The error is a *HTTP2Error: the peer is gone.
func (c *Conn) HandleTimeout(now time.Duration) error {
	if err := c.command(func() int32 { return c.c.HandleTimeout(clock(now)) }); err != nil {
		return c.Err()
	}
	return nil
}

// CarrierLost tells that the socket is gone: every call ends, as PollEvents tells.
func (c *Conn) CarrierLost(now time.Duration) { c.do(func() { c.c.CarrierLost(clock(now)) }) }

// Shutdown ends it gracefully: GOAWAY, no new calls, those that run go on until IsClosed.
func (c *Conn) Shutdown(now time.Duration) { c.do(func() { c.c.Shutdown(clock(now)) }) }

// IsClosed: all is said and done; close the socket once Take gives nothing.
func (c *Conn) IsClosed() (closed bool) {
	c.do(func() { closed = c.c.IsClosed() })
	return closed
}

// Calls is how many run.
func (c *Conn) Calls() (n int) {
	c.do(func() { n = c.c.Calls() })
	return n
}

// Err is why the connection is over, a *HTTP2Error, or nil.
func (c *Conn) Err() error {
	var code int32
	var number uint32
	var text string
	c.do(func() { code, number, text = c.c.LastError() })
	if code == 0 {
		return nil
	}
	return &HTTP2Error{number, text}
}

func (c *Conn) command(what func() int32) error {
	var code int32
	c.do(func() { code = what() })
	return refused(int64(code))
}
