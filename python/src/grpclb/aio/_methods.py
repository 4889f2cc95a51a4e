"""What a channel's methods return: callables that start calls."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from .._call import INTERNAL, Deserializer, Failed, MetadataIn, Serializer, method_path, refuse
from ._calls import UnaryUnaryCall, request_octets
from ._streams import StreamCall, StreamStreamCall, StreamUnaryCall, UnaryStreamCall

if TYPE_CHECKING:
    from ._channel import Channel


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
        octets = request_octets(self._serialize, request)
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
        octets = request_octets(self._serialize, request)
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
