package grpclb_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"testing"
	"time"

	"grpclb"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// A server of ours and a client of ours in memory: every verb.
type side struct {
	*grpclb.Conn
	tell func(*grpclb.ConnEvent)
}

// pump moves octets until nothing is left to move.
func pump(t *testing.T, now time.Duration, a, b side) {
	t.Helper()
	buffer := make([]byte, 1000)
	for quiet := 0; quiet < 2; a, b = b, a {
		quiet++
		for n := a.Take(now, buffer); n > 0; n = a.Take(now, buffer) {
			quiet = 0
			if err := b.Recv(now, buffer[:n], b.tell); err != nil {
				t.Fatal(err)
			}
		}
		a.PollEvents(a.tell)
	}
}

func TestConnPair(t *testing.T) {
	var server, client side
	server.Conn = must(grpclb.NewConn(grpclb.ConnConfig{Server: true, AutoRelease: true, Seed: 1}, 0))
	client.Conn = must(grpclb.NewConn(grpclb.ConnConfig{Seed: 2}, 0))
	asked := map[grpclb.ConnCallID][]byte{}
	trailers := must(grpclb.NewMetadata(metadata.Pairs("x-trailing-bin", "why\x00")))
	server.tell = func(e *grpclb.ConnEvent) {
		switch e.Kind {
		case grpclb.ConnCall:
			if string(e.Text) == "/a.B/Fail" {
				if err := server.SendStatus(e.Call, codes.NotFound, "not here \u00e9", trailers); err != nil {
					t.Error(err)
				}
				return
			}
			if string(e.Authority) != "test" || e.Timeout > 20*time.Second || e.Metadata().Get("x-one")[0] != "1" {
				t.Errorf("%s %v %v", e.Authority, e.Timeout, e.Metadata())
			}
			asked[e.Call] = nil
		case grpclb.ConnMessage:
			asked[e.Call] = append(asked[e.Call], e.Data...)
			if e.Last && e.End {
				if err := server.Reply(e.Call, asked[e.Call]); err != nil {
					t.Error(err)
				}
			}
		}
	}
	answers := map[grpclb.ConnCallID][]byte{}
	ends := map[grpclb.ConnCallID]error{}
	ready := false
	client.tell = func(e *grpclb.ConnEvent) {
		switch e.Kind {
		case grpclb.ConnReady:
			ready = true
		case grpclb.ConnMessage:
			if e.Offset == 0 {
				answers[e.Call] = nil
			}
			answers[e.Call] = append(answers[e.Call], e.Data...)
			client.Release(e.Call, len(e.Data))
		case grpclb.ConnStatus:
			ends[e.Call] = e.Err()
			if e.Code != 0 && e.Metadata().Get("x-trailing-bin")[0] != "why\x00" {
				t.Error(e.Metadata())
			}
		}
	}
	now := time.Millisecond
	head := must(grpclb.NewHead("/a.B/Echo", "test", metadata.Pairs("X-One", "1")))
	for i := range 300 {
		body := bytes.Repeat([]byte{byte(i)}, i*10)
		call, taken, err := client.Unary(now, head, 20*time.Second, body)
		if err != nil || taken != len(body) || call.Index() > 1 {
			t.Fatal(call, taken, err)
		}
		pump(t, now, client, server)
		if !bytes.Equal(answers[call], body) || len(ends) != i+1 || ends[call] != nil {
			t.Fatal(i, len(answers[call]), ends[call])
		}
		now += time.Millisecond
	}
	if !ready || client.Calls() != 0 || server.Calls() != 0 {
		t.Fatal(ready, client.Calls(), server.Calls())
	}
	call, err := client.StartCall(now, must(grpclb.NewHead("/a.B/Fail", "test", nil)), 0)
	if err != nil {
		t.Fatal(err)
	}
	pump(t, now, client, server)
	is(t, ends[call], codes.NotFound, "not here \u00e9")
	if _, err := client.SendMessage(call, nil, true); !errors.Is(err, grpclb.ErrCallClosed) {
		t.Fatal(err)
	}
	// A deadline is the Conn's own business, cancelling is the caller's.
	call = must(client.StartCall(now, head, 50*time.Millisecond))
	other := must(client.StartCall(now, head, 0))
	if due, ok := client.PollTimeout(); !ok || due != now+50*time.Millisecond {
		t.Fatal(due, ok)
	}
	if err := client.HandleTimeout(now + 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	client.Cancel(other)
	client.PollEvents(func(e *grpclb.ConnEvent) { ends[e.Call] = e.Err() })
	is(t, ends[call], codes.DeadlineExceeded)
	is(t, ends[other], codes.Canceled)
	late := must(client.StartCall(now, head, -time.Second)) // which has passed
	client.HandleTimeout(now + 1)
	client.PollEvents(func(e *grpclb.ConnEvent) { ends[e.Call] = e.Err() })
	is(t, ends[late], codes.DeadlineExceeded)
	// The end.
	client.Shutdown(now)
	pump(t, now, client, server)
	if !client.IsClosed() || client.Err() != nil {
		t.Fatal(client.IsClosed(), client.Err())
	}
	if _, err := client.StartCall(now, head, 0); !errors.Is(err, grpclb.ErrGoingAway) && !errors.Is(err, grpclb.ErrCallClosed) {
		t.Fatal(err)
	}
}

func TestConnRefuses(t *testing.T) {
	if _, err := grpclb.NewConn(grpclb.ConnConfig{Arena: 3}, 0); err == nil {
		t.Fatal("an arena of 3 octets")
	}
	if _, err := grpclb.NewConn(grpclb.ConnConfig{StreamWindow: math.MaxUint32}, 0); err == nil {
		t.Fatal("a window of 32 bits")
	}
	client := must(grpclb.NewConn(grpclb.ConnConfig{}, 0))
	ignore := func(*grpclb.ConnEvent) {}
	for _, call := range []grpclb.ConnCallID{0, -1, 1 << 40, math.MaxInt64} {
		if _, err := client.SendMessage(call, []byte("x"), true); err == nil {
			t.Error("sent on", call)
		}
		if err := client.HalfClose(call); err == nil {
			t.Error("half-closed", call)
		}
		client.Release(call, -1)
		client.Cancel(call)
	}
	for _, head := range []grpclb.Head{nil, []byte{0, 1}, must(grpclb.NewHead("no path", "x", nil)), must(grpclb.NewHead("/a/b", "x", metadata.MD{"sp ace": {"x"}}))} {
		if call, err := client.StartCall(0, head, 0); err == nil || call != 0 {
			t.Errorf("%q started", head)
		}
	}
	if _, err := grpclb.NewHead("/a/b", "x", metadata.MD{"x": {string(make([]byte, 70_000))}}); err == nil {
		t.Error("a value of 70 000 octets")
	}
	// Not HTTP/2: an error in words, and all ends.
	err := client.Recv(0, []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), ignore)
	var why *grpclb.HTTP2Error
	if !errors.As(err, &why) || why.Text == "" || !errors.As(client.Err(), &why) {
		t.Fatal(err)
	}
	if _, err := client.StartCall(0, must(grpclb.NewHead("/a/b", "x", nil)), 0); err == nil {
		t.Fatal("started on a dead connection")
	}
	// Recv within Recv.
	a, b := must(grpclb.NewConn(grpclb.ConnConfig{}, 0)), must(grpclb.NewConn(grpclb.ConnConfig{Server: true}, 0))
	buffer := make([]byte, 10_000)
	told := 0
	if err := b.Recv(0, buffer[:a.Take(0, buffer)], func(*grpclb.ConnEvent) {
		told++
		if err := b.Recv(0, nil, ignore); !errors.Is(err, grpclb.ErrTelling) {
			t.Error(err)
		}
	}); err != nil || told == 0 {
		t.Fatal(err, told)
	}
}

