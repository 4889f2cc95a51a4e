"""The gateway between clients of every kind and three grpcio servers."""

import base64
import collections
import http.client
import os
import socket
import struct
import tempfile
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc

import wire
from harness import PROGRAMS, ROUND_ROBIN, Case, backend, free_port, until

WEB, TEXT = "application/grpc-web", "application/grpc-web-text"
LIMIT = 20


class Backend:
    """A grpcio server of raw bytes in this process, so that a test and its handlers can wait for one another."""

    def __init__(self):
        self.go, self.cancelled, self.asked = threading.Event(), threading.Event(), threading.Event()
        self.seen = {}
        kinds = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Late": grpc.unary_stream_rpc_method_handler(self.late),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "Endless": grpc.unary_stream_rpc_method_handler(self.endless),
            "Hang": grpc.unary_unary_rpc_method_handler(self.hang),
        }
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Test", kinds)])
        self.address = "127.0.0.1:%d" % self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def note(self, context):
        self.seen = dict(context.invocation_metadata())
        self.seen["time left"] = context.time_remaining()
        self.asked.set()

    def echo(self, request, context):
        """Gives back the message, and the metadata whose names begin with `x-`, at the front and at the end."""
        self.note(context)
        given = [(name, value) for name, value in context.invocation_metadata() if name.startswith("x-")]
        context.send_initial_metadata(given)
        context.set_trailing_metadata([("t" + name[1:], value) for name, value in given])
        return request

    def fail(self, request, context):
        context.set_trailing_metadata([("why", "so"), ("grpc-status-details-bin", b"\0\1\2\xff")])
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, request.decode())

    def late(self, request, context):
        """Fails after messages."""
        yield request
        yield request
        context.set_trailing_metadata([("why", "so"), ("details-bin", b"\0\xff")])
        context.abort(grpc.StatusCode.ABORTED, "after two: 100% é\n")

    def count(self, request, context):
        """As many messages as asked, each after a go-ahead."""
        for number in range(request[0]):
            assert self.go.wait(LIMIT)
            self.go.clear()
            yield bytes([number]) * request[1]

    def collect(self, requests, context):
        return b"+".join(requests)

    def chat(self, requests, context):
        for request in requests:
            yield request

    def endless(self, request, context):
        """Sends until the client has gone."""
        context.add_callback(self.cancelled.set)
        self.asked.set()
        self.sent = 0
        while context.is_active():
            yield bytes(request[0] << 10)
            self.sent += 1

    def hang(self, request, context):
        context.add_callback(self.cancelled.set)
        self.note(context)
        self.cancelled.wait(LIMIT)
        return b""


def frame(message, flag=0):
    return struct.pack(">BI", flag, len(message)) + message


def frames(body):
    """(flag, payload) of each; the body must end behind one."""
    found = []
    while body:
        flag, size = struct.unpack(">BI", body[:5])
        assert len(body) >= 5 + size, f"cut: {body!r}"
        found.append((flag, body[5 : 5 + size]))
        body = body[5 + size :]
    return found


def decode_text(text):
    """Base64 that may be padded at the end of any group of four."""
    assert len(text) % 4 == 0, text
    return b"".join(base64.b64decode(text[at : at + 4], validate=True) for at in range(0, len(text), 4))


def fields(payload):
    """Of a trailers frame."""
    lines = payload.decode().split("\r\n")
    assert lines.pop() == ""
    return dict(line.split(":", 1) for line in lines)


