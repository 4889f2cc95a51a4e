"""gRPC channels with client-side load balancing: `Channel` for threads, `grpclb.aio.Channel` for asyncio.

Stubs that ``grpcio-tools`` generated take them in place of grpc's own; without grpc the channels' methods
``unary_unary``, ``unary_stream``, ``stream_unary`` and ``stream_stream`` are called by hand. This package never imports grpc.

For programs with sockets of their own: `Picker`, the balancer, and `Connection` (`grpclb.sansio`), gRPC over HTTP/2.
"""

from . import aio
from ._blocking import Channel
from ._errors import FutureCancelledError, FutureTimeoutError, RpcError, UsageError
from ._grpclb import __version__
from ._metadata import Metadata, Metadatum
from ._picker import Action, ActionKind, Picker, PickerEndpoint, PickResult, SubchannelEvent
from ._status import ChannelConnectivity, StatusCode
from .sansio import Connection

__all__ = [
    "Action",
    "ActionKind",
    "Channel",
    "ChannelConnectivity",
    "Connection",
    "FutureCancelledError",
    "FutureTimeoutError",
    "Metadata",
    "Metadatum",
    "PickResult",
    "Picker",
    "PickerEndpoint",
    "RpcError",
    "StatusCode",
    "SubchannelEvent",
    "UsageError",
    "__version__",
    "aio",
]
