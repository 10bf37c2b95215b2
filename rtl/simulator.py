"""Run planned Programs on the accelerator's RTL: codes of every tensor, cycles of every record, all counters."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtl.accelerator import Accelerator
from rtl.counters import COUNTERS
from rtl.descriptor import describe, describe_inward, describe_outward
from rtl.engines import ICARUS, Engine, Progress, SimulationError, cached_build
from rtl.engines.builds import cached_text
from rtl.geometry import Geometry
from rtl.verilog import TOP, verilog_text
from sim.formats import Format
from sim.inputs import check_inputs
from sim.layout import Bits, read_activation_image, tensor_words
from sim.machine import Machine
from sim.plan import Plan
from sim.program import Conv, Load, Pool, Store, Tensor
from sim.schedule import ConvSchedule, PoolSchedule
from sim.timing import timeline
from sim.transfers import TransferSchedule

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
        Cycle in which each record had ended; the largest is the cycle count.
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
        Probability that a beat of either stream passes a cycle later.
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
    job = _job(plan, images, stall, seed)
    arrays: dict[str, NDArray[Any]] = {f"input {name}": np.asarray(codes, np.int32) for name, codes in inputs.items()}
    arrays["tiles"] = _beats(plan)
    place = place or build_machine(plan.machine, engine)
    with tempfile.TemporaryDirectory(prefix="bitwright-") as temporary:
        folder = Path(temporary)
        (folder / "job.json").write_text(json.dumps(job))
        np.savez(folder / "job.npz", allow_pickle=False, **arrays)
        engine.run_bench(place, TOP, "rtl.benches.program_bench", folder, {"BITWRIGHT_JOB": str(folder)}, waves)
        result = json.loads((folder / "result.json").read_text())
        with np.load(folder / "result.npz") as found:
            codes = {tensor.name: _codes(tensor, dict(found), plan.machine) for tensor in plan.program.tensors}
    ends = np.array(result["ends"], np.int64).reshape(images, len(plan.program.records))
    return RtlResult(codes, ends, tuple(_events(counters, plan.machine) for counters in result["counters"]))


def _job(plan: Plan, images: int, stall: float, seed: int) -> dict[str, Any]:
    """What the bench needs besides arrays."""
    program, machine, geometry = plan.program, plan.machine, Geometry(plan.machine)
    records = list(enumerate(program.records))
    loads = [record for _, record in records if isinstance(record, Load)]
    stores = [record for _, record in records if isinstance(record, Store)]
    loaded = {load.output for load in loads}
    tables = {"compute": describe, "inward": describe_inward, "outward": describe_outward}
    return {
        "images": images, "seed": seed, "stall": stall, "columns": machine.columns, "lanes": machine.lanes,
        "region_words": machine.region_words, "machine": machine.model_dump(), "memory": machine.memory.model_dump(),
        "counters": COUNTERS, "cycle_limit": _cycle_limit(plan, stall), "bases": plan.bases,
        **{name: [f"{word:x}" for word in words(plan, geometry)] for name, words in tables.items()},
        "records": {"computes": [i for i, record in records if isinstance(record, Conv | Pool)],
                    "loads": [i for i, record in records if isinstance(record, Load)],
                    "stores": [i for i, record in records if isinstance(record, Store)]},
        "tensors": [[t.name, t.height, t.width, t.parts, [t.format.bits, t.format.kind, t.format.zero_point]]
                    for t in program.tensors],
        "maps": sorted({load.input for load in loads} | {store.output for store in stores}),
        "resident": [t.name for t in program.inputs if t.name in plan.bases and t.name not in loaded],
        "chip": [[name, _last_writer(plan, name), tensor_words(program.tensor(name), machine)] for name in plan.bases],
        "loads": [[load.input, load.output, load.first_row] for load in loads],
        "stores": [[store.input, store.output, store.first_row, store.output_part] for store in stores],
        "store_beats": [schedule.beats for schedule in plan.schedules
                        if isinstance(schedule, TransferSchedule) and isinstance(schedule.record, Store)],
        "inward_items": list(_inward_items(plan)),
    }


def _cycle_limit(plan: Plan, stall: float) -> int:
    """More cycles than a run takes, unless it hangs."""
    beats = sum(schedule.beats if isinstance(schedule, TransferSchedule) else schedule.row_tiles * schedule.fill_cycles
                for schedule in plan.schedules if not isinstance(schedule, PoolSchedule))
    return int((2 * timeline(plan).total + beats) / (1 - stall)) + 100


def _inward_items(plan: Plan) -> Iterator[dict[str, int]]:
    """Beats first ... end - 1 of a Conv's row tiles, or the number of a Load and of the Stores that it reads."""
    first = loads = 0
    for schedule, waits in zip(plan.schedules, plan.waits, strict=True):
        if isinstance(schedule, ConvSchedule):
            end = first + schedule.row_tiles * schedule.fill_cycles
            yield {"first": first, "end": end}
            first = end
        elif isinstance(schedule, TransferSchedule) and isinstance(schedule.record, Load):
            yield {"load": loads, "written": waits.written}
            loads += 1


def _last_writer(plan: Plan, name: str) -> int | None:
    """Index of the record that completes a tensor on chip, None for an input that is there from the start."""
    return max((i for i, record in enumerate(plan.program.records)
                if record.output == name and not isinstance(record, Store)), default=None)


def _beats(plan: Plan) -> Bits:
    """Beats of all row tiles, as rows of bytes."""
    bits = plan.machine.stream_bits
    words = [tile.reshape(-1, bits) for tile in plan.stream()]
    beats = np.concatenate(words) if words else np.zeros((0, bits), np.uint8)
    return np.packbits(beats, axis=1, bitorder="little")


def _codes(tensor: Tensor, found: Mapping[str, NDArray[Any]], machine: Machine) -> Codes:
    """Codes of a tensor in the host's memory, or else on chip; `x` is allowed where no code lies.

    On chip, words are characters, most significant lane first.
    """
    if f"map {tensor.name}" in found:
        codes, undefined = found[f"map {tensor.name}"], found[f"unknown {tensor.name}"]
    else:
        lanes = found[tensor.name][..., ::-1]
        plain = Tensor(tensor.name, tensor.height, tensor.width, tensor.parts, Format(tensor.format.bits, "unsigned"))
        unknown = ((lanes != ord("0")) & (lanes != ord("1"))).astype(np.uint8)
        codes = np.array([read_activation_image(image, tensor, machine)
                          for image in (lanes == ord("1")).astype(np.uint8)], np.int32)
        undefined = np.array([read_activation_image(image, plain, machine) for image in unknown])
    holes = np.argwhere(undefined)
    if len(holes):
        place = ", ".join(str(index) for index in holes[0][1:])
        raise SimulationError(f"tensor '{tensor.name}' holds undefined bits at (channel, y, x) = ({place})")
    return codes.reshape(-1, *tensor.shape)


def _events(counters: Mapping[str, int], machine: Machine) -> dict[str, int]:
    """Counters under the names of `sim.events`."""
    values = dict(counters)
    values["pair_lanes"] = values.pop("pair_elements") * machine.lanes
    for way in ("in", "out"):
        values[f"stream_{way}_bits"] = values.pop(f"stream_{way}_beats") * machine.stream_bits
    return values