// Over a net.Conn of one's own, before a grpc-go server: unary calls, and a stream whose messages come in pieces.
func TestConnOverTheNetwork(t *testing.T) {
	b := start(t)
	socket := must(net.Dial("tcp", b.address))
	defer socket.Close()
	began := time.Now()
	now := func() time.Duration { return time.Since(began) }
	client := must(grpclb.NewConn(grpclb.ConnConfig{AutoRelease: true}, now()))

	out := make([]byte, 16<<10)
	transmit := func() {
		for n := client.Take(now(), out); n > 0; n = client.Take(now(), out) {
			if _, err := socket.Write(out[:n]); err != nil {
				t.Error(err)
			}
		}
	}
	type answer struct {
		body []byte
		err  error
	}
	answers := make(chan answer, 100)
	bodies := map[grpclb.ConnCallID][]byte{}
	var reader sync.WaitGroup
	tell := func(e *grpclb.ConnEvent) {
		switch e.Kind {
		case grpclb.ConnMessage:
			bodies[e.Call] = append(bodies[e.Call], e.Data...)
		case grpclb.ConnStatus:
			answers <- answer{bodies[e.Call], e.Err()}
			delete(bodies, e.Call)
		}
	}
	var mu sync.Mutex // one writes to the socket at a time
	reader.Go(func() {
		input := make([]byte, 16<<10)
		for {
			n, err := socket.Read(input)
			if err != nil {
				if !errors.Is(err, net.ErrClosed) && err != io.EOF {
					t.Error(err)
				}
				return
			}
			if err := client.Recv(now(), input[:n], tell); err != nil {
				t.Error(err)
			}
			client.PollEvents(tell)
			mu.Lock()
			transmit()
			mu.Unlock()
		}
	})
	head := must(grpclb.NewHead(pb.TestService_UnaryCall_FullMethodName, b.address, nil))
	for i := range 100 {
		request := must(proto.Marshal(&pb.SimpleRequest{ResponseSize: int32(i * 1000)}))
		mu.Lock()
		_, taken, err := client.Unary(now(), head, 10*time.Second, request)
		if err != nil || taken != len(request) {
			t.Fatal(taken, err)
		}
		transmit()
		mu.Unlock()
		got := <-answers
		var response pb.SimpleResponse
		if err := proto.Unmarshal(got.body, &response); err != nil || got.err != nil || len(response.Payload.GetBody()) != i*1000 {
			t.Fatal(i, err, got.err, len(response.Payload.GetBody()))
		}
	}
	mu.Lock()
	must(client.StartCall(now(), must(grpclb.NewHead("/no.Such/Method", "x", nil)), 0))
	transmit()
	mu.Unlock()
	if got := <-answers; status.Code(got.err) != codes.Unimplemented {
		t.Fatal(got.err)
	}
	socket.Close()
	reader.Wait()
	client.CarrierLost(now())
}

func BenchmarkConnPair(b *testing.B) {
	server := must(grpclb.NewConn(grpclb.ConnConfig{Server: true, AutoRelease: true}, 0))
	client := must(grpclb.NewConn(grpclb.ConnConfig{AutoRelease: true}, 0))
	head := must(grpclb.NewHead("/a.B/Echo", "test", nil))
	buffer, body := make([]byte, 64<<10), make([]byte, 100)
	serve := func(e *grpclb.ConnEvent) {
		if e.Kind == grpclb.ConnMessage && e.End {
			server.Reply(e.Call, e.Data)
		}
	}
	done := 0
	tell := func(e *grpclb.ConnEvent) {
		if e.Kind == grpclb.ConnStatus {
			done++
		}
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		client.Unary(0, head, 0, body)
		server.Recv(0, buffer[:client.Take(0, buffer)], serve)
		client.Recv(0, buffer[:server.Take(0, buffer)], tell)
		client.PollEvents(tell)
	}
	if done != n {
		b.Fatal(done, n)
	}
}
