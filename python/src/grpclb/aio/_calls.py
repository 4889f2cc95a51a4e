"""A call that runs on an event loop, and the unary one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from .._call import CANCELLED, INTERNAL, Deserializer, Done, Failed, Serializer, serialized
from .._errors import AioRpcError, rpc_error
from .._metadata import Metadata
from .._status import StatusCode, status_code

if TYPE_CHECKING:
    from ._channel import Channel

_LOCALLY = "Locally cancelled by application!"


class Call:
    """A call that runs, or has ended."""

    __slots__ = ("__weakref__", "_callbacks", "_channel", "_deadline", "_deserialize", "_done", "_key", "_waiters")

    def _news(self, what: Any) -> None:
        """Something new of it: `Completion` at the end."""
        raise NotImplementedError

    def __init__(self, channel: Channel, deserialize: Deserializer, timeout: float | None) -> None:
        self._channel = channel
        self._deserialize = deserialize
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._key = -1
        self._done: Done | None = None
        # Both are None until the first comes: most calls have one waiter and no callback.
        self._waiters: list[asyncio.Future[None]] | None = None
        self._callbacks: list[Callable[[Any], None]] | None = None

    # -- what the channel tells

    def _end(self, done: Done) -> None:
        """The call is over: whoever waits for that hears of it."""
        self._done = done
        self._channel._forget(self._key)
        wake(self._waiters)
        if self._callbacks is not None:
            for callback in self._callbacks:
                self._channel._run(callback, self)
            self._callbacks = None

    def _lost(self) -> None:
        """The event loop is closed, and with it whoever waited."""
        self._waiters = None
        self._end(Failed(CANCELLED, "the call's event loop was closed"))

    def _ended(self) -> asyncio.Future[None]:
        """What is done when the call is."""
        waiter = self._channel._future()
        if self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        return waiter

    async def _told(self) -> None:
        """Waits for something new of it."""
        waiter = self._ended()
        try:
            await waiter
        except asyncio.CancelledError:
            # Who asks again and again, each time for a while, must not fill the list.
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    async def _wait(self) -> Done:
        while self._done is None:
            await self._told()
        return self._done

    def _check(self) -> None:
        """Raises unless the call, which is over, ended with OK."""
        done = self._done
        assert done is not None
        if done.code == 0:
            return
        if done.message is _LOCALLY:
            raise asyncio.CancelledError(_LOCALLY)
        raise rpc_error(AioRpcError, done) from getattr(done, "cause", None)

    # -- what the program asks

    def done(self) -> bool:
        """Whether it has ended."""
        return self._done is not None

    def cancelled(self) -> bool:
        """Whether it ended with CANCELLED."""
        return self._done is not None and self._done.code == CANCELLED

    def cancel(self) -> bool:
        """Ends it now, with CANCELLED; False when it has ended already."""
        return self._abort(Failed(CANCELLED, _LOCALLY))

    def _abort(self, failed: Failed) -> bool:
        """Ends it now, for a reason of this side."""
        if self._done is not None:
            return False
        self._channel._cancel(self._key)
        self._end(failed)
        return True

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Calls ``callback(call)`` at the end, or now when that was."""
        if self._done is not None:
            callback(self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    async def initial_metadata(self) -> Metadata:
        """What came before any message; waits for it."""
        return Metadata((await self._wait()).initial_metadata)

    async def trailing_metadata(self) -> Metadata:
        """What came with the status; waits for the end."""
        return Metadata((await self._wait()).trailing_metadata)

    async def code(self) -> StatusCode:
        """How it ended; waits for the end."""
        return status_code((await self._wait()).code)

    async def details(self) -> str:
        """Why, in words; waits for the end."""
        return (await self._wait()).message

    async def debug_error_string(self) -> str:
        """Code and details in one line; waits for the end."""
        return f"{(await self.code()).name}: {await self.details()}"

    async def wait_for_connection(self) -> None:
        """Waits until the channel is READY, or the call over; AioRpcError when it failed."""
        await self._channel._until(lambda: self._done is not None or self._channel._core.ready_endpoints() > 0)
        if self._done is not None:
            self._check()

    def peer(self) -> str | None:
        """The endpoint that served it, once it is over; None when there was none."""
        return (self._done.peer or None) if self._done else None

    def pick_order(self) -> int | None:
        """The how-manieth pick of the channel it was, from 0, once it is over."""
        return self._done.pick_order if self._done else None

    def __repr__(self) -> str:
        state = "running" if self._done is None else status_code(self._done.code).name
        return f"<grpclb.aio.{type(self).__name__}, {state}>"


class UnaryUnaryCall(Call):
    """One message out, one back: ``await`` gives it."""

    __slots__ = ("_response",)

    _response: Any

    def _news(self, done: Any) -> None:
        if done.code == 0:
            try:
                self._response = done.response if self._deserialize is None else self._deserialize(done.response)
            except Exception as error:
                done = response_failed(error, done)
        self._end(done)

    def __await__(self) -> Generator[Any, None, Any]:
        if self._done is None:
            try:
                yield from self._ended()
            except asyncio.CancelledError:
                self.cancel()
                raise
        if self._done.code:  # type: ignore[union-attr]  # it is over
            self._check()
        return self._response


def response_failed(error: Exception, done: Done | None) -> Failed:
    """How a call ends whose response cannot be read."""
    return Failed(INTERNAL, f"response_deserializer: {type(error).__name__}: {error}", done, error)


def wake(waiters: list[asyncio.Future[None]] | None) -> None:
    """Tells all who wait, but those who have given up."""
    if waiters is None:
        return
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()


def request_octets(serializer: Serializer, request: Any) -> bytes:
    """The octets of a request; AioRpcError when the serializer fails."""
    try:
        return serialized(serializer, request)
    except Exception as error:
        failed = Failed(INTERNAL, f"request_serializer: {type(error).__name__}: {error}")
        raise rpc_error(AioRpcError, failed) from error
