"""Run planned Programs on the accelerator's RTL: codes of every tensor, cycles of every record, all counters."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl.accelerator import Accelerator
from rtl.counters import COUNTERS
from rtl.descriptor import describe, describe_fill
from rtl.engines import ICARUS, Engine, Progress, SimulationError, cached_build
from rtl.engines.builds import cached_text
from rtl.geometry import Geometry
from rtl.verilog import TOP, verilog_text
from sim.formats import Format
from sim.layout import Bits, activation_image, read_activation_image, tensor_words
from sim.machine import Machine
from sim.plan import Plan
from sim.program import Tensor
from sim.simulate import check_inputs
from sim.timing import timeline

__all__ = ["RtlResult", "build_machine", "machine_text", "run"]

Codes = NDArray[np.int32]

NOT_HARDWARE = {"name", "clock_mhz", "technology", "memory"}
"""Fields of a machine that its Verilog does not depend on."""


@dataclass(frozen=True)
class RtlResult:
    """What the hardware made of some images.

    Attributes
    ----------
    codes : dict of str to int32 array, shape (N, channels, height, width)
        Every tensor.
    ends : int64 array, shape (N, records)
        Cycle in which each record had ended; the last one is the cycle count.
    counters : tuple of dict
        For each image, `pairs`, `wait_accumulator`, `wait_weights` and the events of `sim.events`.
    """

    codes: dict[str, Codes]
    ends: NDArray[np.int64]
    counters: tuple[dict[str, int], ...]


def machine_text(machine: Machine) -> str:
    """SystemVerilog of the accelerator of `machine`, from the cache where possible."""
    return cached_text(machine.model_dump_json(exclude=NOT_HARDWARE),
                       lambda: verilog_text(Accelerator(Geometry(machine)), TOP))


def build_machine(machine: Machine, engine: Engine = ICARUS, progress: Progress | None = None) -> Path:
    """Folder with the compiled accelerator of `machine`, from the cache where possible.

    Raises
    ------
    InputError
        If the engine is not installed.
    """
    engine.require()
    return cached_build(engine, machine_text(machine), TOP, progress)


def run(plan: Plan, inputs: Mapping[str, NDArray[np.integer]], *, stall: float = 0.0, seed: int = 0,
        place: Path | None = None, engine: Engine = ICARUS, waves: Path | None = None) -> RtlResult:
    """Run images through the RTL, one after another.

    Parameters
    ----------
    plan : Plan
    inputs : mapping of name to integer array, shape (N, channels, height, width)
        Codes of the tensors `plan.program.inputs`.
    stall : float, 0 <= stall < 1
        Probability that a beat of the weight stream comes a cycle later.
    seed : int
        Of the gaps and of the lanes that carry no channel.
    place : Path or None
        Build to use; None: `build_machine`.
    engine : Engine
        The simulator.
    waves : Path or None
        Where to write all signals as FST; only `ICARUS` does.

    Raises
    ------
    InputError
        If the inputs do not fit, a number does not fit into the hardware's fields, or the engine is not installed.
    SimulationError
        If the simulation fails, does not end, or leaves an undefined bit in a code.
    """
    if not 0 <= stall < 1:
        raise ValueError(f"stall must be in 0..1, 1 excluded, not {stall}")
    images = check_inputs(plan.program, inputs)
    geometry = Geometry(plan.machine)
    job = _job(plan, geometry, images, stall, seed)
    arrays = _arrays(plan, inputs, seed)
    place = place or build_machine(plan.machine, engine)
    with tempfile.TemporaryDirectory(prefix="bitwright-") as temporary:
        folder = Path(temporary)
        (folder / "job.json").write_text(json.dumps(job))
        np.savez(folder / "job.npz", allow_pickle=False, **arrays)
        engine.run_bench(place, TOP, "rtl.benches.program_bench", folder, {"BITWRIGHT_JOB": str(folder)}, waves)
        result = json.loads((folder / "result.json").read_text())
        with np.load(folder / "result.npz") as words:
            codes = {tensor.name: _codes(tensor, words[tensor.name], plan.machine) for tensor in plan.program.tensors}
    ends = np.array(result["ends"], np.int64).reshape(images, len(plan.program.records))
    return RtlResult(codes, ends, tuple(_events(counters, plan.machine) for counters in result["counters"]))


def _job(plan: Plan, geometry: Geometry, images: int, stall: float, seed: int) -> dict[str, Any]:
    """What the bench needs besides arrays."""
    program, machine = plan.program, plan.machine
    beats = sum(schedule.row_tiles * schedule.fill_cycles for _, schedule in plan.convs())
    return {
        "images": images, "seed": seed, "stall": stall, "columns": machine.columns, "lanes": machine.lanes,
        "region_words": machine.region_words, "counters": COUNTERS,
        "cycle_limit": int((2 * timeline(plan).total + beats) / (1 - stall)) + 100,
        "descriptor": [f"{word:x}" for word in describe(plan, geometry)],
        "fill": [f"{word:x}" for word in describe_fill(plan, geometry)],
        "tensors": [{"name": tensor.name, "base": plan.bases[tensor.name], "words": tensor_words(tensor, machine),
                     "complete_after": _last_writer(plan, tensor), "output": tensor in program.outputs}
                    for tensor in program.tensors],
    }


def _last_writer(plan: Plan, tensor: Tensor) -> int:
    """Index of the record that completes a tensor, -1 for an input."""
    return max((i for i, record in enumerate(plan.program.records) if record.output == tensor.name), default=-1)


def _arrays(plan: Plan, inputs: Mapping[str, NDArray[np.integer]], seed: int) -> dict[str, Bits]:
    """The stream as bytes of beats, and the words of the inputs with random bits wherever no code lies."""
    rng, machine = np.random.default_rng(seed), plan.machine
    words = [tile.reshape(-1, machine.stream_bits) for tile in plan.stream()]
    beats = np.concatenate(words) if words else np.zeros((0, machine.stream_bits), np.uint8)
    arrays = {"stream": np.packbits(beats, axis=1, bitorder="little")}
    for tensor in plan.program.inputs:
        used = activation_image(np.full(tensor.shape, -1), tensor, machine)
        images = [np.where(used == 1, activation_image(codes, tensor, machine), rng.integers(0, 2, used.shape))
                  for codes in inputs[tensor.name]]
        bits = np.stack(images) if images else np.zeros((0, *used.shape), np.uint8)
        arrays[f"input {tensor.name}"] = np.packbits(bits.astype(np.uint8), axis=-1, bitorder="little")
    return arrays


def _codes(tensor: Tensor, characters: NDArray[np.uint8], machine: Machine) -> Codes:
    """Codes from words as characters, most significant lane first; `x` is allowed where no code lies."""
    lanes = characters[..., ::-1]
    undefined, ones = (lanes != ord("0")) & (lanes != ord("1")), (lanes == ord("1")).astype(np.uint8)
    plain = Tensor(tensor.name, tensor.height, tensor.width, tensor.parts, Format(tensor.format.bits, "unsigned"))
    for image in undefined.astype(np.uint8):
        holes = np.argwhere(read_activation_image(image, plain, machine))
        if len(holes):
            place = ", ".join(str(index) for index in holes[0])
            raise SimulationError(f"tensor '{tensor.name}' holds undefined bits at (channel, y, x) = ({place})")
    codes = [read_activation_image(image, tensor, machine) for image in ones]
    return np.array(codes, np.int32).reshape(-1, *tensor.shape)


def _events(counters: Mapping[str, int], machine: Machine) -> dict[str, int]:
    """Counters under the names of `sim.events`."""
    values = dict(counters)
    values["pair_lanes"] = values.pop("pair_elements") * machine.lanes
    values["stream_in_bits"] = values.pop("stream_beats") * machine.stream_bits
    return values
