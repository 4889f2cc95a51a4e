"""The channel for asyncio (and uvloop): the host library's reactor behind one descriptor and one timer of the event loop."""

from __future__ import annotations

import asyncio
import collections
import time
import warnings
import weakref
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

from . import _grpclb
from ._call import (
    CANCELLED,
    INTERNAL,
    UNIMPLEMENTED,
    UNKNOWN,
    Deserializer,
    Done,
    Failed,
    MetadataIn,
    Serializer,
    method_path,
    options,
    refuse,
    serialized,
)
from ._errors import AioRpcError, UsageError, kind, rpc_error
from ._metadata import Metadata
from ._status import ChannelConnectivity, StatusCode, connectivity, connectivity_number, loaded, status_code

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "EOF",
    "AioRpcError",
    "Call",
    "Channel",
    "StreamCall",
    "StreamStreamCall",
    "StreamStreamMultiCallable",
    "StreamUnaryCall",
    "StreamUnaryMultiCallable",
    "UnaryStreamCall",
    "UnaryStreamMultiCallable",
    "UnaryUnaryCall",
    "UnaryUnaryMultiCallable",
]

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
        _wake(self._waiters)
        if self._callbacks is not None:
            for callback in self._callbacks:
                self._channel._run(callback, self)
            self._callbacks = None

    def _ended(self) -> asyncio.Future[None]:
        """What is done when the call is."""
        waiter = self._channel._future()
        if self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        return waiter

    async def _wait(self) -> Done:
        while self._done is None:
            await self._ended()
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
                done = _response_failed(error, done)
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
            _wake(self._readers)
        elif what is None:
            _wake(self._waiters)
        elif type(what) is tuple:
            self._headers = Metadata(what)
            _wake(self._waiters)
        else:
            self._end(what)

    def _end(self, done: Done) -> None:
        super()._end(done)
        _wake(self._readers)
        if self._task is not None and self._task is not _current_task():
            self._task.cancel()

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
        octets = _request_octets(self._serialize, request)
        while self._done is None:
            if self._channel._core.send(self._key, octets, False):
                return self._channel._soon()
            await self._own(self._ended())
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
            failed = _response_failed(error, None)
            self._abort(failed)
            raise rpc_error(AioRpcError, failed) from error

    async def initial_metadata(self) -> Metadata:
        """What came before any message; waits for it."""
        while self._headers is None:
            if self._done is not None:
                return Metadata(self._done.initial_metadata)
            await self._ended()
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
                    done = _response_failed(error, done)
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
        await alive._put(request)

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
    except asyncio.InvalidStateError:
        return
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


def _response_failed(error: Exception, done: Done | None) -> Failed:
    return Failed(INTERNAL, f"response_deserializer: {type(error).__name__}: {error}", done, error)


def _request_octets(serializer: Serializer, request: Any) -> bytes:
    try:
        return serialized(serializer, request)
    except Exception as error:
        failed = Failed(INTERNAL, f"request_serializer: {type(error).__name__}: {error}")
        raise rpc_error(AioRpcError, failed) from error


class _MultiCallable:
    """A method of a channel."""

    __slots__ = ("_channel", "_deserialize", "_path", "_serialize")

    def __init__(self, channel: Channel, method: str | bytes, serialize: Serializer, deserialize: Deserializer) -> None:
        self._channel, self._path = channel, method_path(method)
        self._serialize, self._deserialize = serialize, deserialize

    def _begin(self, credentials: Any, compression: Any) -> Channel:
        """What each call begins with."""
        if credentials is not None or compression is not None:
            refuse(credentials, compression)
        self._channel._bind()
        return self._channel

    def _start(self, call: StreamCall, timeout: float | None, metadata: Any, wait: bool | None) -> None:
        channel = self._channel
        try:
            call._key = channel._core.start_stream(self._path, timeout, metadata, bool(wait))
        except BaseException:
            call._done = Failed(INTERNAL, "it was not started")
            if call._task is not None:
                call._task.cancel()
            raise
        channel._calls[call._key] = weakref.ref(call)
        channel._soon()


