"""What candidates cost: the function that jobs call, with plain data in and out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bitwright.codesign.sensitivities import Losses
from bitwright.explore.fixed_bits import BitPlaces
from sim.arch.machine import Machine
from sim.cost.area import area
from sim.cost.totals import Totals, totals
from sim.energy.band import Band
from sim.energy.technology import Technology
from sim.errors import InputError
from sim.ir.arithmetic import Arithmetic
from sim.ir.program import Program
from sim.ir.shapes import ChosenBits, Shapes
from sim.plan.plan import plan

if TYPE_CHECKING:
    from bitwright.explore.allocated import AllocatedNetwork
    from quant.bits.allocation import Allocation

__all__ = ["evaluate", "figures_of", "network_program"]

HELD_PROGRAMS = 16


def evaluate(networks: Sequence[Mapping[str, Any]], technology: Mapping[str, Any],
             candidates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what each of some candidates costs.

    Parameters
    ----------
    networks : sequence of dict
        From `bitwright.explore.networks.network_data`.
    technology : dict
        Of a Technology.
    candidates : sequence of dict
        `machine`, that of a Machine, and `choices`, the way to choose bits of each network.

    Returns
    -------
    list of dict
        For each candidate either `area`, its bands by figure, and `networks`, for each of them `figures`, bands by
        name, and the allocated `bits` or None; or `refused`, a sentence.
    """
    priced = _technology(json.dumps(technology))
    texts = [json.dumps(network) for network in networks]
    found, described = list[dict[str, Any]](), dict[str, Any]()
    for candidate in candidates:
        if candidate["machine"] != described:
            described = candidate["machine"]
            place = _OnMachine(Machine.model_validate_json(json.dumps(described)), priced)
        found.append(place.candidate(texts, candidate["choices"]))
    return found


class _OnMachine:
    """One machine, and what was found out about networks on it."""

    def __init__(self, machine: Machine, technology: Technology) -> None:
        self._machine, self._technology = machine, technology
        self._found: dict[tuple[str, int], dict[str, Any]] = {}
        self._tables: dict[str, AllocatedNetwork] = {}

    def candidate(self, networks: Sequence[str], choices: Sequence[int]) -> dict[str, Any]:
        """Return what the machine and its networks cost with these ways to choose bits, or why they do not run."""
        found = []
        for key in zip(networks, choices, strict=True):
            try:
                if key not in self._found:
                    self._found[key] = self._network(*key)
                found.append(self._found[key])
            except InputError as error:
                return {"refused": f"network '{_described(key[0])['name']}': {error}"}
        size = {"area_mm2": _ends(area(self._machine, self._technology).total_mm2)} if self._technology.ART else {}
        return {"area": size, "networks": found}

    def _network(self, network: str, choice: int) -> dict[str, Any]:
        """Return figures and bits of a network."""
        machine, chosen = self._machine, _described(network)["choices"][choice]
        if "bits" in chosen:
            bits, loss = None, chosen.get("loss")
        else:
            allocated = self._allocated(network, chosen["budgets"])
            bits, loss = allocated.bits, allocated.objective
        program = network_program(network, machine, choice, bits)
        figures = figures_of(totals(plan(program, machine), self._technology))
        return {"figures": figures | ({} if loss is None else {"loss": [loss] * 3}), "bits": bits}

    def _allocated(self, network: str, budgets: Mapping[str, float]) -> Allocation:
        """Allocate the bits of a network; what each choice costs is tabulated once for all budgets."""
        from bitwright.explore.allocated import AllocatedNetwork  # solvers, which fixed bits do without

        if network not in self._tables:
            self._tables[network] = AllocatedNetwork.on(_shapes(network), _losses(network), self._machine,
                                                        self._technology)
        return self._tables[network].under(budgets, _described(network)["method"])


def network_program(network: str, machine: Machine, choice: int,
                    bits: Mapping[str, Sequence[int]] | None) -> Program:
    """Return a Program of shapes for a machine, with as many digits as it has.

    Parameters
    ----------
    network : str
        JSON of its description.
    machine : Machine
    choice : int
        The way to choose bits.
    bits : mapping of Conv to (int, int), optional
        Those that were allocated, if they are not given.
    """
    if bits is None:
        return _fixed(network, choice, machine.arithmetic, machine.terms)
    return _places(network).program(_shapes(network), bits, machine.arithmetic, machine.terms)


def figures_of(cost: Totals) -> dict[str, list[float]]:
    """Return the figures of one network on a machine: their low, nominal and high ends."""
    exact = {"latency_cycles": float(cost.latency_cycles), "latency_ms": cost.latency_ms, "fps": cost.fps,
             "weight_bytes": float(cost.weight_bytes)}
    bands = {"energy_mj": cost.energy_mj, "power_mw": cost.power_mw, "edp_mj_ms": cost.edp_mj_ms}
    return {**{name: [value] * 3 for name, value in exact.items()},
            **{name: _ends(band) for name, band in bands.items()}}


def _ends(band: Band) -> list[float]:
    return [band.low, band.nominal, band.high]


@lru_cache(maxsize=4)
def _technology(text: str) -> Technology:
    return Technology.model_validate_json(text)


@lru_cache(maxsize=32)
def _described(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


@lru_cache(maxsize=32)
def _shapes(text: str) -> Shapes:
    return Shapes.model_validate_json(json.dumps(_described(text)["shapes"]))


@lru_cache(maxsize=32)
def _places(text: str) -> BitPlaces:
    return BitPlaces.of(_shapes(text))


@lru_cache(maxsize=32)
def _losses(text: str) -> Losses:
    return Losses.model_validate_json(json.dumps(_described(text)["losses"]))


@lru_cache(maxsize=HELD_PROGRAMS)
def _fixed(text: str, choice: int, arithmetic: Arithmetic, digits: int) -> Program:
    weights, activations = _described(text)["choices"][choice]["bits"]
    bits = ChosenBits(weights=weights, activations=activations,
                      first_last=_described(text)["choices"][choice]["first_last"], digits=digits)
    return _shapes(text).program(bits, arithmetic)
