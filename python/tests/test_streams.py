"""Streaming calls of both forms with the stubs of grpcio-tools, before grpcio's server and ours."""

import asyncio
import gc
import queue
import threading
import time
import weakref

from support import Ours, Served, arun, free_port, pb

import grpclb
import grpclb.aio

import grpc  # isort: skip
from testing_pb2_grpc import TestServiceStub as Stub  # isort: skip

SIZES = [0, 1, 1000, 70_000, 1_000_000, 5]


def asked(*sizes, interval_ms=0, **more):
    """A request for messages of these sizes."""
    parameters = [pb.ResponseParameters(size=size, interval_us=interval_ms * 1000) for size in sizes]
    return pb.StreamingOutputCallRequest(response_parameters=parameters, **more)


def given(*sizes):
    return [pb.StreamingInputCallRequest(payload=pb.Payload(body=bytes(size))) for size in sizes]


def size(response):
    return len(response.payload.body)


class AllKinds:
    """The four kinds, in the forms that both channels share, before any server."""

    def test_server_streaming(self):
        self.assertEqual(self.output(asked(*SIZES)), SIZES)
        self.assertEqual(self.output(asked()), [])

    def test_client_streaming(self):
        self.assertEqual(self.input(given(*SIZES)), sum(SIZES))
        self.assertEqual(self.input([]), 0)

    def test_both(self):
        self.assertEqual(self.duplex([asked(size) for size in SIZES]), SIZES)
        self.assertEqual(self.duplex([asked(1, 2), asked(), asked(3)]), [1, 2, 3])
        self.assertEqual(self.duplex([]), [])

    def test_ping_pong(self):
        self.assertEqual(self.ping_pong(SIZES), SIZES)

    def test_a_request_iterator_that_fails(self):
        def requests():
            yield asked(1)
            raise LookupError("no more")

        with self.assertRaises(grpclb.RpcError) as caught:
            self.duplex(requests())
        self.assertIs(caught.exception.code(), grpc.StatusCode.UNKNOWN)
        self.assertEqual(caught.exception.details(), "request iterator: LookupError: no more")
        self.assertIsInstance(caught.exception.__cause__, LookupError)
        with self.assertRaises(grpclb.RpcError) as caught:
            self.duplex([asked(1), "no message"])
        self.assertIs(caught.exception.code(), grpc.StatusCode.INTERNAL)
        self.assertIn("request_serializer: TypeError", caught.exception.details())
        for wrong in (5, "abc"):
            with self.assertRaisesRegex(TypeError, "request_iterator"):
                self.duplex(wrong)


class BlockingKinds(AllKinds):
    def stub(self):
        channel = grpclb.Channel(self.target)
        self.addCleanup(channel.close)
        return Stub(channel)

    def output(self, request):
        return list(map(size, self.stub().StreamingOutputCall(request, timeout=20)))

    def input(self, requests):
        return self.stub().StreamingInputCall(iter(requests), timeout=20).aggregated_payload_size

    def duplex(self, requests):
        return list(map(size, self.stub().FullDuplexCall(requests, timeout=20)))

    def ping_pong(self, sizes):
        """The next request is made of the response before."""
        turn, got = queue.Queue(), []
        for response in self.stub().FullDuplexCall(iter(turn.get, None), timeout=20) if turn.put(asked(sizes[0])) is None else ():
            got.append(size(response))
            turn.put(asked(sizes[len(got)]) if len(got) < len(sizes) else None)
        return got


class AioKinds(AllKinds):
    def run_with(self, test):
        async def run():
            async with grpclb.aio.Channel(self.target) as channel:
                return await test(Stub(channel))

        return arun(run())

    def output(self, request):
        async def test(stub):
            return [size(response) async for response in stub.StreamingOutputCall(request, timeout=20)]

        return self.run_with(test)

    def input(self, requests):
        async def test(stub):
            async def some():
                for request in requests:
                    await asyncio.sleep(0)
                    yield request

            first = await stub.StreamingInputCall(some(), timeout=20)
            second = stub.StreamingInputCall(timeout=20)
            for request in requests:
                await second.write(request)
            await second.done_writing()
            self.assertEqual(await second, first)
            return first.aggregated_payload_size

        return self.run_with(test)

    def duplex(self, requests):
        async def test(stub):
            return [size(response) async for response in stub.FullDuplexCall(requests, timeout=20)]

        return self.run_with(test)

    def ping_pong(self, sizes):
        async def test(stub):
            call, got = stub.FullDuplexCall(timeout=20), []
            for one in sizes:
                await call.write(asked(one))
                got.append(size(await call.read()))
            await call.done_writing()
            self.assertEqual(await call.read(), grpc.aio.EOF)
            self.assertEqual(await call.read(), grpclb.aio.EOF)
            self.assertFalse(await call.read())
            self.assertIs(await call.code(), grpc.StatusCode.OK)
            return got

        return self.run_with(test)


