package grpclb

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// How metadata, peers and statuses look in C and in Go.

// pack appends metadata as C takes it: two lengths of 16 bits, name, value. What belongs to the protocol is left out, as
// grpc-go does it.
func pack(to []byte, md metadata.MD) ([]byte, error) {
	for name, values := range md {
		switch lower := strings.ToLower(name); lower {
		case "content-type", "user-agent", "te", "grpc-message-type", "grpc-encoding", "grpc-message", "grpc-status",
			"grpc-timeout":
			continue
		default:
			if strings.HasPrefix(lower, ":") {
				continue
			}
			name = lower
		}
		for _, value := range values {
			if len(name) > 0xffff || len(value) > 0xffff {
				return to, status.Error(codes.Internal, fmt.Sprintf("grpclb: metadata %.40q is longer than 65535 octets", name))
			}
			to = binary.BigEndian.AppendUint16(to, uint16(len(name)))
			to = binary.BigEndian.AppendUint16(to, uint16(len(value)))
			to = append(to, name...)
			to = append(to, value...)
		}
	}
	return to, nil
}

// eachField goes through packed metadata until f returns false.
func eachField(packed []byte, f func(name, value []byte) bool) {
	for len(packed) >= 4 {
		name, value := int(binary.BigEndian.Uint16(packed)), int(binary.BigEndian.Uint16(packed[2:]))
		packed = packed[4:]
		if len(packed) < name+value {
			return
		}
		if !f(packed[:name], packed[name:name+value]) {
			return
		}
		packed = packed[name+value:]
	}
}

// toStatus makes a status error, with details when the server sent some.
func toStatus(code codes.Code, message string, trailers []byte) error {
	message = strings.ToValidUTF8(message, "\uFFFD")
	var detailed *spb.Status
	eachField(trailers, func(name, value []byte) bool {
		if string(name) != "grpc-status-details-bin" {
			return true
		}
		found := new(spb.Status)
		// Details that are none, or of another status, are not worth losing the status for.
		if proto.Unmarshal(value, found) == nil && found.Code == int32(code) {
			detailed = found
		}
		return false
	})
	if detailed != nil {
		return status.ErrorProto(detailed)
	}
	return status.Error(code, message)
}

func peerOf(text string) *peer.Peer {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		return &peer.Peer{Addr: &net.UnixAddr{Name: path, Net: "unix"}}
	}
	if at, err := netip.ParseAddrPort(text); err == nil {
		return &peer.Peer{Addr: net.TCPAddrFromAddrPort(at)}
	}
	return &peer.Peer{Addr: textAddr(text)}
}

type textAddr string

func (a textAddr) Network() string { return "" }
func (a textAddr) String() string  { return string(a) }
