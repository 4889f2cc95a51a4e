"""Calls of `grpclb.aio` whose channel, event loop, or requests end before they do: nobody waits for ever."""

import asyncio
import unittest

from support import Served, arun, free_port, pb

import grpclb
import grpclb.aio
from grpclb import StatusCode

SERVICE = "/grpc.testing.TestService/"
SLOW = {"metadata": [("sleep-ms", "5000")]}


def asked(*sizes, interval_ms=0):
    """A request for messages of these sizes."""
    parameters = [pb.ResponseParameters(size=size, interval_us=interval_ms * 1000) for size in sizes]
    return pb.StreamingOutputCallRequest(response_parameters=parameters).SerializeToString()


def name(code):
    return StatusCode[code.name]  # grpc's own when another test has loaded grpc


class TheChannel(Served):
    def test_streams_go_on_in_the_grace(self):
        async def test():
            channel = grpclb.aio.Channel(self.target)
            call = channel.stream_stream(SERVICE + "FullDuplexCall")()

            async def talk():
                for size in range(3):
                    await call.write(asked(size))
                    self.assertIsNot(await call.read(), grpclb.aio.EOF)
                    await asyncio.sleep(0.05)
                await call.done_writing()
                self.assertEqual(await call.read(), grpclb.aio.EOF)
                return await call.code()

            await call.write(asked(1))
            await call.read()
            talking = asyncio.ensure_future(talk())
            await asyncio.sleep(0)
            with self.assertRaisesRegex(ValueError, "closed"):
                closing = asyncio.ensure_future(channel.close(grace=20))
                await asyncio.sleep(0)
                channel.unary_unary(SERVICE + "EmptyCall")(b"")
            self.assertIs(name(await talking), StatusCode.OK)
            await asyncio.wait_for(closing, 5)

        arun(test(), 15)

    def test_a_deadline_comes_in_the_grace(self):
        async def test():
            channel = grpclb.aio.Channel(self.target)
            await channel.channel_ready()
            stream = channel.stream_stream(SERVICE + "FullDuplexCall")(timeout=0.5)
            await asyncio.wait_for(channel.close(grace=20), 10)
            self.assertIs(name(await stream.code()), StatusCode.DEADLINE_EXCEEDED)

        arun(test(), 15)

    def test_messages_that_nobody_read(self):
        async def test():
            channel = grpclb.aio.Channel(self.target)
            call = channel.unary_stream(SERVICE + "StreamingOutputCall")(asked(1, 2, 3))
            await call.read()
            await asyncio.sleep(0.2)
            await channel.close()
            with self.assertRaisesRegex(grpclb.RpcError, "CANCELLED: the channel was closed"):
                async for _ in call:
                    pass
            self.assertIs(name(await call.code()), StatusCode.CANCELLED)

        arun(test(), 5)

    def test_a_close_that_is_cancelled(self):
        async def test():
            channel = grpclb.aio.Channel(self.target)
            call = channel.unary_unary(SERVICE + "EmptyCall")(b"", **SLOW)
            await asyncio.sleep(0.05)
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(channel.close(grace=60), 0.1)
            self.assertIs(name(await call.code()), StatusCode.CANCELLED)
            self.assertFalse(asyncio.get_running_loop().remove_reader(channel._core.fileno()))

        arun(test(), 4)

    def test_who_waits_for_it(self):
        async def test():
            channel = grpclb.aio.Channel(f"ipv4:127.0.0.1:{free_port()}")
            waiting = asyncio.ensure_future(channel.channel_ready())
            await asyncio.sleep(0.05)
            await channel.close()
            with self.assertRaisesRegex(ValueError, "closed"):
                await waiting

        arun(test(), 5)


class TheLoop(Served):
    def test_a_call_that_outlives_it_is_over(self):
        channel = grpclb.aio.Channel(self.target)
        called = []

        async def first():
            calls = [
                channel.unary_unary(SERVICE + "EmptyCall")(b"", **SLOW),
                channel.stream_stream(SERVICE + "FullDuplexCall")(),
                channel.stream_unary(SERVICE + "StreamingInputCall")(endless()),
            ]
            waiting = [asyncio.ensure_future(calls[1].read())]
            await asyncio.sleep(0.05)
            calls[0].add_done_callback(called.append)
            return calls, waiting

        async def endless():
            yield b""
            await asyncio.sleep(60)

        async def second(calls):
            self.assertEqual(await channel.unary_unary(SERVICE + "EmptyCall")(b""), b"")
            self.assertEqual([name(await call.code()) for call in calls], [StatusCode.CANCELLED] * 3)
            self.assertEqual(called, [calls[0]])
            await channel.close()

        calls, _ = arun(first())
        arun(second(calls), 5)


    def test_cancel_after_it(self):
        channel = grpclb.aio.Channel(self.target)

        async def first():
            return channel.unary_unary(SERVICE + "EmptyCall")(b"", **SLOW)

        call = arun(first())
        self.assertTrue(call.cancel() and call.cancelled() and not call.cancel())
        arun(channel.close())

    def test_close_after_it(self):
        channel = grpclb.aio.Channel(self.target)
        called = []

        async def first():
            call = channel.unary_unary(SERVICE + "EmptyCall")(b"", **SLOW)
            call.add_done_callback(called.append)
            await asyncio.sleep(0.05)
            return call

        async def second(call):
            await channel.close()
            self.assertIs(name(await call.code()), StatusCode.CANCELLED)

        arun(second(arun(first())), 5)
        self.assertEqual(called, [], "its loop is closed")


class TheRequests(Served):
    def end(self, error):
        """What becomes of a call whose requests end with an exception."""

        async def requests():
            yield b""
            raise error

        async def test():
            async with grpclb.aio.Channel(self.target) as channel:
                await channel.stream_unary(SERVICE + "StreamingInputCall")(requests())

        arun(test(), 5)

    def test_an_iterator_in_the_wrong_state(self):
        with self.assertRaisesRegex(grpclb.RpcError, "UNKNOWN: request iterator: InvalidStateError: mine"):
            self.end(asyncio.InvalidStateError("mine"))

    def test_an_iterator_that_is_cancelled(self):
        with self.assertRaisesRegex(asyncio.CancelledError, "Locally cancelled"):
            self.end(asyncio.CancelledError())


class TheDeadline(Served):
    def test_it_does_not_wait_for_a_reader(self):
        async def test():
            async with grpclb.aio.Channel(self.target) as channel:
                call = channel.unary_stream(SERVICE + "StreamingOutputCall")(asked(1, 1, 1, 1, interval_ms=200), timeout=0.5)
                await call.read()
                self.assertIs(name(await call.code()), StatusCode.DEADLINE_EXCEEDED)

        arun(test(), 5)


if __name__ == "__main__":
    unittest.main()
