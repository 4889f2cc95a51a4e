package grpclb

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"grpclb/internal/capi"
)

// A clientStream is a streaming call of any kind. As with grpc-go one goroutine may send while another receives.
type clientStream struct {
	cc   *ClientConn
	ctx  context.Context
	desc *grpc.StreamDesc
	info callInfo
	call *call
	// A token lies in it when sending may go on.
	sendable chan struct{}
	// Closed when the initial metadata is here, or none will come.
	headers chan struct{}
	// Ends the watch over the context.
	unwatch func() bool
	// Tells the end to options that asked for it.
	finish sync.Once

	// Under the driver's mu.
	hasHeaders, toldHeaders bool
	readable                bool
	cancelled               error // set when this side ended it
	over                    bool  // the end was told to the caller, the reactor knows it no more

	// Of the goroutine that sends, and of the one that receives.
	out, in    []byte
	halfClosed bool
	received   bool
}

var _ grpc.ClientStream = (*clientStream)(nil)

// NewStream starts a streaming call; generated stubs call it. It does not wait for a connection. The stream's resources
// are given back when RecvMsg has returned an error (io.EOF is one), or the context is done, or the ClientConn closed.
func (cc *ClientConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	s := &clientStream{cc: cc, ctx: ctx, desc: desc, sendable: make(chan struct{}, 1), headers: make(chan struct{})}
	if err := cc.info(&s.info, options); err != nil {
		return nil, err
	}
	// Not of the pool: the caller may hold on to the stream as long as it likes.
	s.call = &call{news: make(chan struct{}, 1), stream: s}
	if err := cc.start(ctx, s.call, capi.Stream, method, &s.info); err != nil {
		s.info.finish(err)
		return nil, err
	}
	s.unwatch = context.AfterFunc(ctx, s.expire)
	return s, nil
}

// expire ends the call when the context is done. The watch over the context calls it too late for one who cancels it and
// then uses the stream: every method does as well.
func (s *clientStream) expire() {
	if err := s.ctx.Err(); err != nil {
		s.abort(status.FromContextError(err).Err())
	}
}

// abort ends the call from this side, unless it has ended and nothing is left to receive.
func (s *clientStream) abort(err error) {
	d := s.cc.driver
	d.mu.Lock()
	if s.over {
		d.mu.Unlock()
		return
	}
	err = s.lose(err)
	d.forget(s.call)
	d.mu.Unlock()
	s.call.wake()
	s.finished(err)
}

// lose makes RecvMsg return err, unless the call has ended before and nothing is left to receive: gives how it ends.
// The driver's mu is held.
func (s *clientStream) lose(err error) error {
	switch {
	case s.cancelled != nil:
		return s.cancelled
	case s.call.ended && !s.readable:
		return s.call.err()
	}
	s.cancelled = err
	s.tellHeaders()
	return err
}

// finished tells the end to options that asked for it, once.
func (s *clientStream) finished(err error) {
	s.finish.Do(func() { s.info.finish(err) })
}

// tellHeaders lets Header go on. The driver's mu is held.
func (s *clientStream) tellHeaders() {
	if !s.toldHeaders {
		s.toldHeaders = true
		close(s.headers)
	}
}

// Context is the call's.
func (s *clientStream) Context() context.Context { return s.ctx }

// Header waits for the initial metadata. Nil without an error: the call ended without any, and RecvMsg tells how.
func (s *clientStream) Header() (metadata.MD, error) {
	<-s.headers
	d := s.cc.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.hasHeaders {
		return unpack(s.call.headers), nil
	}
	return nil, s.cancelled
}

// Trailer is the trailing metadata, once RecvMsg has returned an error.
func (s *clientStream) Trailer() metadata.MD {
	d := s.cc.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	if !s.call.ended {
		return nil
	}
	return unpack(s.call.trailers)
}

