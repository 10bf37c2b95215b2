"""The host's memory of a bench: maps as codes, which become beats of the inward stream and come back as beats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sim.formats import Format
from sim.layout import activation_image, read_activation_image
from sim.machine import Machine
from sim.program import Tensor

__all__ = ["HostMemory"]

ZERO, ONE = ord("0"), ord("1")


class HostMemory:
    """Maps of all images, by name of the tensor.

    Parameters
    ----------
    job : dict
        `machine`, `tensors` (arguments of Tensor), `maps` (names of those in the host's memory), `resident` (inputs
        that are on chip without a Load), `loads` and `stores` (their input, output, first row, and part).
    arrays : dict of str to array
        `input <name>`: codes, shape (images, channels, height, width).
    """

    def __init__(self, job: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.job, self.machine = job, Machine(**job["machine"])
        self.rng = np.random.default_rng(job["seed"])
        self.tensors = {name: Tensor(name, height, width, tuple(parts), Format(*fmt))
                        for name, height, width, parts, fmt in job["tensors"]}
        self.maps: dict[str, np.ndarray] = {}
        self.unknown: dict[str, np.ndarray] = {}
        for name in job["maps"]:
            shape = (job["images"], *self.tensors[name].shape)
            self.maps[name] = arrays.get(f"input {name}", np.zeros(shape, np.int32))
            self.unknown[name] = np.full(shape, f"input {name}" not in arrays)
        self.inputs = {name: arrays[f"input {name}"] for name in job["resident"]}

    def load(self, number: int, image: int) -> np.ndarray:
        """Beats of a Load, as rows of bytes."""
        source, target, first_row = self.job["loads"][number]
        tensor = self.tensors[target]
        rows = slice(first_row, first_row + tensor.height)
        assert not self.unknown[source][image, :, rows].any(), f"Load {number} reads rows that were not stored"
        bits = self._image(self.maps[source][image, :, rows], tensor).swapaxes(0, 1).reshape(-1)
        beat = self.machine.stream_bits
        padded = np.zeros(-(-len(bits) // beat) * beat, np.uint8)
        padded[: len(bits)] = bits
        return np.packbits(padded.reshape(-1, beat), axis=1, bitorder="little")

    def store(self, number: int, image: int, beats: list[str]) -> None:
        """Take the beats of a Store, each as characters 0, 1, x, highest bit first."""
        source, target, first_row, part = self.job["stores"][number]
        tensor, columns, lanes = self.tensors[source], self.machine.columns, self.machine.lanes
        text = np.frombuffer("".join(beat[::-1] for beat in beats).encode(), np.uint8)
        words = (len(text) // lanes) // columns * columns * lanes
        assert (text[words:] == ZERO).all(), f"Store {number}: the last beat is not filled up with zeros"
        characters = text[:words].reshape(-1, columns, lanes).swapaxes(0, 1)
        plain = Tensor("bits", tensor.height, tensor.width, tensor.parts, Format(tensor.format.bits, "unsigned"))
        undefined = ((characters != ZERO) & (characters != ONE)).astype(np.uint8)
        channels = slice(None) if part is None else self.tensors[target].part_slice(part)
        place = image, channels, slice(first_row, first_row + tensor.height)
        self.maps[target][place] = read_activation_image((characters == ONE).astype(np.uint8), tensor, self.machine)
        self.unknown[target][place] = read_activation_image(undefined, plain, self.machine) != 0

    def resident(self, image: int) -> Iterator[tuple[str, np.ndarray]]:
        """Words of the inputs that are on chip from the start, as bytes, shape (columns, words, bytes)."""
        for name, codes in self.inputs.items():
            yield name, np.packbits(self._image(codes[image], self.tensors[name]), axis=-1, bitorder="little")

    def results(self) -> dict[str, np.ndarray]:
        """Every map, and where it is not known."""
        return ({f"map {name}": codes for name, codes in self.maps.items()}
                | {f"unknown {name}": flags for name, flags in self.unknown.items()})

    def _image(self, codes: np.ndarray, tensor: Tensor) -> np.ndarray:
        """The words of a tensor with random bits wherever no code lies."""
        used = activation_image(np.full(tensor.shape, -1), tensor, self.machine)
        return np.where(used == 1, activation_image(codes, tensor, self.machine),
                        self.rng.integers(0, 2, used.shape)).astype(np.uint8)
