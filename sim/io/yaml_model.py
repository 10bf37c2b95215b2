"""Machines and technologies are described in YAML: by the name of a built-in file, or by a path."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sim.errors import InputError
from sim.io.bounds import shown, shown_path
from sim.io.plain_yaml import PlainYamlError, parse_plain
from sim.io.regular_file import read_text

__all__ = ["built_in", "load", "parse", "sentence"]

Model = TypeVar("Model", bound=BaseModel)

MAX_DESCRIPTION_BYTES = 1 << 18
"""Largest description [bytes]."""


def built_in(folder: str) -> tuple[str, ...]:
    """Return the names of the YAML files in a folder of `sim`."""
    names = [entry.name for entry in files("sim").joinpath(folder).iterdir()]
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load(model: type[Model], folder: str, source: str | Path) -> Model:
    """Read and validate a description.

    Parameters
    ----------
    model : class of pydantic models
        Its lower-cased name stands in errors.
    folder : str
        Of the built-in descriptions.
    source : str or Path
        A name in that folder, or a path.

    Raises
    ------
    InputError
        If there is no such description, or as in `parse`.
    """
    what = model.__name__.lower()
    if str(source) in built_in(folder):
        return parse(model, files("sim").joinpath(folder, f"{source}.yaml").read_text("utf-8"), str(source))
    if not os.path.lexists(source):
        raise InputError(f"no {what} '{shown(source)}': give one of {', '.join(built_in(folder))} or a YAML file")
    text = read_text(source, what, MAX_DESCRIPTION_BYTES)
    return parse(model, text, shown_path(source))


def parse(model: type[Model], text: str, where: str) -> Model:
    """Validate YAML text; `where` names its origin in errors.

    Raises
    ------
    InputError
        If the text is not YAML or breaks a rule of the model; the message names the first field at fault.
    """
    where = f"{model.__name__.lower()} {where}"
    try:
        data = parse_plain(text)
    except PlainYamlError as error:
        raise InputError(f"{where}: {error}") from None
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected a mapping of parameters, not {_came(data)}")
    try:
        return model.model_validate(data, strict=True)
    except ValidationError as error:
        raise InputError(f"{where}: {sentence(error.errors()[0])}") from error


def sentence(error: ErrorDetails) -> str:
    """Say what pydantic found, with what came where that is short."""
    field = ".".join(shown(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] not in ("value_error", "missing", "extra_forbidden"):
        came = error["input"]
        message += f", not '{shown(came)}'" if isinstance(came, str) else f", not {_came(came)}"
    return f"{field}: {message}" if field else message


def _came(value: object) -> str:
    if isinstance(value, dict | tuple):
        return "a mapping" if isinstance(value, dict) else "a sequence"
    return "nothing" if value is None else shown(value)
