"""The whole loop once, on real data: train, quantize, lower, run in three engines, and re-train under hard budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import fx

from bitwright.codesign.evaluation import evaluate as accuracy_of
from bitwright.codesign.json_text import to_json
from bitwright.codesign.progress import SILENT, Progress
from bitwright.codesign.verify import STEPS as VERIFICATION_STEPS
from bitwright.codesign.verify import Verification, verify_plan
from quant.bits.qbitopt import QBitOpt
from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT, digits
from quant.lowering.lower import FitError, Lowered, lower_with_report
from quant.networks import DigitsNet
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.training.evaluate import accuracy
from quant.training.history import Epoch
from quant.training.loop import train
from quant.training.norms import reestimate_norms
from quant.training.recipe import FLOAT, QAT, Recipe
from sim.arch.machine import Machine
from sim.cost.estimate import Estimate, estimate
from sim.cost.table import cost_table
from sim.energy.model import Energy
from sim.energy.technology import Technology, load_technology
from sim.errors import InputError
from sim.io.atomic_write import atomic_write_text, ensure_folder
from sim.ir.program import Program
from sim.ir.serialize import save_program
from sim.plan.plan import Plan, plan

__all__ = ["STEPS", "Budget", "Cycles", "Summary", "cycles_of", "demo", "summary_data"]

STEPS = 5 + 3 * VERIFICATION_STEPS
"""Steps of the progress: five of its own, and three for the verification of each network."""

UNIFORM_BITS = 4
BUDGET_SHARE = 0.65
"""Both budgets are this share of what uniform 4-bit weights and activations cost."""
MIXED = Recipe(epochs=30, rate=0.02, decay=1e-4)
REALLOCATION_SHARE = 0.6
"""Bits may change in this share of the mixed training; then the network settles."""
CALIBRATION_IMAGES = 512


@dataclass(frozen=True)
class Budget:
    """A limit and what the final, simulated network uses of it."""

    limit: float
    used: float

    @property
    def holds(self) -> bool:
        """Return whether the limit is kept exactly, without any tolerance."""
        return self.used <= self.limit


class Cycles(NamedTuple):
    """Cycles of one image: by the recurrence, and by the RTL's own counter."""

    predicted: int
    counted: int


