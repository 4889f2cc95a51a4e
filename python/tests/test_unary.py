"""Unary calls of both forms with the stubs of grpcio-tools, before a grpcio server."""

import asyncio
import os
import sys
import threading
import time
import types
import unittest
import unittest.mock
from pathlib import Path

from support import Served, arun, free_port, pb, until

import grpclb
import grpclb.aio

import grpc  # isort: skip  # last, so that what the package imports by itself would be seen in test_package.py
from testing_pb2_grpc import TestServiceStub as Stub  # isort: skip

BODY = bytes(range(256)) * 4


class Both:
    """What is asked of both forms: `call(method, request, **options)` gives (response, call) or raises."""

    def stub_call(self, name, request, channel_options=(), **options):
        raise NotImplementedError

    def test_the_generated_stub(self):
        response, call = self.stub_call("UnaryCall", pb.SimpleRequest(payload=pb.Payload(body=BODY)), timeout=10)
        self.assertEqual(response.payload.body, BODY)
        self.assertIs(call.code, grpc.StatusCode.OK)
        self.assertEqual((call.details, call.peer), ("", self.address))

    def test_metadata_both_ways(self):
        sent = (("initial-text", "a b"), ("initial-text", "c"), ("initial-raw-bin", b"\x00\xff,\x80"),
                ("trailing-text", "t"), ("trailing-raw-bin", b""))
        for metadata in (sent, list(map(list, sent)), grpc.aio.Metadata(*sent)):
            _, call = self.stub_call("EmptyCall", pb.Empty(), metadata=metadata)
            self.assertEqual(call.initial, sent[:3])
            self.assertEqual(call.trailing, sent[3:])
            self.assertEqual(call.initial["initial-raw-bin"], b"\x00\xff,\x80")
            self.assertEqual(call.initial.get_all("initial-text"), ["a b", "c"])
            self.assertEqual([pair.key for pair in call.trailing], ["trailing-text", "trailing-raw-bin"])
        for mapping in ({"trailing-a": "1"}, types.MappingProxyType({"trailing-a": "1"})):
            _, call = self.stub_call("EmptyCall", pb.Empty(), metadata=mapping)
            self.assertEqual(call.trailing.get("trailing-a"), "1")
            self.assertIsNone(call.trailing.get("trailing-b"))

    def test_status_with_details(self):
        status = pb.EchoStatus(code=9, message="gr\u00fcn % \n")
        with self.assertRaises(grpclb.RpcError) as caught:
            self.stub_call("UnaryCall", pb.SimpleRequest(response_status=status), metadata=[("initial-a", "1")])
        error = caught.exception
        self.assertIsInstance(error, self.GRPC_ERROR)
        self.assertIs(error.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertEqual((error.details(), error.peer()), (status.message, self.address))
        self.assertEqual(error.initial_metadata()["initial-a"], "1")
        self.assertEqual(error.trailing_metadata()["grpc-status-details-bin"], b"\x00details\xff")
        self.assertIn("FAILED_PRECONDITION: gr\u00fcn", str(error))
        for number in range(1, 17):
            with self.assertRaises(grpc.RpcError) as caught:
                self.stub_call("UnaryCall", pb.SimpleRequest(response_status=pb.EchoStatus(code=number, message="m")))
            self.assertEqual(caught.exception.code().value[0], number)

    def test_unimplemented(self):
        self.fails("UNIMPLEMENTED", "UnimplementedCall", pb.Empty())

    def test_deadline(self):
        began = time.monotonic()
        self.fails("DEADLINE_EXCEEDED", "EmptyCall", pb.Empty(), metadata=[("sleep-ms", "1000")], timeout=0.2)
        self.assertLess(time.monotonic() - began, 0.8)
        self.fails("DEADLINE_EXCEEDED", "EmptyCall", pb.Empty(), timeout=0)
        self.fails("DEADLINE_EXCEEDED", "EmptyCall", pb.Empty(), timeout=-1)
        self.stub_call("EmptyCall", pb.Empty(), timeout=float("inf"))

    def test_large_messages(self):
        body = bytes(3_900_000)
        response, _ = self.stub_call("UnaryCall", pb.SimpleRequest(payload=pb.Payload(body=body)))
        self.assertEqual(len(response.payload.body), len(body))
        asked = pb.SimpleRequest(response_size=5_000_000)
        self.fails("RESOURCE_EXHAUSTED", "UnaryCall", asked)
        response, _ = self.stub_call("UnaryCall", asked, {"max_message_size": 6_000_000})
        self.assertEqual(len(response.payload.body), 5_000_000)

    def test_empty_messages_are_no_messages_lost(self):
        response, _ = self.stub_call("UnaryCall", pb.SimpleRequest())
        self.assertEqual(response, pb.SimpleResponse(payload=pb.Payload()))

    def test_server_missing(self):
        target = f"ipv4:127.0.0.1:{free_port()}"
        error = self.fails("UNAVAILABLE", "EmptyCall", pb.Empty(), {"target": target}, timeout=10)
        self.assertIn("Connection refused", error.details())
        began = time.monotonic()
        self.fails("DEADLINE_EXCEEDED", "EmptyCall", pb.Empty(), {"target": target}, timeout=0.4, wait_for_ready=True)
        self.assertGreaterEqual(time.monotonic() - began, 0.39)

    def test_wrong_types(self):
        for options, kind, words in (
            ({"timeout": "1"}, TypeError, ""),
            ({"timeout": float("nan")}, ValueError, "timeout"),
            ({"metadata": 5}, TypeError, "metadata"),
            ({"metadata": [("a",)]}, TypeError, "metadata[0]"),
            ({"metadata": [("a", "b"), ("c", 5)]}, TypeError, "metadata[1]"),
            ({"metadata": [(b"a", "b")]}, TypeError, "metadata[0]"),
            ({"credentials": grpc.access_token_call_credentials("x")}, NotImplementedError, "credentials"),
            ({"compression": grpc.Compression.Gzip}, NotImplementedError, "compression"),
        ):
            with self.subTest(str(options)), self.assertRaises(kind) as caught:
                self.stub_call("EmptyCall", pb.Empty(), **options)
            self.assertIn(words, str(caught.exception))
        self.stub_call("EmptyCall", pb.Empty(), compression=grpc.Compression.NoCompression)
        error = self.fails("INTERNAL", "EmptyCall", "no message")
        self.assertIn("request_serializer: TypeError", error.details())
        self.assertIsInstance(error.__cause__, TypeError)
        self.fails("INTERNAL", "EmptyCall", pb.Empty(), metadata=[("Upper-Case", "x")])

    def fails(self, code, *words, **options):
        with self.assertRaises(grpclb.RpcError) as caught:
            self.stub_call(*words, **options)
        self.assertEqual(caught.exception.code().name, code, caught.exception)
        return caught.exception


class Ended:
    def __init__(self, code, details, peer, initial, trailing):
        self.code, self.details, self.peer, self.initial, self.trailing = code, details, peer, initial, trailing


class Blocking(Both, Served):
    GRPC_ERROR = grpc.RpcError

    def stub_call(self, name, request, channel_options=(), **options):
        with grpclb.Channel(**{"target": self.target, **dict(channel_options)}) as channel:
            method = getattr(Stub(channel), name)
            response, call = method.with_call(request, **options)
            return response, Ended(call.code(), call.details(), call.peer(), call.initial_metadata(), call.trailing_metadata())

    def test_a_plain_call(self):
        with grpclb.Channel(self.target) as channel:
            stub = Stub(channel)
            self.assertEqual(stub.EmptyCall(pb.Empty()), pb.Empty())

    def test_many_threads(self):
        wrong = []
        with grpclb.Channel(self.target) as channel:
            stub = Stub(channel)

            def calls(number):
                for turn in range(50):
                    body = f"{number} {turn}".encode() * 20
                    if stub.UnaryCall(pb.SimpleRequest(payload=pb.Payload(body=body)), timeout=20).payload.body != body:
                        wrong.append(body)

            threads = [threading.Thread(target=calls, args=(number,)) for number in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            self.assertFalse(any(thread.is_alive() for thread in threads))
        self.assertEqual(wrong, [])

    def test_others_run_while_a_call_waits(self):
        counted, stop = [0], threading.Event()

        def count():
            while not stop.is_set():
                counted[0] += 1
                time.sleep(0.001)

        thread = threading.Thread(target=count)
        with grpclb.Channel(self.target) as channel:
            stub = Stub(channel)
            stub.EmptyCall(pb.Empty())
            thread.start()
            before = counted[0]
            stub.EmptyCall(pb.Empty(), metadata=[("sleep-ms", "400")])
            after = counted[0]
            stop.set()
            thread.join()
        self.assertGreater(after - before, 50)

    def test_close_ends_calls_and_refuses_later_ones(self):
        channel = grpclb.Channel(self.target)
        stub = Stub(channel)
        errors = []

        def call():
            try:
                stub.EmptyCall(pb.Empty(), metadata=[("sleep-ms", "5000")])
            except grpclb.RpcError as error:
                errors.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.3)
        channel.close()
        channel.close()
        thread.join(3)
        self.assertEqual([error.code().name for error in errors], ["CANCELLED"])
        with self.assertRaisesRegex(ValueError, "closed"):
            stub.EmptyCall(pb.Empty())
        self.assertEqual(channel.get_state(), grpc.ChannelConnectivity.SHUTDOWN)

    def test_state(self):
        with grpclb.Channel(self.target) as channel:
            self.assertIs(channel.get_state(), grpc.ChannelConnectivity.IDLE)
            self.assertFalse(channel.wait_for_state_change(grpclb.ChannelConnectivity.IDLE, 0.05))
            self.assertTrue(channel.channel_ready(5))
            self.assertIs(channel.get_state(), grpc.ChannelConnectivity.READY)
            self.assertTrue(channel.wait_for_state_change(grpc.ChannelConnectivity.IDLE, 5))
            self.assertEqual(channel.endpoints(), [(self.address, grpc.ChannelConnectivity.READY)])
            with self.assertRaisesRegex(TypeError, "ChannelConnectivity"):
                channel.wait_for_state_change("READY")
        with grpclb.Channel(f"ipv4:127.0.0.1:{free_port()}") as channel:
            self.assertFalse(channel.channel_ready(0.1))

    def test_subscribers(self):
        with grpclb.Channel(self.target) as channel:
            grpc.channel_ready_future(channel).result(timeout=10)
            states, ready = [], threading.Event()

            def heard(state):
                states.append(state)
                if state is grpc.ChannelConnectivity.READY:
                    ready.set()

            channel.subscribe(heard, try_to_connect=True)
            self.assertTrue(ready.wait(5))
            channel.unsubscribe(heard)
            channel.unsubscribe(heard)
        with grpclb.Channel(self.target) as channel, unittest.mock.patch("threading.excepthook") as told:
            heard = threading.Event()

            def fails(state):
                if state is grpc.ChannelConnectivity.READY:
                    heard.set()
                raise LookupError(state)

            channel.subscribe(fails)
            until("what it raised is told", lambda: told.called, 5)
            channel.channel_ready(5)
            self.assertTrue(heard.wait(5), "after the first one failed")

    @unittest.skipUnless(sys.platform == "linux", "/proc says how much memory there is")
    def test_a_thread_keeps_no_large_response(self):
        def resident():
            return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        with grpclb.Channel(self.target, max_message_size=1 << 30) as channel:
            stub = Stub(channel)
            stub.EmptyCall(pb.Empty())
            before = resident()
            self.assertEqual(len(stub.UnaryCall(pb.SimpleRequest(response_size=100_000_000)).payload.body), 100_000_000)
            self.assertLess(resident() - before, 50_000_000)

    def test_close_ends_the_wait_for_ready(self):
        channel = grpclb.Channel(f"ipv4:127.0.0.1:{free_port()}")
        threading.Timer(0.1, channel.close).start()
        for _ in range(2):
            with self.assertRaisesRegex(ValueError, "closed"):
                channel.channel_ready(20)
        with grpclb.Channel(f"ipv4:127.0.0.1:{free_port()}") as channel, self.assertRaises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(timeout=0.3)

    def test_grpcs_interceptors(self):
        """They wrap any channel that behaves."""

        class Stamp(grpc.UnaryUnaryClientInterceptor):
            def intercept_unary_unary(self, proceed, details, request):
                details = details._replace(metadata=[("initial-stamp", "1")])
                return proceed(details, request)

        with grpclb.Channel(self.target) as channel:
            stub = Stub(grpc.intercept_channel(channel, Stamp()))
            _, call = stub.EmptyCall.with_call(pb.Empty())
            self.assertEqual(call.initial_metadata()["initial-stamp"], "1")

    def test_a_deserializer_that_fails(self):
        with grpclb.Channel(self.target) as channel:
            bad = channel.unary_unary("/grpc.testing.TestService/EmptyCall", None, lambda octets: 1 / 0)
            with self.assertRaises(grpclb.RpcError) as caught:
                bad(b"")
            self.assertIs(caught.exception.code(), grpc.StatusCode.INTERNAL)
            self.assertIn("response_deserializer: ZeroDivisionError", caught.exception.details())
            self.assertEqual(channel.unary_unary("/grpc.testing.TestService/EmptyCall")(bytearray()), b"")


class Aio(Both, Served):
    GRPC_ERROR = grpc.aio.AioRpcError

    def stub_call(self, name, request, channel_options=(), **options):
        async def run():
            async with grpclb.aio.Channel(**{"target": self.target, **dict(channel_options)}) as channel:
                call = getattr(Stub(channel), name)(request, **options)
                response = await call
                return response, Ended(await call.code(), await call.details(), call.peer(),
                                       await call.initial_metadata(), await call.trailing_metadata())

        return arun(run())

    def channel_test(self, test, seconds=30):
        async def run():
            async with grpclb.aio.Channel(self.target) as channel:
                return await test(channel, Stub(channel))

        return arun(run(), seconds)

    def test_many_at_once(self):
        async def test(_, stub):
            async def one(number):
                body = str(number).encode() * 100
                reply = await stub.UnaryCall(pb.SimpleRequest(payload=pb.Payload(body=body)), timeout=20)
                return reply.payload.body == body

            return await asyncio.gather(*map(one, range(500)))

        self.assertEqual(self.channel_test(test), [True] * 500)

    def test_one_that_fails_in_python_loses_no_other(self):
        """A batch of completions; some cannot be deserialized, one's callback raises."""

        async def test(channel, stub):
            heard = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context["exception"]))
            bad = channel.unary_unary("/grpc.testing.TestService/EmptyCall", None, lambda octets: 1 / 0)
            calls = [(bad(b"") if number % 3 == 0 else stub.EmptyCall(pb.Empty())) for number in range(60)]
            calls[1].add_done_callback(lambda call: {}[call])
            results = await asyncio.gather(*calls, return_exceptions=True)
            for number, result in enumerate(results):
                if number % 3 == 0:
                    self.assertIs(result.code(), grpc.StatusCode.INTERNAL)
                    self.assertIsInstance(result.__cause__, ZeroDivisionError)
                    self.assertIs(await calls[number].code(), grpc.StatusCode.INTERNAL)
                else:
                    self.assertEqual(result, pb.Empty())
            self.assertEqual([type(error) for error in heard], [KeyError])

        self.channel_test(test)

    def test_an_exit_in_a_deserializer_goes_on_after_the_others(self):
        path = "/grpc.testing.TestService/EmptyCall"

        def leave(_):
            raise SystemExit(5)

        async def start():
            good, bad = channel.unary_unary(path), channel.unary_unary(path, None, leave)
            await good(b"")
            calls.extend((bad if number == 20 else good)(b"") for number in range(60))
            await asyncio.sleep(0)  # they go out,
            time.sleep(0.3)  # and the responses wait, to come in one batch
            await asyncio.sleep(5)

        calls, channel, loop = [], grpclb.aio.Channel(self.target), asyncio.new_event_loop()
        try:
            with self.assertRaises(SystemExit):
                loop.run_until_complete(start())
            loop.run_until_complete(asyncio.sleep(0.3))
            self.assertEqual([number for number, call in enumerate(calls) if not call.done()], [20])
        finally:
            loop.run_until_complete(channel.close())
            loop.close()

    def test_cancel(self):
        async def test(channel, stub):
            call = stub.EmptyCall(pb.Empty(), metadata=[("sleep-ms", "3000")])
            told = []
            call.add_done_callback(told.append)
            self.assertFalse(call.done() or call.cancelled())
            await asyncio.sleep(0.05)
            self.assertTrue(call.cancel())
            self.assertFalse(call.cancel())
            self.assertTrue(call.done() and call.cancelled())
            with self.assertRaises(asyncio.CancelledError):
                await call
            self.assertIs(await call.code(), grpc.StatusCode.CANCELLED)
            self.assertEqual(await call.details(), "Locally cancelled by application!")
            await asyncio.sleep(0)
            self.assertEqual(told, [call])
            # Its place is free again, and others go on.
            self.assertEqual(await stub.EmptyCall(pb.Empty()), pb.Empty())
            self.assertEqual(channel._calls, {})

        self.channel_test(test, 2.5)

    def test_a_cancelled_task_cancels_its_call(self):
        async def test(channel, stub):
            call = stub.EmptyCall(pb.Empty(), metadata=[("sleep-ms", "3000")])

            async def wait():
                await call

            task = asyncio.ensure_future(wait())
            await asyncio.sleep(0.05)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertTrue(call.cancelled())
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(stub.EmptyCall(pb.Empty(), metadata=[("sleep-ms", "3000")]), 0.05)
            self.assertEqual(channel._calls, {})
            # Who only asks for the code does not own the call.
            call = stub.EmptyCall(pb.Empty(), metadata=[("sleep-ms", "200")])
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(call.code(), 0.05)
            self.assertEqual(await call, pb.Empty())

        self.channel_test(test, 2.5)

    def test_close(self):
        async def test():
            channel = grpclb.aio.Channel(self.target)
            stub = Stub(channel)
            slow = stub.EmptyCall(pb.Empty(), metadata=[("sleep-ms", "300")])
            lost = stub.EmptyCall(pb.Empty(), metadata=[("sleep-ms", "9000")])
            await asyncio.sleep(0.1)
            began = time.monotonic()
            await channel.close(grace=1)
            self.assertLess(time.monotonic() - began, 1.5)
            self.assertEqual(await slow, pb.Empty())
            with self.assertRaises(grpc.RpcError) as caught:
                await lost
            self.assertIs(caught.exception.code(), grpc.StatusCode.CANCELLED)
            with self.assertRaisesRegex(ValueError, "closed"):
                stub.EmptyCall(pb.Empty())
            self.assertIs(channel.get_state(True), grpc.ChannelConnectivity.SHUTDOWN)
            await channel.close()

        arun(test())

    def test_state(self):
        async def test():
            async with grpclb.aio.Channel(self.target) as channel:
                self.assertIs(channel.get_state(), grpc.ChannelConnectivity.IDLE)
                channel.get_state(try_to_connect=True)
                await channel.wait_for_state_change(grpc.ChannelConnectivity.IDLE)
                await channel.channel_ready()
                self.assertIs(channel.get_state(), grpc.ChannelConnectivity.READY)
                self.assertEqual(channel.endpoints(), [(self.address, grpc.ChannelConnectivity.READY)])
            async with grpclb.aio.Channel(f"ipv4:127.0.0.1:{free_port()}") as channel:
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(channel.channel_ready(), 0.1)
                await channel.wait_for_state_change(grpclb.ChannelConnectivity.IDLE)

        arun(test())

    def test_what_a_running_call_says(self):
        async def test(_, stub):
            call = stub.EmptyCall(pb.Empty(), metadata=[("sleep-ms", "100")], timeout=5)
            self.assertTrue(4 < call.time_remaining() <= 5)
            self.assertIsNone(stub.EmptyCall(pb.Empty()).time_remaining())
            await call.wait_for_connection()
            self.assertIsNone(call.peer())
            await call
            self.assertEqual((call.peer(), call.pick_order()), (self.address, 0))
            self.assertIn("UnaryUnaryCall, OK", repr(call))
            failing = stub.UnimplementedCall(pb.Empty())
            await failing.code()
            with self.assertRaises(grpc.aio.AioRpcError):
                await failing.wait_for_connection()

        self.channel_test(test)

    def test_event_loops(self):
        channel = grpclb.aio.Channel(self.target)
        stub = Stub(channel)
        with self.assertRaisesRegex(RuntimeError, "no running event loop"):
            stub.EmptyCall(pb.Empty())

        async def one():
            return await stub.EmptyCall(pb.Empty())

        async def leaves_one():
            stub.EmptyCall(pb.Empty(), metadata=[("sleep-ms", "500")])
            await asyncio.sleep(0.05)

        # A loop that is closed sets the channel free for the next.
        self.assertEqual(arun(one()), pb.Empty())
        arun(leaves_one())
        self.assertEqual(arun(one()), pb.Empty())
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(one())
            with self.assertRaisesRegex(RuntimeError, "another event loop"):
                arun(one())
        finally:
            loop.run_until_complete(channel.close())
            loop.close()

    def test_a_channel_that_is_forgotten_is_no_leak(self):
        async def test():
            channel = grpclb.aio.Channel(self.target)
            await Stub(channel).EmptyCall(pb.Empty())
            with self.assertWarns(ResourceWarning):
                del channel
            await asyncio.sleep(0.01)
            async with grpclb.aio.Channel(self.target) as channel:
                await Stub(channel).EmptyCall(pb.Empty())

        arun(test())


@unittest.skipIf(sys.platform == "win32", "uvloop is for Unix")
class Uvloop(Served):
    def test_calls(self):
        import uvloop

        async def main():
            self.assertEqual(type(asyncio.get_running_loop()).__module__, "uvloop")
            async with grpclb.aio.Channel(self.target) as channel:
                stub = Stub(channel)
                for _ in range(20):
                    await asyncio.gather(*(stub.EmptyCall(pb.Empty(), timeout=5) for _ in range(20)))
                with self.assertRaises(grpc.aio.AioRpcError):
                    await stub.EmptyCall(pb.Empty(), timeout=0.05, metadata=[("sleep-ms", "300")])

        uvloop.run(main())
