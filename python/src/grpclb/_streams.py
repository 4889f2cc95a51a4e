"""Calls of the blocking channel that run while the program does something else: streams, and futures of responses."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from . import _grpclb
from ._call import CANCELLED, INTERNAL, UNIMPLEMENTED, UNKNOWN, Deserializer, Done, Failed, Serializer, serialized
from ._errors import FutureCancelledError, FutureTimeoutError, RpcError, kind, rpc_error
from ._metadata import Metadata
from ._status import StatusCode, status_code

LOCALLY = "Locally cancelled by application!"


class RunningCall:
    """A call that runs. Threads may share it: one reads, another cancels."""

    def __init__(self, core: _grpclb.Stream, deserialize: Deserializer, timeout: float | None) -> None:
        self._core, self._deserialize = core, deserialize
        self._deadline = None if timeout is None else time.monotonic() + timeout
        #: What ended it on this side.
        self._failed: Failed | None = None
        self._done: Done | None = None
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], Any]] | None = None

    # -- requests

    def _send_all(self, requests: Iterator[Any], serialize: Serializer) -> None:
        """Sends what an iterator gives, on a thread of its own: it may wait for what the program makes of the responses."""
        words = (weakref.ref(self), self._core, requests, serialize)
        threading.Thread(target=_send_all, args=words, daemon=True, name="grpclb requests").start()

    # -- the end

    def _fail(self, failed: Failed) -> None:
        """Ends the call for a reason of this side; the first one counts."""
        with self._lock:
            if self._failed is None and self._done is None:
                self._failed = failed
        self._core.cancel()

    def _finish(self) -> Done:
        """Waits for the end."""
        if self._done is None:
            done: Done = self._core.finish()
            with self._lock:
                if self._done is None:
                    failed = self._failed
                    # It may have ended by itself a moment before.
                    self._done = done if failed is None or (failed.message is LOCALLY and done.code != CANCELLED) else failed
        return self._done

    def _check(self) -> None:
        done = self._finish()
        if done.code:
            raise rpc_error(RpcError, done) from getattr(done, "cause", None)

    def _decoded(self, octets: bytes) -> Any:
        if self._deserialize is None:
            return octets
        try:
            return self._deserialize(octets)
        except Exception as error:
            failed = Failed(INTERNAL, f"response_deserializer: {type(error).__name__}: {error}", None, error)
            self._fail(failed)
            raise rpc_error(RpcError, failed) from error

    # -- as grpc.Call has it

    def cancel(self) -> bool:
        """Ends it now, with CANCELLED; False when it has ended already."""
        if not self.is_active():
            return False
        self._fail(Failed(CANCELLED, LOCALLY))
        return True

    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self._done is None and self._failed is None and not self._core.has_ended()

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def initial_metadata(self) -> Metadata:
        """What came before any message; waits for it."""
        return Metadata(self._core.headers())

    def trailing_metadata(self) -> Metadata:
        """What came with the status; waits for the end."""
        return Metadata(self._finish().trailing_metadata)

    def code(self) -> StatusCode:
        """How it ended; waits for the end."""
        return status_code(self._finish().code)

    def details(self) -> str:
        """Why, in words; waits for the end."""
        return self._finish().message

    def debug_error_string(self) -> str:
        """Code and details in one line; waits for the end."""
        return f"{self.code().name}: {self.details()}"

    def peer(self) -> str:
        """The endpoint that served it; waits for the end."""
        return self._finish().peer

    def pick_order(self) -> int:
        """The how-manieth pick of the channel it was, from 0; waits for the end."""
        return self._finish().pick_order

    def add_callback(self, callback: Callable[[], Any]) -> bool:
        """Calls ``callback()`` at the end, on a thread of its own; False when that was."""
        with self._lock:
            if self._done is not None:
                return False
            first, self._callbacks = self._callbacks is None, [*(self._callbacks or ()), callback]
        if first:
            self._watch()
        return True

    def _watch(self) -> None:
        threading.Thread(target=self._tell, daemon=True, name="grpclb callbacks").start()

    def _tell(self) -> None:
        self._finish()
        self._call_back()

    def _call_back(self) -> None:
        with self._lock:
            callbacks, self._callbacks = self._callbacks or (), None
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # the others must hear of it as well
                report(error)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            if self._done is None:
                self._core.cancel()


def _send_all(
    call: weakref.ref[RunningCall], core: _grpclb.Stream, requests: Iterator[Any], serialize: Serializer
) -> None:
    """A thread that does not keep the call alive: who has forgotten it wants no more of it."""
    failed = None
    try:
        for request in requests:
            try:
                octets = serialized(serialize, request)
            except Exception as error:
                failed = Failed(INTERNAL, f"request_serializer: {type(error).__name__}: {error}", None, error)
                break
            if not core.send(octets):
                return
        else:
            core.send(None)
    except BaseException as error:  # the program's own, on a thread that nobody watches: the call tells it
        failed = Failed(UNKNOWN, f"request iterator: {type(error).__name__}: {error}", None, error)
    alive = call()
    if failed and alive is not None:
        alive._fail(failed)


class ResponseStream(RunningCall):
    """A call whose responses are iterated over. An error ends the iteration as RpcError."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        octets = self._core.recv()
        if octets is not None:
            return self._decoded(octets)
        self._check()
        raise StopIteration

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        """Calls ``callback(call)`` at the end, on a thread of its own, or now when that was."""
        if not self.add_callback(lambda: callback(self)):
            callback(self)

    def done(self) -> bool:
        """Whether it has ended."""
        return not self.is_active()


