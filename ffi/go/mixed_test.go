package grpclb_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"grpclb"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// All kinds of calls, deadlines that pass at any moment, cancels, streams that are left, and a server that goes and
// comes: every call ends, with the right answer or a status that fits, and none is left behind.
func TestAllAtOnce(t *testing.T) {
	noLeak(t)
	backends := []*backend{start(t), start(t), start(t)}
	conn, client := dial(t, backends, grpclb.WithServiceConfig(roundRobin), grpclb.WithBackoff(10*time.Millisecond, 50*time.Millisecond))
	var stop atomic.Bool
	var ok, failed atomic.Int64
	var group sync.WaitGroup
	for g := range 30 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 1))
			for !stop.Load() {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				switch random.IntN(4) {
				case 0:
					ctx, cancel = context.WithTimeout(context.Background(), time.Duration(random.IntN(3000))*time.Microsecond)
				case 1:
					time.AfterFunc(time.Duration(random.IntN(2000))*time.Microsecond, cancel)
				}
				var err error
				size := int32(random.IntN(5000))
				switch random.IntN(3) {
				case 0:
					var reply *pb.SimpleResponse
					reply, err = client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: size})
					if err == nil && len(reply.Payload.GetBody()) != int(size) {
						t.Error("another's answer")
					}
				case 1:
					err = oneStream(ctx, client, size)
				case 2:
					stream, e := client.FullDuplexCall(ctx)
					if err = e; err == nil {
						stream.Send(&pb.StreamingOutputCallRequest{ResponseParameters: sizes(size)})
						_, err = stream.Recv()
					}
				}
				cancel()
				switch code := status.Code(err); code {
				case codes.OK:
					ok.Add(1)
				case codes.DeadlineExceeded, codes.Canceled, codes.Unavailable:
					failed.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		time.Sleep(200 * time.Millisecond)
		backends[0].server.Stop()
		time.Sleep(100 * time.Millisecond)
		backends[0] = startOn(t, "tcp", backends[0].address)
	}
	stop.Store(true)
	group.Wait()
	if ok.Load() < 100 || failed.Load() < 10 {
		t.Errorf("%d OK, %d not", ok.Load(), failed.Load())
	}
	for deadline := time.Now().Add(5 * time.Second); conn.CallsInTable() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d calls are left", conn.CallsInTable())
		}
	}
	if err := conn.WaitForReadyEndpoints(within(t, 10*time.Second), 3); err != nil {
		t.Fatal(err, conn.Endpoints())
	}
}
