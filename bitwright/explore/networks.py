"""The networks of a space as plain data, which jobs carry to any machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitwright.codesign.sensitivities import Losses, load_losses
from bitwright.explore.fixed_bits import loss_of
from bitwright.explore.space import NetworkSpace, Space
from sim.arch.machine import Machine, builtin_machines, load_machine
from sim.energy.technology import Technology, load_technology
from sim.errors import InputError
from sim.io.bounds import shown_path
from sim.io.yaml_model import built_in
from sim.ir.program import Program
from sim.ir.shapes import ChosenBits, Shapes, builtin_networks, load_shapes

__all__ = ["base_machine", "network_data", "technology_of"]

MODELS = (".onnx", ".pt2")


def base_machine(space: Space, folder: Path) -> Machine:
    """Read the machine that a space starts from; a file is looked for beside the space's, in `folder`."""
    base = space.machine.base
    return load_machine(base if base in builtin_machines() else folder / base)


def technology_of(space: Space, machine: Machine, folder: Path) -> Technology:
    """Read the technology of a space, or that of its machine."""
    named = space.technology
    if named is None:
        return load_technology(machine.technology)
    return load_technology(named if named in built_in("energy/technologies") else folder / named)


def network_data(network: NetworkSpace, machine: Machine, folder: Path) -> dict[str, Any]:
    """Return the description of a network.

    Parameters
    ----------
    network : NetworkSpace
    machine : Machine
        With the arithmetic of the space.
    folder : Path
        Where files are looked for.

    Returns
    -------
    dict
        `name`, `shapes`, `choices`, `method`; `losses`, with sensitivities; and with these the `loss` of every choice
        of fixed bits.

    Raises
    ------
    InputError
        If a file cannot be read, a model is quantized already, sensitivities are not the network's, or a budget is
        unknown.
    """
    shapes = _shapes(network, machine, folder)
    losses = None if network.sensitivities is None else load_losses(folder / network.sensitivities)
    choices = [dict(choice) for choice in network.choices]
    try:
        if losses is not None:
            _add_losses(choices, shapes, losses, machine)
    except InputError as error:
        raise InputError(f"network '{network.label}': {error}") from None
    return {"name": network.label, "shapes": shapes.model_dump(mode="json", exclude_defaults=True), "choices": choices,
            "method": network.method, "losses": None if losses is None else losses.model_dump(mode="json")}


def _add_losses(choices: list[dict[str, Any]], shapes: Shapes, losses: Losses, machine: Machine) -> None:
    """Add the loss of every choice of fixed bits, and refuse sensitivities of another network."""
    for choice in choices:
        if "bits" in choice:
            weights, activations = choice["bits"]
            bits = ChosenBits(weights=weights, activations=activations, first_last=choice["first_last"],
                              digits=machine.terms)
            choice["loss"] = loss_of(shapes.program(bits, machine.arithmetic), losses)
    if any("budgets" in choice for choice in choices):
        from bitwright.explore.allocated import check_budgets  # solvers, which fixed bits do without
        check_budgets(shapes, losses, [choice["budgets"] for choice in choices if "budgets" in choice], machine)


def _shapes(network: NetworkSpace, machine: Machine, folder: Path) -> Shapes:
    name = network.network
    if name in builtin_networks():
        return load_shapes(name)
    path = folder / name
    if path.suffix.lower() in (".yaml", ".yml"):
        return load_shapes(path)
    if path.suffix.lower() not in MODELS:
        raise InputError(f"no network '{shown_path(name)}': give one of {', '.join(builtin_networks())}, or a file, "
                         f"*.yaml, {' or '.join(f'*{suffix}' for suffix in MODELS)}")
    from bitwright.codesign.network_shapes import model_or_shapes  # torch, which shapes do without
    found = model_or_shapes(path, machine)
    if isinstance(found, Program):
        raise InputError(f"'{shown_path(name)}' is quantized already: its bits are no choice; `bitwright compare` "
                         "compares it on several machines")
    return found
