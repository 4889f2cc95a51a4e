package grpclb_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"grpclb"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func TestUnary(t *testing.T) {
	noLeak(t)
	b := start(t)
	conn, client := dial(t, []*backend{b})
	ctx := within(t, 20*time.Second)
	for _, size := range []int32{0, 1, 1000, 100_000, 3 << 20, 10} {
		reply, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: size, Payload: payload(size)})
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(reply.Payload, payload(size)) {
			t.Fatalf("%d octets came back wrong", size)
		}
	}
	if conn.GetState() != connectivity.Ready {
		t.Fatal(conn.GetState())
	}
	if got := conn.Endpoints(); got != b.address+" READY" {
		t.Fatal(got)
	}
	_, err := client.UnimplementedCall(ctx, &pb.Empty{})
	is(t, err, codes.Unimplemented)
	// Without a deadline and a cancel.
	if _, err := client.EmptyCall(context.Background(), &pb.Empty{}); err != nil {
		t.Fatal(err)
	}
}

func TestMetadataBothWays(t *testing.T) {
	b := start(t)
	_, client := dial(t, []*backend{b})
	for n := range 20 {
		pairs := []string{"X-Initial", "one", "x-initial", "two", "x-initial-bin", "\x00\xff,\n", "x-trailing-bin", "why\x00",
			"content-type", "dropped", ":authority", "dropped", "user-agent", "dropped"}
		for range n {
			pairs = append(pairs, "x-initial-more", "value")
		}
		ctx := metadata.AppendToOutgoingContext(within(t, 10*time.Second), pairs...)
		var headers, trailers metadata.MD
		var by peer.Peer
		var order uint64
		_, err := client.EmptyCall(ctx, &pb.Empty{}, grpc.Header(&headers), grpc.Trailer(&trailers), grpc.Peer(&by),
			grpclb.PickOrder(&order), grpc.StaticMethod())
		if err != nil {
			t.Fatal(err)
		}
		if got := headers.Get("x-initial"); len(got) != 2 || got[0] != "one" || got[1] != "two" {
			t.Fatalf("%q", got)
		}
		if got := headers.Get("x-initial-bin"); len(got) != 1 || got[0] != "\x00\xff,\n" {
			t.Fatalf("%q", got)
		}
		if got := headers.Get("x-initial-more"); len(got) != n {
			t.Fatalf("%q", got)
		}
		if got := trailers.Get("x-trailing-bin"); len(got) != 1 || got[0] != "why\x00" {
			t.Fatalf("%q", got)
		}
		if _, ok := by.Addr.(*net.TCPAddr); !ok || by.Addr.String() != b.address || order != uint64(n) {
			t.Fatalf("%v, pick %d", by.Addr, order)
		}
	}
	// What gRPC does not allow is named.
	ctx := metadata.NewOutgoingContext(within(t, 10*time.Second), metadata.MD{"sp ace": {"x"}})
	_, err := client.EmptyCall(ctx, &pb.Empty{})
	is(t, err, codes.Internal, "sp ace")
	ctx = metadata.NewOutgoingContext(within(t, 10*time.Second), metadata.MD{"x-long": {strings.Repeat("x", 65_536)}})
	_, err = client.EmptyCall(ctx, &pb.Empty{})
	is(t, err, codes.Internal, "x-long", "65535")
}

func TestStatusWithDetails(t *testing.T) {
	b := start(t)
	_, client := dial(t, []*backend{b})
	ctx := metadata.AppendToOutgoingContext(within(t, 10*time.Second), "x-trailing", "also here")
	var trailers metadata.MD
	_, err := client.UnaryCall(ctx, &pb.SimpleRequest{
		ResponseStatus: &pb.EchoStatus{Code: int32(codes.FailedPrecondition), Message: "not yet \u00e9"}}, grpc.Trailer(&trailers))
	is(t, err, codes.FailedPrecondition, "not yet \u00e9")
	details := status.Convert(err).Details()
	if info, ok := details[0].(*errdetails.ErrorInfo); len(details) != 1 || !ok || info.Reason != "ASKED" {
		t.Fatalf("%v", details)
	}
	if got := trailers.Get("x-trailing"); len(got) != 1 {
		t.Fatalf("%v", trailers)
	}
	_, err = client.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: 2, Message: ""}})
	is(t, err, codes.Unknown)
}

