"""The channel, and its place in the event loop."""

from __future__ import annotations

import asyncio
import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from .. import _grpclb
from .._call import CANCELLED, Deserializer, Failed, Serializer, options
from .._status import ChannelConnectivity, connectivity, connectivity_number
from ._calls import Call
from ._methods import (
    StreamStreamMultiCallable,
    StreamUnaryMultiCallable,
    UnaryStreamMultiCallable,
    UnaryUnaryMultiCallable,
)


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
        #: No new calls.
        self._closed = False
        #: None at all.
        self._is_shut = False
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
        try:
            ends = [asyncio.ensure_future(call._wait()) for call in self._running()] if grace else []
            if ends:
                try:
                    await asyncio.wait(ends, timeout=grace)
                finally:
                    for end in ends:
                        end.cancel()
        finally:
            self._shut()

    def _shut(self) -> None:
        """Nobody is left waiting."""
        self._is_shut = True
        self._core.close()
        if self._loop is None:
            return
        if self._loop.is_closed():
            for call in self._running():
                call._lost()
            return
        try:
            self._turn()
        finally:
            # Streams with messages that nobody has read.
            for call in self._running():
                call._abort(Failed(CANCELLED, "the channel was closed"))
            for _, watcher in self._watchers:
                if not watcher.done():
                    watcher.set_exception(ValueError("the channel was closed"))
            self._detach()

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        loop = getattr(self, "_loop", None)
        if loop is None or self._is_shut or loop.is_closed():
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
        lost: list[Call] = []
        if self._loop is not None:
            if not self._loop.is_closed():
                raise RuntimeError("this channel belongs to another event loop")
            # Who waited there can be told nothing any more.
            lost = self._running()
            for key in self._calls:
                self._core.cancel(key)
            self._calls, self._watchers, self._timer, self._is_soon = {}, [], None, False
        loop.add_reader(self._core.fileno(), _weakly(self._turn))
        self._tick = _weakly(self._timed)
        self._loop = loop
        self._soon()
        for call in lost:
            call._lost()

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
        if not self._is_shut:
            self._turn()

    def _arm(self, due: float | None) -> None:
        """One timer; it stays where it is when the new moment is later: it then looks again."""
        if due is None or self._is_shut:
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
        return not self._is_shut and self._loop is not None and not self._loop.is_closed()

    def _abandon(self, key: int) -> None:
        """A stream that is garbage now, perhaps found so on another thread or within a turn."""

        def cancel() -> None:
            if self._calls.pop(key, None) is not None and not self._is_shut:
                self._cancel(key)

        assert self._loop is not None
        self._loop.call_soon_threadsafe(cancel)

    def _cancel(self, key: int) -> None:
        self._core.cancel(key)
        if self._loop is not None and not self._loop.is_closed():
            self._soon()

    def _forget(self, key: int) -> None:
        self._calls.pop(key, None)

    def _run(self, callback: Callable[[Any], None], call: Call) -> None:
        assert self._loop is not None
        # A callback of a loop that is closed has nowhere to run.
        if not self._loop.is_closed():
            self._loop.call_soon(callback, call)


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """A method for the event loop, which is not to keep the channel alive."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        alive = reference()
        if alive is not None:
            alive()

    return call
