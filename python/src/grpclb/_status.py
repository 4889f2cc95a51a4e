"""Status codes and connectivity states: grpc's own enums when the program has loaded grpc, else ours of the same names and
values. Nothing here imports grpc."""

from __future__ import annotations

import enum
import sys
from typing import Any


class StatusCode(enum.Enum):
    """How a call ended: https://grpc.io/docs/guides/status-codes/. Names and values are those of ``grpc.StatusCode``."""

    OK = (0, "ok")
    CANCELLED = (1, "cancelled")
    UNKNOWN = (2, "unknown")
    INVALID_ARGUMENT = (3, "invalid argument")
    DEADLINE_EXCEEDED = (4, "deadline exceeded")
    NOT_FOUND = (5, "not found")
    ALREADY_EXISTS = (6, "already exists")
    PERMISSION_DENIED = (7, "permission denied")
    RESOURCE_EXHAUSTED = (8, "resource exhausted")
    FAILED_PRECONDITION = (9, "failed precondition")
    ABORTED = (10, "aborted")
    OUT_OF_RANGE = (11, "out of range")
    UNIMPLEMENTED = (12, "unimplemented")
    INTERNAL = (13, "internal")
    UNAVAILABLE = (14, "unavailable")
    DATA_LOSS = (15, "data loss")
    UNAUTHENTICATED = (16, "unauthenticated")


class ChannelConnectivity(enum.Enum):
    """State of a channel. Names and values are those of ``grpc.ChannelConnectivity``."""

    IDLE = (0, "idle")
    CONNECTING = (1, "connecting")
    READY = (2, "ready")
    TRANSIENT_FAILURE = (3, "transient failure")
    SHUTDOWN = (4, "shutdown")


_CODES = list(StatusCode)
_STATES = list(ChannelConnectivity)


def loaded(name: str) -> Any:
    """What grpc has under a dotted name, if the program has loaded grpc, else None."""
    found = sys.modules.get("grpc")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def status_code(number: int) -> StatusCode:
    """The code of a number; numbers that gRPC does not know are UNKNOWN, as grpc has it."""
    code = _CODES[number] if 0 <= number < len(_CODES) else StatusCode.UNKNOWN
    return getattr(loaded("StatusCode"), code.name, code)


def connectivity(number: int) -> ChannelConnectivity:
    """The state of a number."""
    state = _STATES[number]
    return getattr(loaded("ChannelConnectivity"), state.name, state)


def connectivity_number(state: Any) -> int:
    """The number of a state, ours or grpc's."""
    try:
        return ChannelConnectivity[state.name].value[0]
    except (AttributeError, KeyError):
        raise TypeError(f"last_observed_state: expected a ChannelConnectivity, got {state!r}") from None
