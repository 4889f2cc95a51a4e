"""Our client before servers that are no gRPC servers, or bad ones: one clear status, in time."""

import os
import socket
import time

import wire
from harness import (
    DEADLINE_EXCEEDED, INTERNAL, PERMISSION_DENIED, RESOURCE_EXHAUSTED, ROUND_ROBIN, UNAUTHENTICATED,
    UNAVAILABLE, UNIMPLEMENTED, UNKNOWN, CANCELLED, Case, backend, free_port,
)
from wire import (
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, PUSH_PROMISE, RESPONSE,
    RST_STREAM, SETTINGS, UNKNOWN_TYPE, WINDOW_UPDATE, Fake, block, frame, linger, message, trailers, until_request,
)

NAMES = {CANCELLED: "CANCELLED", DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED", INTERNAL: "INTERNAL",
         PERMISSION_DENIED: "PERMISSION_DENIED", RESOURCE_EXHAUSTED: "RESOURCE_EXHAUSTED",
         UNAUTHENTICATED: "UNAUTHENTICATED", UNAVAILABLE: "UNAVAILABLE", UNIMPLEMENTED: "UNIMPLEMENTED",
         UNKNOWN: "UNKNOWN"}


class BadServer(Case):
    def fails(self, target, *codes, flags=(), within=8.0):
        """One call, which ends with one of these exit codes, in words, in time."""
        if isinstance(target, Fake):
            target = "ipv4:" + target.address
        outcome = self.greet(target, "--calls", 1, *flags, timeout=20)
        self.assertIn(outcome.code, codes, outcome)
        first = outcome.err.strip().splitlines()[0]
        name, _, words = first.partition(": ")
        self.assertEqual(name, NAMES[outcome.code], outcome)
        self.assertGreater(len(words), 5, outcome)
        self.assertLess(outcome.seconds, within, outcome)
        return words


