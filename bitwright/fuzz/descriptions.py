"""Machines and technologies as targets."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

from bitwright.fuzz.mutations import changed_bytes, changed_text, changed_tree
from bitwright.fuzz.target import Target
from rtl.encoding.geometry import Geometry
from sim.arch.machine import load_machine
from sim.cost.estimate import estimate
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.plan.plan import plan
from sim.testing import random_machine, random_program

__all__ = ["Machines", "Technologies"]

SIM = Path(load_machine.__code__.co_filename).parents[1]


class _Descriptions(Target):
    """YAML files, changed as bytes, as text or as trees."""

    folder: str

    def prepare(self, folder: Path) -> None:
        self._texts = [path.read_text() for path in sorted((SIM / self.folder).glob("*.yaml"))]
        self._texts += [yaml.safe_dump(tree) for tree in self._more()]
        self._trees = [yaml.safe_load(text) for text in self._texts]
        rng = np.random.default_rng(0)
        self._technology, tiny = load_technology("generic45"), load_machine("tiny")
        self._program = random_program(rng, tiny)
        self._plan = plan(self._program, tiny)

    def make(self, random: Random) -> bytes:
        which = random.randrange(len(self._texts))
        match random.randrange(10):
            case 0:
                return changed_bytes(random, self._texts[which].encode())
            case 1 | 2:
                return changed_text(random, self._texts[which]).encode("utf-8", "surrogatepass")
        tree = changed_tree(random, self._trees[which])
        text = json.dumps(tree, ensure_ascii=random.random() < 0.5) if random.random() < 0.5 else _dumped(tree)
        return text.encode("utf-8", "surrogatepass")

    def _more(self) -> list[Any]:
        return []


class Machines(_Descriptions):
    """Machine files; what was taken plans a Program and has a geometry."""

    name, folder = "machine", "arch/machines"

    def read(self, path: Path) -> None:
        machine = load_machine(path)
        Geometry(machine)
        try:
            planned = plan(self._program, machine)
        except InputError:
            return
        estimate(planned, self._technology)

    def _more(self) -> list[Any]:
        return [random_machine(np.random.default_rng(seed), small=seed % 2 == 0).model_dump(mode="json")
                for seed in range(12)]


class Technologies(_Descriptions):
    """Technology files; what was taken prices a Program."""

    name, folder = "technology", "energy/technologies"

    def read(self, path: Path) -> None:
        estimate(self._plan, load_technology(path))


def _dumped(tree: Any) -> str:
    try:
        return yaml.safe_dump(tree)
    except (yaml.YAMLError, ValueError, RecursionError):  # PyYAML writes no lone surrogates, and nothing deep
        return json.dumps(tree)


