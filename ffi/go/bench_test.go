package grpclb_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"grpclb"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

// Ours and grpc-go's client before the same grpc-go server, which is a process of its own:
//
//	go test -bench . -run '^$'
//
// cpu-ns/op is what the client's process used, system calls included.
func BenchmarkUnary(b *testing.B) {
	both(b, func(b *testing.B, client pb.TestServiceClient) {
		for _, at := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("at=%d", at), func(b *testing.B) {
				request := &pb.SimpleRequest{Payload: payload(100), ResponseSize: 100}
				costs(b, func() {
					b.SetParallelism(at) // times GOMAXPROCS
					b.RunParallel(func(loop *testing.PB) {
						ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
						defer cancel()
						for loop.Next() {
							if _, err := client.UnaryCall(ctx, request); err != nil {
								b.Error(err)
								return
							}
						}
					})
				})
			})
		}
		b.Run("one", func(b *testing.B) {
			request := &pb.SimpleRequest{Payload: payload(100), ResponseSize: 100}
			costs(b, func() {
				for b.Loop() {
					must(client.UnaryCall(context.Background(), request))
				}
			})
		})
		b.Run("1MB", func(b *testing.B) {
			request := &pb.SimpleRequest{ResponseSize: 1 << 20}
			b.SetBytes(1 << 20)
			costs(b, func() {
				for b.Loop() {
					must(client.UnaryCall(context.Background(), request))
				}
			})
		})
	})
}

func BenchmarkStream(b *testing.B) {
	both(b, func(b *testing.B, client pb.TestServiceClient) {
		b.Run("pingpong", func(b *testing.B) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			stream := must(client.FullDuplexCall(ctx))
			request := &pb.StreamingOutputCallRequest{ResponseParameters: sizes(100), Payload: payload(100)}
			costs(b, func() {
				for b.Loop() {
					if err := stream.Send(request); err != nil {
						b.Fatal(err)
					}
					must(stream.Recv())
				}
			})
		})
		b.Run("from-server", func(b *testing.B) {
			many := make([]*pb.ResponseParameters, b.N)
			for i := range many {
				many[i] = &pb.ResponseParameters{Size: 100}
			}
			costs(b, func() {
				for len(many) > 0 {
					n := min(len(many), 100_000)
					stream := must(client.StreamingOutputCall(context.Background(), &pb.StreamingOutputCallRequest{ResponseParameters: many[:n]}))
					many = many[n:]
					for {
						if _, err := stream.Recv(); err == io.EOF {
							break
						} else if err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		})
	})
}

func both(b *testing.B, run func(*testing.B, pb.TestServiceClient)) {
	address := serverProcess(b)
	b.Run("grpclb", func(b *testing.B) {
		conn := must(grpclb.NewClient("ipv4:" + address))
		defer conn.Close()
		run(b, pb.NewTestServiceClient(conn))
	})
	b.Run("grpc-go", func(b *testing.B) {
		conn := must(grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials())))
		defer conn.Close()
		run(b, pb.NewTestServiceClient(conn))
	})
}

func costs(b *testing.B, run func()) {
	b.ReportAllocs()
	b.ResetTimer()
	began := cpu()
	run()
	b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
}

func cpu() time.Duration {
	var usage unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

const serve = "GRPCLB_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serve) != "" {
		listener := must(net.Listen("tcp", "127.0.0.1:0"))
		server := grpc.NewServer()
		pb.RegisterTestServiceServer(server, &backend{cancelled: make(chan struct{}, 1000)})
		fmt.Println("listening on", listener.Addr())
		go func() {
			io.Copy(io.Discard, os.Stdin) // until the parent has gone
			os.Exit(0)
		}()
		server.Serve(listener)
		return
	}
	os.Exit(m.Run())
}

// serverProcess starts this program once more, as a server.
func serverProcess(t testing.TB) string {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), serve+"=1")
	child.Stderr = os.Stderr
	stdin, out := must(child.StdinPipe()), must(child.StdoutPipe())
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		child.Wait()
	})
	line := must(bufio.NewReader(out).ReadString('\n'))
	return strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
}
