"""Our server before clients that are no gRPC clients, or bad ones: it ends their connection and serves the others."""

import os
import resource
import socket
import time

from harness import Case
from test_bad_servers import WHOLE
from wire import (
    CONTINUATION, DATA, END_HEADERS, GOAWAY, HEADERS, PING, PREFACE, REQUEST, RST_STREAM, SETTINGS,
    UNKNOWN_TYPE, WINDOW_UPDATE, call, frame, literal,
)

# A TLS 1.2 ClientHello up to its first extension, as any HTTPS client would send to a plaintext port.
TLS_HELLO = bytes.fromhex("16030100b5010000b10303") + bytes(32) + bytes.fromhex(
    "20" + "11" * 32 + "0004130113020100006400000010000e00000b6578616d706c652e636f6d") + bytes(80)


class BadClient(Case):
    def setUp(self):
        self.target = self.server("--name", "S")

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.target.port), timeout=10)
        self.addCleanup(sock.close)
        return sock

    def ends(self, data, within=5.0):
        """Sends this; the server closes, in time. Gives what it said."""
        sock = self.connect()
        sock.settimeout(within)
        said = b""
        try:
            sock.sendall(data)
            while more := sock.recv(65536):
                said += more
        except (ConnectionResetError, BrokenPipeError):
            pass
        except TimeoutError:
            self.fail(f"the server did not close within {within} s; it said {said[:200]!r}")
        return said

    def tearDown(self):
        """Whatever was done to it: it serves."""
        self.greet_ok([self.target.address], 50, "--deadline-ms", 5000)
        self.assertIsNone(self.target.process.poll(), "the server is gone")

    def goaway(self, said):
        """The error code of the GOAWAY in what the server said, or None."""
        while len(said) >= 9:
            size = int.from_bytes(said[:3], "big")
            if said[3] == GOAWAY:
                return int.from_bytes(said[13:17], "big")
            said = said[9 + size :]
        return None


