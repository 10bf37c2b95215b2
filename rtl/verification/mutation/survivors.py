"""Why mutants survive that no test can find, or that none has to find.

A rule speaks of cells by module and by the line of Verilog they come from, since their names change with every edit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from rtl.verification.mutation.netlist import Mutant

__all__ = ["Rule", "read_rules", "reason_of"]


@dataclass(frozen=True)
class Rule:
    """A reason for which some mutants survive.

    Attributes
    ----------
    module : str
        Pattern of the module's name.
    line : str
        Regular expression that is found in a line of Verilog of the cell or its wire.
    reason : str
    modes, ports : tuple of str
        Kinds of fault, and patterns of `port:bit` or `port:bit/controlling bit`; empty: all.
    """

    module: str
    line: str
    reason: str
    modes: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()

    def covers(self, mutant: Mutant, source: Sequence[str]) -> bool:
        """Tell whether the rule speaks of a mutant of the Verilog `source`, by lines."""
        port = f"{mutant.option('port')}:{mutant.option('portbit')}"
        names = port, f"{port}/{mutant.option('ctrlbit')}"
        return (fnmatchcase(mutant.option("module"), self.module)
                and (not self.modes or mutant.option("mode") in self.modes)
                and (not self.ports or any(fnmatchcase(name, pattern) for name in names for pattern in self.ports))
                and any(re.search(self.line, source[number - 1].strip()) for number in mutant.lines))


def read_rules() -> tuple[Rule, ...]:
    """Read the rules of `survivors.yaml`."""
    entries = yaml.safe_load((Path(__file__).parent / "survivors.yaml").read_text())
    return tuple(Rule(entry["module"], entry["line"], entry["reason"], tuple(entry.get("modes", ())),
                      tuple(entry.get("ports", ()))) for entry in entries)


def reason_of(mutant: Mutant, source: Sequence[str], rules: Sequence[Rule]) -> str:
    """Return why a mutant survives; empty if no rule speaks of it."""
    return next((rule.reason for rule in rules if rule.covers(mutant, source)), "")