class ResponseFuture(RunningCall):
    """A call that gives one response, later. A thread of its own waits for it."""

    def __init__(self, core: _grpclb.Stream, deserialize: Deserializer, timeout: float | None) -> None:
        super().__init__(core, deserialize, timeout)
        self._response: Any = None
        self._error: RpcError | None = None
        self._is_over = threading.Event()

    def _run(self) -> None:
        """Waits for the response and the end."""
        try:
            octets = self._core.recv()
            if octets is not None:
                if self._core.recv() is not None:
                    self._fail(Failed(UNIMPLEMENTED, "more than one response message"))
                else:
                    self._response = self._decoded(octets)
            done = self._finish()
            if done.code == 0 and octets is None:
                self._done = done = Failed(UNIMPLEMENTED, "no response message", done)
            if done.code:
                self._error = rpc_error(RpcError, done)
                self._error.__cause__ = getattr(done, "cause", None)
        except RpcError as error:
            self._error = error
            self._finish()
        finally:
            self._is_over.set()
            self._call_back()

    def _watch(self) -> None:
        """Who waits for the response calls back as well."""

    def _start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="grpclb future").start()

    def is_active(self) -> bool:
        """Whether it has not ended."""
        return not self._is_over.is_set() and self._failed is None

    def done(self) -> bool:
        """Whether it has ended."""
        return not self.is_active()

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.is_active()

    def cancelled(self) -> bool:
        """Whether it was cancelled on this side."""
        if self._failed is None or self._failed.message is not LOCALLY:
            return False
        # It may have ended by itself a moment before.
        return self._done is None or self._done.code == CANCELLED

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        """Calls ``callback(call)`` at the end, on the call's thread, or now when that was."""
        with self._lock:
            if not self._is_over.is_set():
                self._callbacks = [*(self._callbacks or ()), lambda: callback(self)]
                return
        callback(self)

    def _wait(self, timeout: float | None) -> None:
        # In slices: a lock that is waited for without a limit hears of no signal on some systems.
        end = None if timeout is None else time.monotonic() + timeout
        while not self._is_over.wait(1.0 if end is None else min(1.0, max(0.0, end - time.monotonic()))):
            if end is not None and time.monotonic() >= end:
                raise kind(FutureTimeoutError)
        if self.cancelled() and self._finish().code == CANCELLED:
            raise kind(FutureCancelledError)

    def result(self, timeout: float | None = None) -> Any:
        """Waits for the response; RpcError when there is none, FutureTimeoutError when it takes longer than ``timeout``."""
        self._wait(timeout)
        if self._error is not None:
            raise self._error
        return self._response

    def exception(self, timeout: float | None = None) -> RpcError | None:
        """Waits for the end and gives the error, if it was one."""
        self._wait(timeout)
        return self._error

    def traceback(self, timeout: float | None = None) -> TracebackType | None:
        """The error's traceback."""
        error = self.exception(timeout)
        return None if error is None else error.__traceback__


def report(error: Exception) -> None:
    """Says what a callback raised, as of a thread that it ended."""
    threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))


def iterator(requests: Any) -> Iterator[Any]:
    """The iterator of a call's requests."""
    if isinstance(requests, Iterator):
        return requests
    if isinstance(requests, Iterable) and not isinstance(requests, (str, bytes)):
        return iter(requests)
    raise TypeError(f"request_iterator: expected an iterator of requests, got {type(requests).__name__}")
