"""How much a protobuf message holds, before a parser makes objects of it.

An empty message of two bytes takes a hundred once it is parsed, so that the size of a file does not bound its memory.
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from sim.errors import InputError
from sim.io.bounds import shown

__all__ = ["MAX_FIELDS", "check_message"]

MAX_FIELDS = 1_000_000
"""Most fields of all messages of a file together: numbers in one block count as one."""
MAX_DEPTH = 40
"""Most messages inside one another; five for each level of graphs inside nodes."""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def check_message(data: bytes, kind: Descriptor) -> None:
    """Refuse bytes that are no whole message, or one with too many or too deeply nested fields or damaged texts.

    Parameters
    ----------
    data : bytes
    kind : Descriptor
        Of the message, which says what fields are messages themselves. Unknown fields are skipped.

    Raises
    ------
    InputError
        With what is wrong, as the end of a sentence about the file.
    """
    pending = [(kind, 0, len(data), 1)]
    count = 0
    while pending:
        message, at, end, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise InputError(f"it nests more than {MAX_DEPTH} messages")
        fields = message.fields_by_number
        while at < end:
            count += 1
            if count > MAX_FIELDS:
                raise InputError(f"it has more than {MAX_FIELDS:,} fields")
            tag, at = _varint(data, at, end)
            start, at = _value(data, at, end, tag & 7)
            field = fields.get(tag >> 3) if tag & 7 == LENGTH else None
            if field is not None and field.type == FieldDescriptor.TYPE_MESSAGE:
                pending.append((field.message_type, start, at, depth + 1))
            elif field is not None and field.type == FieldDescriptor.TYPE_STRING:
                _check_text(data[start:at])


def _check_text(text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise InputError(f"a text in it is not UTF-8: '{shown(text.decode(errors='replace'))}'") from None


def _value(data: bytes, at: int, end: int, wire: int) -> tuple[int, int]:
    """Return where a field's contents begin and end."""
    if wire == VARINT:
        return at, _varint(data, at, end)[1]
    if wire == LENGTH:
        size, at = _varint(data, at, end)
    elif wire in (FIXED32, FIXED64):
        size = 4 if wire == FIXED32 else 8
    else:
        raise InputError(f"it is no ONNX file, or damaged: there is no field of kind {wire}")
    if size > end - at:
        raise InputError(f"it is cut off or damaged: a field of {size:,} bytes begins {end - at:,} before its end")
    return at, at + size


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number of variable length and where it ends."""
    value = 0
    for place in range(at, min(at + 10, end)):
        value |= (data[place] & 0x7F) << 7 * (place - at)
        if data[place] < 0x80:
            return value, place + 1
    raise InputError("it is no ONNX file, or damaged: a number does not end")
