"""Machines and technologies are described in YAML: by the name of a built-in file, or by a path."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from sim.errors import InputError

__all__ = ["built_in", "load", "parse"]

Model = TypeVar("Model", bound=BaseModel)


def built_in(folder: str) -> tuple[str, ...]:
    """Names of the YAML files in a folder of `sim`."""
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
        return parse(model, files("sim").joinpath(folder, f"{source}.yaml").read_text(), str(source))
    if not Path(source).is_file():
        raise InputError(f"no {what} '{source}': give one of {', '.join(built_in(folder))} or a YAML file")
    try:
        text = Path(source).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {what} {source}: {error}") from error
    return parse(model, text, str(source))


def parse(model: type[Model], text: str, where: str) -> Model:
    """Validate YAML text; `where` names its origin in errors.

    Raises
    ------
    InputError
        If the text is not YAML or breaks a rule of the model; the message names the first field at fault.
    """
    where = f"{model.__name__.lower()} {where}"
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected a mapping of parameters, not {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: {f'{field}: ' if field else ''}{message}") from error
