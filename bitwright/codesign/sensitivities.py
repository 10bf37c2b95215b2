"""Sensitivities: what each layer is expected to lose at each width."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitwright.codesign.json_file import read_json
from sim.errors import InputError
from sim.io.bounds import shown, shown_path
from sim.io.yaml_model import sentence

__all__ = ["MAX_NUMBER", "Losses", "check_losses", "load_losses"]

MAX_NUMBER = 1e30
"""Largest loss and largest limit of a budget: solvers compute with squares of them."""

Width = Annotated[int, Field(strict=True, ge=1, le=8)]
Loss = Annotated[float, Field(strict=True, ge=-MAX_NUMBER, le=MAX_NUMBER, allow_inf_nan=False)]
LossOfWidths = Annotated[list[Loss], Field(min_length=1, max_length=8)]


class Losses(BaseModel):
    """Expected increase of the training loss at every width.

    Attributes
    ----------
    bits : list of int
        The widths [bits], rising.
    weight : dict of str to list of float
        For each layer, a loss per width of its weights.
    activation : dict of str to list of float
        For each stored tensor, a loss per width.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bits: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]
    weight: dict[str, LossOfWidths]
    activation: dict[str, LossOfWidths]


def load_losses(path: str | Path) -> Losses:
    """Read a sensitivities file, as `bitwright sensitivities` writes one.

    Raises
    ------
    InputError
        If it cannot be read, is not JSON, gives a key twice, lacks a field, or a width or loss is out of range.
    """
    return check_losses(read_json(path, "sensitivities"), f"sensitivities '{shown_path(path)}'")


def check_losses(data: Any, where: str = "sensitivities") -> Losses:
    """Return plain data as checked sensitivities; `where` is how a message names them.

    Raises
    ------
    InputError
        If a field is missing or unknown, or a width or loss is out of range.
    """
    try:
        losses = Losses.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{where}: {sentence(error.errors(include_url=False)[0])}") from None
    if list(losses.bits) != sorted({*losses.bits}):
        raise InputError(f"{where}: bits must rise, not {shown(list(losses.bits))}")
    return losses
