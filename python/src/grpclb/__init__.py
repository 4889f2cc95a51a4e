"""gRPC channels with client-side load balancing: `Channel` for threads, `grpclb.aio.Channel` for asyncio.

Stubs that ``grpcio-tools`` generated take them in place of grpc's own; without grpc the channels' methods
``unary_unary``, ``unary_stream``, ``stream_unary`` and ``stream_stream`` are called by hand. This package never imports grpc.
"""

from . import aio
from ._blocking import Channel
from ._errors import FutureCancelledError, FutureTimeoutError, RpcError, UsageError
from ._grpclb import __version__
from ._metadata import Metadata, Metadatum
from ._status import ChannelConnectivity, StatusCode

__all__ = [
    "Channel",
    "ChannelConnectivity",
    "FutureCancelledError",
    "FutureTimeoutError",
    "Metadata",
    "Metadatum",
    "RpcError",
    "StatusCode",
    "UsageError",
    "__version__",
    "aio",
]
