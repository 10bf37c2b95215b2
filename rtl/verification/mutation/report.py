"""What a campaign has found, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rtl.verification.mutation.campaign import Result
from rtl.verification.mutation.netlist import FAMILIES, unread
from rtl.verification.mutation.survivors import read_rules, reason_of
from rtl.verilog.emit import TOP

__all__ = ["ENOUGH", "report"]

UNREAD = "nothing reads this bit, or it has this value anyway"
HEAD = "| family | mutants | found | not findable | missed | found of findable |"
ENOUGH = 0.95
"""Of the mutants of every family that could be found."""


def report(results: Sequence[Result], text: str) -> tuple[str, bool]:
    """Table of the families, list of the survivors; and whether enough were found in every family.

    Parameters
    ----------
    results : sequence of Result
    text : str
        Verilog that the mutants were made from.
    """
    source, rules = text.splitlines(), read_rules()
    survivors = [result.mutant for result in results if not result.script]
    dead = unread(text, TOP, survivors)
    reasons = {mutant.key: UNREAD if mutant.key in dead else reason_of(mutant, source, rules) for mutant in survivors}
    rows, good = [HEAD, "|---|--:|--:|--:|--:|--:|"], True
    for family in FAMILIES:
        mine = [result for result in results if result.family == family]
        found = sum(bool(result.script) for result in mine)
        excused = sum(bool(reasons.get(result.key)) for result in mine)
        if mine:
            share = found / max(1, len(mine) - excused)
            good = good and share >= ENOUGH
            missed = len(mine) - found - excused
            rows.append(f"| {family} | {len(mine)} | {found} | {excused} | {missed} | {share:.1%} |")
    listed = [f"* {_where(result, source)}: {reasons[result.key] or '**no reason yet**'}"
              for result in results if not result.script]
    return "\n".join([*rows, "", *listed]) + "\n", good


def _where(result: Result, source: Sequence[str]) -> str:
    mutant = result.mutant
    line = source[mutant.lines[-1] - 1].strip() if mutant.lines else mutant.option("cell")
    place = f"{mutant.option('port')}[{mutant.option('portbit')}]"
    return f"`{mutant.option('module')}` {mutant.option('mode')} {place} of `{line[:120]}`"
