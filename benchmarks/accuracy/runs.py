"""Do one run of `benchmarks.accuracy`: quantize a network of the glyphs, and judge its integer Program.

Every number is the accuracy of the Program in the simulator, on every test image. The same images go through an engine
that shares no code with it: where all steps are powers of two the fake-quantized model itself, whose outputs must be
the Program's exactly; elsewhere the integer reference in torch, because multipliers were fitted by signed digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from quant.bits.discount import WEIGHT_DISCOUNT
from quant.bits.qbitopt import QBitOpt
from quant.bits.simulation import Simulation
from quant.bits.sites import sites
from quant.bits.with_bits import with_bits
from quant.convert import quantize
from quant.data.glyphs import Glyphs, glyphs
from quant.data.split import Split
from quant.lowering.lower import Lowered, lower_with_report
from quant.networks.registry import make_network
from quant.ptq.network import move_exponents
from quant.ptq.reconstruct import Reconstruction, reconstruct
from quant.quantizers.strict import has_power_of_two_steps
from quant.reference import run_reference
from quant.schemes import Scheme, power_of_two, scheme_of, uniform
from quant.training.checkpoint import load_weights, save_weights
from quant.training.loop import train
from quant.training.norms import reestimate_norms
from quant.training.progressive import narrow
from quant.training.recipe import Recipe
from sim.arch.machine import Machine, load_machine
from sim.cost.estimate import estimate
from sim.cost.table import cost_table
from sim.energy.technology import load_technology
from sim.functional.reference import simulate
from sim.io.atomic_write import atomic_write_text
from sim.ir.program import Program
from sim.plan.plan import plan

__all__ = ["PROGRESSION", "Run", "perform"]

MACHINE = Path(__file__).parent / "glyphs.yaml"
CALIBRATION_IMAGES = 1024
FIRST_LAST_BITS = 8
CHUNK = 1000
"""Images that go through an engine together."""
TAU = 50
"""Optimizer steps between reallocations: a third of an epoch."""
PROGRESSION = (4, 3, 2)
"""Bits of weights and activations, one after another, in progressive training."""
MOVING_SHARE = 0.6
"""Share of a training in which bits may move."""

FLOAT = {"resnet8": {"epochs": 12, "rate": 0.2}, "glyph_mobilenet": {"epochs": 12, "rate": 0.1}}
"""How float networks are trained."""

Settings = Mapping[str, Any]
Outcome = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One network, one seed, one way to quantize it.

    Attributes
    ----------
    network : str
        A name of `quant.networks.registry`.
    seed : int
        Of the float network's start and of all that follows.
    method : str
        A key of `METHODS`.
    settings : tuple of (str, value)
        Of the method, by name.
    """

    network: str
    seed: int
    method: str
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> str:
        """The name of the run's files."""
        parts = [self.network, f"seed{self.seed}", self.method, *(f"{name}={value}" for name, value in self.settings)]
        return "-".join(parts).replace("/", "+").replace(" ", "")

    @property
    def start(self) -> Run | None:
        """The run whose network this one starts from."""
        if self.method == "float":
            return None
        return Run(self.network, self.seed, "float", tuple(FLOAT[self.network].items()))


def perform(run: Run, folder: Path) -> None:
    """Do a run, and write what it found to `folder / <key>.json`, whole or not at all."""
    torch.set_num_threads(1)
    torch.manual_seed(run.seed)
    began = process_time()
    outcome = METHODS[run.method](run, dict(run.settings), folder)
    outcome |= {"network": run.network, "seed": run.seed, "method": run.method, "settings": dict(run.settings),
                "processor_seconds": round(process_time() - began, 1)}
    atomic_write_text(folder / f"{run.key}.json", json.dumps(outcome))


@cache
def data() -> Glyphs:
    """Return all images."""
    return glyphs()


@cache
def other_images() -> Split:
    """Return images of another kind, clean ones, as when those that a network was trained on are not at hand."""
    return glyphs(validation=1, test=1, held_out=1, difficulty=0.2, seed=7).train


@cache
def machine() -> Machine:
    """Load the machine that all Programs are for."""
    return load_machine(str(MACHINE))


def train_float(run: Run, settings: Settings, folder: Path) -> Outcome:
    """Train a float network from random weights."""
    model = make_network(run.network, classes=data().classes, channels=1)
    recipe = Recipe(epochs=settings["epochs"], rate=settings["rate"], batch=128, decay=5e-4, shift=2, seed=run.seed)
    train(model, data().train, recipe)
    save_weights(model, folder / f"{run.key}.safetensors")
    right = {name: right_by_model(model, split) for name, split in splits().items()}
    return {"accuracy": percentages(right), "right": packed(right["test"])}