class Answer:
    """A response: HTTP status, headers, messages, trailers (of the frame, or of the head when it stands alone there)."""

    def __init__(self, response):
        self.http, self.headers = response.status, {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()
        self.text = self.headers.get("content-type", "").startswith(TEXT)
        if not self.headers.get("content-type", "").startswith(WEB):
            return
        found = frames(decode_text(self.body) if self.text else self.body)
        self.messages = [payload for flag, payload in found if flag == 0]
        self.alone = not found
        if self.alone:
            self.trailers = self.headers
        else:
            assert [flag for flag, _ in found].index(0x80) == len(found) - 1, found
            self.trailers = fields(found[-1][1])
        self.code = int(self.trailers["grpc-status"])

    def __str__(self):
        return f"{self.http} {self.headers} {self.body!r}"


class Gateway(Case):
    """One gateway before three servers."""

    @classmethod
    def setUpClass(cls):
        cls.servers = [Backend() for _ in range(3)]
        for one in cls.servers:
            cls.addClassCleanup(one.server.stop, None)
        cls.target = "ipv4:" + ",".join(one.address for one in cls.servers)
        cls.gateway = cls.start_shared(PROGRAMS / "gateway", "--listen", "127.0.0.1:0", "--target", cls.target,
                                       "--service-config", ROUND_ROBIN, "--wait-ready", "3").listening()

    def setUp(self):
        for one in self.servers:
            for event in (one.go, one.cancelled, one.asked):
                event.clear()

    def tearDown(self):
        """Whatever was done to it: it serves."""
        self.assertEqual(self.unary(b"still there").messages, [b"still there"])
        self.assertIsNone(self.gateway.process.poll(), "the gateway is gone")

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.gateway.port), timeout=LIMIT)
        self.addCleanup(sock.close)
        return sock

    def http(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=LIMIT)
        self.addCleanup(connection.close)
        return connection

    def request(self, method, path, body=None, **headers):
        connection = self.http()
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse()

    def post(self, method, body, form=WEB, **headers):
        """A body as it is to a method of the test service."""
        return Answer(self.request("POST", f"/test.Test/{method}", body, content_type=form, **headers))

    def unary(self, message, method="Echo", form=WEB, **headers):
        body = frame(message)
        return self.post(method, base64.b64encode(body) if form.startswith(TEXT) else body, form, **headers)

    def which(self):
        """The server that was asked."""
        return until("a server is asked", lambda: next((one for one in self.servers if one.asked.is_set()), None))


class Forms(Gateway):
    def test_binary(self):
        answer = self.unary(b"hello", x_one="1")
        self.assertEqual((answer.http, answer.messages, answer.code), (200, [b"hello"], 0), answer)
        self.assertEqual(answer.headers["content-type"], WEB)
        self.assertEqual((answer.headers["x-one"], answer.trailers["t-one"]), ("1", "1"))
        self.assertIn(answer.headers["grpclb-peer"], [one.address for one in self.servers])

    def test_text(self):
        answer = self.unary(b"hello", form=TEXT)
        self.assertEqual((answer.http, answer.messages, answer.code), (200, [b"hello"], 0), answer)
        self.assertEqual(answer.headers["content-type"], TEXT)

    def test_accept_chooses_the_form(self):
        for form, accept, expected in [
            (WEB, TEXT, TEXT), (TEXT, WEB, WEB), (TEXT, "*/*", TEXT), (WEB + "+proto", "*/*", WEB + "+proto"),
            (TEXT + "+proto", TEXT, TEXT + "+proto"),
        ]:
            answer = self.unary(b"hello", form=form, accept=accept)
            self.assertEqual((answer.headers["content-type"], answer.messages), (expected, [b"hello"]), answer)

    def test_round_robin_is_exact(self):
        connection, peers = self.http(), collections.Counter()
        for number in range(300):
            form = (WEB, TEXT)[number % 2]
            body = frame(b"x") if form == WEB else base64.b64encode(frame(b"x"))
            connection.request("POST", "/test.Test/Echo", body, {"content-type": form})
            answer = Answer(connection.getresponse())
            self.assertEqual(answer.messages, [b"x"])
            peers[answer.headers["grpclb-peer"]] += 1
        self.assertEqual(peers, {one.address: 100 for one in self.servers})

    def test_sizes(self):
        for size in (0, 1, 2, 3, 16_383, 16_384, 70_000, 3_000_000):
            message = os.urandom(size)
            for form in (WEB, TEXT):
                self.assertEqual(self.unary(message, form=form).messages, [message], f"{size} {form}")

    def test_metadata(self):
        answer = self.unary(b"", x_data_bin=base64.b64encode(b"\0\xff").decode(), x_list="a, b", x_sp="  in  side ")
        self.assertEqual(base64.b64decode(answer.headers["x-data-bin"] + "=="), b"\0\xff")
        self.assertEqual(base64.b64decode(answer.trailers["t-data-bin"] + "=="), b"\0\xff")
        self.assertEqual((answer.headers["x-list"], answer.headers["x-sp"]), ("a, b", "in  side"))
        seen = self.which().seen
        self.assertEqual(seen["x-data-bin"], b"\0\xff")
        for name in ("content-length", "accept-encoding", "x-grpc-web", "host", "accept"):
            self.assertNotIn(name, seen)

    def test_metadata_of_this_hop_stays(self):
        self.unary(b"", connection="keep-alive, x-hop", x_hop="1", x_far="2")
        seen = self.which().seen
        self.assertNotIn("x-hop", seen)
        self.assertEqual(seen["x-far"], "2")

    def test_metadata_that_cannot_go_on_is_a_status(self):
        answer = self.unary(b"", x_big="a" * 20_000)
        self.assertEqual((answer.http, answer.code), (200, 8), answer)

    def test_a_client_that_asks_before_it_sends(self):
        sock = self.connect()
        sock.sendall(b"POST /test.Test/Echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc-web\r\n"
                     b"expect: 100-continue\r\ncontent-length: 6\r\n\r\n")
        self.assertTrue(sock.recv(1000).startswith(b"HTTP/1.1 100 "))
        sock.sendall(frame(b"1"))
        said = b""
        while b"grpc-status:0" not in said:
            said += sock.recv(1000) or self.fail(said)
        self.assertIn(frame(b"1"), said)

    def test_deadline_goes_along(self):
        self.unary(b"", grpc_timeout="30S")
        left = self.which().seen["time left"]
        self.assertTrue(25 < left <= 30, left)

    def test_status_alone(self):
        for form in (WEB, TEXT):
            answer = self.unary("no: 100% é\n".encode(), "Fail", form)
            self.assertTrue(answer.alone, answer)
            self.assertEqual((answer.http, answer.code), (200, 8))
            self.assertEqual(answer.headers["grpc-message"], "no: 100%25 %C3%A9%0A")
            self.assertEqual(answer.headers["grpc-status-details-bin"], "AAEC/w")
            self.assertEqual((answer.headers["why"], answer.headers["content-length"]), ("so", "0"))
            self.assertIn(answer.headers["grpclb-peer"], [one.address for one in self.servers])

    def test_status_after_messages(self):
        for form in (WEB, TEXT):
            answer = self.unary(b"m", "Late", form)
            self.assertEqual((answer.messages, answer.code, answer.alone), ([b"m", b"m"], 10, False), answer)
            self.assertEqual(answer.trailers["grpc-message"], "after two: 100%25 %C3%A9%0A")
            self.assertEqual((answer.trailers["why"], answer.trailers["details-bin"]), ("so", "AP8"))

    def test_unknown_method(self):
        for path in ("/test.Test/Nope", "/no.Service/Echo", "/", "/a", "/a/b/c", "//"):
            answer = Answer(self.request("POST", path, frame(b""), content_type=WEB))
            self.assertEqual((answer.http, answer.code), (200, 12), f"{path}: {answer}")


