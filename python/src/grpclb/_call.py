"""What both forms share: what a call is asked, and what became of it when this side ended it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Optional, Protocol, Union

from ._metadata import MetadataValue

CANCELLED, UNKNOWN, UNIMPLEMENTED, INTERNAL = 1, 2, 12, 13

#: What a call may be given: pairs, or a mapping.
MetadataIn = Union[Iterable[tuple[str, MetadataValue]], Mapping[str, MetadataValue]]
Serializer = Optional[Callable[[Any], bytes]]
Deserializer = Optional[Callable[[bytes], Any]]


class Done(Protocol):
    """What a call left: `_grpclb.Completion`, or `Failed`."""

    @property
    def code(self) -> int: ...
    @property
    def message(self) -> str: ...
    @property
    def peer(self) -> str: ...
    @property
    def pick_order(self) -> int: ...
    @property
    def initial_metadata(self) -> tuple[tuple[str, MetadataValue], ...]: ...
    @property
    def trailing_metadata(self) -> tuple[tuple[str, MetadataValue], ...]: ...


class Failed:
    """A call that failed on this side, perhaps after the server had its say."""

    __slots__ = ("cause", "code", "initial_metadata", "message", "peer", "pick_order", "trailing_metadata")

    def __init__(self, code: int, message: str, after: Done | None = None, cause: BaseException | None = None) -> None:
        self.code, self.message, self.cause = code, message, cause
        self.peer = after.peer if after else ""
        self.pick_order = after.pick_order if after else 0
        self.initial_metadata = after.initial_metadata if after else ()
        self.trailing_metadata = after.trailing_metadata if after else ()


def options(service_config: str | Mapping[str, Any] | None, **others: Any) -> dict[str, Any]:
    """A channel's options as the compiled part takes them."""
    if isinstance(service_config, Mapping):
        service_config = json.dumps(service_config)
    return {"service_config": service_config, **others}


def method_path(method: Any) -> str:
    """The path of a method: stubs of some versions pass bytes."""
    if isinstance(method, bytes):
        return method.decode()
    if isinstance(method, str):
        return method
    raise TypeError(f"method: expected a str as '/package.Service/Method', got {method!r}")


def refuse(credentials: Any, compression: Any) -> None:
    """Options of a call that there are in grpc and not here."""
    if credentials is not None:
        raise NotImplementedError("credentials: expected None, calls have no credentials of their own (send metadata)")
    # grpc.Compression.NoCompression is 0.
    if compression is not None and compression != 0:
        raise NotImplementedError(f"compression: expected None, messages are not compressed (got {compression!r})")


def serialized(serializer: Serializer, request: Any) -> bytes:
    """The octets of a request. TypeError when there is no serializer, and they are none."""
    octets = request if serializer is None else serializer(request)
    if type(octets) is bytes:
        return octets
    if isinstance(octets, (bytes, bytearray, memoryview)):
        return bytes(octets)
    what = "request" if serializer is None else "what request_serializer gave"
    raise TypeError(f"{what}: expected bytes, got {type(octets).__name__}")
