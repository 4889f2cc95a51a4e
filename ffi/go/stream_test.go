package grpclb_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

func TestServerStreaming(t *testing.T) {
	noLeak(t)
	b := start(t)
	_, client := dial(t, []*backend{b})
	ctx := metadata.AppendToOutgoingContext(within(t, 20*time.Second), "x-initial", "i", "x-trailing", "t")
	var headers, trailers metadata.MD
	var by peer.Peer
	wanted := []int32{0, 1, 100, 300_000, 2_000_000, 5}
	stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: sizes(wanted...)},
		grpc.Header(&headers), grpc.Trailer(&trailers), grpc.Peer(&by))
	if err != nil {
		t.Fatal(err)
	}
	if got := must(stream.Header()).Get("x-initial"); len(got) != 1 || got[0] != "i" {
		t.Fatal(got)
	}
	for _, size := range wanted {
		if got := must(stream.Recv()); len(got.Payload.GetBody()) != int(size) {
			t.Fatalf("%d octets, not %d", len(got.Payload.GetBody()), size)
		}
	}
	for range 2 {
		if _, err := stream.Recv(); err != io.EOF {
			t.Fatal(err)
		}
	}
	if got := stream.Trailer().Get("x-trailing"); len(got) != 1 {
		t.Fatal(got)
	}
	if headers.Get("x-initial") == nil || trailers.Get("x-trailing") == nil || by.Addr.String() != b.address {
		t.Fatal(headers, trailers, by.Addr)
	}
}

func TestMessagesComeAsTheyAreSent(t *testing.T) {
	b := start(t)
	_, client := dial(t, []*backend{b})
	parameters := sizes(1, 1, 1)
	for _, p := range parameters {
		p.IntervalUs = 100_000
	}
	stream := must(client.StreamingOutputCall(within(t, 20*time.Second), &pb.StreamingOutputCallRequest{ResponseParameters: parameters}))
	last := time.Now()
	for range parameters {
		must(stream.Recv())
		if gap := time.Since(last); gap < 50*time.Millisecond || gap > time.Second {
			t.Fatal(gap)
		}
		last = time.Now()
	}
}

func TestClientStreaming(t *testing.T) {
	noLeak(t)
	b := start(t)
	_, client := dial(t, []*backend{b})
	ctx := within(t, 20*time.Second)
	stream := must(client.StreamingInputCall(ctx))
	sum := 0
	for i := range 100 {
		if err := stream.Send(&pb.StreamingInputCallRequest{Payload: payload(int32(i * i))}); err != nil {
			t.Fatal(err)
		}
		sum += i * i
	}
	reply, err := stream.CloseAndRecv()
	if err != nil || int(reply.AggregatedPayloadSize) != sum {
		t.Fatal(reply, err)
	}
	if err := stream.Send(&pb.StreamingInputCallRequest{}); err == nil {
		t.Fatal("sent after CloseSend")
	}
	// The server ends it early: io.EOF, and then the status.
	stream = must(client.StreamingInputCall(ctx))
	stream.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: []byte("enough")}})
	for err = nil; err == nil; time.Sleep(time.Millisecond) {
		err = stream.Send(&pb.StreamingInputCallRequest{})
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	_, err = stream.CloseAndRecv()
	is(t, err, codes.OutOfRange, "enough")
	if header, err := stream.Header(); err != nil || len(header) > 1 {
		t.Fatal(header, err)
	}
}