class Splits(Gateway):
    """A body comes in as many pieces as the network likes."""

    def pieces(self, form, pieces, method="Echo"):
        """Sends each as a chunk of its own, and in a packet of its own as far as we have a say."""
        sock = self.connect()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(f"POST /test.Test/{method} HTTP/1.1\r\nhost: x\r\ncontent-type: {form}\r\n"
                     "transfer-encoding: chunked\r\n\r\n".encode())
        for piece in filter(None, pieces):
            sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        sock.sendall(b"0\r\n\r\n")
        response = http.client.HTTPResponse(sock)
        response.begin()
        return Answer(response)

    # Two messages; padded at the end, in the middle, and twice in the middle.
    TEXTS = [
        base64.b64encode(frame(b"abcd") + frame(b"efg")),
        base64.b64encode(frame(b"abcd")[:7]) + base64.b64encode(frame(b"abcd")[7:] + frame(b"efg")),
        base64.b64encode(frame(b"abcd")) + base64.b64encode(frame(b"efg")),
        b"".join(base64.b64encode(bytes([octet])) for octet in frame(b"abcd") + frame(b"efg")),
    ]

    def test_text_at_every_octet(self):
        for text in self.TEXTS:
            for at in range(len(text)):
                answer = self.pieces(TEXT, [text[:at], text[at:]], "Collect")
                self.assertEqual((answer.messages, answer.code), ([b"abcd+efg"], 0), f"{text} {at}: {answer}")

    def test_octet_by_octet(self):
        for text in self.TEXTS:
            answer = self.pieces(TEXT, [bytes([octet]) for octet in text], "Collect")
            self.assertEqual((answer.messages, answer.code), ([b"abcd+efg"], 0), answer)
        body = frame(b"abcd") + frame(b"") + frame(b"efg")
        answer = self.pieces(WEB, [bytes([octet]) for octet in body], "Collect")
        self.assertEqual((answer.messages, answer.code), ([b"abcd++efg"], 0), answer)

    def test_vectors_of_others(self):
        """Bodies of other clients' tests (facts of grpc-web, grpc-dotnet, Envoy)."""
        for text, messages in [
            (b"AAAAAAUKA2FhYQ==", b"\n\x03aaa"),
            (b"AAAAAAUKA2FhYQAAAAAFCgNhYWEAAAAABQoDYWFh", b"+".join([b"\n\x03aaa"] * 3)),
            (b"AAAAAAYKBHRlc3Q=" * 5, b"+".join([b"\n\x04test"] * 5)),
            (b"AAAAABJncnBjLXdlYi10ZXh0LWRhdGE=", b"grpc-web-text-data"),
        ]:
            self.assertEqual(self.post("Collect", text, TEXT).messages, [messages], text)

    def test_bad_text(self):
        good = base64.b64encode(frame(b"abcd"))
        for bad in (b"****", good[:-1], good[:-2], good + b"A", good[:4] + b"\r\n" + good[4:], b"_-8=" + good, b"=" + good,
                    b"A" + good):
            answer = self.post("Echo", bad, TEXT)
            self.assertEqual((answer.http, answer.code), (200, 13), f"{bad}: {answer}")

    def test_bad_frames(self):
        for bad, code in [
            (frame(b"abcd")[:-1], 13), (b"\0\0\0", 13), (b"\2\0\0\0\0", 13), (frame(b"x", 0x80), 13), (frame(b"x", 1), 12),
            (struct.pack(">BI", 0, 4 * 1024 * 1024 + 1), 8), (struct.pack(">BI", 0, 0xffffffff) + b"abc", 8),
        ]:
            answer = self.post("Echo", bad)
            self.assertEqual((answer.http, answer.code), (200, code), f"{bad}: {answer}")
            self.assertTrue(answer.trailers["grpc-message"])

    def test_the_message_before_a_bad_one_is_not_half_a_call(self):
        """The server never sees the end of such a request as an end."""
        answer = self.post("Collect", frame(b"good") + b"\7")
        self.assertEqual((answer.messages, answer.code), ([], 13), answer)