def quantize_only(run: Run, settings: Settings, folder: Path) -> Outcome:
    """Quantize after training by the steps' fit alone."""
    model = quantized(start_of(run, folder), settings)
    return judged(model)


def quantize_and_reconstruct(run: Run, settings: Settings, folder: Path) -> Outcome:
    """Quantize after training, with reconstruction."""
    net = start_of(run, folder)
    model = quantized(net, settings)
    how = Reconstruction(iterations=settings["iterations"], rate=settings["rate"], seed=run.seed,
                         exponents=settings.get("learn") == "exponents")
    reconstruct(model, net, calibration(), how)
    moved = move_exponents(model, net, calibration()) if settings.get("network") else []
    return judged(model) | {"moves": len(moved)}


def train_quantized(run: Run, settings: Settings, folder: Path) -> Outcome:
    """Train a quantized network at fixed bits."""
    net = start_of(run, folder)
    model = quantized(net, settings)
    if "outer" in settings:
        model = with_outer_bits(model, settings["outer"])
    images = other_images() if settings.get("other_images") else data().train
    train(model, images, qat_recipe(run, settings), teacher=net if settings.get("distillation") else None)
    reestimate_norms(model, calibration())
    return judged(model)


def train_progressively(run: Run, settings: Settings, folder: Path) -> Outcome:
    """Train from 4/4 by way of 3/3 to 2/2 bits, as many epochs each."""
    model = quantized(start_of(run, folder), dict(settings) | {"bits": "{0}/{0}".format(PROGRESSION[0])})
    recipe = qat_recipe(run, dict(settings) | {"epochs": settings["epochs"] // len(PROGRESSION)})
    train(model, data().train, recipe)
    for old, new in pairwise(PROGRESSION):
        narrow(model, calibration(), (old, old), (new, new))
        train(model, data().train, recipe)
    reestimate_norms(model, calibration())
    return judged(model)


def train_mixed(run: Run, settings: Settings, folder: Path) -> Outcome:
    """Train by QBitOpt under one budget: what a network of uniform bits costs in the simulation.

    `discount` is that of weights, and `judge` says whether a simulation or the table alone tells what bits cost.
    """
    net = start_of(run, folder)
    name, uniform = settings["budget"], dict(settings) | {"bits": settings["of"]}
    limit = cost_of(lowered(quantized(net, uniform)).program)[name]
    model = quantized(net, dict(settings) | {"bits": "8/8"})
    program = lowered(model).program
    table = cost_table(program, machine(), load_technology(machine().technology))
    recipe = qat_recipe(run, settings)
    steps = recipe.steps(len(data().train))
    simulated = settings.get("judge", "simulation") == "simulation"
    controller = QBitOpt(model, program, table, {name: limit}, every=TAU,
                         until=int(MOVING_SHARE * steps) if settings["when"] == "during" else 0,
                         weight_discount=settings.get("discount", WEIGHT_DISCOUNT),
                         simulation=simulation() if simulated else None)
    first = data().train.first(CALIBRATION_IMAGES)
    controller.start(first.images, first.labels)
    train(model, data().train, recipe, after_step=controller)
    controller.finish(calibration())
    outcome = judged(model)
    if outcome["cost"][name] > limit:
        raise AssertionError(f"{run.key}: {name} is {outcome['cost'][name]}, above {limit}")
    moved = sum(update.accepted for update in controller.history)
    return outcome | {"limit": limit, "bits": controller.bits, "reallocations": moved}


METHODS: dict[str, Callable[[Run, Settings, Path], Outcome]] = {
    "float": train_float, "naive": quantize_only, "reconstruct": quantize_and_reconstruct, "train": train_quantized,
    "progressive": train_progressively, "mixed": train_mixed}


def splits() -> dict[str, Split]:
    """Return the splits that accuracy is given of."""
    return {"validation": data().validation, "test": data().test, "held_out": data().held_out}


@cache
def calibration() -> torch.Tensor:
    """Training images without their labels."""
    return data().train.first(CALIBRATION_IMAGES).images


def start_of(run: Run, folder: Path) -> nn.Module:
    """Load the float network that a run starts from."""
    model = make_network(run.network, classes=data().classes, channels=1)
    assert run.start is not None
    load_weights(model, folder / f"{run.start.key}.safetensors")
    return model.eval()


def quantized(net: nn.Module, settings: Settings) -> fx.GraphModule:
    """Quantize `net` as the settings say."""
    bits_w, bits_a = map(int, settings["bits"].split("/"))
    images = data().train
    return quantize(net, calibration(), scheme=scheme(settings), weight_bits=bits_w, activation_bits=bits_a,
                    first_last_bits=FIRST_LAST_BITS, input_format=images.format, input_exponent=images.exponent)


def with_outer_bits(model: fx.GraphModule, bits: str) -> fx.GraphModule:
    """Give the first layers' weights the first of two widths; the last layer and what it reads get the second."""
    first, last = map(int, bits.split("/"))
    program = lowered(model).program
    chosen = {site.layer: (site.module.weight_quantizer.bits if site.module else 1, site.activation.bits)
              for site in sites(model, program)}
    for site in sites(model, program):
        if site.is_input:
            chosen[site.layer] = first, chosen[site.layer][1]
    output = program.outputs[0].name
    chosen |= {conv.name: (last, last) for conv in program.convs if conv.output == output}
    return with_bits(model, chosen, calibration())


def simulation() -> Simulation:
    """Return the machine that bits are chosen for."""
    return Simulation(machine(), load_technology(machine().technology), data().test.values(slice(1)))


def scheme(settings: Settings) -> Scheme:
    """Return the quantizers that the settings ask for."""
    match settings["scheme"]:
        case "uniform":
            return uniform(settings.get("fit", "error"), per_channel=settings.get("per_channel", True))
        case "power_of_two":
            return power_of_two(settings.get("exponents", "best"))
        case name:
            return scheme_of(name)


def qat_recipe(run: Run, settings: Settings) -> Recipe:
    """Return how quantized networks are trained."""
    return Recipe(epochs=settings["epochs"], rate=settings["rate"], batch=128, decay=1e-4, shift=2, seed=run.seed,
                  distillation=settings.get("distillation", 0.0),
                  quantizers_only=settings.get("quantizers_only", False))


def lowered(model: nn.Module) -> Lowered:
    """Lower a model to a Program for the benchmark's machine."""
    return lower_with_report(model, data().test.values(slice(1)), machine().arithmetic)


def judged(model: nn.Module) -> Outcome:
    """Accuracy of a quantized model's Program, that another engine agrees, and what an image costs."""
    found = lowered(model)
    right = {name: right_by_program(found.program, split) for name, split in splits().items()}
    return {"accuracy": percentages(right), "right": packed(right["test"]), "exact": agreement(model, found),
            "cost": cost_of(found.program), "fit_error_codes": max(error.error for error in found.errors.values())}


def cost_of(program: Program) -> dict[str, float]:
    """Estimate what one image costs in the simulation."""
    found = estimate(plan(program, machine()), load_technology(machine().technology))
    return {"latency_cycles": found.latency_cycles, "energy_pj": found.energy.nominal_pj,
            "weight_bytes": sum(layer.weight_bytes for layer in found.layers)}


def outputs_of(program: Program, codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return codes of the output, shape (n, classes)."""
    (source,), (target,) = program.inputs, program.outputs
    return simulate(program, {source.name: codes})[target.name].reshape(len(codes), -1)


def right_by_program(program: Program, split: Split) -> NDArray[np.bool_]:
    """Tell which images the simulated Program has right."""
    codes = split.stored.numpy().astype(np.int32)
    found = [outputs_of(program, codes[at : at + CHUNK]).argmax(1) for at in range(0, len(codes), CHUNK)]
    return np.concatenate(found) == split.labels.numpy()


def right_by_model(model: nn.Module, split: Split) -> NDArray[np.bool_]:
    """Tell which images a float model has right."""
    with torch.no_grad():
        found = [model(split.values(slice(at, at + CHUNK))).argmax(1) for at in range(0, len(split), CHUNK)]
    return (torch.cat(found) == split.labels).numpy()


def agreement(model: nn.Module, found: Lowered) -> Outcome:
    """Compare the Program's outputs on all test images with those of another engine.

    Raises
    ------
    AssertionError
        If any output differs.
    """
    split, program = data().test, found.program
    exact = has_power_of_two_steps(model)
    (source,), (target,) = program.inputs, program.outputs
    judge = deepcopy(model).double()
    for at in range(0, len(split), CHUNK):
        codes = split.codes(slice(at, at + CHUNK)).numpy().astype(np.int32)
        outputs = outputs_of(program, codes)
        if exact:
            with torch.no_grad():
                other = judge(split.values(slice(at, at + CHUNK)).double()).numpy()
            same = np.array_equal(outputs * found.scales[target.name], other)
        else:
            other = run_reference(program, {source.name: codes})[target.name].reshape(len(codes), -1)
            same = np.array_equal(outputs, other)
        if not same:
            raise AssertionError(f"the engines differ on test images {at}..{at + CHUNK - 1}")
    return {"against": "fake-quantized model" if exact else "integer reference in torch", "images": len(split)}


def percentages(right: Mapping[str, NDArray[np.bool_]]) -> dict[str, float]:
    """Accuracies [%]."""
    return {name: 100 * float(array.mean()) for name, array in right.items()}


def packed(right: NDArray[np.bool_]) -> str:
    """Pack which images were right, a bit each, into hex digits."""
    return np.packbits(right).tobytes().hex()
