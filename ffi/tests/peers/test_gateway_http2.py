"""HTTP/2 clients of the gateway: grpcio's, gRPC's interop suite, and gRPC-Web over HTTP/2 by python-hyper's h2."""

import base64
import collections
import os
import socket
import threading
import time
from concurrent import futures

import grpc
import h2.config
import h2.connection
import h2.events

import wire
from harness import PROGRAMS, ROUND_ROBIN, Case, backend, free_port, messages, until
from test_gateway import LIMIT, TEXT, WEB, Gateway, decode_text, fields, frame, frames, resident

messages()
import helloworld_pb2
import helloworld_pb2_grpc

PLAIN = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]


class Grpcio(Gateway):
    """grpcio's clients through the gateway to grpcio's servers."""

    def setUp(self):
        super().setUp()
        self.channel = grpc.insecure_channel(self.gateway.address, PLAIN)
        self.addCleanup(self.channel.close)

    def kind(self, kind, method):
        return getattr(self.channel, kind)(f"/test.Test/{method}", None, None)

    def test_unary(self):
        answer, call = self.kind("unary_unary", "Echo").with_call(
            b"hello", timeout=LIMIT, metadata=[("x-one", "1"), ("x-data-bin", b"\0\xff")])
        self.assertEqual(answer, b"hello")
        head, trailers = dict(call.initial_metadata()), dict(call.trailing_metadata())
        self.assertEqual((head["x-one"], head["x-data-bin"]), ("1", b"\0\xff"))
        self.assertEqual((trailers["t-one"], trailers["t-data-bin"]), ("1", b"\0\xff"))
        self.assertIn(head["grpclb-peer"], [one.address for one in self.servers])
        # grpcio rounds up what it sends.
        self.assertTrue(LIMIT - 5 < self.which().seen["time left"] < LIMIT + 1)

    def test_sizes(self):
        for size in (0, 1, 16_384, 100_000, 4_000_000):
            message = os.urandom(size)
            self.assertEqual(self.kind("unary_unary", "Echo")(message, timeout=LIMIT), message)

    def test_streams_of_all_kinds(self):
        parts = [b"a", b"", b"c" * 100_000] * 10
        self.assertEqual(self.kind("stream_unary", "Collect")(iter(parts), timeout=LIMIT), b"+".join(parts))
        self.assertEqual(list(self.kind("stream_stream", "Chat")(iter(parts), timeout=LIMIT)), parts)
        for one in self.servers:
            one.go.set()
        answers = self.kind("unary_stream", "Count")(bytes([3, 2]), timeout=LIMIT)
        server = None
        for number, answer in enumerate(answers):
            self.assertEqual(answer, bytes([number]) * 2)
            peer = dict(answers.initial_metadata())["grpclb-peer"]
            server = next(one for one in self.servers if one.address == peer)
            server.go.set()
        self.assertEqual(number, 2)

    def test_ping_pong(self):
        """Each message waits for the answer to the one before."""
        turn = threading.Semaphore(1)

        def asks():
            for number in range(50):
                assert turn.acquire(timeout=LIMIT)
                yield b"%d" % number

        for number, answer in enumerate(self.kind("stream_stream", "Chat")(asks(), timeout=LIMIT)):
            self.assertEqual(answer, b"%d" % number)
            turn.release()
        self.assertEqual(number, 49)

    def fails(self, call, code):
        with self.assertRaises(grpc.RpcError) as raised:
            call()
        self.assertEqual(raised.exception.code(), code, raised.exception)
        return raised.exception

    def test_errors(self):
        unary = self.kind("unary_unary", "Fail")
        error = self.fails(lambda: unary("no: 100% é\n".encode(), timeout=LIMIT), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual(error.details(), "no: 100% é\n")
        trailers = dict(error.trailing_metadata())
        self.assertEqual((trailers["why"], trailers["grpc-status-details-bin"]), ("so", b"\0\1\2\xff"))
        answers, got = self.kind("unary_stream", "Late")(b"m", timeout=LIMIT), []
        error = self.fails(lambda: got.extend(iter(lambda: next(answers), None)), grpc.StatusCode.ABORTED)
        self.assertEqual((error.details(), dict(error.trailing_metadata())["details-bin"]), ("after two: 100% é\n", b"\0\xff"))
        self.fails(lambda: self.kind("unary_unary", "Nope")(b"", timeout=LIMIT), grpc.StatusCode.UNIMPLEMENTED)

    def test_deadline_and_cancel_go_along(self):
        hang = self.kind("unary_unary", "Hang")
        self.fails(lambda: hang(b"", timeout=0.3), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertTrue(self.which().cancelled.wait(LIMIT))
        self.setUp()
        call = hang.future(b"", timeout=LIMIT)
        server = self.which()
        call.cancel()
        self.assertTrue(server.cancelled.wait(LIMIT), "the server does not know of the cancellation")
        self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)

    def test_compressed_messages_are_refused(self):
        call = lambda: self.kind("unary_unary", "Echo")(bytes(10_000), timeout=LIMIT, compression=grpc.Compression.Gzip)
        self.fails(call, grpc.StatusCode.UNIMPLEMENTED)

    def test_too_large(self):
        self.fails(lambda: self.kind("unary_unary", "Echo")(bytes(4 << 20 | 1), timeout=LIMIT),
                   grpc.StatusCode.RESOURCE_EXHAUSTED)

    def test_a_client_that_reads_nothing_stops_the_server(self):
        answers = self.kind("unary_stream", "Endless")(b"\x40")
        server = self.which()
        sent = -1
        while sent != getattr(server, "sent", 0):
            sent = getattr(server, "sent", 0)
            time.sleep(0.5)
        self.assertLess(sent << 16, 24 << 20)
        self.assertLess(resident(self.gateway.process.pid), 64 << 20)
        answers.cancel()
        self.assertTrue(server.cancelled.wait(LIMIT))

    def test_a_server_that_reads_nothing_stops_the_client(self):
        """Nor does the gateway keep what the server does not take."""
        sent = [0]

        def asks():
            for _ in range(10_000):
                yield bytes(64 << 10)
                sent[0] += 1

        def holds(sock):
            wire.until_request(sock)
            time.sleep(LIMIT)

        gateway = self.start(PROGRAMS / "gateway", "--listen", "127.0.0.1:0", "--target",
                             f"ipv4:{wire.Fake(self, holds).address}").listening()
        with grpc.insecure_channel(gateway.address, PLAIN) as channel:
            call = channel.stream_unary("/test.Test/Collect", None, None).future(asks())
            before = -1
            while before != sent[0] or not sent[0]:
                before = sent[0]
                time.sleep(0.5)
            self.assertLess(sent[0] << 16, 8 << 20)
            self.assertLess(resident(gateway.process.pid), 32 << 20)
            call.cancel()


class Shares(Case):
    """Calls of grpcio clients, shared out by the gateway."""

    @classmethod
    def setUpClass(cls):
        cls.addresses = [backend(cls.start_shared, f"b{number}").listening().address for number in range(3)]

    def hello(self, flags, threads, calls):
        gateway = self.start(PROGRAMS / "gateway", "--listen", "127.0.0.1:0", "--target", "ipv4:" + ",".join(self.addresses),
                             "--wait-ready", "3", *flags).listening()
        peers = collections.Counter()
        with grpc.insecure_channel(gateway.address, PLAIN) as channel, futures.ThreadPoolExecutor(threads) as pool:
            stub = helloworld_pb2_grpc.GreeterStub(channel)

            def one(_):
                _, call = stub.SayHello.with_call(helloworld_pb2.HelloRequest(name="you"), timeout=LIMIT)
                return dict(call.initial_metadata())["grpclb-peer"]

            peers.update(pool.map(one, range(calls)))
        return [peers[address] for address in self.addresses]

    def test_round_robin_gives_each_exactly_its_third(self):
        for threads in (1, 16):
            self.assertEqual(self.hello(["--service-config", ROUND_ROBIN], threads, 3000), [1000] * 3)

    def test_weights_1_2_4(self):
        weights = ",".join(f'"{address}":{weight}' for address, weight in zip(self.addresses, (1, 2, 4)))
        config = '{"loadBalancingConfig":[{"weighted_round_robin":{"weights":{%s}}}]}' % weights
        for got, share in zip(self.hello(["--service-config", config], 8, 3500), (500, 1000, 2000)):
            self.assertLessEqual(abs(got - share), 6)


class Interop(Case):
    """Our interop client and server, the gateway between them."""

    CASES = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
             "custom_metadata", "status_code_and_message", "special_status_message", "unimplemented_method",
             "unimplemented_service", "cancel_after_begin", "cancel_after_first_response", "timeout_on_sleeping_server"]

    def test_cases(self):
        port = free_port()
        self.start(PROGRAMS / "interop_server", "--port", port).listening()
        gateway = self.start(PROGRAMS / "gateway", "--listen", "127.0.0.1:0", "--target", f"ipv4:127.0.0.1:{port}").listening()
        for case in self.CASES:
            with self.subTest(case):
                done = self.ours("interop_client", "--server_host", "127.0.0.1", "--server_port", gateway.port,
                                 "--test_case", case)
                self.assertEqual(done.code, 0, done)