class Streaming(Gateway):
    def begin(self, method, message, form=WEB):
        """Sends a request; gives the response to read piece by piece."""
        connection = self.http()
        body = frame(message)
        connection.request("POST", f"/test.Test/{method}", base64.b64encode(body) if form == TEXT else body,
                           {"content-type": form})
        return connection, connection.getresponse()

    def test_messages_as_they_are_sent(self):
        for form in (WEB, TEXT):
            for one in self.servers:
                one.go.set()
            connection, response = self.begin("Count", bytes([3, 10]), form)
            server = next(one for one in self.servers if one.address == response.headers["grpclb-peer"])
            for number in range(3):
                # The next is not sent before this one has arrived.
                size = 15 if form == WEB else 20
                got = response.read(size)
                got = decode_text(got) if form == TEXT else got
                self.assertEqual(frames(got), [(0, bytes([number]) * 10)])
                server.go.set()
            last = response.read()
            self.assertEqual(frames(decode_text(last) if form == TEXT else last), [(0x80, b"grpc-status:0\r\n")])
            server.go.clear()

    def test_a_client_that_goes_cancels(self):
        for method, message in (("Endless", b"\x01"), ("Hang", b"")):
            self.setUp()
            sock = self.connect()
            sock.sendall(b"POST /test.Test/%s HTTP/1.1\r\nhost: x\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s"
                         % (method.encode(), WEB.encode(), 5 + len(message), frame(message)))
            server = self.which()
            if method == "Endless":
                self.assertTrue(sock.recv(100_000))
            sock.close()
            self.assertTrue(server.cancelled.wait(LIMIT), f"{method}: the server does not know")

    def test_a_client_that_reads_nothing_stops_the_server(self):
        """Bounded: windows and buffers on the way, not what the server could send."""
        sock = socket.socket()
        self.addCleanup(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        sock.connect(("127.0.0.1", self.gateway.port))
        sock.sendall(b"POST /test.Test/Endless HTTP/1.1\r\nhost: x\r\ncontent-type: %s\r\ncontent-length: 6\r\n\r\n%s"
                     % (WEB.encode(), frame(b"\x40")))
        server = self.which()
        sent = -1
        while sent != getattr(server, "sent", 0):
            sent = getattr(server, "sent", 0)
            time.sleep(0.5)
        self.assertLess(sent * 65536, 24 << 20, "octets that the server could send")
        self.assertLess(resident(self.gateway.process.pid), 64 << 20)
        sock.close()
        self.assertTrue(server.cancelled.wait(LIMIT))

    def test_deadline(self):
        answer = self.unary(b"", "Hang", grpc_timeout="200m")
        self.assertEqual(answer.code, 4, answer)
        self.assertTrue(self.which().cancelled.wait(LIMIT))

    def test_bad_timeouts(self):
        for bad in ("1", "-1m", "HH", "123456789m", "1H1H", "foo", "1X", ""):
            self.assertEqual(self.unary(b"", grpc_timeout=bad).code, 13, bad)
        for good in ("1H", "1M", "1S", "12345678m"):
            self.assertEqual(self.unary(b"", grpc_timeout=good).code, 0, good)
        self.assertEqual(self.unary(b"", grpc_timeout="0n").code, 4)

    def test_several_messages_up(self):
        answer = self.post("Chat", frame(b"a") + frame(b"") + frame(b"ccc"))
        self.assertEqual((answer.messages, answer.code), ([b"a", b"", b"ccc"], 0))

    def test_http_1_0(self):
        sock = self.connect()
        sock.sendall(b"POST /test.Test/Chat HTTP/1.0\r\ncontent-type: %s\r\ncontent-length: 14\r\n\r\n%s"
                     % (WEB.encode(), frame(b"ab") + frame(b"cd")))
        response = http.client.HTTPResponse(sock)
        response.begin()
        answer = Answer(response)
        self.assertEqual((answer.messages, answer.code), ([b"ab", b"cd"], 0), answer)


def resident(process):
    """Octets in memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Cors(Gateway):
    def test_preflight(self):
        answer = self.request("OPTIONS", "/test.Test/Echo", origin="http://page.example",
                              access_control_request_method="POST",
                              access_control_request_headers="content-type,x-grpc-web,x-user-agent,x-own")
        self.assertEqual((answer.status, answer.read()), (204, b""))
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assertEqual(answer.headers["access-control-allow-methods"], "POST")
        self.assertEqual(answer.headers["access-control-allow-headers"], "content-type,x-grpc-web,x-user-agent,x-own")
        self.assertGreater(int(answer.headers["access-control-max-age"]), 60)

    def test_pages_see_status_peer_and_metadata(self):
        for method in ("Echo", "Fail"):
            answer = self.unary(b"m", method, origin="http://page.example", x_one="1")
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")
            exposed = answer.headers["access-control-expose-headers"].split(",")
            self.assertEqual(len(exposed), len(set(exposed)), exposed)
            expected = {"grpc-status", "grpc-message", "grpc-status-details-bin", "grpclb-peer",
                        "x-one" if method == "Echo" else "why"}
            self.assertLessEqual(expected, set(exposed))

    def test_what_is_no_call(self):
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = self.request(method, "/test.Test/Echo", content_type=WEB)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "OPTIONS, POST"), method)
        for wrong in ("application/json", "text/plain", "application/grpc-webby", "", "application/grpc",
                      "application/grpc-web+json", "application/grpc-web-text+thrift", "application/grpc+json"):
            answer = self.request("POST", "/test.Test/Echo", frame(b""), content_type=wrong)
            self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (415, "*"), wrong)
            self.assertIn(b"proto" if "+" in wrong else b"application/grpc-web", answer.read())


class BadClients(Gateway):
    """An answer or a clean close; `tearDown` says that others are served."""

    def said(self, data):
        """What it says to that, until it closes; a client that hangs is a failure."""
        sock, said = self.connect(), b""
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except TimeoutError:
            raise
        except OSError:
            pass  # closed already
        try:
            while more := sock.recv(65536):
                said += more
        except ConnectionResetError:
            pass
        return said

    def test_garbage(self):
        for garbage in (os.urandom(4096), b"\0" * 4096, b"\xff" * 100_000, b"\r\n\r\n" * 10, b"", b"P", b"PRI * HTTP/2.0\r\n",
                        b"PRI * HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\xb5\x01" + bytes(180)):
            said = self.said(garbage)
            self.assertTrue(said == b"" or said.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 505", b"\0\0")), said)

    def test_bad_chunks(self):
        head = b"POST /test.Test/Echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc-web\r\ntransfer-encoding: chunked\r\n\r\n"
        for bad in (b"zz\r\n", b"-1\r\nabc\r\n", b"5\r\nab", b"fffffffffffffffff\r\n", b"5\r\n\0\0\0\0\1x0\r\n\r\n", b"\r\n" * 20):
            said = self.said(head + bad)
            self.assertNotIn(b"grpc-status:0\r", said)

    def test_both_lengths(self):
        """Request smuggling: not two requests."""
        body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
        said = self.said(b"POST /test.Test/Echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc-web\r\n"
                         b"content-length: %d\r\ntransfer-encoding: chunked\r\n\r\n%s" % (len(body), body))
        self.assertLessEqual(said.count(b"HTTP/1.1 "), 1, said)

    def test_a_body_that_breaks_off(self):
        said = self.said(b"POST /test.Test/Collect HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc-web\r\n"
                         b"content-length: 100\r\n\r\n" + frame(b"abc"))
        self.assertNotIn(b"abc", said)

    def test_huge_heads(self):
        for head in (b"GET /" + b"a" * 1_000_000, b"GET / HTTP/1.1\r\nx: " + b"a" * 1_000_000,
                     b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: y\r\n" % number for number in range(100_000))):
            said = self.said(head + b"\r\n\r\n")
            self.assertTrue(said == b"" or said.startswith(b"HTTP/1.1 4"), said[:200])

    def test_who_sends_too_much_hears_why(self):
        """The answer comes before the end of what is sent, and the connection is not cut while that is under way."""
        post = b"POST /test.Test/Echo HTTP/1.1\r\nhost: x\r\ncontent-type: %s\r\n"
        long = b"content-length: 8000005\r\n\r\n" + frame(bytes(8_000_000))
        for request, answer in [
            (post % b"application/grpc-web" + long, b"grpc-status: 8\r\n"), (post % b"text/plain" + long, b"HTTP/1.1 415 "),
            (post % b"text/plain" + b"x: " + b"a" * 4_000_000 + b"\r\n\r\n", b"HTTP/1.1 431 "),
        ]:
            sock = self.connect()
            sock.sendall(request)
            said = b""
            while more := sock.recv(65536):
                said += more
            self.assertIn(answer, said)

    def test_many_that_say_nothing(self):
        socks = [self.connect() for _ in range(200)]
        for sock in socks[::2]:
            sock.sendall(b"POST /test.Test/Echo HT")
        self.assertEqual(self.unary(b"me too").messages, [b"me too"])

    def test_two_requests_on_one_connection(self):
        head = b"POST /test.Test/Echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc-web\r\ncontent-length: 6\r\n\r\n"
        sock = self.connect()
        sock.sendall((head + frame(b"1")) + (head + frame(b"2")))
        said = b""
        while said.count(b"grpc-status:0\r\n") < 2:
            more = sock.recv(65536)
            self.assertTrue(more, said)
            said += more
        self.assertLess(said.index(frame(b"1")), said.index(frame(b"2")))


class Files(Gateway):
    @classmethod
    def setUpClass(cls):
        cls.servers = [Backend()]
        cls.addClassCleanup(cls.servers[0].server.stop, None)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name) / "page"
        (cls.folder / "sub").mkdir(parents=True)
        (Path(folder.name) / "secret").write_text("secret")
        (Path(folder.name) / "page2").mkdir()
        (Path(folder.name) / "page2" / "secret").write_text("secret")
        (cls.folder / "index.html").write_text("<p>page")
        (cls.folder / "sub" / "index.html").write_text("<p>sub")
        (cls.folder / "a b.js").write_text("js")
        (cls.folder / "m.wasm").write_bytes(b"\0asm" * 50_000)
        (cls.folder / "empty.txt").write_text("")
        (cls.folder / "out").symlink_to("../secret")
        (cls.folder / "outdir").symlink_to("..")
        (cls.folder / "in").symlink_to("index.html")
        os.mkfifo(cls.folder / "pipe")
        cls.gateway = cls.start_shared(PROGRAMS / "gateway", "--listen", "127.0.0.1:0", "--target",
                                       f"ipv4:{cls.servers[0].address}", "--static", cls.folder).listening()

    def get(self, path, method="GET"):
        answer = self.request(method, path)
        return answer.status, answer.headers.get("content-type"), answer.read()

    def test_files(self):
        html = "text/html; charset=utf-8"
        self.assertEqual(self.get("/"), (200, html, b"<p>page"))
        self.assertEqual(self.get("/?x=1"), (200, html, b"<p>page"))
        self.assertEqual(self.get("/sub/"), (200, html, b"<p>sub"))
        self.assertEqual(self.get("/a%20b.js"), (200, "text/javascript; charset=utf-8", b"js"))
        self.assertEqual(self.get("/m.wasm"), (200, "application/wasm", b"\0asm" * 50_000))
        self.assertEqual(self.get("/empty.txt"), (200, "text/plain; charset=utf-8", b""))
        self.assertEqual(self.get("/in")[2], b"<p>page")
        self.assertEqual(self.get("/sub")[0], 301)

    def test_head(self):
        answer = self.request("HEAD", "/m.wasm")
        self.assertEqual((answer.status, answer.headers["content-length"], answer.read()), (200, "200000", b""))

    def test_nothing_else(self):
        for path in ("/../secret", "/%2e%2e/secret", "/sub/../../secret", "/..%2fsecret", "/out", "/outdir/secret", "/outdir/",
                     "/../page2/secret", "//etc/passwd", "/%00", "/nothing", "/pipe", "/index.html/", "/a%2", "/..", "/sub/..",
                     "/..\\secret", "/." + "/a" * 3000):
            status, _, body = self.get(path)
            self.assertEqual(status, 404, path)
            self.assertNotIn(b"secret", body)

    def test_calls_beside_files(self):
        self.assertEqual(self.unary(b"m").messages, [b"m"])
        self.assertEqual(self.request("PUT", "/").status, 405)


class Arguments(Case):
    def fails(self, *flags):
        done = self.ours("gateway", *flags)
        self.assertEqual((done.code, done.out), (2, ""), done)
        self.assertEqual(len(done.err.splitlines()), 1, done)
        return done.err

    def test_errors_name_the_flag(self):
        target = ["--target", "ipv4:127.0.0.1:1"]
        listen = ["--listen", "127.0.0.1:0"]
        for flags, words in [
            ([], "--listen"), (listen, "--target"), (target + ["--listen", "x"], "--listen x"),
            (listen + ["--target", "ipv4:nope"], "--target ipv4:nope"), (listen + ["--target", "zoo:x"], "--target zoo:x"),
            (listen + target + ["--service-config", '{"loadBalancingPolicy":1}'], "$.loadBalancingPolicy"),
            (listen + target + ["--static", "/does/not/exist"], "--static /does/not/exist"),
            (listen + target + ["--static", __file__], "--static"), (listen + target + ["--wait-ready", "x"], "--wait-ready x"),
            (listen + target + ["--nope"], "--nope"),
        ]:
            self.assertIn(words, self.fails(*flags))

    def test_a_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            where = "127.0.0.1:%d" % taken.getsockname()[1]
            self.assertIn(where, self.fails("--listen", where, "--target", "ipv4:127.0.0.1:1"))

    def test_help(self):
        done = self.ours("gateway", "--help")
        self.assertEqual((done.code, done.err), (0, ""), done)
        for flag in ("--listen", "--target", "--service-config", "--static", "--wait-ready"):
            self.assertIn(flag, done.out)


class Faults(Case):
    """Backends come and go: always a status, never a body that is cut."""

    def gateway_before(self, target, *flags):
        self.gateway = self.start(PROGRAMS / "gateway", "--listen", "127.0.0.1:0", "--target", target, *flags).listening()

    def call(self, connection=None, form=WEB):
        if connection is None:
            connection = self.http()
        body = frame(b"\n\x03you")
        connection.request("POST", "/helloworld.Greeter/SayHello", base64.b64encode(body) if form == TEXT else body,
                           {"content-type": form})
        return Answer(connection.getresponse())

    def http(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=LIMIT)
        self.addCleanup(connection.close)
        return connection

    def test_nobody_there(self):
        self.gateway_before(f"ipv4:127.0.0.1:{free_port()}")
        answer = self.call()
        self.assertEqual((answer.http, answer.code, answer.alone), (200, 14, True))
        self.assertIn("failed to connect", answer.headers["grpc-message"])
        self.assertNotIn("grpclb-peer", answer.headers)

    def test_killed_in_hand(self):
        server = backend(self.start, "slow", 0, "--delay-ms", "10000").listening()
        self.gateway_before(f"ipv4:{server.address}")
        killer = threading.Timer(0.5, server.kill)
        killer.start()
        self.addCleanup(killer.join)
        answer = self.call()
        self.assertEqual((answer.http, answer.code), (200, 14), answer)

    def test_killed_in_mid_stream(self):
        """A server that breaks off behind two messages, within the third: messages, then UNAVAILABLE in the trailers."""
        def breaks_off(sock):
            stream = wire.until_request(sock)
            data = frame(b"one") + frame(b"two") + frame(b"three")[:7]
            sock.sendall(wire.frame(wire.HEADERS, wire.END_HEADERS, stream, wire.RESPONSE)
                         + wire.frame(wire.DATA, 0, stream, data) + how(stream))
            # What is unread at a close would take along what was sent.
            sock.shutdown(socket.SHUT_WR)
            wire.linger(sock)

        resets = [lambda stream, code=code: wire.frame(wire.RST_STREAM, 0, stream, code.to_bytes(4, "big")) for code in (2, 8)]
        for how, code in [(lambda stream: b"", 14), (resets[0], 13), (resets[1], 1)]:
            self.gateway_before(f"ipv4:{wire.Fake(self, breaks_off).address}")
            for form in (WEB, TEXT):
                answer = self.call(form=form)
                self.assertEqual((answer.messages, answer.code), ([b"one", b"two"], code), answer)

    def test_one_of_three_killed_and_back(self):
        servers = [backend(self.start, f"b{number}").listening() for number in range(3)]
        self.gateway_before("ipv4:" + ",".join(server.address for server in servers), "--service-config", ROUND_ROBIN,
                            "--wait-ready", "3")
        codes, peers = collections.Counter(), collections.Counter()
        connection = self.http()
        for number in range(300):
            if number == 100:
                servers[1].kill()
            answer = self.call(connection)
            codes[answer.code] += 1
            peers[answer.headers.get("grpclb-peer")] += 1
        self.assertGreaterEqual(codes[0], 299, codes)
        self.assertGreater(min(peers[servers[0].address], peers[servers[2].address]), 130, peers)

    def test_who_is_answered_before_the_end_of_a_request_hears_that_the_connection_ends(self):
        self.gateway_before(f"ipv4:127.0.0.1:{free_port()}")
        for form, status in ((WEB, b"200"), ("text/plain", b"415")):
            with socket.create_connection(("127.0.0.1", self.gateway.port), timeout=LIMIT) as sock:
                sock.sendall(b"POST /helloworld.Greeter/SayHello HTTP/1.1\r\nhost: a\r\ncontent-type: %s\r\n"
                             b"content-length: 10\r\n\r\n" % form.encode())
                response = http.client.HTTPResponse(sock, method="POST")
                response.begin()
                self.assertEqual(str(response.status).encode(), status)
                self.assertEqual(response.headers.get("connection"), "close", response.headers)
                response.read()
        # And whose request was taken goes on.
        self.gateway_before("ipv4:" + backend(self.start, "b0").listening().address, "--wait-ready", "1")
        connection = self.http()
        for _ in range(3):
            self.assertEqual(self.call(connection).headers.get("connection"), None)

    def test_killed_and_restarted_under_load(self):
        """Every response is whole: its status says what happened."""
        servers = [backend(self.start, f"b{number}").listening() for number in range(3)]
        self.gateway_before("ipv4:" + ",".join(server.address for server in servers), "--service-config", ROUND_ROBIN,
                            "--wait-ready", "3")
        over, codes, served = threading.Event(), collections.Counter(), collections.Counter()

        def calls(number):
            connection, seen = self.http(), collections.Counter()
            while not over.is_set():
                answer = self.call(connection, (WEB, TEXT)[number % 2])
                seen[answer.code] += 1
                served[answer.headers.get("grpclb-peer")] += answer.code == 0
            return seen

        with futures.ThreadPoolExecutor(8) as pool:
            callers = [pool.submit(calls, number) for number in range(8)]
            for round in range(3):
                time.sleep(0.3)
                servers[round].kill()
                time.sleep(0.3)
                servers[round] = backend(self.start, f"b{round}", servers[round].port).listening()
                before = served[servers[round].address]
                # Connecting again may take a backoff of a second: until then the others serve.
                until("it serves again", lambda: served[servers[round].address] > before)
            over.set()
            for caller in callers:
                codes += caller.result(LIMIT)
        self.assertLessEqual(set(codes), {0, 14}, codes)
        self.assertGreater(codes[0], 500, codes)
        # What was in its hands at a kill, and no more.
        self.assertLessEqual(codes[14], 3 * 8, codes)
