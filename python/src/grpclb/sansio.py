"""gRPC over one HTTP/2 connection without a socket: octets in, events out, octets out, your clock.

```python
connection = Connection(time.monotonic_ns())
call = connection.start_call(now, "/helloworld.Greeter/SayHello", authority="localhost")
connection.send_message(call, b"\\n\\x05world", end=True)
sock.sendall(connection.data_to_send(now))
for event in connection.recv(now, sock.recv(65536)): ...
```

The rule for whoever drives it: deliver the events of `recv`, `handle_timeout` and `poll_events`, then send what
`data_to_send` gives, and ask `poll_events` once more; wait for octets or for `poll_timeout`.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterable
from typing import Any, NamedTuple, Optional, Union

from . import _grpclb
from ._call import MetadataIn
from ._grpclb import BlockedError, ClosedError
from ._metadata import Metadata
from ._picker import _random, _seconds, _whole

__all__ = [
    "BlockedError",
    "CallStarted",
    "ClosedError",
    "Connection",
    "Ended",
    "Event",
    "Fate",
    "GoAway",
    "Headers",
    "Message",
    "Ready",
    "Startable",
    "Status",
    "Terminated",
    "Writable",
]


class Fate(enum.Enum):
    """What became of a call that failed (gRFC A6)."""

    NEVER_LEFT = 0
    """It may be tried again, until its deadline."""
    REFUSED = 1
    """The server did not process it: it may be tried again once, elsewhere."""
    SEEN = 2
    """The server may have seen it."""


class Ready(NamedTuple):
    """The peer's SETTINGS came: the connection is usable."""


class CallStarted(NamedTuple):
    """Server: a new call. ``end``: no message follows. The connection minds ``timeout`` by itself."""

    call: int
    path: str
    authority: str
    timeout: Optional[float]
    metadata: Metadata
    end: bool


class Headers(NamedTuple):
    """Client: the response's initial metadata."""

    call: int
    metadata: Metadata


class Message(NamedTuple):
    """A part of a message: octets ``offset`` on, of ``length`` in all. They hold receive window until `Connection.release`.

    ``end``: it is the last part, and the client sends no more (never at a client: the status comes there).
    """

    call: int
    data: bytes
    offset: int
    length: int
    end: bool

    @property
    def is_last(self) -> bool:
        """Whether the message ends here."""
        return self.offset + len(self.data) == self.length


class Ended(NamedTuple):
    """Server: the client sends no more, apart from any message."""

    call: int


class Status(NamedTuple):
    """The call is over; its last event. At a client each call has exactly one, at a server those that were cut short."""

    call: int
    code: int
    message: str
    trailers: Metadata
    fate: Fate


class Writable(NamedTuple):
    """A send that was blocked, or took a part only, can go on."""

    call: int


class Startable(NamedTuple):
    """`Connection.start_call` was blocked and can be tried again."""


class GoAway(NamedTuple):
    """The peer takes no new calls; those above ``last`` end as REFUSED. ``code`` is HTTP/2's."""

    last: int
    code: int
    debug: bytes


class Terminated(NamedTuple):
    """The connection is over by an error: send what there is to send, and close. ``code`` is HTTP/2's (RFC 9113 section 7)."""

    code: int
    reason: str


Event = Union[Ready, CallStarted, Headers, Message, Ended, Status, Writable, Startable, GoAway, Terminated]


def _events(told: Iterable[tuple[Any, ...]]) -> list[Event]:
    return [_MAKE[kind](*words) for kind, *words in told]


def _call_started(call: int, path: str, authority: str, timeout: float | None, metadata: Any, end: bool) -> Event:
    return CallStarted(call, path, authority, timeout, Metadata(metadata), end)


def _headers(call: int, metadata: Any) -> Event:
    return Headers(call, Metadata(metadata))


def _status(call: int, code: int, message: str, trailers: Any, fate: int) -> Event:
    return Status(call, code, message, Metadata(trailers), Fate(fate))


# By the compiled part's numbers.
_MAKE: tuple[Any, ...] = (
    Ready,
    _call_started,
    _headers,
    Message,
    Ended,
    _status,
    Writable,
    Startable,
    GoAway,
    Terminated,
)


