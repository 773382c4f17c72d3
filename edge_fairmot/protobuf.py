"""As much of the protobuf wire format as it takes to look into a file, and to replace a part of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BITS = 64


class Field(NamedTuple):
    """One field of a message.

    Attributes
    ----------
    number : int
    value : int or memoryview
        What it holds.
    raw : memoryview
        The field as it stands in the message, with its number and length.
    """

    number: int
    value: int | memoryview
    raw: memoryview


def fields(message: memoryview) -> Iterator[Field]:
    """Split a message into its fields.

    Raises
    ------
    ValueError, IndexError
        If it is no message, or is cut short.
    """
    at = 0
    while at < len(message):
        start = at
        key, at = _varint(message, at)
        kind = key & 7
        value: int | memoryview
        if kind == _VARINT:
            value, at = _varint(message, at)
        else:
            if kind == _BYTES:
                length, at = _varint(message, at)
            elif kind in (_FIXED32, _FIXED64):
                length = 4 if kind == _FIXED32 else 8
            else:
                raise ValueError(f"wire type {kind}")
            if at + length > len(message):
                raise ValueError("cut short")
            value, at = message[at : at + length], at + length
        yield Field(key >> 3, value, message[start:at])


def messages(message: memoryview, number: int) -> Iterator[memoryview]:
    """Give the messages, texts or bytes in a field."""
    for field in fields(message):
        if field.number == number and isinstance(field.value, memoryview):
            yield field.value


def read_text(message: memoryview, number: int) -> str:
    """Read a text; empty where the field is absent."""
    return next((bytes(value).decode() for value in messages(message, number)), "")


def read_number(message: memoryview, number: int) -> int:
    """Read a whole number; 0 where the field is absent."""
    return next((f.value for f in fields(message) if f.number == number and isinstance(f.value, int)), 0)


def bytes_field(number: int, content: bytes) -> bytes:
    """Write a field of bytes, a text or a message."""
    return _write_varint(number << 3 | _BYTES) + _write_varint(len(content)) + content


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _VARINT_BITS, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("varint too long")


def _write_varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
