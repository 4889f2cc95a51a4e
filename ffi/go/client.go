package grpclb

import (
	"context"
	"fmt"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"grpclb/internal/capi"
)

// ErrClosed is what calls on a closed ClientConn fail with; its code is Canceled.
var ErrClosed = status.Error(codes.Canceled, "grpclb: the ClientConn is closed")

// ClientConn is a channel to all endpoints of a target. Any number of goroutines may use it.
type ClientConn struct {
	driver   *driver
	target   string
	defaults []grpc.CallOption
	codec    encoding.CodecV2
	stock    bool
}

var _ grpc.ClientConnInterface = (*ClientConn)(nil)

// NewClient makes a channel to target; it connects with the first call, or by Connect:
//
//	dns:///host:port                  the name's addresses, looked up again when a connection is lost
//	ipv4:a:p,b:p   ipv6:[a]:p         these
//	unix:path      unix:///path       that socket
//	file:///path                      a list, one address a line, read again when it changes
//
// Without a scheme it is a name. The error says what is wrong with the target, or where in the service config.
func NewClient(target string, options ...Option) (*ClientConn, error) {
	var s settings
	// Calls have limits of their own, which may be larger than the default.
	s.MaxMessageSize = math.MaxInt32
	for _, option := range options {
		if option == nil {
			return nil, fmt.Errorf("grpclb: an option is nil")
		}
		if err := option(&s); err != nil {
			return nil, err
		}
	}
	if err := noNul("target", target); err != nil {
		return nil, err
	}
	reactor, err := capi.NewReactor(target, &s.Config)
	if err != nil {
		return nil, fmt.Errorf("grpclb: %w", err)
	}
	driver, err := newDriver(reactor)
	if err != nil {
		reactor.Free()
		return nil, fmt.Errorf("grpclb: %w", err)
	}
	codec := encoding.GetCodecV2("proto")
	return &ClientConn{driver, target, s.defaults, codec, stockCodec(codec)}, nil
}

// Close ends the channel: running calls end with Canceled, and later ones. The second time it returns ErrClosed.
func (cc *ClientConn) Close() error {
	if !cc.driver.close() {
		return ErrClosed
	}
	return nil
}

// Target is what NewClient was given.
func (cc *ClientConn) Target() string { return cc.target }

// GetState is the channel's state.
func (cc *ClientConn) GetState() connectivity.State {
	d := cc.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return connectivity.Shutdown
	}
	return connectivity.State(d.reactor.State(false))
}

// Connect leaves Idle.
func (cc *ClientConn) Connect() {
	d := cc.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.reactor.State(true)
		d.commanded()
	}
}

// WaitForStateChange waits until the state is not source; false when the context is done before.
func (cc *ClientConn) WaitForStateChange(ctx context.Context, source connectivity.State) bool {
	return cc.wait(ctx, func() bool {
		d := cc.driver
		return d.closed && source != connectivity.Shutdown || !d.closed && connectivity.State(d.reactor.State(false)) != source
	}) == nil
}

// WaitForReadyEndpoints connects, and waits until that many endpoints are Ready.
func (cc *ClientConn) WaitForReadyEndpoints(ctx context.Context, count int) error {
	cc.Connect()
	return cc.wait(ctx, func() bool {
		return !cc.driver.closed && cc.driver.ready >= uint64(max(count, 0))
	})
}

// Endpoints is "address STATE, address STATE" of all endpoints, for diagnosis.
func (cc *ClientConn) Endpoints() string {
	d := cc.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ""
	}
	return d.reactor.Endpoints()
}

// wait until something about the channel's state holds. An error: the context is done, or nothing will come any more.
func (cc *ClientConn) wait(ctx context.Context, holds func() bool) error {
	d := cc.driver
	for {
		d.mu.Lock()
		ok, closed, changed := holds(), d.closed, d.stateChanged
		d.mu.Unlock()
		switch {
		case ok:
			return nil
		case closed:
			return ErrClosed
		}
		select {
		case <-changed:
		case <-d.stopped:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// info is what the options say, and what the context.
func (cc *ClientConn) info(info *callInfo, options []grpc.CallOption) error {
	info.maxRecv, info.maxSend = defaultMaxRecv, defaultMaxSend
	if err := info.apply(cc.defaults); err != nil {
		return err
	}
	return info.apply(options)
}

// start starts a call; c.request is its message.
func (cc *ClientConn) start(ctx context.Context, c *call, flags uint32, method string, info *callInfo) error {
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	var timeout uint64
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		if left <= 0 {
			return status.FromContextError(context.DeadlineExceeded).Err()
		}
		timeout = uint64(left)
	}
	if md, ok := metadata.FromOutgoingContext(ctx); ok {
		var err error
		if c.packed, err = pack(c.packed[:0], md); err != nil {
			return err
		}
	}
	if info.waitForReady {
		flags |= capi.WaitForReady
	}
	// 0 would be no limit.
	limit := uint32(min(max(info.maxRecv, 1), math.MaxInt32))
	d := cc.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	if code := d.start(c, flags, method, c.packed, timeout, limit, c.request); code < 0 {
		return internal(fmt.Sprintf("the call of %q cannot be made: %s", method, capi.CodeName(code)))
	}
	return nil
}

// Invoke makes a unary call; generated stubs call it.
func (cc *ClientConn) Invoke(ctx context.Context, method string, args, reply any, options ...grpc.CallOption) error {
	var info callInfo
	if err := cc.info(&info, options); err != nil {
		return err
	}
	err := cc.invoke(ctx, method, args, reply, &info)
	info.finish(err)
	return err
}

func (cc *ClientConn) invoke(ctx context.Context, method string, args, reply any, info *callInfo) error {
	c := newCall()
	var err error
	if c.request, err = cc.encode(info, c.request, args); err == nil {
		c.wantMetadata = len(info.headers)+len(info.trailers) > 0
		err = cc.start(ctx, c, 0, method, info)
	}
	if err != nil {
		c.free()
		return err
	}
	if done := ctx.Done(); done == nil {
		<-c.news
	} else {
		select {
		case <-c.news:
		case <-done:
			if cc.abandon(c) {
				c.free()
				return status.FromContextError(ctx.Err()).Err()
			}
			<-c.news
		}
	}
	c.tell(info)
	if err = c.err(); err == nil {
		err = cc.decode(info, c.response, reply)
	}
	c.free()
	return err
}

// abandon cancels a unary call; false: it has ended, and its token is on the way.
func (cc *ClientConn) abandon(c *call) bool {
	d := cc.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.ended {
		return false
	}
	d.forget(c)
	return true
}
