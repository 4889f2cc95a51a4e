"""The two messages of helloworld.proto by hand, so that the programs here need no protobuf: field 1 is a string."""

from __future__ import annotations

SAY_HELLO = "/helloworld.Greeter/SayHello"


def encode_request(name: str) -> bytes:
    """HelloRequest{name}."""
    text = name.encode("utf-8", "surrogateescape")
    return b"\x0a" + _varint(len(text)) + text if text else b""


def decode_reply(octets: bytes) -> str:
    """The message of a HelloReply; ValueError when it is none. Fields that are not known are passed over."""
    text, at = "", 0
    while at < len(octets):
        tag, at = _read_varint(octets, at)
        kind = tag & 7
        if kind == 0:
            _, at = _read_varint(octets, at)
            continue
        length = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            length, at = _read_varint(octets, at)
        if length is None or at + length > len(octets):
            raise ValueError(f"malformed field {tag >> 3}")
        if tag == 0x0A:
            text = octets[at : at + length].decode()
        at += length
    return text


def _varint(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _read_varint(octets: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(octets) and shift < 64:
        octet = octets[at]
        value |= (octet & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if octet < 0x80:
            return value, at
    raise ValueError("a number does not end")