func TestBidirectional(t *testing.T) {
	noLeak(t)
	b := start(t)
	_, client := dial(t, []*backend{b})
	ctx := within(t, 30*time.Second)
	var group sync.WaitGroup
	for g := range 10 {
		group.Go(func() {
			stream := must(client.FullDuplexCall(ctx))
			for i := range 50 {
				size := int32(g*1000 + i)
				if err := stream.Send(&pb.StreamingOutputCallRequest{ResponseParameters: sizes(size, 1)}); err != nil {
					t.Error(err)
					return
				}
				if got := must(stream.Recv()); len(got.Payload.GetBody()) != int(size) {
					t.Error("another's message")
				}
				must(stream.Recv())
			}
			if err := stream.CloseSend(); err != nil {
				t.Error(err)
			}
			if _, err := stream.Recv(); err != io.EOF {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// One goroutine sends, another receives; both windows fill.
func TestFlowControl(t *testing.T) {
	noLeak(t)
	b := start(t)
	_, client := dial(t, []*backend{b})
	stream := must(client.FullDuplexCall(within(t, 60*time.Second)))
	const count, size = 60, 200_000
	go func() {
		for range count {
			if err := stream.Send(&pb.StreamingOutputCallRequest{ResponseParameters: sizes(size), Payload: payload(size)}); err != nil {
				t.Error(err)
			}
		}
		stream.CloseSend()
	}()
	time.Sleep(200 * time.Millisecond) // until nothing goes any more
	for range count {
		if got := must(stream.Recv()); len(got.Payload.Body) != size || got.Payload.Body[size-1] != payload(size).Body[size-1] {
			t.Fatal("not what was asked for")
		}
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Fatal(err)
	}
}

// Nobody receives: the peer's window and one message of ours are full, and Send waits until its context ends.
func TestSendWaits(t *testing.T) {
	noLeak(t)
	b := start(t)
	_, client := dial(t, []*backend{b})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream := must(client.FullDuplexCall(ctx))
	sent := make(chan int)
	go func() {
		n := 0
		for ; n < 1000; n++ {
			if err := stream.Send(&pb.StreamingOutputCallRequest{ResponseParameters: sizes(100_000), Payload: payload(100_000)}); err != nil {
				if err != io.EOF {
					t.Error(err)
				}
				break
			}
		}
		sent <- n
	}()
	time.Sleep(300 * time.Millisecond)
	cancel()
	if n := <-sent; n < 2 || n > 500 {
		t.Fatalf("%d messages went nowhere", n)
	}
	for {
		if _, err := stream.Recv(); err != nil {
			is(t, err, codes.Canceled)
			break
		}
	}
}

func TestCancelInMidStream(t *testing.T) {
	noLeak(t)
	b := start(t)
	conn, client := dial(t, []*backend{b})
	for i := range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		stream := must(client.FullDuplexCall(ctx))
		stream.Send(&pb.StreamingOutputCallRequest{ResponseParameters: sizes(1)})
		must(stream.Recv())
		if i%2 == 0 {
			time.AfterFunc(5*time.Millisecond, cancel)
		} else {
			cancel()
		}
		_, err := stream.Recv()
		is(t, err, codes.Canceled)
		if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != io.EOF {
			t.Fatal(err)
		}
		select {
		case <-b.cancelled:
		case <-time.After(5 * time.Second):
			t.Fatal("the server does not hear of it")
		}
		cancel()
	}
	// Its place is free again, also of those that are dropped without a last Recv.
	for range 2000 {
		ctx, cancel := context.WithCancel(context.Background())
		must(client.FullDuplexCall(ctx))
		cancel()
	}
	if _, err := client.EmptyCall(within(t, 10*time.Second), &pb.Empty{}); err != nil {
		t.Fatal(err, conn.Endpoints())
	}
}

// What comes after the cancel does not overtake it, on any machine: not even where the answer is quick.
func TestACancelCountsAtOnce(t *testing.T) {
	noLeak(t)
	_, client := dial(t, []*backend{start(t)})
	for range 2000 {
		ctx, cancel := context.WithCancel(context.Background())
		stream := must(client.StreamingInputCall(ctx))
		cancel()
		_, err := stream.CloseAndRecv()
		is(t, err, codes.Canceled)
		_, err = stream.CloseAndRecv()
		is(t, err, codes.Canceled)
	}
}

func TestOnFinishOfAStreamThatIsLeft(t *testing.T) {
	b := start(t)
	_, client := dial(t, []*backend{b})
	ctx, cancel := context.WithCancel(context.Background())
	ends := make(chan error, 2)
	must(client.FullDuplexCall(ctx, grpc.OnFinish(func(err error) { ends <- err })))
	cancel()
	is(t, <-ends, codes.Canceled)
	time.Sleep(20 * time.Millisecond)
	if len(ends) > 0 {
		t.Fatal("told twice")
	}
}

func TestDeadlineOfAStream(t *testing.T) {
	b := start(t)
	_, client := dial(t, []*backend{b})
	stream := must(client.FullDuplexCall(within(t, 150*time.Millisecond)))
	_, err := stream.Recv()
	is(t, err, codes.DeadlineExceeded)
	if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded {
		t.Fatal(err)
	}
	// Header ends with it, too.
	stream = must(client.FullDuplexCall(within(t, 50*time.Millisecond)))
	if header, err := stream.Header(); len(header) > 0 {
		t.Fatal(header, err)
	}
	stream.Recv()
}

func TestStatusOfAStream(t *testing.T) {
	b := start(t)
	_, client := dial(t, []*backend{b})
	ctx := within(t, 20*time.Second)
	var ends []error
	stream := must(client.FullDuplexCall(ctx, grpc.OnFinish(func(err error) { ends = append(ends, err) })))
	stream.Send(&pb.StreamingOutputCallRequest{ResponseParameters: sizes(1, 2, 3)})
	stream.Send(&pb.StreamingOutputCallRequest{ResponseStatus: &pb.EchoStatus{Code: 9, Message: "not so"}})
	for range 3 {
		must(stream.Recv())
	}
	_, err := stream.Recv()
	is(t, err, codes.FailedPrecondition, "not so")
	if _, ok := status.Convert(err).Details()[0].(*errdetails.ErrorInfo); !ok {
		t.Fatal("details are lost")
	}
	if len(ends) != 1 || status.Code(ends[0]) != codes.FailedPrecondition {
		t.Fatal(ends)
	}
	unknown := must(client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{
		ResponseStatus: &pb.EchoStatus{Code: 5, Message: "not found"}}))
	if header, err := unknown.Header(); err != nil {
		t.Fatal(header, err)
	}
	_, err = unknown.Recv()
	is(t, err, codes.NotFound)
	// A message larger than the call takes.
	large := must(client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: sizes(10, 2000)},
		grpc.MaxCallRecvMsgSize(1000)))
	must(large.Recv())
	_, err = large.Recv()
	is(t, err, codes.ResourceExhausted)
}

func TestStreamsOfManyGoroutines(t *testing.T) {
	noLeak(t)
	backends := []*backend{start(t), start(t)}
	_, client := dial(t, backends)
	ctx := within(t, 60*time.Second)
	var group sync.WaitGroup
	for g := range 40 {
		group.Go(func() {
			for i := range 20 {
				if err := oneStream(ctx, client, int32(g+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func oneStream(ctx context.Context, client pb.TestServiceClient, n int32) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: sizes(n, n, n)})
	if err != nil {
		return err
	}
	for range 3 {
		got, err := stream.Recv()
		if err != nil {
			return err
		}
		if len(got.Payload.GetBody()) != int(n) {
			return fmt.Errorf("%d octets, not %d", len(got.Payload.GetBody()), n)
		}
		if n%7 == 0 {
			return nil // and leaves the rest
		}
	}
	if _, err = stream.Recv(); err == io.EOF {
		return nil
	}
	return err
}
