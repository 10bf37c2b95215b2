"""Options from a file, `bitwright.toml`, wherever the command line does not give them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from sim.errors import InputError
from sim.io.bounds import shown, shown_path
from sim.io.regular_file import read_text

__all__ = ["ALL", "defaults_file", "read_defaults"]

NAME = "bitwright.toml"
ALL = "all"
"""Section of options for every command that has them."""
MAX_BYTES = 1 << 16

Defaults = dict[str, dict[str, Any]]


def defaults_file() -> Path | None:
    """Return the file in the working directory, else that in the user's configuration, else None."""
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return next((path for path in (Path(NAME), settings / "bitwright" / NAME) if os.path.lexists(path)), None)


def read_defaults(path: Path, commands: Mapping[str, Any]) -> Defaults:
    """Read the options of each command, by the names of its parameters, as a context's `default_map` has them.

    A section is called as a command is, or `all`; a key is the long name of an option without its dashes.

    Raises
    ------
    InputError
        If the file cannot be read or is not TOML, or no command has such an option; the message names it.
    """
    where = f"options of {shown_path(path)}"
    try:
        sections = tomllib.loads(read_text(path, "file of options", MAX_BYTES))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{where}: {error}") from None
    options = {name: dict(_options(command)) for name, command in commands.items()}
    found: Defaults = {name: {} for name in commands}
    for section, values in sections.items():
        if section != ALL and section not in options:
            raise InputError(f"{where}: a section is called as a command is or {ALL}, not "
                             f"'{shown(section)}'")
        if not isinstance(values, dict):
            raise InputError(f"{where}: '{shown(section)}' must be a section, [{shown(section)}]")
    for section in (ALL, *(name for name in sections if name != ALL)):
        _merge(found, options, section, sections.get(section, {}), where)
    return found


def _merge(found: Defaults, options: Mapping[str, Mapping[str, str]], section: str, values: Mapping[str, object],
           where: str) -> None:
    """Add the options of a section to those of its commands."""
    meant = options if section == ALL else {section: options[section]}
    for key, value in values.items():
        having = {name: known[key] for name, known in meant.items() if key in known}
        if not having:
            whose = "no command has" if section == ALL else f"'{section}' has no"
            raise InputError(f"{where}: {whose} option --{shown(key)}")
        for name, parameter in having.items():
            found[name][parameter] = _words(value, f"{where}: --{shown(key)}")


def _options(command: TyperCommand) -> Iterator[tuple[str, str]]:
    """Yield the long names of a command's options without dashes, each with its parameter."""
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name and parameter.name != "help":
            for name in parameter.opts:
                if name.startswith("--"):
                    yield name[2:], parameter.name


def _words(value: object, where: str) -> object:
    """Return a value as the command line would give it: words, lists of words, and switches."""
    match value:
        case bool():
            return value
        case str() | int() | float():
            return str(value)
        case list() if all(isinstance(item, str | int | float) and not isinstance(item, bool) for item in value):
            return [str(item) for item in value]
    raise InputError(f"{where} must be text, a number, true, false, or a list, not {shown(value)}")