class Connection:
    """One HTTP/2 connection and its gRPC calls, a client's or a server's.

    ``now`` is always a moment of your monotonic clock in nanoseconds (``time.monotonic_ns()``) and never goes back. A call is
    a number; its upper 32 bits are dense from 0. One thread at a time.
    """

    __slots__ = ("_core",)

    def __init__(
        self,
        now: int,
        *,
        server: bool = False,
        max_calls: int = 128,
        max_message_size: int = 4 * 1024 * 1024,
        keepalive_time: float | None = None,
        keepalive_timeout: float = 20.0,
        seed: int | None = None,
    ) -> None:
        """max_calls: at once, 1 to 65535; max_message_size: octets of the largest message taken.

        keepalive_time: seconds without an octet until a PING is sent; keepalive_timeout: how long its answer may take.
        """
        time, timeout = _seconds("keepalive_time", keepalive_time), _seconds("keepalive_timeout", keepalive_timeout)
        if not 1 <= _whole("max_calls", max_calls, 16):
            raise ValueError("max_calls: expected 1 to 65535, got 0")
        if timeout is None:
            raise TypeError("keepalive_timeout: expected seconds, got None")
        keepalive = None if time is None else (time, timeout)
        size = _whole("max_message_size", max_message_size, 32)
        self._core = _grpclb.Connection(server, now, max_calls, size, keepalive, _random("seed", seed))

    def recv(self, now: int, data: bytes) -> list[Event]:
        """Takes octets that arrived; all that they, time and commands made."""
        return _events(self._core.recv(now, data))

    def poll_events(self) -> list[Event]:
        """What time, commands and `data_to_send` made."""
        return _events(self._core.poll_events())

    def data_to_send(self, now: int) -> bytes:
        """All that is to be sent, which counts as sent. Ask `poll_events` afterwards: there is room again."""
        return self._core.data_to_send(now)

    def poll_timeout(self) -> int | None:
        """The moment at which `handle_timeout` is due."""
        return self._core.poll_timeout()

    def handle_timeout(self, now: int) -> list[Event]:
        """Time passed: what it made."""
        return _events(self._core.handle_timeout(now))

    def start_call(
        self,
        now: int,
        path: str,
        *,
        authority: str = "",
        timeout: float | None = None,
        metadata: MetadataIn | None = None,
        secure: bool = False,
        user_agent: str = "",
    ) -> int:
        """Client: starts a call. BlockedError: not now; ClosedError: not on this connection; ValueError: never."""
        return self._core.start_call(now, path, authority, timeout, metadata, secure, user_agent)

    def send_message(self, call: int, data: bytes, *, end: bool = False) -> int:
        """Sends (a part of) a message: the first call's length is the message's, later ones pass exactly the rest. Octets taken.

        ``end``: a client's side ends behind it. BlockedError: nothing was taken; after a part, too, `Writable` comes.
        """
        return self._core.send_message(call, data, end)

    def half_close(self, call: int) -> None:
        """Client: no more messages."""
        self._core.half_close(call)

    def send_metadata(self, call: int, metadata: MetadataIn) -> None:
        """Server: the response's initial metadata; sent by itself, empty, if you never do."""
        self._core.send_metadata(call, metadata)

    def send_status(self, call: int, code: int, message: str = "", metadata: MetadataIn | None = None) -> None:
        """Server: ends the call with gRPC's status, and trailing metadata."""
        self._core.send_status(call, code, message, metadata)

    def release(self, call: int, octets: int) -> None:
        """Gives octets of messages back to the receive window. Does nothing when the call is over."""
        self._core.release(call, octets)

    def cancel(self, call: int) -> None:
        """Ends a call. A client's gets its `Status`, CANCELLED; a server's has no further event."""
        self._core.cancel(call)

    def carrier_lost(self, now: int) -> None:
        """The socket is gone: every call ends."""
        self._core.carrier_lost(now)

    def shutdown(self, now: int) -> None:
        """No new calls; those that run go on."""
        self._core.shutdown(now)

    def is_closed(self) -> bool:
        """Whether all is said and done: close the socket once there is nothing to send."""
        return self._core.is_closed()

    def calls(self) -> int:
        """Calls that run."""
        return self._core.calls()
