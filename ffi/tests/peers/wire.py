"""HTTP/2 by hand, for peers that misbehave."""

import socket
import struct
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
UNKNOWN_TYPE = 0xFA
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """One frame; `length` may lie."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header field, never indexed, no Huffman (RFC 7541 §6.2.3)."""
    name, value = name.encode(), value.encode()
    assert len(name) < 127 and len(value) < 127
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


def block(*fields):
    return b"".join(literal(name, value) for name, value in fields)


RESPONSE = block((":status", "200"), ("content-type", "application/grpc"))
REQUEST = block((":method", "POST"), (":scheme", "http"), (":path", "/helloworld.Greeter/SayHello"),
                (":authority", "x"), ("te", "trailers"), ("content-type", "application/grpc"))


def trailers(code, message=""):
    return block(("grpc-status", str(code)), *([("grpc-message", message)] if message else []))


def message(body, flag=0, length=None):
    """gRPC's length prefix; it may lie."""
    return struct.pack(">BI", flag, len(body) if length is None else length) + body


def call(stream):
    """A whole SayHello("you"), from its HEADERS to END_STREAM."""
    return frame(HEADERS, END_HEADERS, stream, REQUEST) + frame(DATA, END_STREAM, stream, message(b"\x0a\x03you"))


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise EOFError(f"closed after {len(data)} of {count} bytes")
        data += more
    return data


def read_frame(sock):
    """(type, flags, stream, payload)"""
    head = read_exactly(sock, 9)
    size = int.from_bytes(head[:3], "big")
    return head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, read_exactly(sock, size)


class Fake:
    """A server that does `behave(socket)` to each connection, in a thread; a timeout is on every socket."""

    def __init__(self, test, behave):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.behave, self.connections = behave, 0
        test.addCleanup(self.listener.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            sock.settimeout(20)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with sock:
            try:
                self.behave(sock)
            except (OSError, EOFError):
                pass  # the client went away, as it may


def until_request(sock):
    """The server's side of a handshake, then reads up to the first HEADERS; gives its stream."""
    sock.sendall(frame(SETTINGS))
    assert read_exactly(sock, len(PREFACE)) == PREFACE
    while True:
        kind, flags, stream, _ = read_frame(sock)
        if kind == SETTINGS and not flags & ACK:
            sock.sendall(frame(SETTINGS, ACK))
        if kind == HEADERS:
            return stream


def linger(sock):
    """Reads until the peer closes, so that what was sent arrives before the end."""
    while sock.recv(65536):
        pass
