"""The balancer without sockets, for programs that keep connections of their own."""

from __future__ import annotations

import enum
import json
import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, Optional, Union

from . import _grpclb
from ._status import ChannelConnectivity, connectivity


class ActionKind(enum.Enum):
    """What a picker wants done."""

    RESOLVE = 0
    """Look the target up: `Picker.handle_resolution`, or `handle_resolution_error`."""
    CONNECT = 1
    """Connect to ``address(subchannel)``: `Picker.handle_subchannel`."""
    CLOSE = 2
    """Close the connection of the subchannel, once its calls have ended."""


class Action(NamedTuple):
    """What to do next."""

    kind: ActionKind
    subchannel: Optional[int]


class PickResult(enum.Enum):
    """Where a call goes that goes to no subchannel now."""

    QUEUE = -1
    """It waits: until `Picker.version` changes."""
    FAIL = -2
    """It fails, unless it waits for ready."""
    DROP = -3
    """It fails in any case."""


class SubchannelEvent(enum.Enum):
    """What became of a subchannel."""

    READY = 0
    """The connection is usable."""
    FAILED = 1
    """The attempt to connect failed."""
    LOST = 2
    """The connection is gone, or takes no new calls."""


class PickerEndpoint(NamedTuple):
    """One endpoint as a picker sees it."""

    address: str
    state: ChannelConnectivity
    weight: int
    subchannel: int


_KINDS = list(ActionKind)
_RESULTS = {result.value: result for result in PickResult}


class Picker:
    """Which connection a call goes to: gRPC's policies, connectivity states, backoff and Happy Eyeballs, without a socket or
    a clock.

    ``now`` is always a moment of your monotonic clock in nanoseconds (``time.monotonic_ns()``) and never goes back.
    Any thread may use it; a pick takes no lock while the picker is READY.
    """

    __slots__ = ("_core",)

    def __init__(
        self,
        *,
        seed: int | None = None,
        position: int | None = None,
        initial_backoff: float | None = None,
        max_backoff: float | None = None,
        connect_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        idle_timeout: float | None = 1800.0,
    ) -> None:
        """An IDLE picker that knows no endpoints yet.

        seed: of backoff's jitter and of shuffling; position: the number of the first pick; both random by default.
        initial_backoff, max_backoff: seconds between attempts to connect (defaults 1 and 120).
        connect_timeout: seconds an attempt may take (default 20).
        happy_eyeballs_delay: seconds before an endpoint's next address is tried as well (default 0.25).
        idle_timeout: seconds without a call after which the picker goes IDLE; None never.
        """
        self._core = _grpclb.Picker(
            _random("seed", seed),
            _random("position", position),
            _seconds("initial_backoff", initial_backoff),
            _seconds("max_backoff", max_backoff),
            _seconds("connect_timeout", connect_timeout),
            _seconds("happy_eyeballs_delay", happy_eyeballs_delay),
            _seconds("idle_timeout", idle_timeout),
        )

    def handle_resolution(
        self,
        now: int,
        endpoints: Sequence[Union[str, Sequence[str]]],
        service_config: str | Mapping[str, Any] = "{}",
        *,
        weights: Sequence[int] | None = None,
    ) -> None:
        """The resolver's endpoints, each an address or a list of addresses, and gRPC's service config.

        ValueError: an address or a weight is wrong (then nothing happened), or the service config is (then the endpoints
        were taken with the last good one; when there was none, it counted as `handle_resolution_error`).
        """
        if isinstance(endpoints, str):
            raise TypeError("endpoints: expected a list of addresses, got a str")
        text = service_config if isinstance(service_config, str) else json.dumps(service_config)
        numbers = None if weights is None else [_whole(f"weights[{at}]", weight, 32) for at, weight in enumerate(weights)]
        self._core.handle_resolution(now, endpoints, numbers, text)

    def handle_resolution_error(self, now: int) -> None:
        """The resolver failed: the picker goes on with what it has, and asks again with backoff."""
        self._core.handle_resolution_error(now)

    def handle_subchannel(self, now: int, subchannel: int, event: SubchannelEvent) -> None:
        """What became of a subchannel. Those out of use are passed over."""
        self._core.handle_subchannel(now, subchannel, SubchannelEvent(event).value)

    def connect(self, now: int) -> None:
        """Leaves IDLE."""
        self._core.connect(now)

    def set_busy(self, now: int, busy: bool) -> None:
        """Whether calls are running: while some are, the idle timeout does not run."""
        self._core.set_busy(now, busy)

    def shutdown(self) -> None:
        """Ends the picker; every connection is to be closed (actions follow)."""
        self._core.shutdown()

    def poll_action(self) -> Action | None:
        """What to do next; None: nothing. Ask after every other method (after a pick, when it was QUEUE), until None."""
        action = self._core.poll_action()
        return None if action is None else Action(_KINDS[action[0]], action[1])

    def address(self, subchannel: int) -> str | None:
        """Where a subchannel goes; None when it is out of use."""
        return self._core.address(subchannel)

    def state(self) -> ChannelConnectivity:
        """The state."""
        return connectivity(self._core.state())

    def pick(self, now: int) -> int | PickResult:
        """Where a call goes: a subchannel, or a PickResult. A pick takes an IDLE picker out of IDLE."""
        picked = self._core.pick(now)
        return picked if picked >= 0 else _RESULTS[picked]

    def version(self) -> int:
        """Changes whenever picks may come out differently: a call that was told QUEUE tries again then."""
        return self._core.version()

    def poll_timeout(self) -> int | None:
        """The moment at which `handle_timeout` is due."""
        return self._core.poll_timeout()

    def handle_timeout(self, now: int) -> None:
        """Time passed."""
        self._core.handle_timeout(now)

    def ready_count(self) -> int:
        """Endpoints that are READY."""
        return self._core.ready_count()

    def endpoints(self) -> list[PickerEndpoint]:
        """All of them, in the resolver's order (with pick_first: their addresses in the order of attempts)."""
        return [PickerEndpoint(at, connectivity(state), weight, id) for at, state, weight, id in self._core.endpoints()]


def _whole(name: str, value: Any, bits: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{name}: expected 0 to 2^{bits}-1, got {value}")
    return value


def _random(name: str, value: Any) -> int:
    return random.getrandbits(64) if value is None else _whole(name, value, 64)


def _seconds(name: str, value: Any) -> timedelta | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name}: expected seconds, got {value!r}")
    if not 0 < value <= 366 * 24 * 3600:
        raise ValueError(f"{name}: expected seconds, more than 0 and at most a year, got {value}")
    return timedelta(seconds=value)
