"""QBitOpt: choose the bits again and again while the network trains, within every budget at every moment.

Peters et al., "QBitOpt: Fast and Accurate Bitwidth Reallocation during Training", ICCV Workshops 2023, arXiv
2307.04535. Every `every` steps the sensitivities that training has gathered and the errors measured at every width
make an allocation problem; its solution becomes the bits of the next steps. Costs come from a simulator's tables, so
that budgets can be those of a machine; the paper's average width is one among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from quant.bits.allocate import Method, allocate
from quant.bits.allocation import Allocation, Problem
from quant.bits.fit_sensitivity import Sensitivity, expected_loss, measured_errors, uniform_noise_errors
from quant.bits.problem import problem_of
from quant.bits.sites import Site, sites
from quant.quantizers.base import Quantizer
from quant.trace.checks import check_data
from quant.training.memory_format import safe_for_gradients
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

    Call `start` once before, give it to `train` as `after_step`, call `close` at the end.

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
    every : int
        Optimizer steps between reallocations.
    until : int
        The last step that may reallocate; after it the network settles.
    gain : float
        Share of the predicted loss that a reallocation must save, so that bits do not oscillate.
    method : {"lp", "milp", "convex", "greedy"}
    errors : {"measured", "uniform_noise"}
        Squared errors of each width: those that the quantizer makes, or those of FIT's model, to compare with.
    scaler : torch.amp.GradScaler, optional
        Of the training's loss, if it has one. In `start` the loss is not scaled.

    Attributes
    ----------
    history : list of Update

    Raises
    ------
    InputError
        If `errors` is unknown; by `start`, if a budget is unknown or cannot be met or the table is not of this Program.
    """

    def __init__(self, model: nn.Module, program: Program, table: CostTable, limits: Mapping[str, float], *,
                 every: int = 50, until: int, gain: float = 0.01, method: Method = "lp",
                 errors: Errors = "measured", scaler: torch.amp.GradScaler | None = None) -> None:
        if errors not in get_args(Errors):
            raise InputError(f"errors must be {' or '.join(get_args(Errors))}, not {errors}")
        self.model, self.program, self.table, self.limits = model, program, table, dict(limits)
        self.every, self.until, self.gain, self.method, self.errors = every, until, gain, method, errors
        self.sites = sites(model, program)
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
            If labels do not fit the images or the model's output.
        """
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

    def losses(self) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        """Return the present expected increase of the loss at each width: for layers' weights and for tensors."""
        traces, samples = self._sensitivity.traces, self._sensitivity.samples
        weight_loss: dict[str, list[float]] = {}
        activation_loss: dict[str, list[float]] = {}
        for site in self.sites:
            if site.module is not None:
                errors = self._errors(site.module.weight_quantizer, site.module.weight, self.table.weight_bits)
                weight_loss[site.layer] = expected_loss(traces[_weight_name(site)], errors).tolist()
            if site.tensor not in activation_loss and not site.is_input:
                errors = self._errors(site.activation, samples[site.tensor], self.table.activation_bits)
                activation_loss[site.tensor] = expected_loss(traces[site.tensor], errors).tolist()
        return weight_loss, activation_loss

    def _errors(self, quantizer: Quantizer, x: Tensor, bits: Sequence[int]) -> NDArray[np.float64]:
        return uniform_noise_errors(x, bits) if self.errors == "uniform_noise" else measured_errors(quantizer, x, bits)

    def problem(self) -> Problem:
        """Return the allocation problem as training stands now."""
        return problem_of(self.program, self.table, *self.losses(), self.limits)

    def _reallocate(self, step: int) -> list[nn.Parameter]:
        """Allocate, and change the bits if that gains enough; gives the parameters that were fitted anew."""
        self._sensitivity.agree()
        problem = self.problem()
        found = allocate(problem, self.method)
        before = next((update.allocation for update in reversed(self.history) if update.accepted), None)
        accepted = before is None or found.objective < (1.0 - self.gain) * problem.loss(problem.choice(before.bits))
        self.history.append(Update(step, found, accepted))
        changed: list[nn.Parameter] = []
        for site in self.sites if accepted else ():
            weight_bits, activation_bits = found.bits[site.layer]
            if site.module is not None:
                changed += _set_bits(site.module.weight_quantizer, weight_bits, site.module.weight)
            if not site.is_input:
                changed += _set_bits(site.activation, activation_bits, self._sensitivity.samples[site.tensor])
        return changed


def _update(entry: dict[str, Any]) -> Update:
    allocation = dict(entry["allocation"])
    allocation["bits"] = {layer: (bits[0], bits[1]) for layer, bits in allocation["bits"].items()}
    return Update(entry["step"], Allocation(**allocation), entry["accepted"])


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
