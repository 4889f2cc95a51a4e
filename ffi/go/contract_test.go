package grpclb_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// What grpc-go's ClientStream promises, where it is easily broken.

// soon runs what must not hang.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal(what + " hangs")
	}
}

const streamingOutput, fullDuplex = "/grpc.testing.TestService/StreamingOutputCall", "/grpc.testing.TestService/FullDuplexCall"

// Messages that were not received when the ClientConn is closed are lost: io.EOF would say that there were none.
func TestCloseWithMessagesLeft(t *testing.T) {
	noLeak(t)
	b := start(t)
	for range 5 {
		conn, client := dial(t, []*backend{b})
		ends := make(chan error, 1)
		stream := must(client.StreamingOutputCall(context.Background(),
			&pb.StreamingOutputCallRequest{ResponseParameters: sizes(10, 10, 10)}, grpc.OnFinish(func(err error) { ends <- err })))
		must(stream.Recv())
		time.Sleep(100 * time.Millisecond) // until the status is here
		conn.Close()
		soon(t, "OnFinish", func() { is(t, <-ends, codes.Canceled) })
		for range 2 {
			_, err := stream.Recv()
			is(t, err, codes.Canceled)
		}
	}
}

func TestTooManyResponses(t *testing.T) {
	noLeak(t)
	b := start(t)
	conn, _ := dial(t, []*backend{b})
	ctx := within(t, 20*time.Second)
	stream := must(conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, fullDuplex))
	if err := stream.SendMsg(&pb.StreamingOutputCallRequest{ResponseParameters: sizes(1, 2)}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		soon(t, "RecvMsg", func() { is(t, stream.RecvMsg(new(pb.StreamingOutputCallResponse)), codes.Internal) })
	}
	if err := stream.SendMsg(&pb.StreamingOutputCallRequest{}); err != io.EOF {
		t.Fatal(err)
	}
}

// With one request, the first message is the last, CloseSend or not.
func TestOneRequestEndsItsSide(t *testing.T) {
	noLeak(t)
	b := start(t)
	conn, _ := dial(t, []*backend{b})
	ctx := within(t, 20*time.Second)
	stream := must(conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, fullDuplex))
	if err := stream.SendMsg(&pb.StreamingOutputCallRequest{ResponseParameters: sizes(1)}); err != nil {
		t.Fatal(err)
	}
	is(t, stream.SendMsg(&pb.StreamingOutputCallRequest{}), codes.Internal, "CloseSend")
	soon(t, "RecvMsg", func() {
		reply := new(pb.StreamingOutputCallResponse)
		if err := stream.RecvMsg(reply); err != nil {
			t.Error(err)
		}
		if err := stream.RecvMsg(reply); err != io.EOF {
			t.Error(err)
		}
	})
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
}