class NotGrpc(BadServer):
    """What answers there is something else, or nothing."""

    def test_garbage(self):
        for garbage in (os.urandom(4096), b"\0" * 4096, b"\xff" * 4096, b"SSH-2.0-OpenSSH_9.2\r\n"):
            self.fails(Fake(self, lambda sock: (sock.sendall(garbage), linger(sock))), UNAVAILABLE)

    def test_http_1_server(self):
        def answer(sock):
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        self.fails(Fake(self, answer), UNAVAILABLE)

    def test_tls_server(self):
        """It answers a hello that was none with an alert."""

        def answer(sock):
            sock.recv(4096)
            sock.sendall(b"\x15\x03\x01\x00\x02\x02\x46")

        self.fails(Fake(self, answer), UNAVAILABLE)

    def test_closes_at_once(self):
        self.fails(Fake(self, lambda sock: None), UNAVAILABLE)

    def test_nobody_there(self):
        words = self.fails(f"ipv4:127.0.0.1:{free_port()}", UNAVAILABLE, within=3)
        self.assertIn("127.0.0.1", words, "the message names the address")

    def test_nobody_at_a_unix_socket(self):
        self.fails("unix:/nonexistent/socket", UNAVAILABLE, within=3)

    def test_accepts_and_says_nothing(self):
        self.fails(Fake(self, linger), DEADLINE_EXCEEDED, flags=("--deadline-ms", 500), within=3)

    def test_does_not_even_accept(self):
        """The kernel shakes hands for a program that sleeps."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            target = "ipv4:127.0.0.1:%d" % listener.getsockname()[1]
            self.fails(target, DEADLINE_EXCEEDED, flags=("--deadline-ms", 500), within=3)

    def test_handshake_and_then_silence(self):
        def quiet(sock):
            until_request(sock)
            linger(sock)

        self.fails(Fake(self, quiet), DEADLINE_EXCEEDED, flags=("--deadline-ms", 500), within=3)

    def test_name_does_not_resolve(self):
        words = self.fails("dns:///no-such-name.invalid:50051", UNAVAILABLE, within=20)
        self.assertIn("no-such-name.invalid", words)

    def test_file_that_is_not_there(self):
        words = self.fails("file:///nonexistent/endpoints", UNAVAILABLE, flags=("--deadline-ms", 5000))
        self.assertIn("/nonexistent/endpoints", words)

    def test_all_of_several_dead(self):
        self.fails(f"ipv4:127.0.0.1:{free_port()},127.0.0.1:{free_port()}", UNAVAILABLE,
                   flags=("--service-config", ROUND_ROBIN))

    def test_a_bad_one_among_good_ones_costs_no_call(self):
        bad = Fake(self, lambda sock: (sock.sendall(b"\0" * 100), linger(sock)))
        good = backend(self.start, "good").listening()
        self.greet_ok([bad.address, good.address], 200, "--service-config", ROUND_ROBIN)
        self.greet_ok([bad.address, good.address], 200)


class ClosedInTheMiddle(BadServer):
    """The connection ends inside a frame of each kind, after the request was read: UNAVAILABLE."""


HEAD = frame(HEADERS, END_HEADERS, 1, RESPONSE)
WHOLE = {
    "frame_head": (b"", frame(SETTINGS)[:9] + b"xxxxx", 4),
    "data": (HEAD, frame(DATA, 0, 1, message(b"hello")), 12),
    "headers": (b"", HEAD, 20),
    "priority": (b"", frame(PRIORITY, 0, 1, bytes(5)), 11),
    "rst_stream": (b"", frame(RST_STREAM, 0, 1, bytes(4)), 11),
    "settings": (b"", frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64" * 2), 17),
    "push_promise": (b"", frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02" + RESPONSE), 14),
    "ping": (b"", frame(PING, 0, 0, bytes(8)), 13),
    "goaway": (b"", frame(GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\0debug data"), 19),
    "window_update": (b"", frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01"), 11),
    "continuation": (frame(HEADERS, 0, 1, RESPONSE[:10]), frame(CONTINUATION, END_HEADERS, 1, RESPONSE[10:]), 15),
    "before_continuation": (frame(HEADERS, 0, 1, RESPONSE[:10]), b"", 0),
    "unknown_type": (b"", frame(UNKNOWN_TYPE, 0, 0, bytes(100)), 50),
    "nothing": (b"", b"", 0),
    "message": (HEAD, frame(DATA, 0, 1, message(b"hello", length=500)), 19),
    "padding": (HEAD, frame(DATA, 0x8, 1, b"\x20" + message(b"hello") + bytes(32)), 25),
}


def closed_inside(before, cut):
    def test(self):
        for reset in (False, True):
            def behave(sock):
                until_request(sock)
                sock.sendall(before + cut)
                if reset:
                    # Data that was not read and no time to linger: the kernel sends RST.
                    time.sleep(0.05)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.fails(Fake(self, behave), UNAVAILABLE)
    return test


for kind, (before, whole, keep) in WHOLE.items():
    setattr(ClosedInTheMiddle, f"test_{kind}", closed_inside(before, whole[:keep]))


class BadAnswers(BadServer):
    """HTTP/2, but the answer is wrong: the status that gRPC prescribes."""

    def answers(self, *frames):
        def behave(sock):
            until_request(sock)
            sock.sendall(b"".join(frames))
            linger(sock)

        return Fake(self, behave)

    def test_http_status_without_grpc_status(self):
        """grpc/doc/http-grpc-status-mapping.md"""
        for http, code in ((400, INTERNAL), (401, UNAUTHENTICATED), (403, PERMISSION_DENIED), (404, UNIMPLEMENTED),
                           (429, UNAVAILABLE), (502, UNAVAILABLE), (503, UNAVAILABLE), (504, UNAVAILABLE),
                           (500, UNKNOWN), (418, UNKNOWN)):
            with self.subTest(http):
                fields = block((":status", str(http)), ("content-type", "text/html"))
                self.fails(self.answers(frame(HEADERS, END_HEADERS | END_STREAM, 1, fields)), code)

    def test_http_error_with_a_body(self):
        fields = block((":status", "503"), ("content-type", "text/html"))
        self.fails(self.answers(frame(HEADERS, END_HEADERS, 1, fields),
                                frame(DATA, END_STREAM, 1, b"<html>busy</html>")), UNAVAILABLE)

    def test_200_without_trailers(self):
        for end in (frame(HEADERS, END_HEADERS | END_STREAM, 1, RESPONSE),
                    HEAD + frame(DATA, END_STREAM, 1, message(b"hello"))):
            self.fails(self.answers(end), UNKNOWN, INTERNAL)

    def test_wrong_content_type(self):
        fields = block((":status", "200"), ("content-type", "text/html"))
        self.fails(self.answers(frame(HEADERS, END_HEADERS, 1, fields),
                                frame(DATA, END_STREAM, 1, b"<html>hello</html>")), UNKNOWN)

    def test_rst_stream(self):
        """PROTOCOL-HTTP2.md, Errors"""
        for error, code in ((0, INTERNAL), (1, INTERNAL), (2, INTERNAL), (8, CANCELLED), (11, RESOURCE_EXHAUSTED),
                            (12, PERMISSION_DENIED), (7, UNAVAILABLE)):
            with self.subTest(error):
                def behave(sock):
                    while True:
                        stream = until_request(sock)
                        sock.sendall(frame(RST_STREAM, 0, stream, error.to_bytes(4, "big")))
                        while True:  # a call that was refused comes once more, perhaps on this connection
                            kind, _, stream, _ = wire.read_frame(sock)
                            if kind == HEADERS:
                                sock.sendall(frame(RST_STREAM, 0, stream, error.to_bytes(4, "big")))

                self.fails(Fake(self, behave), code)

    def test_status_and_message_of_the_server(self):
        self.assertEqual(self.fails(self.answers(
            frame(HEADERS, END_HEADERS | END_STREAM, 1, RESPONSE + trailers(7, "not%20for %E2%98%BA you"))),
            PERMISSION_DENIED), "not for ☺ you")

    def test_ok_without_a_message(self):
        """Cardinality: a unary call has one response."""
        self.fails(self.answers(HEAD, frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers(0))), UNIMPLEMENTED, INTERNAL)

    def test_ok_with_two_messages(self):
        self.fails(self.answers(HEAD, frame(DATA, 0, 1, message(b"\x0a\x01a") * 2),
                                frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers(0))), UNIMPLEMENTED, INTERNAL)

    def test_message_too_large(self):
        self.fails(self.answers(HEAD, frame(DATA, 0, 1, message(b"x", length=0xFFFFFFFF))), RESOURCE_EXHAUSTED)

    def test_compressed_without_encoding(self):
        self.fails(self.answers(HEAD, frame(DATA, 0, 1, message(b"hello", flag=1)),
                                frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers(0))), INTERNAL)

    def test_message_cut_off_by_trailers(self):
        self.fails(self.answers(HEAD, frame(DATA, 0, 1, message(b"he", length=5)),
                                frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers(0))), INTERNAL)

    def test_no_number_as_status(self):
        fields = RESPONSE + block(("grpc-status", "excellent"))
        self.fails(self.answers(frame(HEADERS, END_HEADERS | END_STREAM, 1, fields)), UNKNOWN)

    def test_broken_header_block(self):
        self.fails(self.answers(frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff")), UNAVAILABLE, INTERNAL)

    def test_frame_too_large(self):
        self.fails(self.answers(frame(DATA, 0, 1, b"", length=0xFFFFFF) + bytes(20000)), UNAVAILABLE, INTERNAL)

    def test_frames_on_streams_that_never_were(self):
        for odd in (frame(DATA, 0, 0, b"x"), frame(DATA, 0, 77, b"x"), frame(HEADERS, END_HEADERS, 2, RESPONSE),
                    frame(WINDOW_UPDATE, 0, 0, bytes(4)), frame(CONTINUATION, 0, 1, b"x"), frame(SETTINGS, 0, 0, b"x")):
            self.fails(self.answers(odd), UNAVAILABLE, INTERNAL)


class Refusals(BadServer):
    """What a server did not process goes elsewhere, once (gRFC A6)."""

    def test_refused_stream_is_tried_on_another_endpoint(self):
        def refuse(sock):
            stream = until_request(sock)
            while True:
                sock.sendall(frame(RST_STREAM, 0, stream, b"\0\0\0\x07"))
                kind = None
                while kind != HEADERS:
                    kind, _, stream, _ = wire.read_frame(sock)

        bad = Fake(self, refuse)
        good = backend(self.start, "good").listening()
        told = self.greet_ok([bad.address, good.address], 100, "--service-config", ROUND_ROBIN, "--wait-ready", 2)
        self.assertEqual(told["peers"], {good.address: 100})

    def test_goaway_below_the_stream_is_tried_on_another_endpoint(self):
        def retire(sock):
            until_request(sock)
            sock.sendall(frame(GOAWAY, 0, 0, bytes(8)))
            linger(sock)

        bad = Fake(self, retire)
        good = backend(self.start, "good").listening()
        told = self.greet_ok([bad.address, good.address], 100, "--service-config", ROUND_ROBIN, "--wait-ready", 2)
        self.assertEqual(told["peers"], {good.address: 100})

    def test_refused_for_ever_ends(self):
        def retire(sock):
            until_request(sock)
            sock.sendall(frame(GOAWAY, 0, 0, bytes(8)))

        self.fails(Fake(self, retire), UNAVAILABLE)


class Floods(BadServer):
    """A server that sends without end: the client neither hangs nor grows."""

    def floods(self, chunk):
        def behave(sock):
            until_request(sock)
            ends = time.monotonic() + 5
            while time.monotonic() < ends:
                sock.sendall(chunk)

        # Ends by itself (ENHANCE_YOUR_CALM, a limit) or at the deadline.
        self.fails(Fake(self, behave), UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL, RESOURCE_EXHAUSTED,
                   flags=("--deadline-ms", 1000), within=4)

    def test_pings(self):
        self.floods(frame(PING, 0, 0, bytes(8)) * 1000)

    def test_settings(self):
        self.floods(frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64") * 1000)

    def test_empty_data(self):
        self.floods(HEAD + frame(DATA, 0, 1) * 1000)

    def test_unknown_frames(self):
        self.floods(frame(UNKNOWN_TYPE, 0, 1, bytes(1000)) * 10)

    def test_endless_header_block(self):
        def behave(sock):
            until_request(sock)
            sock.sendall(frame(HEADERS, 0, 1, RESPONSE))
            while True:
                sock.sendall(frame(CONTINUATION, 0, 1, wire.literal("x", "y" * 100) * 100))

        self.fails(Fake(self, behave), UNAVAILABLE, INTERNAL, RESOURCE_EXHAUSTED, flags=("--deadline-ms", 3000))
