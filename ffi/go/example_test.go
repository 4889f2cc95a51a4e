package grpclb_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"grpclb"
	"grpclb/examples/helloworld"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type greeter struct {
	helloworld.UnimplementedGreeterServer
}

func (greeter) SayHello(ctx context.Context, in *helloworld.HelloRequest) (*helloworld.HelloReply, error) {
	if in.Name == "" {
		return nil, status.Error(codes.InvalidArgument, "whom?")
	}
	return &helloworld.HelloReply{Message: "Hello " + in.Name}, nil
}

// greeters starts two servers and gives a target for them.
func greeters() string {
	target := "ipv4:"
	for i := range 2 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		server := grpc.NewServer()
		helloworld.RegisterGreeterServer(server, greeter{})
		go server.Serve(listener)
		if i > 0 {
			target += ","
		}
		target += listener.Addr().String()
	}
	return target
}

func ExampleNewClient() {
	conn, err := grpclb.NewClient(greeters(), grpclb.WithServiceConfig(`{"loadBalancingPolicy":"round_robin"}`))
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	client := helloworld.NewGreeterClient(conn)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "x-tenant", "blue")
	reply, err := client.SayHello(ctx, &helloworld.HelloRequest{Name: "world"}, grpc.WaitForReady(true))
	fmt.Println(reply.GetMessage(), err)

	_, err = client.SayHello(ctx, &helloworld.HelloRequest{})
	fmt.Println(status.Code(err), status.Convert(err).Message())
	// Output:
	// Hello world <nil>
	// InvalidArgument whom?
}

// A service config that does not parse is refused at once, and its place is named.
func ExampleNewClient_badConfig() {
	_, err := grpclb.NewClient("dns:///example.org", grpclb.WithServiceConfig(`{"loadBalancingPolicy": 1}`))
	fmt.Println(err)
	// Output:
	// grpclb: service config: $.loadBalancingPolicy: expected the name of a policy
}

func ExamplePicker() {
	now := time.Duration(0) // your monotonic clock
	picker, err := grpclb.NewPicker(grpclb.PickerConfig{Seed: 42})
	if err != nil {
		panic(err)
	}
	picker.Connect(now)
	picker.PollAction() // ActionResolve: the endpoints are to be found

	err = picker.HandleResolution(now, []grpclb.Endpoint{
		{Addresses: []string{"10.0.0.1:50051"}, Weight: 1},
		{Addresses: []string{"10.0.0.2:50051"}, Weight: 1},
	}, `{"loadBalancingPolicy":"round_robin"}`)
	if err != nil {
		panic(err)
	}
	for action, ok := picker.PollAction(); ok; action, ok = picker.PollAction() {
		if action.Kind == grpclb.ActionConnect {
			// You connect to picker.Address(action.Subchannel), and then:
			picker.HandleSubchannel(now, action.Subchannel, grpclb.SubchannelReady)
		}
	}
	for range 3 {
		subchannel, _ := picker.Pick(now)
		fmt.Println(picker.Address(subchannel))
	}
	// Output:
	// 10.0.0.1:50051
	// 10.0.0.2:50051
	// 10.0.0.1:50051
}

// A client and a server that share no more than octets.
func ExampleConn() {
	client, _ := grpclb.NewConn(grpclb.ConnConfig{AutoRelease: true}, 0)
	server, _ := grpclb.NewConn(grpclb.ConnConfig{AutoRelease: true, Server: true}, 0)

	head, _ := grpclb.NewHead("/demo.Echo/Say", "example.org", nil)
	client.Unary(0, head, time.Second, []byte("hello"))

	wire := make([]byte, 64<<10) // what a net.Conn would carry
	server.Recv(0, wire[:client.Take(0, wire)], func(e *grpclb.ConnEvent) {
		if e.Kind == grpclb.ConnMessage && e.Last {
			server.Reply(e.Call, e.Data)
		}
	})
	client.Recv(0, wire[:server.Take(0, wire)], func(e *grpclb.ConnEvent) {
		switch e.Kind {
		case grpclb.ConnMessage:
			fmt.Printf("%s\n", e.Data)
		case grpclb.ConnStatus:
			fmt.Println(codes.Code(e.Code))
		}
	})
	// Output:
	// hello
	// OK
}