// SendMsg sends a message; it waits while the one before is held up by the peer's window. io.EOF: the call has ended,
// and RecvMsg tells how.
func (s *clientStream) SendMsg(message any) error {
	if s.halfClosed {
		return internal("SendMsg after CloseSend")
	}
	s.expire()
	var err error
	if s.out, err = s.cc.encode(&s.info, s.out, message); err != nil {
		s.abort(err)
		return err
	}
	defer func() { s.out = reuse(s.out) }()
	d := s.cc.driver
	for {
		d.mu.Lock()
		if s.over || s.cancelled != nil || s.call.ended || d.closed {
			d.mu.Unlock()
			return s.ended()
		}
		result := d.reactor.Send(s.call.id, s.out)
		if result >= 0 {
			if !s.desc.ClientStreams {
				// Its only one: as with grpc-go this side ends with it.
				s.halfClosed = true
				d.reactor.HalfClose(s.call.id)
			}
			d.commanded()
		}
		d.mu.Unlock()
		switch {
		case result >= 0:
			return nil
		case result == capi.ErrEnded:
			return s.ended()
		case result != capi.ErrBlocked:
			return internal("the message cannot be sent: " + capi.CodeName(result))
		}
		<-s.sendable
	}
}

// ended is what SendMsg gives then. Generated stubs of a call with one request give up when that fails: nil, so that
// they go on to RecvMsg, which has the status.
func (s *clientStream) ended() error {
	if s.desc.ClientStreams {
		return io.EOF
	}
	return nil
}

// CloseSend says that no more messages come; it does not wait.
func (s *clientStream) CloseSend() error {
	if s.halfClosed {
		return nil
	}
	s.halfClosed = true
	s.expire()
	d := s.cc.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	if !s.over && s.cancelled == nil && !d.closed {
		// That the call has ended already is RecvMsg's to tell.
		d.reactor.HalfClose(s.call.id)
		d.commanded()
	}
	return nil
}

// RecvMsg waits for the next message. io.EOF: the call ended with OK; any other error is its status.
func (s *clientStream) RecvMsg(message any) error {
	if err := s.recv(message); err != nil {
		return s.end(err)
	}
	if s.desc.ServerStreams {
		return nil
	}
	// The only one: what is left is the status.
	switch err := s.recv(nil); err {
	case nil:
		err = internal("more than one response to a call that has one")
		s.abort(err)
		return s.end(err)
	case io.EOF:
		s.end(io.EOF)
		return nil
	default:
		return s.end(err)
	}
}

func (s *clientStream) recv(message any) error {
	s.expire()
	d := s.cc.driver
	for {
		d.mu.Lock()
		if s.cancelled != nil {
			d.mu.Unlock()
			return s.cancelled
		}
		if s.readable && !s.over && !d.closed {
			data, result := d.reactor.Recv(s.call.id)
			if result == 1 {
				s.in = append(s.in[:0], data...)
				d.commanded()
				d.mu.Unlock()
				s.received = true
				if message == nil {
					return nil
				}
				err := s.cc.decode(&s.info, s.in, message)
				s.in = reuse(s.in)
				if err != nil {
					s.abort(err)
				}
				return err
			}
			s.readable = false
		}
		ended, closed := s.call.ended, d.closed
		d.mu.Unlock()
		switch {
		case ended && s.call.code != 0:
			return s.call.err()
		case ended && !s.received && !s.desc.ServerStreams:
			return status.Error(codes.Internal, "grpclb: no response to a call that has one")
		case ended:
			return io.EOF
		case closed:
			return ErrClosed
		}
		<-s.call.news
	}
}

// end gives the call's place back, once, and fills in what options asked for.
func (s *clientStream) end(err error) error {
	d := s.cc.driver
	d.mu.Lock()
	first := !s.over
	s.over = true
	if first {
		d.forget(s.call)
	}
	d.mu.Unlock()
	if first {
		s.unwatch()
		token(s.sendable)
		s.call.tell(&s.info)
		if err == io.EOF {
			s.finished(nil)
		} else {
			s.finished(err)
		}
	}
	return err
}
