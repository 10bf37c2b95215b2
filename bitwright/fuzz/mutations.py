"""Changes of bytes, texts and trees that files have been broken by, all drawn from one random source."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from random import Random
from typing import Any

__all__ = ["EXTREMES", "NAMES", "changed_bytes", "changed_text", "changed_tree"]

ROUND = (0, 1, 4, 8, 16, 32, 64, 128, 256, 2**15, 2**16, 2**20, 2**24, 2**28, 2**31, 2**32, 2**53, 2**62, 2**63, 2**64,
         10**30, 10**400)
EXTREMES: tuple[Any, ...] = (
    *(sign * value + more for value in ROUND for sign in (1, -1) for more in (-1, 0, 1)),
    0.5, -0.0, 1e-308, 1e308, float("inf"), float("-inf"), float("nan"), True, False, None, "", "4", "1_000", "nan", [],
    {}, [[]], [0] * 71, ["x"], {"x": 1})
"""Values to put where others belong."""
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
NAMES = ("", " ", "a\x1b[2Jb", "a\nb", "a\0b", "\u202eevil", "a\u200bb", "..", "../../x", "/x", "a//b", "a\\b", "[/]",
         "[link=x]y[/link]", "%s{0}", "n" * 201, "n" * 70_000, "é", "e\u0301", "\U0001f600", "\ud800", "\ufeffx",
         ".npy", "\u0663", "records.0.weights", "__metadata__", "<<", "*a", "!!int x")
"""Texts to put where names belong."""
TOKENS = ("&a ", "*a", "<<: ", "!!int ", "!!python/object/apply:os.system [x]", "? ", "- ", "[", "]", "{", "}", ": ",
          ", ", "#", "|\n", ">\n", "'", '"', "\t", "\n", "---\n", "%YAML 9.9\n", "0x", "1_0", "1:30", "010", "~",
          "\x85", "\u2028", "\\x", "\\u", "\\UFFFFFFFF", "9" * 5000, "1e999", "NaN", "Infinity", "null", "true", "//",
          "=", "٣", "\0", "\r")
"""Texts that mean something to a parser of YAML, JSON or numbers."""


def changed_bytes(random: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change `data` one to four times: flip a bit, or overwrite, cut off, leave out, double or insert bytes."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.choice((1, 2, 4, 8, 64, 1024)))
        match random.randrange(8):
            case 0:
                flipped = bytes(value ^ (1 << random.randrange(8)) for value in data[at : at + 1])
                data = data[:at] + flipped + data[at + 1 :]
            case 1:
                data = data[:at] + random.randbytes(end - at) + data[end:]
            case 2:
                data = data[:at]
            case 3:
                data = data[:at] + data[end:]
            case 4:
                data = data[:end] + data[at:end] * random.choice((1, 1, 2, 100)) + data[end:]
            case 5:
                number, size = random.choice(EDGES), random.choice((1, 2, 4, 8))
                piece = (number % (1 << 8 * size)).to_bytes(size, random.choice(("little", "big")))
                data = data[:at] + piece + data[at + size :]
            case 6:
                data = data[:at] + random.randbytes(random.choice((1, 2, 8, 300))) + data[at:]
            case _:
                other = random.choice(others) if others else data
                data = data[:at] + other[random.randrange(len(other) + 1) :]
    return data


def changed_text(random: Random, text: str) -> str:
    """Change `text` one to four times: insert or replace tokens, or move, double or leave out lines and pieces."""
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(text) + 1)
        end = min(len(text), at + random.choice((1, 3, 10, 50)))
        match random.randrange(5):
            case 0:
                text = text[:at] + random.choice(TOKENS) * random.choice((1, 1, 1, 20, 3000)) + text[at:]
            case 1:
                text = text[:at] + random.choice((*TOKENS, *NAMES, "4.0", "'4'")) + text[end:]
            case 2:
                lines = text.split("\n")
                lines.insert(random.randrange(len(lines) + 1), random.choice(lines))
                text = "\n".join(lines)
            case 3:
                lines = text.split("\n")
                del lines[random.randrange(len(lines))]
                text = "\n".join(lines)
            case _:
                text = text[:at] + text[end:]
    return text


def changed_tree(random: Random, tree: Any) -> Any:
    """Copy a tree of dicts and lists and change it one to three times, each time in another way."""
    tree = copy.deepcopy(tree)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = _places(tree)
        if not places:
            return tree
        holder, key = random.choice(places)
        match random.randrange(12):
            case 0 | 1 | 2:
                holder[key] = copy.deepcopy(random.choice(EXTREMES))
            case 3 | 4:
                holder[key] = _near(random, holder[key])
            case 5:
                _rename(random, tree, holder, key)
            case 6:
                del holder[key]
            case 7:
                other, place = random.choice(places)
                holder[key] = copy.deepcopy(other[place])
            case 8:
                _grow(random, holder, key)
            case 9:
                if isinstance(holder, dict):
                    holder[random.choice(("x", *NAMES))] = random.choice(EXTREMES)
            case 10:
                if isinstance(holder, dict) and isinstance(key, str):
                    holder[random.choice(NAMES)] = holder.pop(key)
            case _:
                for _ in range(random.choice((1, 3, 40, 300))):
                    holder[key] = [holder[key]]
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Return (dict or list, key or index) of every node but the root."""
    found, pending = [], [tree]
    while pending:
        node = pending.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            found.append((node, key))
            pending.append(node[key])
    return found


def _near(random: Random, value: Any) -> Any:
    """Return another value of the same type that is not far away."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return random.choice((value + 1, value - 1, -value, value * 2, value // 2, value + 1000, random.randrange(64)))
    if isinstance(value, float):
        return random.choice((value * 2, -value, value * 1e300, value / 1e300, value + 1))
    if isinstance(value, str):
        return value + random.choice(("x", "'", "\x7f"))
    return value


def _rename(random: Random, tree: Any, holder: Any, key: Any) -> None:
    """Replace a string by another name, here or wherever it stands."""
    old, new = holder[key], random.choice(NAMES)
    if not isinstance(old, str):
        return
    for node, place in _places(tree) if random.random() < 0.7 else [(holder, key)]:
        if node[place] == old:
            node[place] = new


def _grow(random: Random, holder: Any, key: Any) -> None:
    """Repeat one of the items of a list many times."""
    node = holder[key]
    if isinstance(node, list) and node:
        node.extend([random.choice(node)] * random.choice((1, 3, 300)))