@dataclass
class Summary:
    """What the demo found; `summary.json` holds all of it.

    Attributes
    ----------
    mismatches, tensors_compared : int
        Over all engines, tensors and programs.
    cycles : dict
        Of the mixed network, for one image: `predicted` by the simulator, `counted` by the RTL.
    accuracy : dict
        Fraction of the test images that are right: the float network and the integer Programs.
    budgets : dict of str to Budget
        Of the mixed network.
    bits : dict of str to (weight bits, activation bits)
        Of the mixed network's layers.
    energy_pj : dict
        Of the mixed network, for one image: `low`, `nominal`, `high`.
    fit_errors : dict of str to dict of str to FitError
        For each Program and layer: how far its digits are from the real map, and in which channel.
    verifications : dict of str to Verification
        For each Program.
    provenance : dict
        Where all this comes from.
    """

    machine: str
    seed: int
    mismatches: int = 0
    tensors_compared: int = 0
    cycles: dict[str, int] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)
    budgets: dict[str, Budget] = field(default_factory=dict)
    bits: dict[str, tuple[int, int]] = field(default_factory=dict)
    energy_pj: dict[str, float] = field(default_factory=dict)
    reallocations: int = 0
    programs: dict[str, Estimate] = field(default_factory=dict)
    fit_errors: dict[str, dict[str, FitError]] = field(default_factory=dict)
    verifications: dict[str, Verification] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Return whether bits and cycles are equal everywhere and every budget is kept."""
        return (all(v.ok for v in self.verifications.values()) and all(b.holds for b in self.budgets.values()))


class _Demo:
    """The steps of the demo, and the state that they share."""

    def __init__(self, machine: Machine, images: int, seed: int, progress: Progress) -> None:
        self.machine, self.images, self.seed, self.progress = machine, images, seed, progress
        self.technology: Technology = load_technology(machine.technology)
        self.train_set, self.test_set = digits()
        if not 1 <= images <= len(self.test_set):
            raise InputError(f"images must be in 1..{len(self.test_set)}, the digits to test with, not {images}")
        self.summary = Summary(machine.name, seed)
        self.plans: dict[str, Plan] = {}

    def quantized(self, net: DigitsNet, scheme: str, bits: int) -> fx.GraphModule:
        return quantize(net, self.train_set.images[:CALIBRATION_IMAGES], scheme=scheme, weight_bits=bits,
                        activation_bits=bits, input_format=DIGITS_FORMAT, input_exponent=DIGITS_EXPONENT)

    def program_of(self, model: fx.GraphModule) -> Lowered:
        return lower_with_report(model, self.test_set.images[:1], self.machine.arithmetic)

    def lowered(self, name: str, model: fx.GraphModule) -> Program:
        lowered = self.program_of(model)
        program, self.summary.fit_errors[name] = lowered.program, lowered.errors
        self.plans[name] = plan(program, self.machine)
        self.summary.programs[name] = estimate(self.plans[name], self.technology)
        self.summary.accuracy[name] = accuracy_of(program, self.test_set)
        return program

    def check_machine(self) -> None:
        """Refuse a machine that cannot hold the network before anything is trained."""
        plan(self.program_of(self.quantized(DigitsNet(), "qil", UNIFORM_BITS)).program, self.machine)

    def epochs(self, what: str, recipe: Recipe) -> Callable[[Epoch], None]:
        return lambda record: self.progress.note(
            f"{what}: epoch {record.epoch}/{recipe.epochs}, loss {record.loss:.3f}, training accuracy "
            f"{100 * record.train_accuracy:.1f} %")

    def float_network(self) -> DigitsNet:
        torch.manual_seed(self.seed)
        net = DigitsNet()
        train(net, self.train_set, FLOAT, progress=self.epochs("float", FLOAT))
        self.summary.accuracy["float"] = accuracy(net, self.test_set)
        return net

    def qil(self, net: DigitsNet) -> Program:
        model = self.quantized(net, "qil", UNIFORM_BITS)
        train(model, self.train_set, QAT, progress=self.epochs("QIL", QAT))
        reestimate_norms(model, self.train_set.images)
        return self.lowered("qil", model)

    def power_of_two(self, net: DigitsNet) -> Program:
        model = self.quantized(net, "power_of_two", UNIFORM_BITS)
        reconstruct(model, net, self.train_set.first(CALIBRATION_IMAGES).images, Reconstruction(seed=self.seed),
                    progress=lambda unit: self.progress.note(f"power of two: '{unit.name}' reconstructed, squared "
                                                             f"error {unit.before:.2g} to {unit.after:.2g}"))
        return self.lowered("power_of_two", model)

    def mixed(self, net: DigitsNet, uniform: Program) -> tuple[Program, QBitOpt]:
        cost = self.summary.programs["qil"]
        limits = {"latency_cycles": float(int(BUDGET_SHARE * cost.latency_cycles)),
                  "energy_pj": BUDGET_SHARE * cost.energy.nominal_pj}
        self.progress.note("cost table of every layer at 2 to 8 bits")
        table = cost_table(uniform, self.machine, self.technology)
        model = self.quantized(net, "qil", 8)
        until = int(REALLOCATION_SHARE * MIXED.steps(len(self.train_set)))
        controller = QBitOpt(model, uniform, table, limits, until=until)
        controller.start(self.train_set.images, self.train_set.labels)
        train(model, self.train_set, MIXED, progress=self.epochs("QBitOpt", MIXED), after_step=controller)
        controller.finish(self.train_set.images)
        program = self.lowered("mixed", model)
        used = self.summary.programs["mixed"]
        self.summary.budgets = {"latency_cycles": Budget(limits["latency_cycles"], used.latency_cycles),
                                "energy_pj": Budget(limits["energy_pj"], used.energy.nominal_pj)}
        self.summary.bits = {layer.name: layer.bits for layer in used.layers}
        self.summary.energy_pj = energy_band(used.energy)
        self.summary.reallocations = sum(update.accepted for update in controller.history)
        return program, controller

    def verify(self, name: str) -> None:
        planned = self.plans[name]
        (source,) = planned.program.inputs
        inputs = {source.name: self.test_set.stored.numpy()}
        result = verify_plan(name, planned, inputs, self.images, progress=self.progress)
        self.summary.verifications[name] = result
        self.summary.mismatches += result.mismatches
        self.summary.tensors_compared += result.tensors_compared


def energy_band(energy: Energy) -> dict[str, float]:
    """Return the energy of one image with its band [pJ]."""
    return {"low": energy.low_pj, "nominal": energy.nominal_pj, "high": energy.high_pj}


def demo(out: Path, machine: Machine, images: int, seed: int, progress: Progress = SILENT,
         provenance: Mapping[str, object] = MappingProxyType({})) -> Summary:
    """Run the loop and write Programs, losses and `summary.json` into `out`.

    Parameters
    ----------
    out : Path
        Folder; made if missing.
    machine : Machine
    images : int, 1..500
        How many test images run on the RTL, for each Program.
    seed : int
        Of the float network's start and of reconstruction.
    progress : Progress
        Gets STEPS steps.
    provenance : mapping
        What the summary says about where it comes from.

    Raises
    ------
    InputError
        If `images` is out of range or the machine cannot hold the network: before anything is trained.
    """
    run = _Demo(machine, images, seed, progress)
    run.summary.provenance = dict(provenance)
    run.check_machine()
    ensure_folder(out)
    net = run.float_network()
    progress.done("float network trained")
    programs = {"qil": run.qil(net)}
    progress.done("QIL network trained and lowered")
    programs["power_of_two"] = run.power_of_two(net)
    progress.done("power-of-two network reconstructed and lowered")
    programs["mixed"], controller = run.mixed(net, programs["qil"])
    progress.done("mixed network trained within its budgets and lowered")
    for name in programs:
        run.verify(name)
    run.summary.cycles = cycles_of(run.summary.verifications["mixed"])._asdict()
    for name, program in programs.items():
        save_program(program, out / f"{name}.safetensors")
    atomic_write_text(out / "sensitivities.json", to_json(losses_of(controller)))
    atomic_write_text(out / "summary.json", to_json(summary_data(run.summary)))
    progress.done(f"results in {out}")
    return run.summary


def cycles_of(result: Verification) -> Cycles:
    """Return the cycles of one image, which are those at the end of the op that ends last; 0 if the RTL did not end."""
    return Cycles(max((layer.predicted for layer in result.layers), default=0),
                  max((layer.counted for layer in result.layers), default=0))


def losses_of(controller: QBitOpt) -> dict[str, object]:
    """Return the last losses that bits were chosen by, as `bitwright allocate` reads them."""
    weight, activation = controller.losses()
    return {"bits": controller.table.weight_bits, "weight": weight, "activation": activation}


def summary_data(summary: Summary) -> dict[str, object]:
    """Return a summary as plain data."""
    return {"ok": summary.ok, **asdict(summary)}