class NotGrpc(BadClient):
    def test_garbage(self):
        for garbage in (os.urandom(4096), b"\0" * 4096, b"\xff" * 4096, b"\r\n\r\n" * 10):
            self.ends(garbage)

    def test_tls_hello(self):
        self.ends(TLS_HELLO)

    def test_http_1_request(self):
        self.ends(b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n")

    def test_http_1_upgrade(self):
        self.ends(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")

    def test_silence_costs_nobody_else(self):
        for _ in range(50):
            self.connect()

    def test_half_a_preface_then_gone(self):
        for keep in range(len(PREFACE)):
            sock = self.connect()
            sock.sendall(PREFACE[:keep])
            sock.close()


class ClosedInTheMiddle(BadClient):
    """The connection ends inside a frame of each kind."""

    def test_each_kind_at_each_byte(self):
        kinds = dict(WHOLE, request=(b"", call(1), 0))
        for kind, (_, whole, _) in kinds.items():
            before = PREFACE + frame(SETTINGS) + (b"" if kind == "request" else frame(HEADERS, END_HEADERS, 1, REQUEST))
            if kind == "continuation":
                before = PREFACE + frame(SETTINGS) + frame(HEADERS, 0, 1, REQUEST[:10])
            for keep in range(len(whole)):
                sock = self.connect()
                sock.sendall(before + whole[:keep])
                if keep % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()


class BadRequests(BadClient):
    """HTTP/2, but not as RFC 9113 has it: GOAWAY with its error code, then the end."""

    def says(self, data, *codes):
        said = self.ends(PREFACE + frame(SETTINGS) + data)
        self.assertIn(self.goaway(said), codes, said[:300])

    def test_frame_size(self):
        self.says(frame(DATA, 0, 1, b"", length=0xFFFFFF) + bytes(100), 0x6)
        self.says(frame(PING, 0, 0, bytes(7)), 0x6)
        self.says(frame(SETTINGS, 0, 0, bytes(5)), 0x6)

    def test_protocol(self):
        self.says(frame(DATA, 0, 0, b"x"), 0x1)
        self.says(frame(HEADERS, END_HEADERS, 2, REQUEST), 0x1)
        self.says(frame(CONTINUATION, END_HEADERS, 1, REQUEST), 0x1)
        self.says(frame(HEADERS, 0, 1, REQUEST) + frame(PING, 0, 0, bytes(8)), 0x1)
        self.says(frame(WINDOW_UPDATE, 0, 0, bytes(4)), 0x1)
        self.says(frame(RST_STREAM, 0, 99, bytes(4)), 0x1)

    def test_flow_control(self):
        self.says(frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), 0x3)

    def test_compression(self):
        self.says(frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"), 0x9)

    def test_no_settings_first(self):
        self.assertIn(self.goaway(self.ends(PREFACE + frame(PING, 0, 0, bytes(8)))), (0x1,))


class Floods(BadClient):
    """A client that sends without end: the server neither hangs nor grows."""

    def memory(self):
        with open(f"/proc/{self.target.process.pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def flood(self, data, seconds=1.0):
        before = self.memory() if os.path.exists("/proc/self/statm") else None
        sock = self.connect()
        sock.settimeout(0.2)
        ends = time.monotonic() + seconds
        try:
            sock.sendall(PREFACE + frame(SETTINGS))
            while time.monotonic() < ends:
                try:
                    sock.sendall(data)  # and never read an answer
                except TimeoutError:
                    pass
            # Not closed by the server: it may, and it may also just stop reading. Others are served:
            self.greet_ok([self.target.address], 20, "--deadline-ms", 5000)
        except (ConnectionResetError, BrokenPipeError):
            pass
        if before is not None:
            self.assertLess(self.memory() - before, 16 << 20, "it grew")

    def test_pings(self):
        self.flood(frame(PING, 0, 0, bytes(8)) * 1000)

    def test_settings(self):
        self.flood(frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64") * 1000)

    def test_resets(self):
        """Rapid reset: streams opened and cancelled at once (CVE-2023-44487)."""
        sock = self.connect()
        data = b"".join(frame(HEADERS, END_HEADERS, stream, REQUEST) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")
                        for stream in range(1, 40001, 2))
        sock.settimeout(5)
        try:
            sock.sendall(PREFACE + frame(SETTINGS) + data)
        except (ConnectionResetError, BrokenPipeError, TimeoutError):
            pass

    def test_unknown_frames(self):
        self.flood(frame(UNKNOWN_TYPE, 0, 0, bytes(1000)) * 100)

    def test_endless_header_block(self):
        said = self.ends(PREFACE + frame(SETTINGS) + frame(HEADERS, 0, 1, REQUEST)
                         + frame(CONTINUATION, 0, 1, literal("x", "y" * 100) * 100) * 500)
        self.assertLess(len(said), 10000)

    def test_more_streams_than_allowed_are_refused_or_served(self):
        sock = self.connect()
        try:
            sock.sendall(PREFACE + frame(SETTINGS))
            for stream in range(1, 4001, 2):
                sock.sendall(frame(HEADERS, END_HEADERS, stream, REQUEST))
        except (ConnectionResetError, BrokenPipeError):
            pass  # ENHANCE_YOUR_CALM: so many, and no answer read

    def test_more_connections_than_descriptors(self):
        few = self.server(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
        open_ones = []
        for _ in range(100):
            sock = socket.socket()
            sock.settimeout(0.2)
            try:
                sock.connect(("127.0.0.1", few.port))
            except OSError:
                pass
            open_ones.append(sock)
        time.sleep(0.3)
        spent = cpu_seconds(few.process.pid)
        time.sleep(1.0)
        spent = cpu_seconds(few.process.pid) - spent
        self.assertLess(spent, 0.5, "it spins while it is out of descriptors")
        for sock in open_ones:
            sock.close()
        self.greet_ok([few.address], 20, "--deadline-ms", 5000)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        user, system = file.read().rpartition(") ")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