func TestDeadlines(t *testing.T) {
	noLeak(t)
	b := start(t)
	_, client := dial(t, []*backend{b})
	wait := &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("wait")}}
	began := time.Now()
	_, err := client.UnaryCall(within(t, 150*time.Millisecond), wait)
	is(t, err, codes.DeadlineExceeded)
	if took := time.Since(began); took < 140*time.Millisecond || took > 2*time.Second {
		t.Fatal(took)
	}
	<-b.cancelled
	// One that has passed.
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	_, err = client.UnaryCall(ctx, wait)
	is(t, err, codes.DeadlineExceeded)
	_, err = client.FullDuplexCall(ctx)
	is(t, err, codes.DeadlineExceeded)
	// And so does the service config's.
	_, client = dial(t, []*backend{b}, grpclb.WithServiceConfig(
		`{"methodConfig":[{"name":[{"service":"grpc.testing.TestService"}],"timeout":"0.1s"}]}`))
	_, err = client.UnaryCall(context.Background(), wait)
	is(t, err, codes.DeadlineExceeded)
}

func TestCancel(t *testing.T) {
	noLeak(t)
	b := start(t)
	_, client := dial(t, []*backend{b})
	wait := &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("wait")}}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			_, err := client.UnaryCall(ctx, wait)
			is(t, err, codes.Canceled)
		})
	}
	time.Sleep(50 * time.Millisecond)
	cancel()
	group.Wait()
	for range 20 {
		<-b.cancelled // the server hears of it
	}
	_, err := client.UnaryCall(ctx, wait)
	is(t, err, codes.Canceled)
}

