"""grpcio's clients, blocking and asyncio, call our servers."""

import asyncio
import socket
import threading
import time
from concurrent import futures

from harness import PROGRAMS, Case, backend, free_port, messages
from wire import ACK, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, call, frame, read_frame

messages()

import grpc
import helloworld_pb2
import helloworld_pb2_grpc
import testing_pb2
import testing_pb2_grpc

PLAIN = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]


def hello(channel, name="you", **more):
    return helloworld_pb2_grpc.GreeterStub(channel).SayHello(helloworld_pb2.HelloRequest(name=name), **more)


class Unary(Case):
    def test_blocking(self):
        server = self.server("--name", "S")
        with grpc.insecure_channel(server.address, PLAIN) as channel:
            self.assertEqual(hello(channel, timeout=10).message, "Hello you from S")
            self.assertEqual(hello(channel, "Ünï ☺", timeout=10).message, "Hello Ünï ☺ from S")

    def test_many_threads(self):
        server = self.server("--name", "S")
        with grpc.insecure_channel(server.address, PLAIN) as channel, futures.ThreadPoolExecutor(32) as pool:
            names = [f"n{number}" for number in range(3000)]
            answers = pool.map(lambda name: hello(channel, name, timeout=30).message, names)
            self.assertEqual(list(answers), [f"Hello {name} from S" for name in names])

    def test_asyncio(self):
        server = self.server("--name", "S")

        async def calls():
            async with grpc.aio.insecure_channel(server.address, PLAIN) as channel:
                return await asyncio.gather(*(hello(channel, f"n{number}", timeout=30) for number in range(1000)))

        answers = asyncio.run(calls())
        self.assertEqual([answer.message for answer in answers], [f"Hello n{number} from S" for number in range(1000)])

    def test_large_request(self):
        server = self.server("--name", "S")
        name = "x" * 1_000_000
        with grpc.insecure_channel(server.address, PLAIN) as channel:
            self.assertEqual(hello(channel, name, timeout=20).message, f"Hello {name} from S")

    def test_deadline(self):
        server = self.server("--delay-ms", 2000)
        with grpc.insecure_channel(server.address, PLAIN) as channel:
            with self.assertRaises(grpc.RpcError) as raised:
                hello(channel, timeout=0.2)
            self.assertEqual(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_unknown_method(self):
        server = self.server()
        with grpc.insecure_channel(server.address, PLAIN) as channel:
            for path in ("/helloworld.Greeter/Nothing", "/nobody.Nothing/Nothing"):
                with self.assertRaises(grpc.RpcError) as raised:
                    channel.unary_unary(path)(b"", timeout=10)
                self.assertEqual(raised.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_health(self):
        server = self.server()
        with grpc.insecure_channel(server.address, PLAIN) as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            self.assertEqual(check(b"", timeout=10), b"\x08\x01")  # SERVING
            with self.assertRaises(grpc.RpcError) as raised:
                check(b"\x0a\x07unknown", timeout=10)
            self.assertEqual(raised.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_wrong_bytes_are_refused_in_words(self):
        """A HelloRequest that is no protobuf."""
        server = self.server()
        with grpc.insecure_channel(server.address, PLAIN) as channel:
            with self.assertRaises(grpc.RpcError) as raised:
                channel.unary_unary("/helloworld.Greeter/SayHello")(b"\x0a\xff", timeout=10)
            self.assertIn(raised.exception.code(), (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT))
            self.assertEqual(hello(channel, timeout=10).message.split()[0], "Hello")


class ConnectionAge(Case):
    """Connections retire while calls run; no call may notice.

    grpcio's transparent retries stay on here: without them grpcio fails a few calls that never left it
    when a GOAWAY comes (before its own server, too). That our server itself refuses none is TwoSteps' matter.
    """

    FLAGS = ("--max-connection-age-ms", 150, "--max-connection-age-grace-ms", 5000)

    def test_blocking(self):
        server = self.server(*self.FLAGS)
        ends = time.monotonic() + 3

        def call_on():
            made = 0
            while time.monotonic() < ends:
                hello(channel, timeout=10)
                made += 1
            return made

        with grpc.insecure_channel(server.address) as channel, futures.ThreadPoolExecutor(8) as pool:
            made = [job.result() for job in [pool.submit(call_on) for _ in range(8)]]
        print(f"note  {sum(made)} calls over connections that live 150 ms: none failed")
        self.assertGreater(min(made), 10)

    def test_asyncio_with_slow_calls(self):
        """Calls that last longer than the age: they end on the old connection."""
        server = self.server(*self.FLAGS, "--delay-ms", 250)

        async def calls():
            async with grpc.aio.insecure_channel(server.address) as channel:
                jobs = []
                for number in range(100):
                    jobs.append(asyncio.ensure_future(hello(channel, f"n{number}", timeout=20)))
                    await asyncio.sleep(0.01)
                return await asyncio.gather(*jobs)

        self.assertEqual(len(asyncio.run(calls())), 100)

    def test_our_own_client(self):
        servers = [self.server(*self.FLAGS) for _ in range(2)]
        self.greet_ok([server.address for server in servers], 20000, "--concurrency", 4,
                      "--service-config", '{"loadBalancingPolicy":"round_robin"}')


class TwoSteps(Case):
    """RFC 9113 §6.8: a GOAWAY that refuses nothing, then, a round trip later, one that names the last stream."""

    def test_a_call_that_crosses_the_first_goaway_is_served(self):
        server = self.server("--max-connection-age-ms", 100, "--name", "S")
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
                sock.sendall(PREFACE + frame(SETTINGS))
                last_ids, served, sent = [], set(), 0
                while True:
                    try:
                        kind, flags, stream, payload = read_frame(sock)
                    except EOFError:
                        break
                    if kind == SETTINGS and not flags & ACK:
                        sock.sendall(frame(SETTINGS, ACK))
                    elif kind == GOAWAY:
                        self.assertEqual(payload[4:8], bytes(4), "NO_ERROR")
                        last_ids.append(int.from_bytes(payload[:4], "big"))
                        if len(last_ids) == 1:
                            # Calls that were on their way while the GOAWAY was.
                            for sent in (1, 3, 5):
                                sock.sendall(call(sent))
                    elif kind == PING and not flags & ACK:
                        sock.sendall(frame(PING, ACK, 0, payload))
                    elif kind == HEADERS and flags & END_STREAM:
                        served.add(stream)
                    self.assertNotEqual(kind, RST_STREAM)
                self.assertEqual(last_ids, [2**31 - 1, 5])
                self.assertEqual(served, {1, 3, 5})


class Streaming(Case):
    """What a grpcio client can do to interop_server beyond grpc-go's cases."""

    @classmethod
    def setUpClass(cls):
        cls.running = cls.start_shared(PROGRAMS / "interop_server", "--port", free_port()).listening()
        cls.channel = grpc.insecure_channel(cls.running.address, PLAIN)
        cls.addClassCleanup(cls.channel.close)
        cls.stub = testing_pb2_grpc.TestServiceStub(cls.channel)

    @staticmethod
    def payload(size):
        return testing_pb2.Payload(body=bytes(size))

    def test_client_streaming_of_many_messages(self):
        requests = (testing_pb2.StreamingInputCallRequest(payload=self.payload(size % 5000)) for size in range(2000))
        answer = self.stub.StreamingInputCall(requests, timeout=30)
        self.assertEqual(answer.aggregated_payload_size, sum(size % 5000 for size in range(2000)))

    def test_server_streaming_of_many_messages(self):
        sizes = [size * 37 % 70000 for size in range(500)]
        request = testing_pb2.StreamingOutputCallRequest(
            response_parameters=[testing_pb2.ResponseParameters(size=size) for size in sizes])
        answers = self.stub.StreamingOutputCall(request, timeout=30)
        self.assertEqual([len(answer.payload.body) for answer in answers], sizes)

    def test_a_reader_that_is_slow_stops_the_server_and_no_other_call(self):
        request = testing_pb2.StreamingOutputCallRequest(
            response_parameters=[testing_pb2.ResponseParameters(size=100_000)] * 40)
        slow = iter(self.stub.StreamingOutputCall(request, timeout=30))
        next(slow)
        time.sleep(0.2)
        for _ in range(20):
            self.stub.EmptyCall(testing_pb2.Empty(), timeout=10)
        self.assertEqual(len([*slow]), 39)

    def test_ping_pong_in_many_threads(self):
        def play(seed):
            sizes = [(seed * 131 + number * 977) % 9000 for number in range(50)]
            ball = threading.Semaphore(0)

            def requests():
                for size in sizes:
                    yield testing_pb2.StreamingOutputCallRequest(
                        response_parameters=[testing_pb2.ResponseParameters(size=size)], payload=self.payload(size))
                    ball.acquire()

            got = []
            for answer in self.stub.FullDuplexCall(requests(), timeout=30):
                got.append(len(answer.payload.body))
                ball.release()
            return got == sizes

        with futures.ThreadPoolExecutor(8) as pool:
            self.assertEqual(list(pool.map(play, range(8))), [True] * 8)

    def test_metadata_comes_back(self):
        metadata = (("x-grpc-test-echo-initial", "first"), ("x-grpc-test-echo-trailing-bin", b"\x00\xab\xff"))
        _, call = self.stub.UnaryCall.with_call(testing_pb2.SimpleRequest(response_size=1), metadata=metadata, timeout=10)
        self.assertIn(("x-grpc-test-echo-initial", "first"), call.initial_metadata())
        self.assertIn(("x-grpc-test-echo-trailing-bin", b"\x00\xab\xff"), call.trailing_metadata())

    def test_cancelled_in_the_middle(self):
        request = testing_pb2.StreamingOutputCallRequest(
            response_parameters=[testing_pb2.ResponseParameters(size=10, interval_us=1000)] * 100_000)
        call = self.stub.StreamingOutputCall(request, timeout=30)
        next(iter(call))
        call.cancel()
        self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)
        self.stub.EmptyCall(testing_pb2.Empty(), timeout=10)


class BothWays(Case):
    def test_our_client_tells_of_a_deadline_that_grpcio_misses(self):
        server = backend(self.start, "slow", 0, "--delay-ms", 3000).listening()
        outcome = self.greet([server.address], "--calls", 1, "--deadline-ms", 300)
        self.assertEqual(outcome.code, 64 + 4, outcome)
        self.assertIn("DEADLINE_EXCEEDED: ", outcome.err)
        self.assertLess(outcome.seconds, 2.5)
