"""Calls with any number of messages, at least one way."""

from __future__ import annotations

import asyncio
import collections
import weakref
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from .._call import UNIMPLEMENTED, UNKNOWN, Deserializer, Done, Failed, Serializer
from .._errors import AioRpcError, UsageError, kind, rpc_error
from .._metadata import Metadata
from .._status import loaded
from ._calls import Call, request_octets, response_failed, wake

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._channel import Channel


class _EOF:
    """What `read` gives at the end; equal to ``grpc.aio.EOF``."""

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is self or (other is not None and other is loaded("aio.EOF"))

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "<grpclb.aio.EOF>"


#: What `read` gives once there are no more messages.
EOF = _EOF()


class StreamCall(Call):
    """A call with any number of messages, at least one way."""

    __slots__ = ("_headers", "_inbox", "_is_half_closed", "_readers", "_serialize", "_task")

    def __init__(
        self, channel: Channel, serialize: Serializer, deserialize: Deserializer, timeout: float | None, requests: Any
    ) -> None:
        super().__init__(channel, deserialize, timeout)
        self._serialize = serialize
        self._headers: Metadata | None = None
        self._inbox: collections.deque[bytes] = collections.deque()
        self._readers: list[asyncio.Future[None]] = []
        self._is_half_closed = False
        self._task = None if requests is None else asyncio.ensure_future(_send_all(weakref.ref(self), requests))

    # -- what the channel tells

    def _news(self, what: Any) -> None:
        if type(what) is bytes:
            self._inbox.append(what)
            wake(self._readers)
        elif what is None:
            wake(self._waiters)
        elif type(what) is tuple:
            self._headers = Metadata(what)
            wake(self._waiters)
        else:
            self._end(what)

    def _end(self, done: Done) -> None:
        super()._end(done)
        wake(self._readers)
        if self._task is not None and self._task is not _current_task():
            self._task.cancel()

    def _lost(self) -> None:
        self._readers, self._task = [], None
        super()._lost()

    def __del__(self) -> None:
        # Nobody will read it any more.
        if getattr(self, "_done", self) is None and self._key >= 0 and self._channel._is_open():
            self._channel._abandon(self._key)
            if self._task is not None:
                self._task.cancel()

    # -- messages

    async def _next(self) -> bytes | None:
        """The next message; None: there are no more."""
        while not self._inbox:
            if self._done is not None:
                return None
            octets = self._channel._core.recv(self._key)
            if octets is not None:
                # Its place in the window is free again, which the server has to hear.
                self._channel._soon()
                return octets
            reader = self._channel._future()
            self._readers.append(reader)
            await self._own(reader)
        return self._inbox.popleft()

    async def _put(self, request: Any) -> None:
        """Sends a message, once the one before has left."""
        octets = request_octets(self._serialize, request)
        while self._done is None:
            if self._channel._core.send(self._key, octets, False):
                return self._channel._soon()
            await self._own(self._ended())
            if self._is_half_closed and self._done is None:
                raise asyncio.InvalidStateError("write: done_writing came before the message could be sent")
        self._check()
        raise asyncio.InvalidStateError("the call has ended: nothing more can be sent")

    async def _own(self, waiter: asyncio.Future[None]) -> None:
        """Waits in the name of the call: who is cancelled meanwhile cancels it."""
        try:
            await waiter
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _half_close(self) -> None:
        if self._done is None and not self._is_half_closed:
            self._is_half_closed = True
            self._channel._core.send(self._key, None, True)
            self._channel._soon()

    def _decoded(self, octets: bytes) -> Any:
        if self._deserialize is None:
            return octets
        try:
            return self._deserialize(octets)
        except Exception as error:
            failed = response_failed(error, None)
            self._abort(failed)
            raise rpc_error(AioRpcError, failed) from error

    async def initial_metadata(self) -> Metadata:
        """What came before any message; waits for it."""
        while self._headers is None:
            if self._done is not None:
                return Metadata(self._done.initial_metadata)
            await self._told()
        return self._headers


class _Reads(StreamCall):
    __slots__ = ()

    async def read(self) -> Any:
        """The next message, or `EOF` once the call has ended with OK; AioRpcError when it ended otherwise."""
        octets = await self._next()
        if octets is None:
            self._check()
            return EOF
        return self._decoded(octets)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        octets = await self._next()
        if octets is None:
            self._check()
            raise StopAsyncIteration
        return self._decoded(octets)


class _Writes(StreamCall):
    __slots__ = ()

    def _check_writing(self) -> None:
        if self._task is not None:
            raise kind(UsageError)("write and done_writing: this call was given a request_iterator")

    async def write(self, request: Any) -> None:
        """Sends a message; waits while the one before has not left. After the end: AioRpcError, or InvalidStateError."""
        self._check_writing()
        if self._is_half_closed:
            raise asyncio.InvalidStateError("write: after done_writing nothing more can be sent")
        await self._put(request)

    async def done_writing(self) -> None:
        """No more messages will be sent."""
        self._check_writing()
        self._half_close()


class UnaryStreamCall(_Reads):
    """One message out, any number back."""

    __slots__ = ()


class StreamStreamCall(_Reads, _Writes):
    """Any number of messages out and back."""

    __slots__ = ()


class StreamUnaryCall(_Writes):
    """Any number of messages out, one back: ``await`` gives it."""

    __slots__ = ("_response",)

    _response: Any

    def _end(self, done: Done) -> None:
        if done.code == 0:
            if not self._inbox:
                done = Failed(UNIMPLEMENTED, "no response message", done)
            else:
                octets = self._inbox.popleft()
                try:
                    self._response = octets if self._deserialize is None else self._deserialize(octets)
                except Exception as error:
                    done = response_failed(error, done)
        super()._end(done)

    def _news(self, what: Any) -> None:
        super()._news(what)
        if self._done is None and type(what) is bytes:
            # There must not be another.
            if len(self._inbox) > 1 or self._channel._core.recv(self._key) is not None:
                self._abort(Failed(UNIMPLEMENTED, "more than one response message"))
            self._channel._soon()

    def __await__(self) -> Generator[Any, None, Any]:
        while self._done is None:
            yield from self._own(self._ended()).__await__()
        self._check()
        return self._response


async def _send_all(call: weakref.ref[StreamCall], requests: Any) -> None:
    """Sends what an iterator gives. It does not keep the call alive: who has forgotten it wants no more of it."""

    async def send(request: Any) -> None:
        alive = call()
        if alive is None or alive._done is not None:
            raise _Over
        try:
            await alive._put(request)
        except asyncio.InvalidStateError:
            raise _Over from None

    failed = None
    try:
        if hasattr(requests, "__aiter__"):
            async for request in requests:
                await send(request)
        else:
            for request in requests:
                await send(request)
    except _Over:
        return
    except AioRpcError as error:
        # The call has ended, or the request could not be serialized.
        failed = Failed(error._number, error._details, None, error.__cause__)
    except asyncio.CancelledError:
        # Without its requests the call would never end.
        alive = call()
        if alive is not None:
            alive.cancel()
        raise
    except Exception as error:
        failed = Failed(UNKNOWN, f"request iterator: {type(error).__name__}: {error}", None, error)
    alive = call()
    if alive is None:
        return
    if failed is None:
        alive._half_close()
    else:
        alive._abort(failed)


class _Over(Exception):
    """Nothing more is to be sent."""


def _current_task() -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
