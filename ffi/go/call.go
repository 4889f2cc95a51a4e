package grpclb

import (
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"grpclb/internal/capi"
)

// A call is one in the reactor's table, and what came of it. The driver writes it under its mu.
type call struct {
	id     capi.CallID
	stream *clientStream // nil of a unary call
	// A token lies in it when there is something new.
	news chan struct{}

	ended     bool
	code      int32
	message   string
	peer      string
	pickOrder uint64
	// The response of a unary call.
	response []byte
	headers  []byte // packed
	trailers []byte
	// Whether headers and trailers are wanted of a call that is OK.
	wantMetadata bool

	request []byte // scratch of the encoder
	packed  []byte // scratch of the metadata that is sent
}

// A buffer that grew beyond this is not kept for the next call: the largest message that calls take by default.
const keep = 4 << 20

var calls = sync.Pool{New: func() any { return &call{news: make(chan struct{}, 1)} }}

func newCall() *call { return calls.Get().(*call) }

// free gives it back. Nobody may know of it any more.
func (c *call) free() {
	select {
	case <-c.news:
	default:
	}
	*c = call{
		news: c.news, response: reuse(c.response), headers: reuse(c.headers), trailers: reuse(c.trailers),
		request: reuse(c.request), packed: reuse(c.packed),
	}
	calls.Put(c)
}

func reuse(b []byte) []byte {
	if cap(b) > keep {
		return nil
	}
	return b[:0]
}

// take copies what an event says. The driver's mu is held.
func (c *call) take(d *driver, event *capi.Event) {
	what := event.What()
	if s := c.stream; s != nil {
		s.readable = s.readable || what&capi.Message != 0
		if what&capi.Headers != 0 && !s.hasHeaders {
			s.hasHeaders = true
			c.headers = append(c.headers, event.Headers()...)
		}
		if what&(capi.Headers|capi.Ended) != 0 {
			s.tellHeaders()
		}
	}
	if peer := event.Peer(); len(peer) > 0 {
		c.peer = d.peer(peer)
	}
	if what&capi.Ended == 0 || c.ended {
		return
	}
	c.ended = true
	c.code = event.Code()
	c.pickOrder = event.PickOrder()
	if c.code != 0 || c.wantMetadata || c.stream != nil {
		c.message = string(event.StatusMessage())
		c.trailers = append(c.trailers[:0], event.Trailers()...)
	}
	if c.stream == nil {
		c.response = append(c.response[:0], event.Response()...)
		if c.wantMetadata {
			c.headers = append(c.headers[:0], event.Headers()...)
		}
		// The reactor forgets it with the next turn.
		d.calls[c.id.Index] = nil
	}
}

// wake tells who waits. A token that lies there still does for both.
func (c *call) wake() {
	if s := c.stream; s != nil {
		token(s.sendable)
	}
	token(c.news)
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// err is how it ended; nil for OK.
func (c *call) err() error {
	if c.code == 0 {
		return nil
	}
	return toStatus(codes.Code(c.code), c.message, c.trailers)
}

// tell fills in what call options asked for.
func (c *call) tell(info *callInfo) {
	for _, at := range info.headers {
		*at = unpack(c.headers)
	}
	for _, at := range info.trailers {
		*at = unpack(c.trailers)
	}
	for _, at := range info.peers {
		if c.peer != "" {
			*at = *peerOf(c.peer)
		}
	}
	if info.pickOrder != nil {
		*info.pickOrder = c.pickOrder
	}
}

func unpack(packed []byte) metadata.MD {
	md := metadata.MD{}
	eachField(packed, func(name, value []byte) bool {
		md.Append(string(name), string(value))
		return true
	})
	return md
}

func internal(text string) error { return status.Error(codes.Internal, "grpclb: "+text) }
