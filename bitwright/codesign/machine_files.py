"""Files of machines told from other files of YAML."""

from __future__ import annotations

from pathlib import Path

from sim.arch.machine import Machine, builtin_machines
from sim.errors import InputError
from sim.io.plain_yaml import PlainYamlError, parse_plain
from sim.io.regular_file import read_text

__all__ = ["is_machine"]

MAX_BYTES = 1 << 18
ENDINGS = (".yaml", ".yml")


def is_machine(source: Path) -> bool:
    """Tell whether a name or a file means a machine: a file of YAML with as many keys of machines as it has others.

    >>> is_machine(Path("edge")), is_machine(Path("resnet18"))
    (True, False)
    """
    if str(source) in builtin_machines():
        return True
    if source.suffix.lower() not in ENDINGS:
        return False
    try:
        data = parse_plain(read_text(source, "file", MAX_BYTES))
    except (InputError, PlainYamlError):
        return False
    return isinstance(data, dict) and "layers" not in data and 2 * len({*data} & {*Machine.model_fields}) >= len(data)