def _check_requests(requests: Any) -> None:
    if requests is None or hasattr(requests, "__aiter__"):
        return
    if not hasattr(requests, "__iter__") or isinstance(requests, (str, bytes)):
        raise TypeError(f"request_iterator: expected an iterator of requests, got {type(requests).__name__}")


class UnaryUnaryMultiCallable(_MultiCallable):
    """One message out, one back."""

    __slots__ = ()

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        credentials: None = None,
        wait_for_ready: bool | None = None,
        compression: None = None,
    ) -> UnaryUnaryCall:
        """Starts a call; await what this returns.

        ``timeout`` is in seconds, None is no deadline. ``wait_for_ready``: wait through TRANSIENT_FAILURE instead of
        failing fast.
        """
        if credentials is not None or compression is not None:
            refuse(credentials, compression)
        channel = self._channel
        channel._bind()
        octets = _request_octets(self._serialize, request)
        call = UnaryUnaryCall(channel, self._deserialize, timeout)
        running = channel._calls
        alone = not running
        key, due = channel._core.start_unary(self._path, octets, timeout, metadata, bool(wait_for_ready), alone)
        call._key = key
        running[key] = call
        # Alone it has gone out already. With others it waits for the end of this turn of the loop, and goes with them.
        channel._arm(due) if alone else channel._soon()
        return call


class UnaryStreamMultiCallable(_MultiCallable):
    """One message out, any number back."""

    __slots__ = ()

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        credentials: None = None,
        wait_for_ready: bool | None = None,
        compression: None = None,
    ) -> UnaryStreamCall:
        """Starts a call; iterate over what this returns, or read()."""
        channel = self._begin(credentials, compression)
        octets = _request_octets(self._serialize, request)
        call = UnaryStreamCall(channel, None, self._deserialize, timeout, None)
        self._start(call, timeout, metadata, wait_for_ready)
        channel._core.send(call._key, octets, True)
        call._is_half_closed = True
        return call


class StreamUnaryMultiCallable(_MultiCallable):
    """Any number of messages out, one back."""

    __slots__ = ()

    def __call__(
        self,
        request_iterator: Any = None,
        *,
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        credentials: None = None,
        wait_for_ready: bool | None = None,
        compression: None = None,
    ) -> StreamUnaryCall:
        """Starts a call that sends what the (async or plain) iterator gives, or without one what is written; await it."""
        _check_requests(request_iterator)
        call = StreamUnaryCall(self._begin(credentials, compression), self._serialize, self._deserialize, timeout, request_iterator)
        self._start(call, timeout, metadata, wait_for_ready)
        channel = self._channel
        if channel._core.recv(call._key) is not None:
            raise AssertionError("a response before the request")
        return call


class StreamStreamMultiCallable(_MultiCallable):
    """Any number of messages out and back."""

    __slots__ = ()

    def __call__(
        self,
        request_iterator: Any = None,
        *,
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        credentials: None = None,
        wait_for_ready: bool | None = None,
        compression: None = None,
    ) -> StreamStreamCall:
        """Starts a call that sends what the (async or plain) iterator gives, or without one what is written; iterate, or read()."""
        _check_requests(request_iterator)
        call = StreamStreamCall(self._begin(credentials, compression), self._serialize, self._deserialize, timeout, request_iterator)
        self._start(call, timeout, metadata, wait_for_ready)
        return call

