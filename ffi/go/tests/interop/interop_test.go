// Package interop runs grpc-go's own interop cases over our ClientConn: before grpc-go's server, and before ours when
// GRPCLB_INTEROP names its address.
package interop

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"grpclb"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

func TestInterop(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterTestServiceServer(server, interop.NewTestServer())
	go server.Serve(listener)
	defer server.Stop()
	servers := map[string]string{"grpc-go": listener.Addr().String()}
	if ours := os.Getenv("GRPCLB_INTEROP"); ours != "" {
		servers["ours"] = ours
	}
	// They end the program with the first thing that is wrong.
	cases := map[string]func(context.Context, pb.TestServiceClient, ...grpc.CallOption){
		"empty_unary":                 interop.DoEmptyUnaryCall,
		"large_unary":                 interop.DoLargeUnaryCall,
		"client_streaming":            interop.DoClientStreaming,
		"server_streaming":            interop.DoServerStreaming,
		"ping_pong":                   interop.DoPingPong,
		"empty_stream":                interop.DoEmptyStream,
		"timeout_on_sleeping_server":  interop.DoTimeoutOnSleepingServer,
		"cancel_after_begin":          interop.DoCancelAfterBegin,
		"cancel_after_first_response": interop.DoCancelAfterFirstResponse,
		"custom_metadata":             interop.DoCustomMetadata,
		"status_code_and_message":     interop.DoStatusCodeAndMessage,
		"special_status_message":      interop.DoSpecialStatusMessage,
	}
	for name, address := range servers {
		conn, err := grpclb.NewClient("ipv4:" + address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for one, run := range cases {
			t.Run(name+"/"+one, func(t *testing.T) { run(ctx, pb.NewTestServiceClient(conn)) })
		}
		t.Run(name+"/unimplemented_service", func(t *testing.T) {
			interop.DoUnimplementedService(ctx, pb.NewUnimplementedServiceClient(conn))
		})
		t.Run(name+"/unimplemented_method", func(t *testing.T) {
			err := conn.Invoke(ctx, "/grpc.testing.TestService/UnimplementedCall", &pb.Empty{}, &pb.Empty{})
			if status.Code(err) != codes.Unimplemented {
				t.Fatal(err)
			}
		})
	}
}