class BlockingOurs(BlockingKinds, Ours):
    pass


class AioOurs(AioKinds, Ours):
    pass


class Blocking(BlockingKinds, Served):
    def test_metadata_and_status(self):
        status = pb.EchoStatus(code=5, message="gone")
        call = self.stub().StreamingOutputCall(asked(3, response_status=status), metadata=[("initial-a", "1"), ("initial-b-bin", b"\xff")])
        self.assertEqual(call.initial_metadata(), (("initial-a", "1"), ("initial-b-bin", b"\xff")))
        self.assertTrue(call.is_active())
        self.assertEqual(size(next(call)), 3)
        with self.assertRaises(grpc.RpcError) as caught:
            next(call)
        error = caught.exception
        self.assertEqual((error.code(), error.details(), error.peer()), (grpc.StatusCode.NOT_FOUND, "gone", self.address))
        self.assertEqual(error.trailing_metadata()["grpc-status-details-bin"], b"\x00details\xff")
        self.assertEqual((call.code(), call.details()), (grpc.StatusCode.NOT_FOUND, "gone"))
        self.assertEqual((call.peer(), call.is_active(), call.cancel()), (self.address, False, False))
        self.assertIn(("trailing-own", "own"), call.trailing_metadata())
        with self.assertRaises(grpc.RpcError):
            next(call)

    def test_messages_come_one_by_one(self):
        began, times = time.monotonic(), []
        for _ in self.stub().StreamingOutputCall(asked(1, 1, 1, interval_ms=200)):
            times.append(time.monotonic() - began)
        self.assertLess(times[0], 0.39)
        self.assertGreater(times[2], 0.59)

    def test_deadline(self):
        call = self.stub().StreamingOutputCall(asked(1, 1, interval_ms=400), timeout=0.6)
        self.assertLessEqual(call.time_remaining(), 0.6)
        next(call)
        with self.assertRaises(grpc.RpcError) as caught:
            next(call)
        self.assertIs(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_cancel_while_another_thread_reads(self):
        call = self.stub().StreamingOutputCall(asked(1, 1, interval_ms=3000))
        threading.Timer(0.2, call.cancel).start()
        began = time.monotonic()
        with self.assertRaises(grpclb.RpcError) as caught:
            next(call)
        self.assertIs(caught.exception.code(), grpc.StatusCode.CANCELLED)
        self.assertLess(time.monotonic() - began, 1.5)
        self.assertEqual(call.details(), "Locally cancelled by application!")

    def test_callbacks(self):
        told = queue.Queue()
        call = self.stub().StreamingOutputCall(asked(1))
        self.assertTrue(call.add_callback(lambda: told.put("callback")))
        call.add_done_callback(told.put)
        self.assertEqual(list(map(size, call)), [1])
        self.assertEqual({told.get(timeout=5), told.get(timeout=5)}, {"callback", call})
        self.assertFalse(call.add_callback(told.put))
        self.assertTrue(call.done())

    def test_futures(self):
        stub = self.stub()
        told = queue.Queue()
        future = stub.UnaryCall.future(pb.SimpleRequest(response_size=5), timeout=10)
        future.add_done_callback(told.put)
        self.assertEqual(size(future.result(5)), 5)
        self.assertIs(told.get(timeout=5), future)
        self.assertTrue(future.done() and not future.running() and not future.cancelled())
        self.assertEqual((future.exception(), future.code(), future.peer()), (None, grpc.StatusCode.OK, self.address))
        many = [stub.UnaryCall.future(pb.SimpleRequest(response_size=n)) for n in range(50)]
        self.assertEqual([size(one.result(20)) for one in many], list(range(50)))
        failing = stub.UnimplementedCall.future(pb.Empty())
        with self.assertRaises(grpc.RpcError) as caught:
            failing.result()
        self.assertIs(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertIs(failing.exception().code(), grpc.StatusCode.UNIMPLEMENTED)
        slow = stub.EmptyCall.future(pb.Empty(), metadata=[("sleep-ms", "2000")])
        with self.assertRaises(grpc.FutureTimeoutError):
            slow.result(0.05)
        self.assertTrue(slow.running())
        self.assertTrue(slow.cancel() and slow.cancelled() and not slow.cancel())
        with self.assertRaises(grpc.FutureCancelledError):
            slow.result(5)
        total = stub.StreamingInputCall.future(iter(given(1, 2)))
        self.assertEqual(total.result(5).aggregated_payload_size, 3)
        _, call = stub.StreamingInputCall.with_call(iter(given(1)), metadata=[("trailing-x", "y")])
        self.assertEqual(call.trailing_metadata()["trailing-x"], "y")

    def test_a_response_too_many_or_too_few(self):
        with grpclb.Channel(self.target) as channel:
            for sizes in ((1, 1), ()):
                wrong = channel.stream_unary("/grpc.testing.TestService/StreamingOutputCall")
                with self.assertRaises(grpclb.RpcError) as caught:
                    wrong(iter([asked(*sizes).SerializeToString()]), timeout=5)
                self.assertIs(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_a_deserializer_that_fails(self):
        with grpclb.Channel(self.target) as channel:
            bad = channel.unary_stream("/grpc.testing.TestService/StreamingOutputCall", None, lambda octets: 1 / 0)
            call = bad(asked(1, 1).SerializeToString())
            with self.assertRaises(grpclb.RpcError) as caught:
                next(call)
            self.assertIs(caught.exception.code(), grpc.StatusCode.INTERNAL)
            self.assertIs(call.code(), grpc.StatusCode.INTERNAL)
            future = channel.unary_unary("/grpc.testing.TestService/EmptyCall", None, lambda octets: 1 / 0).future(b"")
            self.assertIs(future.exception(5).code(), grpc.StatusCode.INTERNAL)

    def test_a_stream_that_is_forgotten_is_cancelled(self):
        stub = self.stub()
        endless = threading.Event()

        def requests():
            yield asked(1)
            endless.wait(10)

        call = stub.FullDuplexCall(requests())
        next(call)
        gone = weakref.ref(call)
        del call
        gc.collect()
        self.assertIsNone(gone())
        endless.set()

    def test_a_server_that_stops_reading_holds_the_sender(self):
        taken = [0]

        def requests():
            for _ in range(1000):
                taken[0] += 1
                yield asked(1, payload=pb.Payload(body=bytes(100_000)), interval_ms=100)

        call = self.stub().FullDuplexCall(requests())
        next(call)
        # Of 100 MB; how much lies between the two is for grpcio and the kernel to say: 21 MB have been seen.
        time.sleep(0.3)
        self.assertLess(taken[0], 500)
        call.cancel()

    def test_server_missing(self):
        with grpclb.Channel(f"ipv4:127.0.0.1:{free_port()}") as channel:
            stub = Stub(channel)
            with self.assertRaises(grpclb.RpcError) as caught:
                list(stub.StreamingOutputCall(asked(1)))
            self.assertIs(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
            with self.assertRaises(grpclb.RpcError) as caught:
                stub.StreamingInputCall(iter(given(1)))
            self.assertIs(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
            waiting = stub.StreamingOutputCall(asked(1), timeout=0.3, wait_for_ready=True)
            with self.assertRaises(grpclb.RpcError) as caught:
                next(waiting)
            self.assertIs(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_close_ends_them(self):
        channel = grpclb.Channel(self.target)
        call = Stub(channel).StreamingOutputCall(asked(1, 1, interval_ms=500))
        next(call)
        channel.close()
        with self.assertRaises(grpclb.RpcError) as caught:
            next(call)
        self.assertIs(caught.exception.code(), grpc.StatusCode.CANCELLED)
        for name in ("unary_stream", "stream_unary", "stream_stream"):
            with self.assertRaisesRegex(ValueError, "closed"):
                getattr(channel, name)("/a/b")(b"" if name == "unary_stream" else iter([]))


class Aio(AioKinds, Served):
    def test_metadata_and_status(self):
        async def test(stub):
            status = pb.EchoStatus(code=5, message="gone")
            call = stub.StreamingOutputCall(asked(3, response_status=status, interval_ms=50), metadata=[("initial-a", "1")])
            self.assertEqual(await call.initial_metadata(), (("initial-a", "1"),))
            self.assertFalse(call.done())
            self.assertEqual(size(await call.read()), 3)
            for _ in range(2):
                with self.assertRaises(grpc.aio.AioRpcError) as caught:
                    await call.read()
                self.assertEqual((caught.exception.code(), caught.exception.details()), (grpc.StatusCode.NOT_FOUND, "gone"))
            self.assertEqual((await call.trailing_metadata())["grpc-status-details-bin"], b"\x00details\xff")
            self.assertEqual(caught.exception.initial_metadata(), (("initial-a", "1"),))
            self.assertEqual((call.done(), call.cancel(), call.peer()), (True, False, self.address))
            with self.assertRaises(grpc.aio.AioRpcError):
                async for _ in call:
                    pass

        self.run_with(test)

    def test_code_is_told_when_the_last_message_is_read(self):
        async def test(stub):
            call = stub.StreamingOutputCall(asked(1, 1, 1))
            done = []
            call.add_done_callback(done.append)
            await asyncio.sleep(0.2)
            self.assertFalse(call.done())
            for _ in range(3):
                self.assertEqual(size(await call.read()), 1)
            self.assertIs(await asyncio.wait_for(call.code(), 5), grpc.StatusCode.OK)
            await asyncio.sleep(0)
            self.assertEqual(done, [call])

        self.run_with(test)

    def test_messages_come_one_by_one(self):
        async def test(stub):
            began, times = time.monotonic(), []
            async for _ in stub.StreamingOutputCall(asked(1, 1, 1, interval_ms=200)):
                times.append(time.monotonic() - began)
            self.assertLess(times[0], 0.39)
            self.assertGreater(times[2], 0.59)

        self.run_with(test)

    def test_deadline(self):
        async def test(stub):
            call = stub.StreamingOutputCall(asked(1, 1, interval_ms=400), timeout=0.6)
            await call.read()
            with self.assertRaises(grpc.RpcError) as caught:
                await call.read()
            self.assertIs(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

        self.run_with(test)

    def test_cancel(self):
        async def test(stub):
            call = stub.StreamingOutputCall(asked(1, 1, interval_ms=3000))
            asyncio.get_running_loop().call_later(0.1, call.cancel)
            with self.assertRaises(asyncio.CancelledError):
                await call.read()
            self.assertTrue(call.cancelled())
            with self.assertRaises(asyncio.CancelledError):
                async for _ in call:
                    pass
            # A task that is cancelled while it reads, or writes, cancels its call.
            reading = stub.FullDuplexCall()
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(reading.read(), 0.05)
            self.assertTrue(reading.cancelled())
            writing = stub.FullDuplexCall(metadata=[("sleep-ms", "2000")])

            async def write():
                while True:
                    await writing.write(asked(payload=pb.Payload(body=bytes(500_000))))

            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(write(), 0.3)
            self.assertTrue(writing.cancelled())
            collecting = stub.StreamingInputCall()
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(collecting, 0.05)
            self.assertTrue(collecting.cancelled())

        self.run_with(test)

    def test_writing_in_the_wrong_order(self):
        async def test(stub):
            call = stub.FullDuplexCall()
            await call.write(asked(1))
            await call.done_writing()
            await call.done_writing()
            with self.assertRaises(asyncio.InvalidStateError):
                await call.write(asked(1))
            self.assertEqual(size(await call.read()), 1)
            self.assertEqual(await call.read(), grpclb.aio.EOF)
            with self.assertRaises(grpc.aio.UsageError):
                await stub.FullDuplexCall(iter([])).write(asked(1))
            ended = stub.FullDuplexCall()
            await ended.write(asked(response_status=pb.EchoStatus(code=3)))
            self.assertIs(await ended.code(), grpc.StatusCode.INVALID_ARGUMENT)
            with self.assertRaises(grpc.aio.AioRpcError):
                await ended.write(asked(1))

        self.run_with(test)

    def test_a_response_too_many_or_too_few(self):
        async def test():
            async with grpclb.aio.Channel(self.target) as channel:
                for sizes in ((1, 1), ()):
                    wrong = channel.stream_unary("/grpc.testing.TestService/StreamingOutputCall")
                    with self.assertRaises(grpclb.RpcError) as caught:
                        await wrong([asked(*sizes).SerializeToString()], timeout=5)
                    self.assertIs(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

        arun(test())

    def test_a_deserializer_that_fails(self):
        async def test():
            async with grpclb.aio.Channel(self.target) as channel:
                bad = channel.unary_stream("/grpc.testing.TestService/StreamingOutputCall", None, lambda octets: 1 / 0)
                good = channel.unary_stream("/grpc.testing.TestService/StreamingOutputCall")
                request = asked(1, 1, interval_ms=20).SerializeToString()
                failing, going = bad(request), good(request)
                with self.assertRaises(grpclb.RpcError) as caught:
                    await failing.read()
                self.assertIs(caught.exception.code(), grpc.StatusCode.INTERNAL)
                self.assertIs(await failing.code(), grpc.StatusCode.INTERNAL)
                self.assertEqual(len([one async for one in going]), 2)

        arun(test())

    def test_a_stream_that_is_forgotten_is_cancelled(self):
        async def test(stub):
            async def requests():
                yield asked(1)
                await asyncio.sleep(60)

            call = stub.FullDuplexCall(requests())
            await call.read()
            channel, gone = call._channel, weakref.ref(call)
            self.assertEqual(len(channel._calls), 1)
            del call
            gc.collect()
            self.assertIsNone(gone())
            await asyncio.sleep(0.05)
            self.assertEqual(channel._calls, {})

        self.run_with(test)

    def test_a_write_that_done_writing_overtakes_says_so(self):
        async def test(stub):
            call = stub.StreamingInputCall()
            request = given(900_000)[0]
            writes = [asyncio.ensure_future(call.write(request)) for _ in range(2)]
            await asyncio.sleep(0)
            await call.done_writing()
            first, second = await asyncio.gather(*writes, return_exceptions=True)
            self.assertIsNone(first)
            self.assertIsInstance(second, asyncio.InvalidStateError)
            self.assertEqual((await call).aggregated_payload_size, 900_000)

        self.run_with(test)

    def test_asking_again_and_again_costs_nothing(self):
        async def test(stub):
            call = stub.FullDuplexCall()
            for _ in range(10):
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(call.code(), 0.001)
            self.assertEqual(call._waiters, [])
            call.cancel()

        self.run_with(test)

    def test_many_at_once(self):
        async def test(stub):
            async def one(number):
                got = [size(reply) async for reply in stub.FullDuplexCall([asked(number + n) for n in range(20)])]
                return got == [number + n for n in range(20)]

            return await asyncio.gather(*map(one, range(40)))

        self.assertEqual(self.run_with(test), [True] * 40)

    def test_a_reader_that_stops_holds_the_server(self):
        """What nobody reads waits in the server, not here."""

        async def test(stub):
            call = stub.StreamingOutputCall(asked(*[100_000] * 100))
            await call.read()
            await asyncio.sleep(0.5)
            self.assertFalse(call.done())
            count = 1
            async for _ in call:
                count += 1
            self.assertEqual(count, 100)

        self.run_with(test)

    def test_close_with_messages_unread(self):
        async def test():
            channel = grpclb.aio.Channel(self.target)
            call = Stub(channel).StreamingOutputCall(asked(1, 1))
            await asyncio.sleep(0.2)
            await channel.close()
            with self.assertRaises(grpclb.RpcError) as caught:
                await call.read()
            self.assertIs(caught.exception.code(), grpc.StatusCode.CANCELLED)
            self.assertTrue(call.done())

        arun(test(), 5)

    def test_close(self):
        async def test():
            channel = grpclb.aio.Channel(self.target)
            call = Stub(channel).StreamingOutputCall(asked(1, 1, interval_ms=1000))
            waiting = asyncio.ensure_future(call.read())
            await asyncio.sleep(0.1)
            await channel.close()
            with self.assertRaises(grpclb.RpcError) as caught:
                await waiting
            self.assertIs(caught.exception.code(), grpc.StatusCode.CANCELLED)
            for name in ("unary_stream", "stream_unary", "stream_stream"):
                with self.assertRaisesRegex(ValueError, "closed"):
                    getattr(channel, name)("/a/b")(b"" if name == "unary_stream" else iter([]))

        arun(test())

    def test_server_missing(self):
        async def test():
            async with grpclb.aio.Channel(f"ipv4:127.0.0.1:{free_port()}") as channel:
                stub = Stub(channel)
                for call in (stub.StreamingOutputCall(asked(1)), stub.FullDuplexCall(), stub.FullDuplexCall([asked(1)])):
                    with self.assertRaises(grpc.aio.AioRpcError) as caught:
                        await call.read()
                    self.assertIs(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
                with self.assertRaises(grpc.aio.AioRpcError):
                    await stub.StreamingInputCall(given(1))

        arun(test())


class Uvloop(Aio):
    """All of it on uvloop."""

    def run_with(self, test):
        import uvloop

        async def run():
            async with grpclb.aio.Channel(self.target) as channel:
                return await asyncio.wait_for(test(Stub(channel)), 30)

        return uvloop.run(run())
