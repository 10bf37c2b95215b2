"""QBitOpt: choose the bits again and again while the network trains, within every budget at every moment.

Peters et al., "QBitOpt: Fast and Accurate Bitwidth Reallocation during Training", ICCV Workshops 2023, arXiv
2307.04535. Every `every` steps the sensitivities that training has gathered and the errors measured at every width
make an allocation problem; its solution becomes the bits of the next steps. Costs come from a simulator's tables, so
that budgets can be those of a machine; the paper's average width is one among them. With a `Simulation` the simulated
cost of the whole network decides, at every reallocation and at the end.

The paper minimises the loss before training goes on. Training removes the error of weights but not that of activations,
so losses of weights get a discount here (`quant.bits.discount`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from math import inf
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from quant.bits.allocate import Method, allocate
from quant.bits.allocation import Allocation, Problem
from quant.bits.discount import WEIGHT_DISCOUNT
from quant.bits.fill_budget import fill_budget
from quant.bits.fit_sensitivity import Sensitivity, expected_loss, measured_errors, uniform_noise_errors
from quant.bits.pins import Pins
from quant.bits.problem import problem_of
from quant.bits.repair import narrower
from quant.bits.simulation import Simulation, broken_limits
from quant.bits.sites import Site, sites
from quant.quantizers.base import Quantizer
from quant.trace.checks import check_data
from quant.training.memory_format import safe_for_gradients
from quant.training.norms import reestimate_norms
from quant.training.rehearsal import checked_labels
from sim.cost.table import CostTable
from sim.errors import InputError
from sim.ir.program import Program

__all__ = ["Errors", "QBitOpt", "Update"]

Errors = Literal["measured", "uniform_noise"]
"""Where the squared errors of each width come from."""


@dataclass(frozen=True)
class Update:
    """One reallocation.

    Attributes
    ----------
    step : int
        Optimizer steps done; 0 before training.
    allocation : Allocation
        What was found.
    accepted : bool
        Whether it gained enough to replace the bits before.
    """

    step: int
    allocation: Allocation
    accepted: bool


class QBitOpt:
    """Controls the bits of a quantized model during its training.

    Call `start` once before, give it to `train` as `after_step`, call `finish` at the end.

    Parameters
    ----------
    model : nn.Module
        Quantized, at bits near float (8) so that the first sensitivities are those of the float network.
    program : Program
        A lowering of it, at any bits.
    table : CostTable
        Of that Program on the machine in mind.
    limits : mapping of str to number
        Budgets by name, of `quant.bits.budgets.BUDGETS`.
    every : int, at least 1
        Optimizer steps between reallocations.
    until : int, at least 0
        The last step that may reallocate; after it the network settles.
    gain : float, below 1
        Share of the predicted loss that a reallocation must save, so that bits do not oscillate; below 0 it may lose.
    method : {"lp", "milp", "convex", "greedy"}
    errors : {"measured", "uniform_noise"}
        Squared errors of each width: those that the quantizer makes, or those of FIT's model, to compare with.
    scaler : torch.amp.GradScaler, optional
        Of the training's loss, if it has one. In `start` the loss is not scaled.
    weight_discount : float, at least 0
        Share of the foreseen losses of weights that counts, as training removes the rest: a property of training, a
        fifth where it was measured. `quant.bits.discount.weight_discount` gives it from three short runs.
    pins : mapping of layer or pattern to pair, optional
        Widths that layers may have (`quant.bits.pins.Pins`).
    simulation : Simulation, optional
        Whose costs must keep the budgets of latency, energy and power, instead of the table's bounds; needed where the
        table assumes fewer digits than the machine has.
    margin : float, in 0..1
        Share of those budgets that reallocations leave unused: the number of digits depends on scales that training
        moves, by 0.3 to 0.9 % of the cycles where it was measured.

    Attributes
    ----------
    history : list of Update

    Raises
    ------
    InputError
        If `errors` is unknown, or a number out of range; by `start`, if a budget is unknown or cannot be
        met or the table is not of this Program.
    """

    def __init__(self, model: nn.Module, program: Program, table: CostTable, limits: Mapping[str, float], *,
                 every: int = 50, until: int, gain: float = 0.01, method: Method = "lp",
                 errors: Errors = "measured", scaler: torch.amp.GradScaler | None = None,
                 weight_discount: float = WEIGHT_DISCOUNT, pins: Pins | None = None,
                 simulation: Simulation | None = None, margin: float = 0.01) -> None:
        if errors not in get_args(Errors):
            raise InputError(f"errors must be {' or '.join(get_args(Errors))}, not {errors}")
        _check_steps(every, until)
        if not isinstance(gain, int | float) or not -inf < gain < 1:
            raise InputError(f"gain must be finite and below 1, not {gain}")
        for name, value, most in (("weight_discount", weight_discount, inf), ("margin", margin, 1)):
            if not isinstance(value, int | float) or not 0 <= value < most:
                limit = "finite and at least 0" if most == inf else f"at least 0 and below {most}"
                raise InputError(f"{name} must be {limit}, not {value}")
        self.model, self.program, self.table, self.limits = model, program, table, dict(limits)
        self.every, self.until, self.gain, self.method, self.errors = every, until, gain, method, errors
        self.weight_discount, self.pins, self.simulation, self.margin = weight_discount, pins, simulation, margin
        self.sites = sites(model, program)
        self._stand_in = deepcopy(model).cpu().eval() if simulation is not None else model
        self._steps = 0
        self.history: list[Update] = []
        self._sensitivity = Sensitivity(model, _watched(self.sites), scaler=scaler)

    @property
    def bits(self) -> dict[str, tuple[int, int]]:
        """Weight and activation bits of every layer now; `unit` weights count 1."""
        return {site.layer: (site.module.weight_quantizer.bits if site.module else 1, site.activation.bits)
                for site in self.sites}

    def start(self, images: Tensor, labels: Tensor, batch: int = 64) -> None:
        """Gather sensitivities in one pass over labelled images, all classes mixed, and make the first allocation.

        Raises
        ------
        InputError
            If labels do not fit the images or the model's output, or the batch is below 1.
        """
        if batch < 1:
            raise InputError(f"batch must be at least 1, not {batch}")
        check_data(images, "images")
        labels = checked_labels(labels, len(images), self.program.outputs[0].channels)
        scaler, self._sensitivity.scaler = self._sensitivity.scaler, None
        images = safe_for_gradients(self.model, images)
        for image_batch, label_batch in zip(images.split(batch), labels.split(batch), strict=True):
            functional.cross_entropy(self.model(image_batch), label_batch).backward()
        self._sensitivity.scaler = scaler
        self.model.zero_grad()
        self._reallocate(0)

    def __call__(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        """Reallocate when it is time to; the optimizer forgets the momentum of steps that were fitted anew."""
        self._steps = step
        if step % self.every == 0 and step <= self.until:
            for parameter in self._reallocate(step):
                optimizer.state.pop(parameter, None)

    def state(self) -> dict[str, Any]:
        """Return the sensitivities and history, for JSON; the bits themselves are in the model's state_dict."""
        return {"sensitivity": self._sensitivity.state(), "history": [asdict(update) for update in self.history]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state, after `start` as the first time, with a model that was restored as well.

        What quantizers read comes again with the next batch: `losses` has to wait for it.
        """
        self._sensitivity.restore(state["sensitivity"])
        self.history = [_update(entry) for entry in state["history"]]

    def close(self) -> None:
        """Stop watching the model."""
        self._sensitivity.close()

    def finish(self, images: Tensor) -> None:
        """Make the trained model ready: statistics of BatchNorms over `images`, and simulated costs within the budgets.

        Digits of multipliers depend on trained scales, so a budget may be broken in the end although it held at the
        last reallocation. Then the bits that are missed least are taken back, one width at a time, until it holds.

        Parameters
        ----------
        images : float Tensor, shape (n, C, H, W)
            As for `reestimate_norms`.

        Raises
        ------
        InputError
            If the narrowest widths break a budget.
        """
        self._check_started()
        reestimate_norms(self.model, images)
        self.close()
        problem: Problem | None = None
        while over := self._broken():
            problem, before = problem or self.problem(), self._accepted()
            choice = narrower(problem, problem.choice(before.bits), list(over))
            if choice is None:
                name, cost = next(iter(over.items()))
                raise InputError(f"budget {name}: {self.limits[name]:g} cannot be met; the narrowest widths of the "
                                 f"trained network take {cost:g}")
            bits = problem.bits(choice)
            _apply(self.sites, bits, self._sensitivity.samples)
            reestimate_norms(self.model, images)
            used = before.used | problem.spent(choice) | self._costs(bits)
            self.history.append(Update(self._steps, Allocation(bits, used, problem.loss(choice), 0.0), True))

    def losses(self) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        """Return the present expected increase of the loss at each width: for layers' weights and for tensors.

        It has no discount, as in a sensitivities file.
        """
        traces, samples = self._sensitivity.traces, self._sensitivity.samples
        if not samples:
            raise InputError("losses are known only after start or a step of training")
        weight_loss: dict[str, list[float]] = {}
        activation_loss: dict[str, list[float]] = {}
        for site in self.sites:
            if site.module is not None:
                errors = self._errors(site.module.weight_quantizer, site.module.weight, self.table.weight_bits)
                weight_loss[site.layer] = expected_loss(traces[_weight_name(site)], errors).tolist()
            if site.tensor not in activation_loss and not site.is_input:
                errors = self._errors(site.activation, samples[site.tensor], self.table.activation_choices)
                activation_loss[site.tensor] = expected_loss(traces[site.tensor], errors).tolist()
        return weight_loss, activation_loss

    def _errors(self, quantizer: Quantizer, x: Tensor, bits: Sequence[int]) -> NDArray[np.float64]:
        return uniform_noise_errors(x, bits) if self.errors == "uniform_noise" else measured_errors(quantizer, x, bits)

    def problem(self) -> Problem:
        """Return the allocation problem as training stands now, with the discount of weights."""
        weight_loss, activation_loss = self.losses()
        discounted = {layer: [self.weight_discount * loss for loss in row] for layer, row in weight_loss.items()}
        return problem_of(self.program, self.table, discounted, activation_loss, self.limits, self.pins)

    def _reallocate(self, step: int) -> list[nn.Parameter]:
        """Allocate, and change the bits if that gains enough; gives the parameters that were fitted anew."""
        self._sensitivity.agree()
        problem = self.problem()
        found = (allocate(problem, self.method) if self.simulation is None else
                 fill_budget(problem, self.method, self._costs, self.margin))
        accepted = not any(update.accepted for update in self.history) or bool(self._broken())
        if not accepted:
            before = problem.loss(problem.choice(self._accepted().bits))
            accepted = found.objective < (1.0 - self.gain) * before
        self.history.append(Update(step, found, accepted))
        return _apply(self.sites, found.bits, self._sensitivity.samples) if accepted else []

    def _accepted(self) -> Allocation:
        """Return the allocation that the network has now."""
        return next(update.allocation for update in reversed(self.history) if update.accepted)

    def _costs(self, bits: Mapping[str, tuple[int, int]]) -> dict[str, float]:
        """Return the simulated costs of the model as it would be with these bits; none without a simulation."""
        if self.simulation is None:
            return {}
        self._stand_in.load_state_dict(self.model.state_dict())
        samples = {name: sample.cpu() for name, sample in self._sensitivity.samples.items()}
        _apply(sites(self._stand_in, self.program), bits, samples)
        return self.simulation.costs(self._stand_in)

    def _check_started(self) -> None:
        if not self.history:
            raise InputError("no bits have been chosen yet: call start before training")

    def _broken(self) -> dict[str, float]:
        """Return the simulated costs of the model as it is that are above their limit."""
        return broken_limits(self._costs(self._accepted().bits), self.limits)


def _check_steps(every: object, until: object) -> None:
    for name, value, least in (("every", every, 1), ("until", until, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} must be an int of at least {least}, not {value!r}")


def _update(entry: dict[str, Any]) -> Update:
    allocation = dict(entry["allocation"])
    allocation["bits"] = {layer: (bits[0], bits[1]) for layer, bits in allocation["bits"].items()}
    return Update(entry["step"], Allocation(**allocation), entry["accepted"])


def _apply(found: tuple[Site, ...], bits: Mapping[str, tuple[int, int]],
           samples: Mapping[str, Tensor]) -> list[nn.Parameter]:
    """Give all sites these bits; returns the parameters that were fitted anew."""
    changed: list[nn.Parameter] = []
    for site in found:
        weight_bits, activation_bits = bits[site.layer]
        if site.module is not None:
            changed += _set_bits(site.module.weight_quantizer, weight_bits, site.module.weight)
        if not site.is_input:
            changed += _set_bits(site.activation, activation_bits, samples[site.tensor])
    return changed


def _set_bits(quantizer: Quantizer, bits: int, x: Tensor) -> list[nn.Parameter]:
    if quantizer.bits == bits:
        return []
    quantizer.set_bits(bits, x)
    return list(quantizer.parameters())


def _weight_name(site: Site) -> str:
    return f"{site.layer}.weight"


def _watched(found: tuple[Site, ...]) -> dict[str, Quantizer]:
    """Return the quantizers whose bits are a choice, by tensor name or, for weights, by layer name and `.weight`."""
    watched: dict[str, Quantizer] = {site.tensor: site.activation for site in found if not site.is_input}
    watched.update({_weight_name(site): site.module.weight_quantizer for site in found if site.module is not None})
    return watched