func TestManyGoroutines(t *testing.T) {
	noLeak(t)
	backends := []*backend{start(t), start(t), start(t)}
	conn, client := dial(t, backends, grpclb.WithServiceConfig(`{"loadBalancingPolicy":"round_robin"}`))
	ctx := within(t, 60*time.Second)
	if err := conn.WaitForReadyEndpoints(ctx, 3); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	shares := map[string]int{}
	var group sync.WaitGroup
	for g := range 50 {
		group.Go(func() {
			for i := range 60 {
				size := int32(g*31 + i*17)
				var by peer.Peer
				reply, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: size}, grpc.Peer(&by))
				if err != nil {
					t.Error(err)
					return
				}
				if !proto.Equal(reply.Payload, payload(size)) {
					t.Error("another's answer")
				}
				mu.Lock()
				shares[by.Addr.String()]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for _, b := range backends {
		if shares[b.address] != 1000 {
			t.Errorf("%v", shares)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	noLeak(t)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	address := listener.Addr().String()
	listener.Close()
	conn, client := dialTarget(t, "ipv4:"+address, grpclb.WithBackoff(50*time.Millisecond, 100*time.Millisecond))
	_, err := client.EmptyCall(within(t, 10*time.Second), &pb.Empty{})
	is(t, err, codes.Unavailable, address)
	stream, err := client.FullDuplexCall(within(t, 10*time.Second))
	if err == nil {
		_, err = stream.Recv()
	}
	is(t, err, codes.Unavailable)
	_, err = client.EmptyCall(within(t, 200*time.Millisecond), &pb.Empty{}, grpc.WaitForReady(true))
	is(t, err, codes.DeadlineExceeded)
	// It waits until somebody comes.
	done := make(chan error)
	go func() {
		_, err := client.EmptyCall(within(t, 20*time.Second), &pb.Empty{}, grpc.WaitForReady(true))
		done <- err
	}()
	time.Sleep(100 * time.Millisecond)
	startOn(t, "tcp", address)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if conn.GetState() != connectivity.Ready {
		t.Fatal(conn.GetState())
	}
}

func TestTheServerGoes(t *testing.T) {
	noLeak(t)
	b := start(t)
	conn, client := dial(t, []*backend{b}, grpclb.WithBackoff(20*time.Millisecond, 50*time.Millisecond))
	ctx := within(t, 20*time.Second)
	if _, err := client.EmptyCall(ctx, &pb.Empty{}); err != nil {
		t.Fatal(err)
	}
	stream := must(client.FullDuplexCall(ctx))
	time.AfterFunc(50*time.Millisecond, b.server.Stop)
	_, err := stream.Recv()
	is(t, err, codes.Unavailable)
	for conn.GetState() == connectivity.Ready {
		if !conn.WaitForStateChange(ctx, connectivity.Ready) {
			t.Fatal("no other state")
		}
	}
	startOn(t, "tcp", b.address)
	if _, err := client.EmptyCall(ctx, &pb.Empty{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
}

func TestUnixAndFileTargets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	startOn(t, "unix", path)
	_, client := dialTarget(t, "unix:"+path)
	var by peer.Peer
	if _, err := client.EmptyCall(within(t, 10*time.Second), &pb.Empty{}, grpc.Peer(&by)); err != nil {
		t.Fatal(err)
	}
	if _, ok := by.Addr.(*net.UnixAddr); !ok || by.Addr.String() != path {
		t.Fatalf("%#v", by.Addr)
	}
	list := filepath.Join(t.TempDir(), "list")
	os.WriteFile(list, []byte(start(t).address+"\n"), 0o600)
	_, client = dialTarget(t, "file://"+list)
	if _, err := client.EmptyCall(within(t, 10*time.Second), &pb.Empty{}); err != nil {
		t.Fatal(err)
	}
}

func TestStates(t *testing.T) {
	noLeak(t)
	b := start(t)
	conn, _ := dial(t, []*backend{b})
	if conn.GetState() != connectivity.Idle {
		t.Fatal(conn.GetState())
	}
	if conn.WaitForStateChange(within(t, 50*time.Millisecond), connectivity.Idle) {
		t.Fatal("nothing has changed")
	}
	conn.Connect()
	ctx := within(t, 10*time.Second)
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			t.Fatalf("stays %v", state)
		}
	}
	if conn.Target() != "ipv4:"+b.address {
		t.Fatal(conn.Target())
	}
	is(t, conn.WaitForReadyEndpoints(within(t, 50*time.Millisecond), 2), codes.DeadlineExceeded)
	time.AfterFunc(50*time.Millisecond, func() { conn.Close() })
	if !conn.WaitForStateChange(ctx, connectivity.Ready) || conn.GetState() != connectivity.Shutdown {
		t.Fatal(conn.GetState())
	}
	if conn.WaitForStateChange(ctx, connectivity.Shutdown) {
		t.Fatal("closed for good")
	}
	if err := conn.WaitForReadyEndpoints(ctx, 1); !errors.Is(err, grpclb.ErrClosed) {
		t.Fatal(err)
	}
}

func TestIdle(t *testing.T) {
	noLeak(t)
	b := start(t)
	conn, client := dial(t, []*backend{b}, grpclb.WithIdleTimeout(100*time.Millisecond))
	ctx := within(t, 20*time.Second)
	for range 3 {
		if _, err := client.EmptyCall(ctx, &pb.Empty{}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for conn.GetState() != connectivity.Idle {
			if !conn.WaitForStateChange(ctx, conn.GetState()) {
				t.Fatal(conn.GetState())
			}
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Fatal(took)
		}
	}
}

func TestUseAfterClose(t *testing.T) {
	noLeak(t)
	b := start(t)
	conn, client := dial(t, []*backend{b})
	ctx := within(t, 20*time.Second)
	stream := must(client.FullDuplexCall(ctx))
	if err := stream.Send(&pb.StreamingOutputCallRequest{ResponseParameters: sizes(1, 2)}); err != nil {
		t.Fatal(err)
	}
	must(stream.Recv())
	running := make(chan error)
	go func() {
		_, err := client.UnaryCall(ctx, &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("wait")}})
		running <- err
	}()
	go func() {
		idle := must(client.FullDuplexCall(ctx))
		_, err := idle.Recv()
		running <- err
	}()
	time.Sleep(100 * time.Millisecond)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	is(t, <-running, codes.Canceled)
	is(t, <-running, codes.Canceled)
	if err := conn.Close(); !errors.Is(err, grpclb.ErrClosed) {
		t.Fatal(err)
	}
	_, err := client.EmptyCall(ctx, &pb.Empty{})
	is(t, err, codes.Canceled, "closed")
	_, err = client.FullDuplexCall(ctx)
	is(t, err, codes.Canceled, "closed")
	if err := stream.Send(&pb.StreamingOutputCallRequest{}); err == nil {
		t.Fatal("sent")
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	is(t, err, codes.Canceled)
	conn.Connect()
	if conn.Endpoints() != "" {
		t.Fatal(conn.Endpoints())
	}
}

func TestCloseWhileMany(t *testing.T) {
	noLeak(t)
	b := start(t)
	for range 10 {
		conn, client := dial(t, []*backend{b})
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				for {
					if _, err := client.EmptyCall(context.Background(), &pb.Empty{}); err != nil {
						is(t, err, codes.Canceled)
						return
					}
				}
			})
		}
		time.Sleep(10 * time.Millisecond)
		conn.Close()
		group.Wait()
	}
}