// What streams that are left held of the connection's window comes back, however they end.
func TestWindowsOfStreamsThatAreLeft(t *testing.T) {
	noLeak(t)
	b := start(t)
	_, client := dial(t, []*backend{b})
	many := make([]int32, 40)
	for i := range many {
		many[i] = 20_000
	}
	for i := range 24 {
		ctx, cancel := context.WithCancel(context.Background())
		request := &pb.StreamingOutputCallRequest{ResponseParameters: sizes(many...)}
		if i%3 == 0 {
			request.ResponseParameters[39].IntervalUs = 1_000_000 // it does not end by itself
		}
		stream := must(client.StreamingOutputCall(ctx, request))
		must(stream.Recv())
		time.Sleep(20 * time.Millisecond)
		if i%3 == 1 {
			for {
				if _, err := stream.Recv(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
		}
		cancel()
	}
	for range 3 {
		_, err := client.UnaryCall(within(t, 10*time.Second), &pb.SimpleRequest{ResponseSize: 4_000_000})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEmptyMessagesOfASlowReader(t *testing.T) {
	b := start(t)
	_, client := dial(t, []*backend{b})
	stream := must(client.FullDuplexCall(within(t, 30*time.Second)))
	if err := stream.Send(&pb.StreamingOutputCallRequest{ResponseParameters: sizes(make([]int32, 3000)...)}); err != nil {
		t.Fatal(err)
	}
	stream.CloseSend()
	time.Sleep(100 * time.Millisecond)
	for range 3000 {
		must(stream.Recv())
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Fatal(err)
	}
}

func TestOddArguments(t *testing.T) {
	b := start(t)
	conn, client := dial(t, []*backend{b})
	ctx := within(t, 20*time.Second)
	request, reply := &pb.Empty{}, &pb.Empty{}
	for _, method := range []string{"", "/", "x", "/a b/c", "/a\x00/b", "/a\n/b", "/\xff/b"} {
		if err := conn.Invoke(ctx, method, request, reply); err == nil || status.Code(err) == codes.OK {
			t.Errorf("%q: %v", method, err)
		}
	}
	for _, md := range []metadata.MD{{"": {"x"}}, {"a b": {"x"}}, {"x\n": {"x"}}, {"x": {"a\nb"}}, {"x": {"\xff"}}, {"x\xff": {"a"}},
		{"x": {string(make([]byte, 70_000))}}, {"x": {string(make([]byte, 60_000))}}} {
		_, err := client.EmptyCall(metadata.NewOutgoingContext(ctx, md), request)
		if err == nil {
			t.Errorf("%.20q", md)
		}
		stream, err := client.FullDuplexCall(metadata.NewOutgoingContext(ctx, md))
		if err == nil {
			soon(t, "Recv", func() { _, err = stream.Recv() })
		}
		if err == nil || err == io.EOF {
			t.Errorf("%.20q: %v", md, err)
		}
	}
	many := metadata.MD{}
	for i := range 100 {
		many.Append(fmt.Sprintf("x-%d", i), "y")
	}
	if _, err := client.EmptyCall(metadata.NewOutgoingContext(ctx, many), request); err != nil {
		t.Error(err)
	}
	_, err := client.EmptyCall(metadata.NewOutgoingContext(ctx, metadata.Pairs("grpc-status", "1", "TE", "x", ":path", "/y", "x-bin", "\x00\xff")), request)
	if err != nil {
		t.Error(err)
	}
	for _, pair := range [][2]any{{nil, reply}, {request, nil}, {"text", reply}, {request, 5}} {
		is(t, conn.Invoke(ctx, "/grpc.testing.TestService/EmptyCall", pair[0], pair[1]), codes.Internal)
	}
	if err := conn.Invoke(ctx, "/grpc.testing.TestService/EmptyCall", (*pb.Empty)(nil), reply); err != nil {
		t.Error(err)
	}
	_, err = client.EmptyCall(ctx, request, grpc.ForceCodecV2(nil))
	is(t, err, codes.Unimplemented, "nil")
	_, err = client.EmptyCall(ctx, request, grpc.ForceCodec(nil))
	is(t, err, codes.Unimplemented, "nil")
	if _, err := client.EmptyCall(ctx, request, grpc.MaxCallRecvMsgSize(-1), grpc.MaxCallSendMsgSize(0)); err != nil {
		t.Error(err)
	}
	_, err = client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 10}, grpc.MaxCallSendMsgSize(-1))
	is(t, err, codes.ResourceExhausted)
}

// Calls of all kinds whose contexts end at any moment, and then the ClientConn: nothing hangs, all end in a known way.
func TestEndsAtAnyMoment(t *testing.T) {
	noLeak(t)
	b := start(t)
	for range 6 {
		conn, client := dial(t, []*backend{b})
		var group sync.WaitGroup
		for range 40 {
			group.Go(func() {
				for closed := false; !closed; {
					closed = conn.GetState().String() == "SHUTDOWN"
					ctx, cancel := context.WithCancel(context.Background())
					if rand.IntN(3) == 0 {
						ctx, cancel = context.WithTimeout(context.Background(), time.Duration(rand.IntN(3000))*time.Microsecond)
					} else {
						time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, cancel)
					}
					for _, err := range ends(ctx, client) {
						switch status.Code(err) {
						case codes.OK, codes.Canceled, codes.DeadlineExceeded:
						default:
							if err != io.EOF {
								t.Error(err)
							}
						}
					}
					cancel()
				}
			})
		}
		time.Sleep(time.Duration(100+rand.IntN(100)) * time.Millisecond)
		conn.Close()
		soon(t, "a call", group.Wait)
	}
}

func ends(ctx context.Context, client pb.TestServiceClient) []error {
	switch rand.IntN(3) {
	case 0:
		_, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 1000})
		return []error{err}
	case 1:
		stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: sizes(1, 20_000, 1, 20_000)})
		for err == nil {
			_, err = stream.Recv()
		}
		return []error{err}
	}
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		return []error{err}
	}
	sent := make(chan error)
	go func() {
		var err error
		for err == nil {
			err = stream.Send(&pb.StreamingOutputCallRequest{ResponseParameters: sizes(5000), Payload: payload(5000)})
		}
		stream.CloseSend()
		sent <- err
	}()
	_, headerErr := stream.Header()
	for range 3 {
		if _, err = stream.Recv(); err != nil {
			break
		}
	}
	stream.Trailer()
	return []error{headerErr, err, <-sent}
}

// Streams that nobody receives hold up themselves, not the others of their connection.
func TestSlowReadersHoldUpNobodyElse(t *testing.T) {
	noLeak(t)
	b := start(t)
	_, client := dial(t, []*backend{b})
	ctx := within(t, 20*time.Second)
	many := make([]int32, 40)
	for i := range many {
		many[i] = 50_000
	}
	var left []pb.TestService_StreamingOutputCallClient
	for range 8 {
		left = append(left, must(client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: sizes(many...)})))
	}
	time.Sleep(300 * time.Millisecond)
	if _, err := client.UnaryCall(within(t, 3*time.Second), &pb.SimpleRequest{ResponseSize: 500_000}); err != nil {
		t.Error(err)
	}
	for _, stream := range left {
		for range many {
			must(stream.Recv())
		}
	}
}
