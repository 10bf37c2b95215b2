"""Protobuf messages with other numbers, names and parts, still well formed."""

from __future__ import annotations

from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from bitwright.fuzz.mutations import NAMES, changed_bytes

__all__ = ["change_message"]

INTEGERS = (0, 1, 2, 3, 4, 5, 7, 11, 13, 17, 21, 100, 255, 256, 2**15, 2**24, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1,
            -1, -2, -2**31, -2**63)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-38, 1e38, float("inf"), float("-inf"), float("nan"))


def change_message(random: Random, message: Message) -> None:
    """Change one to three fields of a message or of those inside it, in place."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = _places(message)
        if not places:
            return
        holder, field = random.choice(places)
        values = getattr(holder, field.name)
        if not _is_list(values):
            _change_one(random, holder, field, places)
        elif values:
            _change_list(random, values, field, places)


def _places(message: Message) -> list[tuple[Message, FieldDescriptor]]:
    """Return every field that is set, with the message that holds it."""
    found, pending = [], [message]
    while pending:
        holder = pending.pop()
        for field, value in holder.ListFields():
            found.append((holder, field))
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                pending += value if _is_list(value) else [value]
    return found


def _is_list(value: Any) -> bool:
    return not isinstance(value, (Message, str, bytes, int, float))


def _change_one(random: Random, holder: Message, field: FieldDescriptor,
                places: list[tuple[Message, FieldDescriptor]]) -> None:
    if random.random() < 0.15:
        holder.ClearField(field.name)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(holder, field.name).CopyFrom(_other(random, field, places) or getattr(holder, field.name))
    else:
        _set(holder, field.name, _other_scalar(random, field, getattr(holder, field.name), places))


def _set(holder: Message, name: str, value: Any) -> None:
    try:
        setattr(holder, name, value)
    except (TypeError, ValueError, UnicodeError):  # no such enumerator, too large, a lone surrogate
        holder.ClearField(name)


def _change_list(random: Random, values: Any, field: FieldDescriptor,
                 places: list[tuple[Message, FieldDescriptor]]) -> None:
    at = random.randrange(len(values))
    match random.randrange(6):
        case 0:
            del values[at]
        case 1:
            values.extend([values[at]] * random.choice((1, 1, 1, 20, 500)))
        case 2:
            kept = [type(value).FromString(value.SerializeToString()) if isinstance(value, Message) else value
                    for value in values]
            random.shuffle(kept)
            del values[:]
            values.extend(kept)
        case _:
            if isinstance(values[at], Message):
                values[at].CopyFrom(_other(random, field, places) or values[at])
            else:
                try:
                    values[at] = _other_scalar(random, field, values[at], places)
                except (TypeError, ValueError, UnicodeError):
                    del values[at]


def _other(random: Random, field: FieldDescriptor, places: list[tuple[Message, FieldDescriptor]]) -> Message | None:
    """Return a copy of another message of the same type, None if there is none."""
    found = [holder for holder, _ in places if holder.DESCRIPTOR is field.message_type]
    if not found:
        return None
    chosen = random.choice(found)
    return type(chosen).FromString(chosen.SerializeToString())


def _other_scalar(random: Random, field: FieldDescriptor, value: Any,
                  places: list[tuple[Message, FieldDescriptor]]) -> Any:
    if isinstance(value, bytes):
        return changed_bytes(random, value)
    if isinstance(value, str):
        names = [getattr(holder, one.name) for holder, one in places if one.type == FieldDescriptor.TYPE_STRING]
        texts = [name for name in names if isinstance(name, str)]
        return random.choice((*texts, *NAMES) if random.random() < 0.3 or not texts else texts)
    if isinstance(value, float):
        return random.choice((*FLOATS, value * 2, -value))
    return random.choice((*INTEGERS, value + 1, value - 1, -value, value * 2))