func TestBadTargetsAndConfigs(t *testing.T) {
	noLeak(t)
	for _, c := range []struct {
		target, config string
		words          []string
	}{
		{"", "{}", []string{"target"}},
		{"nosuchscheme:///x", "{}", []string{"target", "nosuchscheme"}},
		{"ipv4:127.0.0.1:99999", "{}", []string{"99999"}},
		{"ipv4:127.0.0.1\x00:1", "{}", []string{"target", "NUL"}},
		{"\xff", "{}", []string{"UTF-8"}},
		{"ipv4:127.0.0.1:1", "", []string{"service config"}},
		{"ipv4:127.0.0.1:1", `{"loadBalancingPolicy":5}`, []string{"service config", "$.loadBalancingPolicy"}},
		{"ipv4:127.0.0.1:1", `{"loadBalancingConfig":[{"weighted_round_robin":{"weights":{"x":1}}}]}`,
			[]string{"loadBalancingConfig[0].weighted_round_robin.weights"}},
	} {
		conn, err := grpclb.NewClient(c.target, grpclb.WithServiceConfig(c.config))
		if err == nil {
			conn.Close()
			t.Errorf("%q %q was taken", c.target, c.config)
			continue
		}
		for _, word := range c.words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q %q: %v does not say %q", c.target, c.config, err, word)
			}
		}
	}
	for _, option := range []grpclb.Option{
		nil, grpclb.WithBackoff(0, 1), grpclb.WithKeepalive(-1, 1), grpclb.WithConnectTimeout(0), grpclb.WithIdleTimeout(-1),
		grpclb.WithAuthority("a\x00"), grpclb.WithAuthority(""), grpclb.WithAuthority("a b"), grpclb.WithAuthority("a\n"), grpclb.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)),
	} {
		if conn, err := grpclb.NewClient("ipv4:127.0.0.1:1", option); err == nil {
			conn.Close()
			t.Error("a bad option was taken")
		}
	}
}

type rpcCreds struct{ credentials.PerRPCCredentials }

type rawCodec struct{ name string }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
func (c rawCodec) Name() string { return c.name }

type odd struct{ grpc.EmptyCallOption }

