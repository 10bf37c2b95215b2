"""Bound what the layers and transfers of a network cost, whichever bits are chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from weakref import WeakKeyDictionary

from sim.arch.machine import Machine
from sim.energy.counting import events_of
from sim.ir.formats import Format
from sim.ir.ops import Conv, Layer, Load, Op, Store, Tensor
from sim.ir.program import Program
from sim.mapping.conv_shape import ConvShape, conv_shape
from sim.mapping.scheduler import Scheduler
from sim.mapping.transfers import with_transfers
from sim.plan.allocator import AllocationError, allocate, regions_of
from sim.plan.row_bands import Band, band_choices, band_tensors

__all__ = ["WorstCaseCosts", "add_counts"]

Counts = dict[str, int]
"""Events and `cycles`."""


@dataclass(frozen=True, eq=False)
class _WidestNetwork:
    """A network at its widest, as far as that depends on no machine.

    Attributes
    ----------
    tensors : dict of str to Tensor
        As wide as any choice of bits makes them.
    ops : tuple of Op
        With Loads and Stores.
    shapes : dict of str to ConvShape
        Of every Conv, with residual and output at their widest and 1 bit for the rest; without `terms`.
    placed : dict
        Answers of `fits`.
    whole_tilings : dict
        Answers of `WorstCaseCosts.tilings` when all tensors are on chip: every layer runs whole, on any machine.
    """

    tensors: dict[str, Tensor]
    ops: tuple[Op, ...]
    shapes: dict[str, ConvShape]
    placed: dict[tuple[int, ...], bool] = field(default_factory=dict)
    whole_tilings: dict[str, list[Counter[Band]]] = field(default_factory=dict)

    def fits(self, machine: Machine) -> bool:
        """Tell whether all tensors find a place on chip, which the regions that each takes decide."""
        regions = machine.act_regions, *(regions_of(tensor, machine) for tensor in self.tensors.values())
        if regions not in self.placed:
            try:
                allocate(self.tensors, self.ops, machine)
                self.placed[regions] = True
            except AllocationError:
                self.placed[regions] = False
        return self.placed[regions]


_networks: WeakKeyDictionary[Program, dict[int, _WidestNetwork]] = WeakKeyDictionary()
"""Widened networks by Program and widest choice, kept while the Program is alive."""


class WorstCaseCosts:
    """Bounds on the costs of a Program with all tensors as wide as any choice of bits makes them.

    Inputs have their own width. Every other tensor that is read is taken as wide as the widest choice or as it is; what
    the host alone reads is as wide as the accumulator; the output of a Pool is as wide as its input.

    Parameters
    ----------
    program : Program
        Without Loads and Stores.
    machine : Machine
    widest : int
        Widest choice for activations [bits].
    """

    def __init__(self, program: Program, machine: Machine, widest: int) -> None:
        self.program, self.machine = program, machine
        networks = _networks.setdefault(program, {})
        if widest not in networks:
            networks[widest] = _network(program, widest)
        self.network = networks[widest]
        self.tensors = self.network.tensors
        self.all_on_chip = self.network.fits(machine)
        self._tilings = self.network.whole_tilings if self.all_on_chip else {}

    def conv_shape(self, conv: Conv, bits_w: int, bits_a: int, digits: int) -> ConvShape:
        """Return the shape of a Conv at a choice of bits and digits, with its other tensors at their widest."""
        return replace(self.network.shapes[conv.name], bits_w=bits_w, bits_a=bits_a, terms=digits,
                       residual_terms=digits if conv.residual else 0)

    def bipolar(self, conv: Conv) -> bool:
        """Tell whether the layer's weights of 1 bit are -1 and +1, which take a reference row for each row tile."""
        return self.network.shapes[conv.name].weight_kind == "signed" and not conv.depthwise

    def tilings(self, layer: Layer) -> list[Counter[Band]]:
        """Return every different set of bands into which a layer may be cut at these widths or narrower ones.

        Bands that differ only in where they begin are alike.
        """
        if layer.name not in self._tilings:
            choices = islice(band_choices(self.tensors, layer, self.machine), 1 if self.all_on_chip else None)
            tilings = [Counter(replace(band, first=0, in_first=0) for band in bands) for bands in choices]
            self._tilings[layer.name] = list({frozenset(tiling.items()): tiling for tiling in tilings}.values())
        return self._tilings[layer.name]

    def fixed_events(self) -> list[Counts]:
        """Count the events of all Pools and transfers, each at its most, and the cycles of the memory's latency."""
        costs = [{"cycles": self.machine.memory.latency_cycles}]
        for op in self.network.ops:
            if isinstance(op, Layer):
                if not isinstance(op, Conv):
                    costs.append(self._most(op, self._layer_events))
                if not self.all_on_chip:
                    costs.append(self._most(op, self._moved_events))
            elif self.all_on_chip:
                costs.append(self._events_alone(op, self.tensors))
        return costs

    def _most(self, layer: Layer, count: Callable[[Layer, Band], Counts]) -> Counts:
        """Return the largest count of every event over all ways to cut a layer."""
        sums = [add_counts((count(layer, band), times) for band, times in tiling.items())
                for tiling in self.tilings(layer)]
        return {event: max(counts[event] for counts in sums) for event in sums[0]}

    def _layer_events(self, layer: Layer, band: Band) -> Counts:
        """Count the events of a band of a layer itself."""
        tensors = {tensor.name: tensor for tensor in band_tensors(self.tensors, layer, band)}
        return self._events_alone(layer.on_operands(layer.name, layer.reads, layer.output, band.pads), tensors)

    def _moved_events(self, layer: Layer, band: Band) -> Counts:
        """Count the events of the Loads and the Store of a band whose tensors are all in the host's memory."""
        tensors = {tensor.name: tensor for tensor in band_tensors(self.tensors, layer, band)}
        moves: list[Op] = [*(Load("", name, name) for name in layer.reads), Store("", layer.output, layer.output)]
        return add_counts((self._events_alone(move, tensors), 1) for move in moves)

    def _events_alone(self, op: Op, tensors: Mapping[str, Tensor]) -> Counts:
        """Count the events and the cycles of an op on its own."""
        schedule = Scheduler(self.machine).schedule(_Tensors(tensors), op)
        return events_of(schedule, self.machine) | {"cycles": schedule.cycles_alone(self.machine.memory)}