class Http2:
    """A connection of python-hyper's h2 over a socket."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.sock = socket.create_connection((host, int(port)), timeout=LIMIT)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.events = collections.defaultdict(list)

    def post(self, path, body, method="POST", **headers):
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x")]
        self.h2.send_headers(stream, head + [(name.replace("_", "-"), value) for name, value in headers.items()],
                             end_stream=body is None)
        for at in range(0, len(body or b""), 16_384):
            self.h2.send_data(stream, body[at : at + 16_384])
        if body is not None:
            self.h2.end_stream(stream)
        return stream

    def turn(self):
        self.sock.sendall(self.h2.data_to_send())
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.events[getattr(event, "stream_id", 0)].append(event)
        self.sock.sendall(self.h2.data_to_send())

    def answer(self, stream):
        """(header fields, body, trailers) once the stream has ended."""
        ends = (h2.events.StreamEnded, h2.events.StreamReset)
        while not any(isinstance(event, ends) for event in self.events[stream]):
            self.turn()
        head, body, trailers = {}, b"", {}
        for event in self.events[stream]:
            if isinstance(event, h2.events.ResponseReceived):
                head = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                body += event.data
            elif isinstance(event, h2.events.TrailersReceived):
                trailers = dict(event.headers)
        return head, body, trailers


class WebOverHttp2(Gateway):
    def setUp(self):
        super().setUp()
        self.client = Http2(self.gateway.address)
        self.addCleanup(self.client.sock.close)

    def test_both_forms(self):
        for form in (WEB, TEXT):
            body = frame(b"hello")
            stream = self.client.post("/test.Test/Echo", base64.b64encode(body) if form == TEXT else body,
                                      content_type=form, x_one="1")
            head, body, trailers = self.client.answer(stream)
            self.assertEqual((head[":status"], head["content-type"], head["x-one"]), ("200", form, "1"))
            found = frames(decode_text(body) if form == TEXT else body)
            self.assertEqual(found[0], (0, b"hello"))
            self.assertEqual(fields(found[1][1]), {"grpc-status": "0", "t-one": "1"})
            self.assertEqual(trailers, {})

    def test_status_alone_and_cors(self):
        head, body, _ = self.client.answer(self.client.post("/test.Test/Fail", frame(b"no"), content_type=WEB, origin="http://p"))
        self.assertEqual((head[":status"], head["grpc-status"], head["grpc-message"], body), ("200", "8", "no", b""))
        self.assertEqual(head["access-control-allow-origin"], "*")
        self.assertIn("grpc-status", head["access-control-expose-headers"])
        stream = self.client.post("/test.Test/Echo", None, "OPTIONS", origin="http://p", access_control_request_method="POST",
                                  access_control_request_headers="x-grpc-web")
        head, body, _ = self.client.answer(stream)
        self.assertEqual((head[":status"], head["access-control-allow-headers"], body), ("204", "x-grpc-web", b""))

    def test_what_is_no_call(self):
        for method, content_type, status in [("GET", WEB, "405"), ("POST", "text/plain", "415"),
                                             ("POST", "application/grpc+json", "415"), ("HEAD", WEB, "405")]:
            head, body, _ = self.client.answer(self.client.post("/test.Test/Echo", b"x" * 100, method, content_type=content_type))
            self.assertEqual(head[":status"], status)
            self.assertEqual(bool(body), method != "HEAD")

    def test_large_both_ways(self):
        message = os.urandom(60_000)
        stream = self.client.post("/test.Test/Echo", frame(message), content_type=WEB)
        self.assertEqual(frames(self.client.answer(stream)[1])[0], (0, message))

    def test_reset_cancels(self):
        stream = self.client.post("/test.Test/Hang", frame(b""), content_type=WEB)
        self.client.sock.sendall(self.client.h2.data_to_send())
        server = self.which()
        self.client.h2.reset_stream(stream)
        self.client.sock.sendall(self.client.h2.data_to_send())
        self.assertTrue(server.cancelled.wait(LIMIT))
        _, body, _ = self.client.answer(self.client.post("/test.Test/Echo", frame(b"on"), content_type=WEB))
        self.assertEqual(frames(body)[0], (0, b"on"))

    def test_a_connection_that_goes_cancels(self):
        self.client.post("/test.Test/Hang", frame(b""), content_type=WEB)
        self.client.sock.sendall(self.client.h2.data_to_send())
        server = self.which()
        self.client.sock.close()
        self.assertTrue(server.cancelled.wait(LIMIT))

    def test_many_at_once(self):
        streams = [self.client.post("/test.Test/Echo", frame(b"%d" % number), content_type=WEB) for number in range(100)]
        for number, stream in enumerate(streams):
            self.assertEqual(frames(self.client.answer(stream)[1])[0], (0, b"%d" % number))

    def test_preface_in_pieces(self):
        sock = self.connect()
        for octet in wire.PREFACE:
            sock.sendall(bytes([octet]))
            time.sleep(0.002)
        sock.sendall(wire.frame(wire.SETTINGS) + wire.call(1))
        kinds = set()
        while wire.HEADERS not in kinds:
            kinds.add(wire.read_frame(sock)[0])

    def test_bad_frames_end_their_connection_alone(self):
        self.assertEqual(frames(self.client.answer(self.client.post("/test.Test/Echo", frame(b"1"), content_type=WEB))[1])[0][1], b"1")
        for bad in (os.urandom(4000), wire.frame(wire.DATA, 0, 1, b"x"), wire.frame(wire.HEADERS, wire.END_HEADERS, 1, b"\xff" * 50),
                    wire.frame(wire.SETTINGS, 0, 0, b"x"), wire.frame(0, 0, 0, b"", 1 << 23)):
            sock = self.connect()
            sock.sendall(wire.PREFACE + wire.frame(wire.SETTINGS) + bad)
            said = b""
            try:
                while more := sock.recv(65536):
                    said += more
            except ConnectionResetError:
                pass
        self.assertEqual(frames(self.client.answer(self.client.post("/test.Test/Echo", frame(b"2"), content_type=WEB))[1])[0][1], b"2")