func TestCallOptions(t *testing.T) {
	b := start(t)
	conn, client := dial(t, []*backend{b}, grpclb.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(5000)))
	ctx := within(t, 20*time.Second)
	for _, c := range []struct {
		option grpc.CallOption
		word   string
	}{
		{grpc.UseCompressor(gzip.Name), "gzip"},
		{grpc.PerRPCCredentials(rpcCreds{}), "credentials"},
		{grpc.CallAuthority("other"), "WithAuthority"},
		{grpc.CallContentSubtype("json"), "json"},
		{grpc.ForceCodecV2(rawCodec{"raw"}), "raw"},
		{odd{}, "odd"},
		{nil, "nil"},
	} {
		_, err := client.EmptyCall(ctx, &pb.Empty{}, c.option)
		is(t, err, codes.Unimplemented, "cannot honour", c.word)
		_, err = client.FullDuplexCall(ctx, c.option)
		is(t, err, codes.Unimplemented, c.word)
	}
	for _, fine := range []grpc.CallOption{grpc.UseCompressor(encoding.Identity), grpc.CallContentSubtype("proto"), grpc.StaticMethod()} {
		if _, err := client.EmptyCall(ctx, &pb.Empty{}, fine); err != nil {
			t.Fatal(err)
		}
	}
	// A codec of one's own.
	request := must(proto.Marshal(&pb.SimpleRequest{ResponseSize: 3}))
	var response []byte
	if err := conn.Invoke(ctx, pb.TestService_UnaryCall_FullMethodName, &request, &response, grpc.ForceCodecV2(rawCodec{"proto"})); err != nil {
		t.Fatal(err)
	}
	var reply pb.SimpleResponse
	if err := proto.Unmarshal(response, &reply); err != nil || len(reply.Payload.Body) != 3 {
		t.Fatal(err, &reply)
	}
	// Sizes: the channel's default, and the call's own above it.
	_, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 6000})
	is(t, err, codes.ResourceExhausted, "larger than 5000")
	if _, err = client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 5 << 20}, grpc.MaxCallRecvMsgSize(6<<20)); err != nil {
		t.Fatal(err)
	}
	_, err = client.UnaryCall(ctx, &pb.SimpleRequest{Payload: payload(1000)}, grpc.MaxCallSendMsgSize(999))
	is(t, err, codes.ResourceExhausted, "larger than max")
	// What cannot be encoded, or is no path.
	err = conn.Invoke(ctx, pb.TestService_UnaryCall_FullMethodName, "text", &reply)
	is(t, err, codes.Internal, "marshal")
	err = conn.Invoke(ctx, "no path", &pb.Empty{}, &reply)
	is(t, err, codes.Internal, "no path")
	err = conn.Invoke(ctx, "/\xff/x", &pb.Empty{}, &reply)
	is(t, err, codes.Internal, "cannot be made")
	// The end is told once.
	var ends []error
	finish := grpc.OnFinish(func(err error) { ends = append(ends, err) })
	client.EmptyCall(ctx, &pb.Empty{}, finish)
	conn.Invoke(ctx, "/no.Such/Method", &pb.Empty{}, &reply, finish)
	if len(ends) != 2 || ends[0] != nil || status.Code(ends[1]) != codes.Unimplemented {
		t.Fatal(ends)
	}
}

// The buffers of a call are used again: what is left is the stub's and the message's.
func TestAllocations(t *testing.T) {
	conn, err := grpclb.NewClient("ipv4:" + serverProcess(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := pb.NewTestServiceClient(conn)
	ctx := context.Background()
	var reply pb.SimpleResponse
	request := &pb.SimpleRequest{ResponseSize: 100, Payload: payload(100)}
	for _, c := range []struct {
		name  string
		most  float64
		calls func() error
	}{
		{"Invoke", 2, func() error { // Payload and its body
			return conn.Invoke(ctx, pb.TestService_UnaryCall_FullMethodName, request, &reply)
		}},
		{"a stub", 4, func() error { // and SimpleResponse, and the stub's list of options
			_, err := client.UnaryCall(ctx, request)
			return err
		}},
	} {
		run := func() {
			if err := c.calls(); err != nil {
				t.Fatal(err)
			}
		}
		// Under the race detector, pools forget on purpose.
		if got := testing.AllocsPerRun(2000, run); got > c.most && !race {
			t.Errorf("%s: %v allocations a call, of %v", c.name, got, c.most)
		} else {
			t.Logf("%s: %v allocations a call", c.name, got)
		}
	}
}
