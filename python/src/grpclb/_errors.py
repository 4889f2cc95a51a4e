"""What is raised. When the program has loaded grpc, an error is an instance of grpc's class as well, so that its
``except grpc.RpcError`` goes on working; the class for that is made when the first such error is."""

from __future__ import annotations

from typing import Any

from ._metadata import Metadata
from ._status import StatusCode, loaded, status_code


class RpcError(Exception):
    """A call that did not end with OK.

    UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL and UNKNOWN may be this library's
    own words; every other code is the server's.
    """

    __module__ = "grpclb"

    def __init__(self, code: int, details: str, initial: Metadata, trailing: Metadata, peer: str | None) -> None:
        super().__init__(code, details)
        self._number, self._details, self._peer = code, details, peer
        self._initial, self._trailing = initial, trailing

    def code(self) -> StatusCode:
        """The status code: ``grpc.StatusCode`` when grpc is loaded, else ``grpclb.StatusCode``."""
        return status_code(self._number)

    def details(self) -> str:
        """Why, in words."""
        return self._details

    def initial_metadata(self) -> Metadata:
        """What came before any message."""
        return self._initial

    def trailing_metadata(self) -> Metadata:
        """What came with the status; `grpc-status-details-bin` is among it."""
        return self._trailing

    def peer(self) -> str | None:
        """The endpoint that was used, as ``ip:port``, ``[ip]:port`` or ``unix:path``; None when there was none."""
        return self._peer

    def debug_error_string(self) -> str:
        """All of it in one line."""
        return str(self)

    def __str__(self) -> str:
        peer = f" (from {self._peer})" if self._peer else ""
        return f"{status_code(self._number).name}: {self._details}{peer}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __reduce__(self) -> Any:
        # By the name of what stands in a module: the class may be one that was made here.
        ours = next(kind for kind in type(self).__mro__ if kind.__module__.split(".")[0] == "grpclb" and kind in _OURS)
        return _error, (ours, self._number, self._details, self._initial, self._trailing, self._peer)


class AioRpcError(RpcError):
    """As `RpcError`, of a call of `grpclb.aio`."""

    __module__ = "grpclb.aio"


class UsageError(Exception):
    """A method of a call that this call does not have, or not in this order."""

    __module__ = "grpclb"


class FutureTimeoutError(TimeoutError):
    """The time of ``result(timeout)`` ran out; the call goes on."""

    __module__ = "grpclb"


class FutureCancelledError(Exception):
    """The call was cancelled on this side."""

    __module__ = "grpclb"


# Ours, and the name under which grpc has its own.
_OURS = {
    RpcError: "RpcError",
    AioRpcError: "aio.AioRpcError",
    UsageError: "aio.UsageError",
    FutureTimeoutError: "FutureTimeoutError",
    FutureCancelledError: "FutureCancelledError",
}


_BOTH: dict[tuple[type[Any], type[Any]], type[Any]] = {}


def kind(ours: type[Any]) -> type[Any]:
    """One of our classes, or one that is grpc's as well."""
    theirs = loaded(_OURS[ours])
    if not isinstance(theirs, type):
        return ours
    both = _BOTH.get((ours, theirs))
    if both is None:
        words = {"__module__": ours.__module__, "__doc__": ours.__doc__}
        # Of several threads the first one's is everyone's.
        both = _BOTH.setdefault((ours, theirs), type(ours.__name__, (ours, theirs), words))
    return both


def _error(ours: type[Any], *words: Any) -> Any:
    return kind(ours)(*words)


def rpc_error(ours: type[RpcError], done: Any) -> RpcError:
    """The error for what a call left."""
    initial, trailing = Metadata(done.initial_metadata), Metadata(done.trailing_metadata)
    error: RpcError = kind(ours)(done.code, done.message, initial, trailing, done.peer or None)
    return error
