"""Programs, and the images that machines take, as targets."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from bitwright.cli.parse_inputs import random_codes
from bitwright.fuzz.containers import Parts, changed_parts, packed, program_digest, unpacked
from bitwright.fuzz.mutations import changed_bytes, changed_tree
from bitwright.fuzz.target import Target
from rtl.encoding.geometry import Geometry
from rtl.encoding.program_image import load_image, program_image, seal
from sim.arch.machine import load_machine
from sim.cost.estimate import estimate
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.functional.engine.simulator import Simulator
from sim.functional.kernels.isa import chosen
from sim.functional.kernels.kernel_cache import kernel_ids, library
from sim.functional.reference import simulate
from sim.ir.formats import MAX_PLANES
from sim.ir.ops import Conv
from sim.ir.program import Program
from sim.ir.serialize import load_program, save_program
from sim.mapping.transfers import with_transfers
from sim.plan.plan import plan
from sim.testing import RandomChoices, SteeredChoices, random_machine, random_program

__all__ = ["Images", "Programs", "Runs", "some_programs"]

CORPUS, LAYERS = 16, 3
SMALL_CODES = 50_000
SMALL_PRODUCTS = 5_000_000


def some_programs() -> list[Program]:
    """Return small Programs with all kinds of ops, half of them with tables, the same each time."""
    programs = []
    for seed in range(CORPUS):
        rng = np.random.default_rng(seed)
        machine = random_machine(rng).model_copy(update={"table_bits": MAX_PLANES})
        tables = [{"table": [bool(seed % 2)]}] * LAYERS
        program = random_program(SteeredChoices(RandomChoices(rng), tables), machine, layers=LAYERS)
        programs.append(with_transfers(program) if seed % 4 == 3 else program)
    return programs


class Programs(Target):
    """Program files: loaded, saved, loaded again, planned, costed."""

    name = "program"

    def prepare(self, folder: Path) -> None:
        self._folder, self._corpus = folder, list[bytes]()
        for program in some_programs():
            save_program(program, folder / "seed")
            self._corpus.append((folder / "seed").read_bytes())
        self._machines = [load_machine(name) for name in ("tiny", "edge")]
        self._technology = load_technology("generic45")

    def make(self, random: Random) -> bytes:
        data = random.choice(self._corpus)
        parts = unpacked(data)
        match random.randrange(20):
            case 0 | 1:
                return changed_bytes(random, data, self._corpus)
            case 2:
                return _with_metadata(random, parts)
            case number if number < 14:
                return _with_graph(random, parts)
            case _:
                return changed_parts(random, parts, _sealed)

    def read(self, path: Path) -> None:
        program = load_program(path)
        again, third = self._folder / "again", self._folder / "third"
        save_program(program, again)
        save_program(load_program(again), third)
        assert unpacked(again.read_bytes()) == unpacked(third.read_bytes()), "what was saved is not what was loaded"
        for machine in self._machines:
            try:
                planned = plan(program, machine)
            except InputError:
                continue
            estimate(planned, self._technology)


class Runs(Programs):
    """Programs whose numbers were changed, run by oracle and Simulator."""

    name = "run"

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        for kernel in kernel_ids(chosen()):
            library().kernel(kernel)
        for data in self._corpus:
            (folder / "seed").write_bytes(data)
            self.read(folder / "seed")

    def make(self, random: Random) -> bytes:
        parts = unpacked(random.choice(self._corpus))
        return _with_graph(random, parts) if random.random() < 0.5 else changed_parts(random, parts, _sealed)

    def read(self, path: Path) -> None:
        program = load_program(path)
        if not _small(program):
            return
        inputs = random_codes(program, 2, seed=0)
        right = simulate(program, inputs)
        found = Simulator(program, capture=[tensor.name for tensor in program.tensors]).run(inputs)
        for name, codes in right.items():
            assert np.array_equal(codes, found[name]), f"oracle and Simulator differ in '{name}'"


class Images(Target):
    """Program images, mostly with a right checksum, for the machine `tiny`."""

    name = "image"

    def prepare(self, folder: Path) -> None:
        machine, self._corpus = load_machine("tiny"), list[bytes]()
        self._geometry = Geometry(machine)
        for seed in range(CORPUS):
            program = random_program(np.random.default_rng(seed), machine)
            self._corpus.append(program_image(plan(program, machine)))

    def make(self, random: Random) -> bytes:
        data = random.choice(self._corpus)
        if random.random() < 0.2:
            return changed_bytes(random, data, self._corpus)
        return seal(changed_bytes(random, data[:-4], self._corpus), self._geometry)

    def read(self, path: Path) -> None:
        load_image(path, self._geometry)


def _small(program: Program) -> bool:
    """Return whether a run of a Program takes only moments."""
    codes = 0
    for op in program.ops:
        source = program.tensor(op.input)
        pads = getattr(op, "pads", (0, 0, 0, 0))
        codes += source.channels * (source.height + pads[0] + pads[2]) * (source.width + pads[1] + pads[3])
        if isinstance(op, Conv) and op.weights.size * prod(op.map_size(source)) > SMALL_PRODUCTS:
            return False
    return codes + sum(tensor.channels * tensor.height * tensor.width for tensor in program.tensors) < SMALL_CODES


def _sealed(parts: Parts) -> None:
    metadata = parts[0]["__metadata__"]
    metadata["sha256"] = program_digest(metadata["graph"], parts)


def _with_graph(random: Random, parts: Parts) -> bytes:
    """Give a file another graph, with its checksum."""
    metadata = parts[0]["__metadata__"]
    graph: Any = changed_tree(random, json.loads(metadata["graph"]))
    metadata["graph"] = json.dumps(graph)
    if random.random() < 0.05:
        other = random.choice(('"wrap"', '"\\ud800"', '["', "NaN, 1e999"))
        metadata["graph"] = metadata["graph"].replace('"acc_bits"', other, 1)
    _sealed(parts)
    return packed(parts)


def _with_metadata(random: Random, parts: Parts) -> bytes:
    """Give a file other metadata of any kind."""
    holder = {"__metadata__": parts[0]["__metadata__"]}
    parts[0]["__metadata__"] = changed_tree(random, holder).get("__metadata__")
    return packed(parts)
