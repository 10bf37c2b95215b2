"""A loader with every fault that fuzzing looks for, to see that it finds them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

from bitwright.fuzz.target import Target
from sim.errors import InputError

__all__ = ["FAULTS", "Planted"]

FAULTS = {b"raises": "ZeroDivisionError", b"takes memory": "MemoryError", b"takes time": "TooSlow",
          b"shows escapes": "a message that is no short printable line", b"dies": "the process died of SIGABRT",
          b"waits": "a hang: it waits and does not work"}
"""Inputs, and the beginning of the signature of what each does."""


class Planted(Target):
    """A target that takes one input, refuses one and fails on the others, in an order that the seed gives."""

    name = "planted"

    def prepare(self, folder: Path) -> None:
        self._inputs = [b"taken", b"refused", *FAULTS]

    def make(self, random: Random) -> bytes:
        return random.choice(self._inputs)

    def read(self, path: Path) -> None:
        match path.read_bytes():
            case b"refused":
                raise InputError("refused")
            case b"raises":
                _ = 1 // 0
            case b"takes memory":
                bytearray(600 << 20)
            case b"takes time":
                while True:
                    sum(range(1000))
            case b"shows escapes":
                raise InputError("\x1b[2J")
            case b"dies":
                os.abort()
            case b"waits":
                time.sleep(1000)
