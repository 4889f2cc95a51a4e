"""The channel for asyncio (and uvloop): the host library's reactor behind one descriptor and one timer of the event loop.

| module | what it is |
|---|---|
| `_channel` | the channel, and its place in the event loop |
| `_methods` | what its methods return: callables that start calls |
| `_calls` | a call, and the unary one |
| `_streams` | calls with any number of messages |
"""

from .._errors import AioRpcError
from ._calls import Call, UnaryUnaryCall
from ._channel import Channel
from ._methods import (
    StreamStreamMultiCallable,
    StreamUnaryMultiCallable,
    UnaryStreamMultiCallable,
    UnaryUnaryMultiCallable,
)
from ._streams import EOF, StreamCall, StreamStreamCall, StreamUnaryCall, UnaryStreamCall

__all__ = [
    "EOF",
    "AioRpcError",
    "Call",
    "Channel",
    "StreamCall",
    "StreamStreamCall",
    "StreamStreamMultiCallable",
    "StreamUnaryCall",
    "StreamUnaryMultiCallable",
    "UnaryStreamCall",
    "UnaryStreamMultiCallable",
    "UnaryUnaryCall",
    "UnaryUnaryMultiCallable",
]
