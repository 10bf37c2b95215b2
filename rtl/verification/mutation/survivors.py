"""Why mutants survive that no test can find, or that none has to find.

A rule speaks of cells by module and by the line of Verilog they come from, since their names change with every edit.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from rtl.verification.mutation.netlist import Mutant

__all__ = ["Rule", "read_rules", "reason_of", "stale_lines"]

CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")


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


def stale_lines(rules: Sequence[Rule], source: Sequence[str], places: Mapping[str, Collection[int]]) -> list[str]:
    """Return the patterns of lines that no cell or wire of their modules comes from any more.

    Parameters
    ----------
    rules : sequence of Rule
        Each alternative of a line, `a|b` or `(a|b)`, is looked for.
    source : sequence of str
        The Verilog by lines.
    places : mapping of str to collection of int
        The lines of each module.
    """
    return [f"{rule.module}: {line}" for rule in rules for line in _alternatives(rule.line)
            if not any(re.search(line, source[number - 1].strip()) for module, numbers in places.items()
                       if fnmatchcase(module, rule.module) for number in numbers)]


def _alternatives(line: str) -> list[str]:
    found = CHOICE.search(line)
    if found is None:
        return line.split("|")
    return [whole for one in found[1].split("|")
            for whole in _alternatives(f"{line[:found.start()]}{one}{line[found.end():]}")]
