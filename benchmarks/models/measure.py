"""What a network of 8-bit weights and tensors loses as a Program, what it takes, and that all engines agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from benchmarks.models.case import Case, values_of_file
from bitwright.codesign.compare import compare_codes
from bitwright.interop.onnx_model import onnx_model
from bitwright.interop.onnx_run import run_onnx
from quant.convert import quantize
from quant.lowering.lower import Lowered, lower_with_report
from quant.reference import run_reference
from quant.trace.host import host_part
from quant.trace.outputs import tensors_of
from sim.arch.machine import Machine, load_machine
from sim.cost.estimate import estimate
from sim.energy.technology import load_technology
from sim.errors import InputError
from sim.functional.engine.simulator import Simulator
from sim.functional.reference import simulate
from sim.ir.program import Program
from sim.ir.serialize import save_program
from sim.plan.plan import plan

__all__ = ["BITS", "ProgramModel", "Row", "measure", "sqnr_db"]

BITS, SMALL = 8, "tiny"
AT_ONCE = 16
"""Images that the simulator gets together."""


@dataclass
class Row:
    """What became of one network.

    Attributes
    ----------
    model, source : str
    nodes : int
        Of the ONNX model, constants left out.
    refused : list of str
        Why there is no Program.
    ops : int or None
        Of the Program.
    images, calibration : int
        How many it is judged by, and how many others it was calibrated with.
    sqnr_db : list of float
        Of each output of ONNX Runtime, over its distance from the Program's [dB].
    task : dict of str to (float or None, float)
        The network's own measures: in float, and of the Program.
    cycles : int or None
        Of one image.
    energy_uj : list of float
        Nominal, least and most, of one image [uJ].
    compared : dict of str to (int, int)
        By engine: codes of all stored tensors of one image that were compared with the plain loops, and that differ.
    rtl : dict
        What ran on the RTL, by `benchmarks.models.rtl`.
    """

    model: str
    source: str
    nodes: int
    refused: list[str] = field(default_factory=list)
    ops: int | None = None
    images: int = 0
    calibration: int = 0
    sqnr_db: list[float] = field(default_factory=list)
    task: Mapping[str, tuple[float | None, float]] = field(default_factory=dict)
    cycles: int | None = None
    energy_uj: list[float] = field(default_factory=list)
    compared: dict[str, tuple[int, int]] = field(default_factory=dict)
    rtl: dict[str, Any] = field(default_factory=dict)


class ProgramModel:
    """A Program that returns what its float network does: the simulator's codes, and what the host makes of them.

    Parameters
    ----------
    quantized : fx.GraphModule
    example : Tensor, shape (1, ...)
        Values of an image; other sizes of images need a Program of their own.
    machine : Machine
        Its arithmetic.
    """

    def __init__(self, quantized: fx.GraphModule, example: Tensor, machine: Machine) -> None:
        self.lowered: Lowered = lower_with_report(quantized, example, machine.arithmetic)
        with torch.inference_mode():
            self.shapes = [tensor.shape[1:] for tensor in tensors_of(quantized(example))]
        self.host = host_part(quantized)
        self.simulator = Simulator(self.lowered.program)

    def __call__(self, codes: Tensor) -> list[NDArray[np.float32]]:
        """Return the outputs for codes of images."""
        (source,) = self.lowered.program.inputs
        parts = []
        for batch in codes.split(AT_ONCE):
            found = self.simulator.run({source.name: self.lowered.prepare(batch.numpy())})
            raw = [torch.from_numpy(found[name] * np.float32(self.lowered.scales[name])).reshape(len(batch), *shape)
                   for name, shape in zip(self.lowered.outputs, self.shapes, strict=True)]
            made = raw if self.host is None else tensors_of(self.host(raw))
            parts.append([each.numpy() for each in made])
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def measure(case: Case, machine: Machine, folder: Path) -> Row:
    """Quantize, lower, run and compare a network; its Program and an image stay in a folder, for the RTL."""
    row = Row(case.name, case.source, case.nodes, images=len(case.images), calibration=len(case.calibration))
    given = case.calibration if case.pixels is not None else case.values(case.calibration)
    try:
        quantized = quantize(case.model, given, scheme=case.scheme, weight_bits=BITS, activation_bits=BITS,
                             **case.quantize_options)
        found = ProgramModel(quantized, case.values(case.images[:1]), machine)
    except InputError as error:
        lines = str(error).split("\n  ")
        row.refused = lines[1:] or lines
        return row
    wanted, made = values_of_file(case.reference, case.values(case.images)), found(case.images)
    row.sqnr_db = [round(sqnr_db(real, ours), 2) for real, ours in zip(wanted, made, strict=True)]
    row.task = case.judge(wanted, made)
    program = found.lowered.program
    costs = estimate(plan(program, machine), load_technology(machine.technology))
    row.ops, row.cycles = len(program.ops), costs.latency_cycles
    row.energy_uj = [round(pj / 1e6, 3) for pj in (costs.energy.nominal_pj, costs.energy.low_pj, costs.energy.high_pj)]
    row.compared = compared(program, _kept(found, case.images[:1], folder / case.name))
    if case.small is not None:
        _kept(ProgramModel(quantized, case.values(case.small), load_machine(SMALL)), case.small,
              folder / f"{case.name}.{SMALL}")
    return row


def _kept(model: ProgramModel, image: Tensor, stem: Path) -> dict[str, NDArray[np.int32]]:
    """Save a Program and the codes of an image, and return these."""
    (source,) = model.lowered.program.inputs
    codes = {source.name: model.lowered.prepare(image.numpy())}
    save_program(model.lowered.program, Path(f"{stem}.safetensors"))
    np.savez(f"{stem}.npz", **cast(dict[str, Any], codes))
    return codes


def compared(program: Program, codes: Mapping[str, NDArray[np.int32]]) -> dict[str, tuple[int, int]]:
    """Return, for each engine, how many codes were compared with the plain loops and how many differ."""
    wanted = simulate(program, codes)
    names = [tensor.name for tensor in program.tensors]
    engines = {"fast simulator": Simulator(program, capture=names).run(codes), "torch": run_reference(program, codes),
               "ONNX Runtime": run_onnx(onnx_model(program, tensors=True), codes)}
    compared = {engine: compare_codes(program, (engine, "loops"), found, wanted) for engine, found in engines.items()}
    return {engine: (found.codes, found.mismatches) for engine, found in compared.items()}


def sqnr_db(real: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Return the signal of real values over what is left of it [dB]."""
    noise = float(np.square(real.astype(np.float64) - found).sum())
    return 10 * float(np.log10(np.square(real, dtype=np.float64).sum() / max(noise, 1e-300)))
