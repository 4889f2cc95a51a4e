package grpclb_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"grpclb"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// backend is a grpc-go server: TestService as gRPC's interop suite wants it, roughly.
type backend struct {
	pb.UnimplementedTestServiceServer
	address string
	server  *grpc.Server
	// A token for each call that the server saw cancelled.
	cancelled chan struct{}
}

func start(t testing.TB, options ...grpc.ServerOption) *backend {
	t.Helper()
	return startOn(t, "tcp", "127.0.0.1:0", options...)
}

func startOn(t testing.TB, network, address string, options ...grpc.ServerOption) *backend {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{address: listener.Addr().String(), server: grpc.NewServer(options...), cancelled: make(chan struct{}, 1000)}
	pb.RegisterTestServiceServer(b.server, b)
	go b.server.Serve(listener)
	t.Cleanup(b.server.Stop)
	return b
}

func echo(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	headers, trailers := metadata.MD{}, metadata.MD{}
	for name, values := range md {
		if strings.HasPrefix(name, "x-initial") {
			headers[name] = values
		}
		if strings.HasPrefix(name, "x-trailing") {
			trailers[name] = values
		}
	}
	grpc.SetHeader(ctx, headers)
	grpc.SetTrailer(ctx, trailers)
}

func asked(s *pb.EchoStatus) error {
	if s == nil || s.Code == 0 {
		return nil
	}
	made, err := status.New(codes.Code(s.Code), s.Message).WithDetails(&errdetails.ErrorInfo{Reason: "ASKED", Domain: "test"})
	if err != nil {
		return err
	}
	return made.Err()
}

func payload(size int32) *pb.Payload {
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i * 7)
	}
	return &pb.Payload{Body: body}
}

func (b *backend) EmptyCall(ctx context.Context, _ *pb.Empty) (*pb.Empty, error) {
	echo(ctx)
	return &pb.Empty{}, nil
}

func (b *backend) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	echo(ctx)
	if in.GetPayload() != nil && string(in.Payload.Body) == "wait" {
		<-ctx.Done()
		b.cancelled <- struct{}{}
		return nil, ctx.Err()
	}
	if err := asked(in.ResponseStatus); err != nil {
		return nil, err
	}
	return &pb.SimpleResponse{Payload: payload(in.ResponseSize)}, nil
}

func (b *backend) StreamingOutputCall(in *pb.StreamingOutputCallRequest, stream pb.TestService_StreamingOutputCallServer) error {
	echo(stream.Context())
	for _, p := range in.ResponseParameters {
		time.Sleep(time.Duration(p.IntervalUs) * time.Microsecond)
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: payload(p.Size)}); err != nil {
			b.cancelled <- struct{}{}
			return err
		}
	}
	return asked(in.ResponseStatus)
}

func (b *backend) StreamingInputCall(stream pb.TestService_StreamingInputCallServer) error {
	echo(stream.Context())
	size := 0
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(size)})
		}
		if err != nil {
			return err
		}
		if string(in.GetPayload().GetBody()) == "enough" {
			return status.Error(codes.OutOfRange, "enough")
		}
		size += len(in.GetPayload().GetBody())
	}
}

func (b *backend) FullDuplexCall(stream pb.TestService_FullDuplexCallServer) error {
	echo(stream.Context())
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			b.cancelled <- struct{}{}
			return err
		}
		if err := asked(in.ResponseStatus); err != nil {
			return err
		}
		for _, p := range in.ResponseParameters {
			if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: payload(p.Size)}); err != nil {
				return err
			}
		}
	}
}

// dial makes a client over backends, closed at the end of the test.
func dial(t testing.TB, backends []*backend, options ...grpclb.Option) (*grpclb.ClientConn, pb.TestServiceClient) {
	t.Helper()
	var addresses []string
	for _, b := range backends {
		addresses = append(addresses, b.address)
	}
	return dialTarget(t, "ipv4:"+strings.Join(addresses, ","), options...)
}

func dialTarget(t testing.TB, target string, options ...grpclb.Option) (*grpclb.ClientConn, pb.TestServiceClient) {
	t.Helper()
	conn, err := grpclb.NewClient(target, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, pb.NewTestServiceClient(conn)
}

// within gives a test's context: nothing here takes longer.
func within(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// is compares an error's code, and that its message has the words.
func is(t testing.TB, err error, code codes.Code, words ...string) {
	t.Helper()
	s, ok := status.FromError(err)
	if !ok || s.Code() != code {
		t.Fatalf("%v is no %v", err, code)
	}
	for _, word := range words {
		if !strings.Contains(s.Message(), word) {
			t.Fatalf("%v does not say %q", err, word)
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// noLeak fails the test when goroutines of this module outlive it. Call it first.
func noLeak(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		deadline := time.Now().Add(5 * time.Second)
		for {
			text := make([]byte, 1<<20)
			text = text[:runtime.Stack(text, true)]
			ours := 0
			for _, one := range strings.Split(string(text), "\n\n") {
				if strings.Contains(one, "grpclb.(") || strings.Contains(one, "created by grpclb.") {
					ours++
				}
			}
			if ours == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("%d goroutines are left:\n%s", ours, text)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

func sizes(n ...int32) (all []*pb.ResponseParameters) {
	for _, size := range n {
		all = append(all, &pb.ResponseParameters{Size: size})
	}
	return all
}

var _ = fmt.Sprint