@dataclass(frozen=True)
class _Tensors:
    """Tensors that stand for those of a Program."""

    by_name: Mapping[str, Tensor]

    def tensor(self, name: str) -> Tensor:
        """Return the tensor of that name."""
        return self.by_name[name]


def _network(program: Program, widest: int) -> _WidestNetwork:
    given = {tensor.name for tensor in program.inputs}
    read = {name for op in program.ops for name in op.reads}
    tensors = {t.name: t if t.name in given else _with_bits(
        t, max(widest, t.format.bits) if t.name in read else program.arithmetic.acc_bits) for t in program.tensors}
    for op in program.ops:
        if isinstance(op, Layer) and op.keeps_codes:
            tensors[op.output] = _with_bits(tensors[op.output], tensors[op.input].format.bits)
    shapes = {conv.name: replace(
        conv_shape(program, conv), bits_out=tensors[conv.output].format.bits,
        bits_residual=tensors[conv.residual].format.bits if conv.residual else 0,
        bits_w=1, bits_a=1, terms=0, residual_terms=0,
        weight_kind="signed" if conv.weight_format.kind == "bipolar" else conv.weight_format.kind)
        for conv in program.convs}
    return _WidestNetwork(tensors, with_transfers(program).ops, shapes)


def _with_bits(tensor: Tensor, bits: int) -> Tensor:
    return replace(tensor, format=Format(bits, tensor.format.kind))


def add_counts(costs: Iterable[tuple[Counts, int]]) -> Counts:
    """Add up counts, each multiplied by its number."""
    total: Counter[str] = Counter()
    for counts, times in costs:
        for event, count in counts.items():
            total[event] += count * times
    return dict(total)
