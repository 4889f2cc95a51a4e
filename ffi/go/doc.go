// Package grpclb makes gRPC calls that are balanced over all endpoints of a target: each call goes to a connection of its
// own choice, by pick_first, round_robin or weighted_round_robin.
//
//   - [NewClient] gives a [ClientConn], which is a grpc.ClientConnInterface: stubs that protoc-gen-go-grpc generated work
//     on it as they are, and so do contexts, metadata, statuses and call options.
//   - [Picker] is the balancer alone, for programs that keep connections of their own.
//   - [Conn] is one connection without a socket, for a net.Conn of one's own.
//
// # Building
//
// The package is a door to libgrpclb, a C library, and needs cgo. In a checkout `make go` builds the library where this
// module finds it (target/c); with the build tag grpclb_installed it is found by pkg-config instead, after `make
// install-c`. Go's build cache does not look into the library: after a change of it alone, or
// of where it is, build with -a.
//
// # Differences to grpc-go
//
// There is no TLS yet, no compression, and there are no interceptors; a call option that cannot be honoured is an error
// with code Unimplemented that names it. A call that never left, or that a server refused unprocessed, is tried again
// elsewhere (gRFC A6); retry policies of the service config are not there. One goroutine a ClientConn waits for its
// sockets, in Go's own poller, and ends with Close.
package grpclb
