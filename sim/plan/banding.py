"""Row bands: a Program whose tensors do not fit on chip, rewritten with Loads and Stores so that they do.

A tensor of the Program lives in one of three ways. ON_CHIP: on chip all the time. BOTH: on chip for the ops that fit
whole, and in the host's memory for those that do not. IN_HOST: in the host's memory; every op that reads it loads its
own copy. An op whose tensors do not fit on chip together is cut over its output rows into the fewest equal bands that
do, rounded up to whole groups of columns where that fits: each band loads its input rows with their halo and its
residual rows, has pads at true edges only, and stores its output rows. All tensors of such an op start as BOTH, all
others as ON_CHIP. While placing still fails, the largest tensor alive there moves to IN_HOST; with all tensors there,
an op needs room for its own operands alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum

from sim.arch.machine import Machine
from sim.errors import InputError
from sim.ir.ops import Layer, Load, Op, Pads, Store, Tensor
from sim.ir.program import Program
from sim.mapping.transfers import unique_name
from sim.plan.allocator import AllocationError, allocate, regions_of
from sim.plan.legality import check_counts
from sim.plan.row_bands import Band, fewest_bands, written_part

__all__ = ["cut_into_bands"]


class Residence(Enum):
    """Where a tensor lives."""

    ON_CHIP = 0
    BOTH = 1
    IN_HOST = 2


def cut_into_bands(program: Program, machine: Machine) -> Program:
    """Return `program` with Loads and Stores, its ops cut into row bands where their tensors do not fit on chip.

    Every tensor of `program` keeps its name and codes.

    Parameters
    ----------
    program : Program
        Without Loads and Stores.
    machine : Machine

    Raises
    ------
    InputError
        If `program` has Loads or Stores, an op does not fit even in bands of a single row, or there are more bands,
        Loads or Stores than the hardware runs.
    """
    layers = [op for op in program.ops if isinstance(op, Layer)]
    if len(layers) < len(program.ops):
        raise InputError("only a Program without Loads and Stores can be cut into bands")
    tensors = {tensor.name: tensor for tensor in program.tensors}
    bands = {layer.name: fewest_bands(tensors, layer, machine) for layer in layers}
    homes = dict.fromkeys((tensor.name for tensor in program.tensors), Residence.ON_CHIP)
    for layer in layers:
        if len(bands[layer.name]) > 1:
            homes |= dict.fromkeys(layer.chip_tensors, Residence.BOTH)
    while True:
        draft = _Draft(program, bands, homes)
        check_counts(draft.ops)
        try:
            allocate(draft.tensors, draft.ops, machine)
        except AllocationError as refusal:
            if all(home is Residence.IN_HOST for home in homes.values()):
                raise
            homes[_victim(refusal, homes, program, machine)] = Residence.IN_HOST
        else:
            return replace(program, tensors=tuple(draft.tensors.values()), ops=tuple(draft.ops))


def _victim(refusal: AllocationError, homes: Mapping[str, Residence], program: Program, machine: Machine) -> str:
    """Return the largest tensor that can still move to the host's memory, among those in the way if there is one."""
    on_chip = [tensor for tensor in program.tensors if homes[tensor.name] is not Residence.IN_HOST]
    in_the_way = [tensor for tensor in on_chip if tensor.name in refusal.tensors]
    return max(in_the_way or on_chip, key=lambda tensor: regions_of(tensor, machine)).name


class _Draft:
    """Tensors and ops of the rewritten Program; it is complete when made."""

    def __init__(self, program: Program, bands: Mapping[str, list[Band]], homes: Mapping[str, Residence]) -> None:
        self.program, self.homes = program, homes
        self.tensors = {tensor.name: tensor for tensor in program.tensors}
        self.ops: list[Op] = []
        self.taken = {op.name for op in program.ops}
        self.loaded: set[str] = set()
        self.writers = {tensor.name: [r for r in program.ops if r.output == tensor.name]
                        for tensor in program.tensors}
        self.outputs = {tensor.name for tensor in program.outputs}
        interleaved = {op.output for op in program.ops if isinstance(op, Layer) and op.writes_lattice}
        self.whole = {name for name, writers in self.writers.items() if writers
                      and all(len(bands[writer.name]) == 1 for writer in writers)
                      and (homes[name] is not Residence.IN_HOST or len(writers) == 1 or name in interleaved)}
        cut = sorted(interleaved - self.whole)
        if cut:
            raise InputError(f"tensor '{cut[0]}', of which ops write lattices, cannot be cut into bands")
        for op in program.ops:
            if isinstance(op, Layer):
                pieces = bands[op.name]
                for number, band in enumerate(pieces):
                    self.add_band(op, band, f".{number}" if len(pieces) > 1 else "")

    def add_band(self, layer: Layer, band: Band, suffix: str) -> None:
        """Append what runs a band; the suffix is empty for a whole layer."""
        operands = tuple(self.operand(layer, name, first, count, suffix)
                         for name, (first, count) in zip(layer.reads, band.operand_rows(layer), strict=False))
        target = self.program.tensor(layer.output)
        if not suffix and target.name in self.whole:
            self.append(layer, operands, layer.output, band.pads, suffix)
            stored = target.name in self.outputs or self.homes[target.name] is not Residence.ON_CHIP
            if stored and layer is self.writers[target.name][-1]:
                self.ops.append(Store(self.name(f"store {target.name}"), target.name, target.name))
            return
        piece = self.new_tensor(replace(written_part(layer, target), height=band.rows), layer, suffix)
        self.append(layer, operands, piece, band.pads, suffix)
        written = layer.written_parts(target)
        part = written[0] if len(written) < len(target.parts) else None
        self.ops.append(Store(self.name(f"store {piece}"), piece, target.name, band.first, part))

    def operand(self, layer: Layer, name: str, first: int, rows: int, suffix: str) -> str:
        """Return the tensor on chip that holds rows of an operand, and load it if need be."""
        if suffix or self.homes[name] is Residence.IN_HOST:
            copy = self.new_tensor(replace(self.program.tensor(name), height=rows), layer, suffix)
            self.ops.append(Load(self.name(f"load {copy}"), name, copy, first))
            return copy
        if name not in self.whole and name not in self.loaded:
            self.ops.append(Load(self.name(f"load {name}"), name, name))
            self.loaded.add(name)
        return name

    def append(self, layer: Layer, operands: tuple[str, ...], target: str, pads: Pads, suffix: str) -> None:
        """Append a layer with other operands and pads; without a suffix it is whole."""
        if not suffix and (*operands, target) == layer.chip_tensors:
            self.ops.append(layer)
        else:
            name = self.name(f"{layer.name}{suffix}") if suffix else layer.name
            self.ops.append(layer.on_operands(name, operands, target, pads))

    def new_tensor(self, tensor: Tensor, layer: Layer, suffix: str) -> str:
        """Add a tensor that `layer` alone uses; its name."""
        name = unique_name(f"{tensor.name}.{layer.name}{suffix}", self.tensors)
        self.tensors[name] = replace(tensor, name=name)
        return name

    def name(self, wanted: str) -> str:
        """Return a name that no op has."""
        name = unique_name(wanted, self.taken)
        self.taken.add(name)
        return name
