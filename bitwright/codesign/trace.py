"""Traces: how often the bits of tensors are 1, as `bitwright simulate --trace --json` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitwright.codesign.json_file import read_json
from sim.errors import InputError
from sim.io.bounds import shown_path
from sim.io.yaml_model import sentence

__all__ = ["load_trace"]

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Tensor(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    tensor: str
    ones: list[Share]


class _Trace(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    tensors: list[_Tensor]


def load_trace(path: str | Path) -> dict[str, list[float]]:
    """Read the share of ones of every bit of each tensor, the lowest bit first.

    Raises
    ------
    InputError
        If the file is missing, is not JSON, or is no result of `simulate --trace --json`.
    """
    try:
        trace = _Trace.model_validate(read_json(path, "trace"), strict=True)
    except ValidationError as error:
        raise InputError(f"trace '{shown_path(path)}': {sentence(error.errors()[0])}") from None
    return {row.tensor: row.ones for row in trace.tensors}
