package grpclb

import (
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"grpclb/internal/capi"
)

// Option is a setting of a ClientConn.
type Option func(*settings) error

type settings struct {
	capi.Config
	defaults []grpc.CallOption
}

// WithServiceConfig sets gRPC's service config, JSON, such as {"loadBalancingPolicy":"round_robin"}; default {}, which
// is pick_first.
func WithServiceConfig(json string) Option {
	return func(s *settings) error { return s.text("service config", json, &s.ServiceConfig) }
}

// WithAuthority sets ":authority"; default: the target's.
func WithAuthority(authority string) Option {
	return func(s *settings) error { return s.text("authority", authority, &s.Authority) }
}

// WithKeepalive sends a PING after so long without an octet received (at least 10 s), and gives the peer timeout to
// answer. Off by default.
func WithKeepalive(after, timeout time.Duration) Option {
	return func(s *settings) (err error) {
		if s.KeepaliveTime, err = nanos("WithKeepalive", after); err == nil {
			s.KeepaliveTimeout, err = nanos("WithKeepalive", timeout)
		}
		return err
	}
}

// WithBackoff sets the first and the largest pause between attempts to connect (defaults 1 s and 120 s).
func WithBackoff(initial, max time.Duration) Option {
	return func(s *settings) (err error) {
		if s.InitialBackoff, err = nanos("WithBackoff", initial); err == nil {
			s.MaxBackoff, err = nanos("WithBackoff", max)
		}
		return err
	}
}

// WithConnectTimeout sets how long an attempt to connect may take (default 20 s).
func WithConnectTimeout(timeout time.Duration) Option {
	return func(s *settings) (err error) {
		s.ConnectTimeout, err = nanos("WithConnectTimeout", timeout)
		return err
	}
}

// WithIdleTimeout sets after how long without calls connections are closed (default 30 min); 0 is never.
func WithIdleTimeout(timeout time.Duration) Option {
	return func(s *settings) (err error) {
		if timeout == 0 {
			s.IdleTimeout = math.MaxUint64
			return nil
		}
		s.IdleTimeout, err = nanos("WithIdleTimeout", timeout)
		return err
	}
}

// WithDefaultCallOptions sets options of every call, before the call's own.
func WithDefaultCallOptions(options ...grpc.CallOption) Option {
	return func(s *settings) error {
		var info callInfo
		if err := info.apply(options); err != nil {
			return err
		}
		s.defaults = append(s.defaults, options...)
		return nil
	}
}

func (s *settings) text(what, text string, at **string) error {
	*at = &text
	return noNul(what, text)
}

// noNul: C's texts end at one.
func noNul(what, text string) error {
	if at := strings.IndexByte(text, 0); at >= 0 {
		return fmt.Errorf("grpclb: %s: octet %d is NUL", what, at)
	}
	return nil
}

func nanos(what string, d time.Duration) (uint64, error) {
	if d <= 0 {
		return 0, fmt.Errorf("grpclb: %s: %v is not above 0", what, d)
	}
	return uint64(d), nil
}

// PickOrder is a call option that tells the how-manieth pick of the channel the call was, from 0, once it has ended.
func PickOrder(at *uint64) grpc.CallOption { return pickOrderOption{at: at} }

type pickOrderOption struct {
	grpc.EmptyCallOption
	at *uint64
}

// callInfo is what call options say.
type callInfo struct {
	waitForReady     bool
	maxRecv, maxSend int
	codec            encoding.CodecV2 // nil: the default one
	headers          []*metadata.MD
	trailers         []*metadata.MD
	peers            []*peer.Peer
	onFinish         []func(error)
	pickOrder        *uint64
}

// grpc-go's own limits.
const (
	defaultMaxRecv = 4 << 20
	defaultMaxSend = math.MaxInt32
)

// apply reads options. One that cannot be honoured is an error, in words.
func (i *callInfo) apply(options []grpc.CallOption) error {
	for _, option := range options {
		switch o := option.(type) {
		case grpc.FailFastCallOption:
			i.waitForReady = !o.FailFast
		case grpc.HeaderCallOption:
			i.headers = append(i.headers, o.HeaderAddr)
		case grpc.TrailerCallOption:
			i.trailers = append(i.trailers, o.TrailerAddr)
		case grpc.PeerCallOption:
			i.peers = append(i.peers, o.PeerAddr)
		case grpc.OnFinishCallOption:
			i.onFinish = append(i.onFinish, o.OnFinish)
		case grpc.MaxRecvMsgSizeCallOption:
			i.maxRecv = o.MaxRecvMsgSize
		case grpc.MaxSendMsgSizeCallOption:
			i.maxSend = o.MaxSendMsgSize
		case grpc.ContentSubtypeCallOption:
			if o.ContentSubtype != "proto" && o.ContentSubtype != "" {
				return cannot("content-subtype %q: messages are application/grpc, protobuf", o.ContentSubtype)
			}
		case grpc.ForceCodecV2CallOption:
			if o.CodecV2 == nil {
				return cannot("a codec that is nil")
			}
			if o.CodecV2.Name() != "proto" && o.CodecV2.Name() != "" {
				return cannot("codec %q: messages are application/grpc, so a codec has to be named proto", o.CodecV2.Name())
			}
			i.codec = o.CodecV2
		case grpc.ForceCodecCallOption:
			if o.Codec == nil {
				return cannot("a codec that is nil")
			}
			if o.Codec.Name() != "proto" && o.Codec.Name() != "" {
				return cannot("codec %q: messages are application/grpc, so a codec has to be named proto", o.Codec.Name())
			}
			i.codec = codecV1{o.Codec}
		case grpc.CompressorCallOption:
			if o.CompressorType != "" && o.CompressorType != encoding.Identity {
				return cannot("compressor %q: there is no compression yet", o.CompressorType)
			}
		case grpc.PerRPCCredsCallOption:
			return cannot("per-call credentials: there is no TLS yet, and they may not travel without it")
		case grpc.AuthorityOverrideCallOption:
			return cannot("a call's own authority: use WithAuthority")
		case pickOrderOption:
			i.pickOrder = o.at
		case grpc.StaticMethodCallOption, grpc.EmptyCallOption, grpc.MaxRetryRPCBufferSizeCallOption:
			// Nothing to do: methods need no name for statistics, and there are no retries that would buffer.
		case nil:
			return cannot("a call option is nil")
		default:
			return cannot("call option %T", option)
		}
	}
	return nil
}

func (i *callInfo) finish(err error) {
	for _, f := range i.onFinish {
		f(err)
	}
}

func cannot(format string, args ...any) error {
	return status.Error(codes.Unimplemented, "grpclb cannot honour "+fmt.Sprintf(format, args...))
}
