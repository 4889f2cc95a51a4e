package grpclb

import (
	"reflect"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// stockCodec tells whether grpc-go's own protobuf codec is registered, which may be gone around: encoding into, and
// decoding from, buffers that are used again costs no allocation.
func stockCodec(codec encoding.CodecV2) bool {
	t := reflect.TypeOf(codec)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == "google.golang.org/grpc/encoding/proto"
}

// encode appends a message to a scratch buffer, which it empties first.
func (cc *ClientConn) encode(info *callInfo, scratch []byte, message any) ([]byte, error) {
	out, err := cc.encodeAny(info, scratch[:0], message)
	if err != nil {
		return scratch, status.Errorf(codes.Internal, "grpclb: error while marshaling: %v", err)
	}
	limit := info.maxSend
	if len(out) > limit {
		return out, status.Errorf(codes.ResourceExhausted, "grpclb: trying to send message larger than max (%d vs. %d)", len(out), limit)
	}
	return out, nil
}

func (cc *ClientConn) encodeAny(info *callInfo, to []byte, message any) ([]byte, error) {
	codec := info.codec
	if codec == nil {
		if m, ok := message.(proto.Message); ok && cc.stock {
			return proto.MarshalOptions{}.MarshalAppend(to, m)
		}
		codec = cc.codec
	}
	data, err := codec.Marshal(message)
	if err != nil {
		return nil, err
	}
	for _, part := range data {
		to = append(to, part.ReadOnlyData()...)
	}
	data.Free()
	return to, nil
}

// decode does not keep data.
func (cc *ClientConn) decode(info *callInfo, data []byte, message any) error {
	if err := cc.decodeAny(info, data, message); err != nil {
		return status.Errorf(codes.Internal, "grpclb: failed to unmarshal the received message: %v", err)
	}
	return nil
}

func (cc *ClientConn) decodeAny(info *callInfo, data []byte, message any) error {
	codec := info.codec
	if codec == nil {
		if m, ok := message.(proto.Message); ok && cc.stock {
			return proto.Unmarshal(data, m)
		}
		codec = cc.codec
	}
	// A codec of the program's own may keep what it is given.
	return codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(append([]byte(nil), data...))}, message)
}

// codecV1 is a codec of grpc-go's older form.
type codecV1 struct{ encoding.Codec }

func (c codecV1) Marshal(v any) (mem.BufferSlice, error) {
	data, err := c.Codec.Marshal(v)
	return mem.BufferSlice{mem.SliceBuffer(data)}, err
}

func (c codecV1) Unmarshal(data mem.BufferSlice, v any) error {
	return c.Codec.Unmarshal(data.Materialize(), v)
}