class Channel:
    """A channel to all endpoints of a target, for asyncio; stubs of ``grpcio-tools`` take it for grpc's.

    It belongs to the event loop that runs when it is first used, and only that loop's thread may use it.
    """

    def __init__(
        self,
        target: str,
        *,
        service_config: str | Mapping[str, Any] | None = None,
        authority: str | None = None,
        max_message_size: int | None = None,
        keepalive_time: float | None = None,
        keepalive_timeout: float | None = None,
        initial_backoff: float | None = None,
        max_backoff: float | None = None,
        connect_timeout: float | None = None,
        idle_timeout: float | None = 1800.0,
    ) -> None:
        """Makes the channel; it connects with the first call. The arguments are those of `grpclb.Channel`."""
        self._core = _grpclb.Reactor(
            target,
            **options(
                service_config,
                authority=authority,
                max_message_size=max_message_size,
                keepalive_time=keepalive_time,
                keepalive_timeout=keepalive_timeout,
                initial_backoff=initial_backoff,
                max_backoff=max_backoff,
                connect_timeout=connect_timeout,
                idle_timeout=idle_timeout,
            ),
        )
        self._target = target
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Calls that run, by their keys.
        self._calls: dict[int, Any] = {}
        self._is_soon = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    # -- methods of the service

    def unary_unary(
        self,
        method: str,
        request_serializer: Serializer = None,
        response_deserializer: Deserializer = None,
        _registered_method: bool | None = False,
    ) -> UnaryUnaryMultiCallable:
        """A method by its path, ``/package.Service/Method``."""
        return UnaryUnaryMultiCallable(self, method, request_serializer, response_deserializer)

    def unary_stream(
        self,
        method: str,
        request_serializer: Serializer = None,
        response_deserializer: Deserializer = None,
        _registered_method: bool | None = False,
    ) -> UnaryStreamMultiCallable:
        """A method by its path."""
        return UnaryStreamMultiCallable(self, method, request_serializer, response_deserializer)

    def stream_unary(
        self,
        method: str,
        request_serializer: Serializer = None,
        response_deserializer: Deserializer = None,
        _registered_method: bool | None = False,
    ) -> StreamUnaryMultiCallable:
        """A method by its path."""
        return StreamUnaryMultiCallable(self, method, request_serializer, response_deserializer)

    def stream_stream(
        self,
        method: str,
        request_serializer: Serializer = None,
        response_deserializer: Deserializer = None,
        _registered_method: bool | None = False,
    ) -> StreamStreamMultiCallable:
        """A method by its path."""
        return StreamStreamMultiCallable(self, method, request_serializer, response_deserializer)

    # -- state

    def get_state(self, try_to_connect: bool = False) -> ChannelConnectivity:
        """The state; ``try_to_connect`` leaves IDLE."""
        if try_to_connect and not self._closed:
            self._bind()
            self._soon()
        return connectivity(self._core.state(try_to_connect))

    async def wait_for_state_change(self, last_observed_state: ChannelConnectivity) -> None:
        """Waits until the state is another one."""
        last = connectivity_number(last_observed_state)
        await self._until(lambda: self._core.state(False) != last)

    async def channel_ready(self) -> None:
        """Connects and waits until the channel is READY."""
        await self.wait_for_ready_endpoints(1)

    async def wait_for_ready_endpoints(self, count: int) -> None:
        """Connects and waits until so many endpoints are READY."""

        def ready() -> bool:
            # It may have gone IDLE again meanwhile.
            self._core.state(True)
            return self._core.ready_endpoints() >= count

        await self._until(ready)

    def endpoints(self) -> list[tuple[str, ChannelConnectivity]]:
        """Each endpoint's address and state."""
        return [(address, connectivity(state)) for address, state in self._core.endpoints()]

    async def close(self, grace: float | None = None) -> None:
        """Ends the channel: calls that run get ``grace`` seconds, then they end with CANCELLED. Later ones are a ValueError."""
        if self._closed:
            return
        self._closed = True
        if grace and self._calls:
            ends = [asyncio.ensure_future(call._wait()) for call in self._running()]
            await asyncio.wait(ends, timeout=grace)
            for end in ends:
                end.cancel()
        self._core.close()
        # What ran on a loop that is closed can be told to nobody any more.
        if self._loop is not None and not self._loop.is_closed():
            self._turn()
            self._detach()
        # Streams that had ended, with messages that nobody has read.
        for call in self._running():
            call._end(Failed(CANCELLED, "the channel was closed"))

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        loop = getattr(self, "_loop", None)
        if loop is None or self._closed or loop.is_closed():
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self)
        core, timer = self._core, self._timer

        def detach() -> None:
            loop.remove_reader(core.fileno())
            if timer is not None:
                timer.cancel()

        # The descriptor must not be closed while the loop watches it, and this may be any thread.
        loop.call_soon_threadsafe(detach)

    def __repr__(self) -> str:
        return f"<grpclb.aio.Channel to {self._target!r}{', closed' if self._closed else ''}>"

    # -- the event loop

    def _bind(self) -> None:
        """Every use begins here: the channel belongs to the loop that runs."""
        if self._closed:
            raise ValueError("a call on a closed channel")
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._loop is not None:
            if not self._loop.is_closed():
                raise RuntimeError("this channel belongs to another event loop")
            # What ran there can be told to nobody any more.
            for key in self._calls:
                self._core.cancel(key)
            self._calls, self._watchers, self._timer, self._is_soon = {}, [], None, False
        loop.add_reader(self._core.fileno(), _weakly(self._turn))
        self._tick = _weakly(self._timed)
        self._loop = loop
        self._soon()

    def _detach(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._core.fileno())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        """What the reactor has to do, and to tell."""
        news, due = self._core.process()
        first: BaseException | None = None
        calls = self._calls
        for key, what in news:
            call = calls.get(key)
            if type(call) is weakref.ref:  # streams: who forgets one wants no more of it
                call = call()
            if call is None:
                continue
            try:
                call._news(what)
            except BaseException as error:  # the others must hear of theirs
                first = first or error
        if self._watchers:
            self._look()
            due = self._core.poll_timeout()
        self._arm(due)
        if first is not None:
            raise first

    def _soon(self) -> None:
        """A turn once what the loop has to do now is done: all calls that start meanwhile go out in one go."""
        if not self._is_soon:
            assert self._loop is not None
            self._is_soon = True
            self._loop.call_soon(self._turn_soon)

    def _turn_soon(self) -> None:
        self._is_soon = False
        if not self._closed:
            self._turn()

    def _arm(self, due: float | None) -> None:
        """One timer; it stays where it is when the new moment is later: it then looks again."""
        if due is None or self._closed:
            return
        if due <= 0:
            return self._soon()
        assert self._loop is not None
        at = self._loop.time() + due
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(at, self._tick), at

    def _timed(self) -> None:
        self._timer = None
        self._turn()

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Waits until something holds, asked after each turn."""
        self._bind()
        if holds():
            return
        self._soon()
        watcher = self._future()
        entry = (holds, watcher)
        self._watchers.append(entry)
        try:
            await watcher
        finally:
            if entry in self._watchers:
                self._watchers.remove(entry)

    def _look(self) -> None:
        for holds, watcher in self._watchers:
            if not watcher.done() and holds():
                watcher.set_result(None)

    # -- for the calls

    def _future(self) -> asyncio.Future[None]:
        assert self._loop is not None
        return self._loop.create_future()

    def _running(self) -> list[Call]:
        calls = (call() if type(call) is weakref.ref else call for call in self._calls.values())
        return [call for call in calls if call is not None]

    def _is_open(self) -> bool:
        return not self._closed and self._loop is not None and not self._loop.is_closed()

    def _abandon(self, key: int) -> None:
        """A stream that is garbage now, perhaps found so on another thread or within a turn."""

        def cancel() -> None:
            if self._calls.pop(key, None) is not None and not self._closed:
                self._cancel(key)

        assert self._loop is not None
        self._loop.call_soon_threadsafe(cancel)

    def _cancel(self, key: int) -> None:
        self._core.cancel(key)
        self._soon()

    def _forget(self, key: int) -> None:
        self._calls.pop(key, None)

    def _run(self, callback: Callable[[Any], None], call: Call) -> None:
        assert self._loop is not None
        self._loop.call_soon(callback, call)


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """A method for the event loop, which is not to keep the channel alive."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        alive = reference()
        if alive is not None:
            alive()

    return call


def _wake(waiters: list[asyncio.Future[None]] | None) -> None:
    if waiters is None:
        return
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()
