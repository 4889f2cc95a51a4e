"""The balancer and the connection without sockets."""

import socket
import subprocess
import sys
import threading
import time
import unittest

from support import Served, pb

import grpclb
from grpclb import Action, ActionKind, Connection, Picker, PickResult, SubchannelEvent, sansio

A, B, C = "10.0.0.1:50051", "10.0.0.2:50051", "10.0.0.3:50051"
ROUND_ROBIN = {"loadBalancingPolicy": "round_robin"}


def ready(picker, now=0):
    """Connects to all that the picker wants."""
    while (action := picker.poll_action()) is not None:
        if action.kind is ActionKind.CONNECT:
            picker.handle_subchannel(now, action.subchannel, SubchannelEvent.READY)


class Pickers(unittest.TestCase):
    def test_the_story(self):
        picker = Picker(seed=1, position=0)
        self.assertEqual(picker.state().name, "IDLE")
        self.assertIs(picker.pick(0), PickResult.QUEUE)
        self.assertEqual(picker.poll_action(), Action(ActionKind.RESOLVE, None))
        before = picker.version()
        picker.handle_resolution(0, [A, [B, C]], ROUND_ROBIN)
        ready(picker)
        self.assertNotEqual(picker.version(), before)
        self.assertEqual(picker.state().name, "READY")
        picks = [picker.address(picker.pick(1)) for _ in range(6)]
        self.assertEqual(picks, picks[:2] * 3)
        self.assertEqual(set(picks), {A, B})
        self.assertEqual([(one.address, one.state.name, one.weight) for one in picker.endpoints()],
                         [(A, "READY", 1), (B, "READY", 1)])
        self.assertEqual(picker.ready_count(), 2)
        picker.shutdown()
        self.assertIs(picker.pick(2), PickResult.FAIL)
        self.assertEqual(picker.poll_action().kind, ActionKind.CLOSE)

    def test_weights(self):
        picker = Picker(position=0)
        picker.connect(0)
        picker.handle_resolution(0, (A, B, C), '{"loadBalancingConfig":[{"weighted_round_robin":{}}]}', weights=[1, 2, 4])
        ready(picker)
        shares = {}
        for _ in range(7000):
            address = picker.address(picker.pick(1))
            shares[address] = shares.get(address, 0) + 1
        for address, share in ((A, 1000), (B, 2000), (C, 4000)):
            self.assertLessEqual(abs(shares[address] - share), 6, shares)

    def test_backoff(self):
        picker = Picker(initial_backoff=2, connect_timeout=5)
        picker.connect(0)
        picker.poll_action()
        picker.handle_resolution(0, [A])
        attempt = picker.poll_action()
        picker.handle_subchannel(0, attempt.subchannel, SubchannelEvent.FAILED)
        self.assertIs(picker.pick(0), PickResult.FAIL)
        self.assertAlmostEqual(picker.poll_timeout() / 1e9, 2, delta=0.41)
        picker.handle_timeout(picker.poll_timeout())
        self.assertIn(ActionKind.CONNECT, [picker.poll_action().kind, picker.poll_action().kind])
        picker.set_busy(0, True)
        picker.handle_resolution_error(0)

    def test_threads(self):
        picker = Picker()
        picker.connect(0)
        picker.handle_resolution(0, [A, B], ROUND_ROBIN)
        ready(picker)
        picks = []
        threads = [threading.Thread(target=lambda: picks.extend(picker.pick(1) for _ in range(2000))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([picks.count(pick) for pick in set(picks)], [8000, 8000])

    def test_wrong(self):
        picker = Picker()
        for words, more, kind, text in (
            (([A], "{"), {}, ValueError, "service config: "),
            (([A], {"loadBalancingPolicy": 5}), {}, ValueError, "$.loadBalancingPolicy"),
            ((["nonsense"],), {}, ValueError, "endpoints[0]"),
            (([A, 5],), {}, TypeError, "endpoints[1]"),
            ((A,), {}, TypeError, "endpoints"),
            ((5,), {}, TypeError, ""),
            (([A],), {"weights": [1, 2]}, ValueError, "weights"),
            (([A],), {"weights": [-1]}, ValueError, "weights[0]"),
            (([A],), {"weights": ["1"]}, TypeError, "weights[0]"),
            (([A],), {"weights": [None]}, TypeError, "weights[0]"),
        ):
            with self.subTest(words), self.assertRaises(kind) as caught:
                picker.handle_resolution(0, *words, **more)
            self.assertIn(text, str(caught.exception))
        for options, kind in (({"seed": -1}, ValueError), ({"seed": "x"}, TypeError), ({"max_backoff": 0}, ValueError),
                              ({"connect_timeout": "1"}, TypeError), ({"nonsense": 1}, TypeError)):
            with self.subTest(options), self.assertRaisesRegex(kind, next(iter(options))):
                Picker(**options)
        with self.assertRaises(ValueError):
            picker.handle_subchannel(0, 1, "READY")
        self.assertIsNone(picker.address(77))
        with self.assertRaises(OverflowError):
            picker.pick(-1)


def kinds(events):
    return [type(event).__name__ for event in events]


class Connections(unittest.TestCase):
    """A client and a server, joined without a network."""

    def setUp(self):
        self.client, self.server = Connection(0, seed=1), Connection(0, server=True, seed=2)
        self.now = 0

    def carry(self):
        """What each side hears until neither says more."""
        heard = {self.client: [], self.server: []}
        while True:
            moved = 0
            for sender, receiver in ((self.client, self.server), (self.server, self.client)):
                octets = sender.data_to_send(self.now)
                moved += len(octets)
                heard[sender] += sender.poll_events()
                # However it is cut.
                for part in (octets[:7], octets[7:]):
                    heard[receiver] += receiver.recv(self.now, part)
            if not moved:
                return heard[self.client], heard[self.server]

    def test_a_call(self):
        metadata = [("x-text", "a"), ("x-raw-bin", b"\xff\x00")]
        call = self.client.start_call(0, "/a.B/C", authority="host", timeout=2, metadata=metadata)
        self.assertEqual(self.client.send_message(call, b"hello", end=True), 5)
        _, served = self.carry()
        self.assertEqual(kinds(served), ["Ready", "CallStarted", "Message"])
        _, started, message = served
        self.assertEqual((started.path, started.authority, started.end), ("/a.B/C", "host", False))
        self.assertEqual(set(started.metadata), {*metadata, ("user-agent", f"grpc-libgrpclb/{grpclb.__version__}")})
        self.assertAlmostEqual(started.timeout, 2, delta=0.01)
        self.assertEqual((message.data, message.is_last, message.end), (b"hello", True, True))
        self.server.release(message.call, 5)
        self.server.send_metadata(started.call, [("x-head", "h")])
        self.server.send_message(started.call, b"hi")
        self.server.send_status(started.call, 0, "", [("x-tail-bin", b"t")])
        answered, _ = self.carry()
        head, message, status = [event for event in answered if type(event) is not sansio.Ready]
        self.assertEqual((head.call, head.metadata["x-head"]), (call, "h"))
        self.assertEqual((message.data, message.length, message.end), (b"hi", 2, False))
        self.assertEqual((status.call, status.code, status.trailers["x-tail-bin"]), (call, 0, b"t"))
        self.assertEqual((self.client.calls(), self.server.calls()), (0, 0))

    def test_room(self):
        """More than a window goes in parts, as it is released."""
        call = self.client.start_call(0, "/a.B/C")
        self.carry()
        body, sent, got = bytes(300_000), 0, bytearray()
        while len(got) < len(body):
            try:
                while sent < len(body):
                    sent += self.client.send_message(call, body[sent:])
            except sansio.BlockedError:
                pass
            for event in self.carry()[1]:
                if isinstance(event, sansio.Message):
                    self.assertEqual(event.offset, len(got))
                    got += event.data
                    self.server.release(event.call, len(event.data))
        self.assertTrue(event.is_last)
        self.client.half_close(call)
        self.assertEqual(kinds(self.carry()[1]), ["Ended"])
        with self.assertRaises(sansio.ClosedError):
            self.client.send_message(call, b"more")

    def test_ends(self):
        call = self.client.start_call(0, "/a.B/C", timeout=1)
        self.carry()
        self.assertEqual(self.client.poll_timeout(), 1_000_000_000)
        self.now = 1_000_000_000
        (status,) = self.client.handle_timeout(self.now)
        self.assertEqual((status.call, status.code), (call, grpclb.StatusCode.DEADLINE_EXCEEDED.value[0]))
        cancelled = self.client.start_call(self.now, "/a.B/C")
        self.client.cancel(cancelled)
        (status,) = self.client.poll_events()
        self.assertEqual((status.code, status.fate), (1, sansio.Fate.NEVER_LEFT))
        lost = self.client.start_call(self.now, "/a.B/C")
        self.carry()
        self.client.carrier_lost(self.now)
        (status,) = self.client.poll_events()
        self.assertEqual((status.call, status.code, status.fate), (lost, 14, sansio.Fate.SEEN))
        self.assertTrue(self.client.is_closed())
        with self.assertRaises(sansio.ClosedError):
            self.client.start_call(self.now, "/a.B/C")

    def test_garbage_ends_the_connection(self):
        call = self.client.start_call(0, "/a.B/C")
        told = self.client.recv(0, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertEqual(kinds(told), ["Status", "Terminated"])
        self.assertEqual((told[0].call, told[0].code), (call, 14))
        self.assertTrue(told[1].reason)
        self.assertEqual(self.client.recv(0, b"more"), [])
        self.assertTrue(self.client.data_to_send(0))
        self.assertTrue(self.client.is_closed())

    def test_going_away(self):
        self.carry()
        self.server.shutdown(0)
        told, _ = self.carry()
        self.assertIn("GoAway", kinds(told))
        with self.assertRaises(sansio.ClosedError):
            self.client.start_call(0, "/a.B/C")

    def test_wrong(self):
        for words, more, kind in (
            (("no path",), {}, ValueError),
            (("/a/b",), {"metadata": [("Upper", "x")]}, ValueError),
            (("/a/b",), {"metadata": 5}, TypeError),
            (("/a/b",), {"timeout": float("nan")}, ValueError),
            ((5,), {}, TypeError),
        ):
            with self.subTest(words), self.assertRaises(kind):
                self.client.start_call(0, *words, **more)
        with self.assertRaises(sansio.ClosedError):
            self.client.send_message(12345, b"")
        call = self.client.start_call(0, "/a.B/C")
        with self.assertRaises(TypeError):
            self.client.send_message(call, "text")
        with self.assertRaises(TypeError):
            self.client.recv(0, "text")
        for options, kind in (({"max_calls": 0}, ValueError), ({"max_message_size": -1}, ValueError),
                              ({"max_message_size": None}, TypeError), ({"keepalive_time": "x"}, TypeError),
                              ({"keepalive_timeout": None, "keepalive_time": 10}, TypeError)):
            with self.assertRaisesRegex(kind, next(iter(options))):
                Connection(0, **options)
        small = Connection(0, max_calls=1)
        small.start_call(0, "/a.B/C")
        with self.assertRaises(sansio.BlockedError):
            small.start_call(0, "/a.B/C")


class OnSockets(Served):
    """Before grpcio, both ways, on blocking sockets."""

    def test_a_client_of_grpcio(self):
        with socket.create_connection(self.address.rsplit(":", 1), timeout=10) as sock:
            connection = Connection(time.monotonic_ns())
            request = pb.SimpleRequest(payload=pb.Payload(body=b"x" * 200_000)).SerializeToString()
            call = connection.start_call(time.monotonic_ns(), "/grpc.testing.TestService/UnaryCall", authority="x")
            sent, response, status = 0, b"", None
            while status is None:
                try:
                    while sent < len(request):
                        sent += connection.send_message(call, request[sent:], end=True)
                except sansio.BlockedError:
                    pass
                sock.sendall(connection.data_to_send(time.monotonic_ns()))
                if connection.poll_events():
                    continue
                for event in connection.recv(time.monotonic_ns(), sock.recv(65536)):
                    if isinstance(event, sansio.Message):
                        response += event.data
                        connection.release(call, len(event.data))
                    elif isinstance(event, sansio.Status):
                        status = event
        self.assertEqual((status.code, status.message), (0, ""))
        self.assertEqual(len(pb.SimpleResponse.FromString(response).payload.body), 200_000)

    def test_a_server_of_grpcio(self):
        door = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(door.close)

        def serve():
            sock, _ = door.accept()
            with sock:
                connection = Connection(time.monotonic_ns(), server=True)
                while octets := sock.recv(65536):
                    for event in connection.recv(time.monotonic_ns(), octets):
                        if isinstance(event, sansio.Message) and event.is_last:
                            connection.release(event.call, event.length)
                            connection.send_message(event.call, event.data[::-1])
                            connection.send_status(event.call, 0)
                    sock.sendall(connection.data_to_send(time.monotonic_ns()))

        threading.Thread(target=serve, daemon=True).start()
        import grpc

        with grpc.insecure_channel("127.0.0.1:%d" % door.getsockname()[1]) as channel:
            echo = channel.unary_unary("/a.B/C")
            for body in (b"abc", b"", b"x" * 5000 + b"y"):
                self.assertEqual(echo(body, timeout=10), body[::-1])


class Scenario(unittest.TestCase):
    def test_the_program(self):
        from support import TOP, environment

        for file in sorted((TOP / "core" / "tests" / "scenarios").glob("*.json")):
            done = subprocess.run([sys.executable, "-m", "grpclb.examples.scenario", file], env=environment(),
                                  capture_output=True, timeout=30)
            self.assertEqual(done.stdout, file.with_suffix(".txt").read_bytes(), file.name)
            self.assertEqual(done.returncode, 0)
