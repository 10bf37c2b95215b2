"""Some layers of a Program, or tiles of them, on the RTL: each by itself, on the codes that reach it in the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from bitwright.codesign.compare import Comparison, compare_codes
from bitwright.codesign.onnx_engine import compare_onnx, require_onnx
from bitwright.codesign.progress import SILENT, Progress
from bitwright.codesign.random_cases import compared
from bitwright.codesign.rtl_run import AUTO, DEFAULTS, RtlOptions
from quant.reference import run_reference
from rtl.cosim.simulators import Engine, engine_named
from rtl.cosim.simulators.choice import choose
from rtl.verilog.cache import machine_text
from rtl.verilog.emit import TOP
from sim.arch.machine import Machine
from sim.errors import InputError
from sim.functional.reference import simulate
from sim.io.bounds import listed, shown
from sim.ir.ops import Conv, Layer
from sim.ir.program import Program
from sim.plan.plan import plan
from sim.testing.stimulus.cases import Case
from sim.testing.stimulus.layer_tiles import crop

__all__ = ["LayersVerification", "Piece", "layers_named", "verify_layers"]

BATCH = 8
"""Pieces that run in one simulation."""

Codes = Mapping[str, NDArray[np.int32]]


@dataclass(frozen=True)
class Piece:
    """A layer or a tile of one, as a Program that the RTL has run.

    Attributes
    ----------
    op : str
    rows, channels : (int, int)
        The first of the op's own map, and the one after the last.
    codes, cycles : int
        Codes that it makes, and cycles that it takes.
    found : tuple of str
        What differs from the simulator: codes, the end, counters; empty if nothing does.
    case : Case
        The Program with its inputs.
    """

    op: str
    rows: tuple[int, int]
    channels: tuple[int, int]
    codes: int
    cycles: int
    found: tuple[str, ...]
    case: Case


@dataclass(frozen=True)
class LayersVerification:
    """The outcome of verifying pieces of a Program on the RTL, and all of it in the other engines.

    Attributes
    ----------
    simulator : str
        The engine that ran the RTL.
    comparisons : tuple of Comparison
        Torch and, where it runs, ONNX Runtime against the simulator.
    skipped : str or None
        Why ONNX Runtime has not run; None if it has.
    pieces : tuple of Piece
    network_cycles : int or None
        What the whole network takes, if every layer has run whole: less than the pieces together, each of which waits
        for Loads, weights and Stores that the network moves beside other layers.
    """

    simulator: str
    comparisons: tuple[Comparison, ...]
    skipped: str | None
    pieces: tuple[Piece, ...]
    network_cycles: int | None

    @property
    def ok(self) -> bool:
        """Return whether all codes, cycles and counters are equal."""
        return not any(one.mismatches for one in self.comparisons) and not any(piece.found for piece in self.pieces)


def layers_named(program: Program, pattern: str | None) -> list[Layer]:
    """Return the layers whose names match a pattern such as `layer1.*`, all of them without one.

    Raises
    ------
    InputError
        If there is none.
    """
    layers = [op for op in program.ops if isinstance(op, Layer)]
    found = [op for op in layers if pattern is None or fnmatchcase(op.name, pattern)]
    if not found:
        raise InputError(f"no layer matches '{shown(pattern)}': there are {listed([op.name for op in layers])}")
    return found


def verify_layers(program: Program, machine: Machine, inputs: Mapping[str, NDArray[np.integer]],
                  layers: Sequence[Layer], *,
                  sample: int | None = None, seed: int = 0, options: RtlOptions = DEFAULTS,
                  progress: Progress = SILENT, onnxruntime: bool | None = None) -> LayersVerification:
    """Compare all of a Program in torch, the simulator and ONNX Runtime, and some layers on the RTL.

    Parameters
    ----------
    program : Program
    machine : Machine
    inputs : mapping of name to integer array, shape (N, C, H, W)
        The first image runs on the RTL.
    layers : sequence of Layer
        Of the Program.
    sample : int, at least 1, optional
        Number of tiles that run instead of whole layers: of a layer that is drawn, a row tile of channels and as many
        rows as the machine has columns. All layers are drawn once before any is drawn again.
    seed : int
    options : RtlOptions
        The simulator, and the number of processes.
    progress : Progress
    onnxruntime : bool, optional
        Whether ONNX Runtime runs; by default it does where it is installed.

    Raises
    ------
    InputError
        If the inputs or a layer do not fit, or an engine is not installed.
    """
    skipped = require_onnx(onnxruntime)
    progress.note("the whole network: simulator")
    codes = simulate(program, inputs)
    comparisons = [compare_codes(program, ("torch", "simulator"), run_reference(program, inputs), codes)]
    progress.done("the whole network: simulated, and compared with torch")
    if skipped is None:
        comparisons.append(compare_onnx(program, inputs, codes))
    progress.done(f"the whole network: {skipped or 'compared with ONNX Runtime'}")
    first = {name: array[:1] for name, array in codes.items()}
    places = [_whole(program, op) for op in layers] if sample is None else _sampled(program, machine, layers, sample,
                                                                                     seed)
    pieces = [_piece(program, machine, first, *place) for place in places]
    engine = _engine(machine, sum(piece.cycles for piece in pieces), options)
    engine.require()
    done = list[Piece]()
    batches = [pieces[start:start + BATCH] for start in range(0, len(pieces), BATCH)]
    with ThreadPoolExecutor(options.jobs) as pool:
        for batch in pool.map(lambda some: _run(some, engine), batches):
            done += batch
            progress.done(f"{len(done)} of {len(pieces)} pieces of layers on the RTL, "
                          f"{sum(piece.cycles for piece in done):,} cycles")
    every = sample is None and len(layers) == len(layers_named(program, None))
    return LayersVerification(engine.name, tuple(comparisons), skipped, tuple(done),
                              plan(program, machine).timeline.total if every else None)


def _whole(program: Program, op: Layer) -> tuple[Layer, range, range]:
    source = program.tensor(op.input)
    channels = op.channels if isinstance(op, Conv) else source.of_run(op.input_parts).channels
    return op, range(op.map_size(source)[0]), range(channels)


def _sampled(program: Program, machine: Machine, layers: Sequence[Layer], count: int,
             seed: int) -> list[tuple[Layer, range, range]]:
    """Draw tiles: of each layer once, in random order, before any comes again."""
    rng, found = np.random.default_rng(seed), list[tuple[Layer, range, range]]()
    while len(found) < count:
        for index in rng.permutation(len(layers))[:count - len(found)]:
            op, rows, channels = _whole(program, layers[int(index)])
            height = min(len(rows), machine.columns)
            top = int(rng.integers(0, len(rows) - height + 1))
            left = machine.rows * int(rng.integers(0, -(-len(channels) // machine.rows)))
            found.append((op, rows[top:top + height], channels[left:left + machine.rows]))
    return found


def _piece(program: Program, machine: Machine, codes: Codes, op: Layer, rows: range, channels: range) -> Piece:
    tile = crop(program, op, codes, rows, channels)
    case = Case(tile.program, machine, tile.inputs)
    return Piece(op.name, (rows.start, rows.stop), (channels.start, channels.stop), tile.output.size,
                 case.plan.timeline.total, (), case)


def _engine(machine: Machine, cycles: int, options: RtlOptions) -> Engine:
    if options.simulator != AUTO:
        return engine_named(options.simulator)
    return choose(machine, machine_text(machine), TOP, cycles)


def _run(pieces: Sequence[Piece], engine: Engine) -> list[Piece]:
    """Run pieces in one simulation, and return them with what differs."""
    found = compared([piece.case for piece in pieces], engine)
    return [Piece(piece.op, piece.rows, piece.channels, piece.codes, piece.cycles, differs, piece.case)
            for piece, differs in zip(pieces, found, strict=True)]
