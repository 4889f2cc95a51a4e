"""The blocking channel: any thread may call, and waits with the interpreter let go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from . import _grpclb, _streams
from ._call import (
    INTERNAL,
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
from ._errors import RpcError, rpc_error
from ._metadata import Metadata
from ._status import ChannelConnectivity, StatusCode, connectivity, connectivity_number, status_code
from ._streams import ResponseFuture, ResponseStream, report


class EndedCall:
    """How a call ended that is over: what ``with_call`` gives beside the response."""

    __slots__ = ("_done",)

    def __init__(self, done: Done) -> None:
        self._done = done

    def code(self) -> StatusCode:
        """The status code."""
        return status_code(self._done.code)

    def details(self) -> str:
        """Why, in words."""
        return self._done.message

    def initial_metadata(self) -> Metadata:
        """What came before any message."""
        return Metadata(self._done.initial_metadata)

    def trailing_metadata(self) -> Metadata:
        """What came with the status."""
        return Metadata(self._done.trailing_metadata)

    def peer(self) -> str:
        """The endpoint that served the call."""
        return self._done.peer

    def pick_order(self) -> int:
        """The how-manieth pick of the channel this call was, from 0."""
        return self._done.pick_order

    def is_active(self) -> bool:
        """Never: it is over."""
        return False

    def time_remaining(self) -> None:
        """Nothing: it is over."""

    def cancel(self) -> bool:
        """Does nothing: it is over."""
        return False

    def add_callback(self, callback: Any) -> bool:
        """Does nothing: it is over."""
        return False


class _MultiCallable:
    """A method of a channel."""

    __slots__ = ("_channel", "_core", "_deserialize", "_path", "_serialize")

    def __init__(self, channel: Channel, method: str | bytes, serialize: Serializer, deserialize: Deserializer) -> None:
        self._channel, self._core = channel, channel._core
        self._path = method_path(method)
        self._serialize, self._deserialize = serialize, deserialize

    def _check(self, credentials: Any, compression: Any) -> None:
        """What each call begins with."""
        if credentials is not None or compression is not None:
            refuse(credentials, compression)
        if self._channel._closed:
            raise ValueError("a call on a closed channel")

    def _octets(self, request: Any) -> bytes:
        try:
            return serialized(self._serialize, request)
        except Exception as error:
            raise request_failed(RpcError, error) from error


class UnaryUnaryMultiCallable(_MultiCallable):
    """One message out, one back."""

    __slots__ = ()

    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        credentials: None = None,
        wait_for_ready: bool | None = None,
        compression: None = None,
    ) -> Any:
        """Calls and waits for the response; RpcError when there is none.

        ``timeout`` is in seconds, None is no deadline. ``wait_for_ready``: wait through TRANSIENT_FAILURE instead of
        failing fast.
        """
        return self._response(self._wait(request, timeout, metadata, credentials, wait_for_ready, compression))

    def with_call(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        credentials: None = None,
        wait_for_ready: bool | None = None,
        compression: None = None,
    ) -> tuple[Any, EndedCall]:
        """As a plain call; gives the response and how the call ended."""
        done = self._wait(request, timeout, metadata, credentials, wait_for_ready, compression)
        return self._response(done), EndedCall(done)

    def future(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        credentials: None = None,
        wait_for_ready: bool | None = None,
        compression: None = None,
    ) -> ResponseFuture:
        """Starts a call that a thread of its own waits for."""
        self._check(credentials, compression)
        octets = self._octets(request)
        core = self._core.stream(self._path, timeout, metadata, bool(wait_for_ready), octets)
        call = ResponseFuture(core, self._deserialize, timeout)
        call._start()
        return call

    def _wait(
        self, request: Any, timeout: float | None, metadata: Any, credentials: Any, wait: bool | None, compression: Any
    ) -> _grpclb.Completion:
        self._check(credentials, compression)
        return self._core.unary(self._path, self._octets(request), timeout, metadata, bool(wait))

    def _response(self, done: _grpclb.Completion) -> Any:
        if done.code:
            raise rpc_error(RpcError, done)
        if self._deserialize is None:
            return done.response
        try:
            return self._deserialize(done.response)  # type: ignore[arg-type]  # it is there when the code is OK
        except Exception as error:
            raise response_failed(RpcError, error, done) from error


class UnaryStreamMultiCallable(_MultiCallable):
    """One message out, any number back."""

    __slots__ = ()

    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        credentials: None = None,
        wait_for_ready: bool | None = None,
        compression: None = None,
    ) -> ResponseStream:
        """Starts a call; iterate over what this returns. (Who reads drives the channel: nothing comes while nobody does.)"""
        self._check(credentials, compression)
        octets = self._octets(request)
        core = self._core.stream(self._path, timeout, metadata, bool(wait_for_ready), octets)
        return ResponseStream(core, self._deserialize, timeout)


class StreamUnaryMultiCallable(_MultiCallable):
    """Any number of messages out, one back."""

    __slots__ = ()

    def __call__(
        self,
        request_iterator: Any,
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        credentials: None = None,
        wait_for_ready: bool | None = None,
        compression: None = None,
    ) -> Any:
        """Sends what the iterator gives, on a thread of its own, and waits for the response; RpcError when there is none."""
        return self.with_call(request_iterator, timeout, metadata, credentials, wait_for_ready, compression)[0]

    def with_call(
        self,
        request_iterator: Any,
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        credentials: None = None,
        wait_for_ready: bool | None = None,
        compression: None = None,
    ) -> tuple[Any, ResponseFuture]:
        """As a plain call; gives the response and the call."""
        call = self._begin(request_iterator, timeout, metadata, credentials, wait_for_ready, compression)
        call._run()
        return call.result(), call

    def future(
        self,
        request_iterator: Any,
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        credentials: None = None,
        wait_for_ready: bool | None = None,
        compression: None = None,
    ) -> ResponseFuture:
        """Starts a call that a thread of its own waits for."""
        call = self._begin(request_iterator, timeout, metadata, credentials, wait_for_ready, compression)
        call._start()
        return call

    def _begin(
        self, requests: Any, timeout: float | None, metadata: Any, credentials: Any, wait: bool | None, compression: Any
    ) -> ResponseFuture:
        self._check(credentials, compression)
        requests = _streams.iterator(requests)
        core = self._core.stream(self._path, timeout, metadata, bool(wait), None)
        call = ResponseFuture(core, self._deserialize, timeout)
        call._send_all(requests, self._serialize)
        return call


class StreamStreamMultiCallable(_MultiCallable):
    """Any number of messages out and back."""

    __slots__ = ()

    def __call__(
        self,
        request_iterator: Any,
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        credentials: None = None,
        wait_for_ready: bool | None = None,
        compression: None = None,
    ) -> ResponseStream:
        """Starts a call that sends what the iterator gives, on a thread of its own; iterate over what this returns."""
        self._check(credentials, compression)
        requests = _streams.iterator(request_iterator)
        core = self._core.stream(self._path, timeout, metadata, bool(wait_for_ready), None)
        call = ResponseStream(core, self._deserialize, timeout)
        call._send_all(requests, self._serialize)
        return call


def request_failed(ours: type[RpcError], error: Exception) -> RpcError:
    """The error of a call whose request cannot be sent."""
    return rpc_error(ours, Failed(INTERNAL, f"request_serializer: {type(error).__name__}: {error}"))


def response_failed(ours: type[RpcError], error: Exception, done: Done | None) -> RpcError:
    """The error of a call whose response cannot be read."""
    return rpc_error(ours, Failed(INTERNAL, f"response_deserializer: {type(error).__name__}: {error}", done))


class Channel:
    """A channel to all endpoints of a target, for threads that block; stubs of ``grpcio-tools`` take it for grpc's.

    Any thread may call. There is no hidden thread: who waits for a call drives everyone's.
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
        """Makes the channel; it connects with the first call. ValueError or TypeError names what is wrong.

        target: ``dns:///host:port``, ``ipv4:a:p,b:p``, ``ipv6:[a]:p``, ``unix:/path`` or ``file:///path``.
        service_config: gRPC's, as JSON or as a mapping, such as ``{"loadBalancingPolicy": "round_robin"}``.
        authority: ``:authority`` of the calls instead of the target's.
        max_message_size: largest message taken, octets (default 4 MiB).
        keepalive_time, keepalive_timeout: seconds without an octet until a PING is sent (at least 10; default never), and
        how long its answer may take (default 20).
        initial_backoff, max_backoff: seconds between attempts to connect (defaults 1 and 120).
        connect_timeout: seconds an attempt may take (default 20).
        idle_timeout: seconds without a call after which connections are closed; None never.
        """
        self._core = _grpclb.Channel(
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
        self._subscribers: dict[Any, threading.Event] = {}

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

    def get_state(self, try_to_connect: bool = False) -> ChannelConnectivity:
        """The state; ``try_to_connect`` leaves IDLE."""
        return connectivity(self._core.state(try_to_connect))

    def wait_for_state_change(self, last_observed_state: ChannelConnectivity, timeout: float | None = None) -> bool:
        """Waits until the state is another one; False when the time ran out."""
        return self._core.wait_for_state_change(connectivity_number(last_observed_state), timeout)

    def channel_ready(self, timeout: float | None = None) -> bool:
        """Connects and waits until the channel is READY; False when the time ran out."""
        return self.wait_for_ready_endpoints(1, timeout)

    def wait_for_ready_endpoints(self, count: int, timeout: float | None = None) -> bool:
        """Connects and waits until so many endpoints are READY; False when the time ran out."""
        ready = self._core.wait_for_ready_endpoints(count, timeout)
        if self._closed and not ready:
            raise ValueError("the channel was closed")
        return ready

    def endpoints(self) -> list[tuple[str, ChannelConnectivity]]:
        """Each endpoint's address and state."""
        return [(address, connectivity(state)) for address, state in self._core.endpoints()]

    def subscribe(self, callback: Callable[[ChannelConnectivity], None], try_to_connect: bool = False) -> None:
        """Calls ``callback(state)`` now and whenever the state changes, on a thread of its own, until `unsubscribe`."""
        self.unsubscribe(callback)
        self._subscribers[callback] = stop = threading.Event()

        def watch() -> None:
            told = None
            while not (stop.is_set() or self._closed):
                state = self._core.state(try_to_connect)
                if state != told:
                    told = state
                    try:
                        callback(connectivity(state))
                    except Exception as error:  # it wants to hear of the next one all the same
                        report(error)
                self._core.wait_for_state_change(state, 0.2)

        threading.Thread(target=watch, daemon=True, name="grpclb subscriber").start()

    def unsubscribe(self, callback: Callable[[ChannelConnectivity], None]) -> None:
        """Ends what `subscribe` began."""
        stop = self._subscribers.pop(callback, None)
        if stop is not None:
            stop.set()

    def close(self) -> None:
        """Ends the channel and its calls (CANCELLED). Later calls are a ValueError."""
        self._closed = True
        self._core.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<grpclb.Channel to {self._target!r}{', closed' if self._closed else ''}>"
