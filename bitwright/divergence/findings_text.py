"""Findings in sentences: short ones for the end of a report, all of them for a file."""

from __future__ import annotations

from collections.abc import Iterator

from bitwright.divergence.explanation_text import MOST_TAPS, explanation_lines, tap_rows
from bitwright.divergence.find import Findings

__all__ = ["full_text", "short_lines"]


def short_lines(found: Findings) -> Iterator[str]:
    """Yield what is wrong, where first, and with which ops."""
    first, diagnosis = found.first, found.diagnosis
    own = next(op for op in found.ops if op.op == first.op)
    plane = "" if first.plane is None else f", plane {first.plane}"
    rtl = "undefined bits" if first.rtl is None else first.rtl
    yield f"op '{first.op}' is wrong by itself: {own.wrong_by_itself} of {own.codes} codes of '{first.tensor}'"
    yield (f"first: image {first.image}, channel {first.channel}, pixel ({first.y}, {first.x}){plane}: RTL {rtl}, "
           f"expected {first.expected}")
    if diagnosis.field is None:
        yield f"{diagnosis.text}; the wrong ones are confined to: {diagnosis.where}"
    else:
        yield (f"{diagnosis.field}: {diagnosis.text}; {diagnosis.where}; {diagnosis.reproduced} wrong codes follow "
               f"from it, of {diagnosis.tried} hypotheses tried")
    others = found.ops[found.ops.index(own) + 1 :]
    wrong = [op.op for op in others if op.verdict == "wrong by itself"]
    fed = [op.op for op in others if op.verdict == "only read wrong codes"]
    if wrong:
        yield f"also wrong by themselves: {', '.join(wrong)}"
    if fed:
        yield f"right for what they read, which was wrong: {', '.join(fed)}"


def full_text(found: Findings) -> str:
    """Return everything in sentences and tables."""
    lines = [*short_lines(found), "", "the code by the contract, of what the op had read on the RTL:",
             *explanation_lines(found.explanation)]
    for engine, code in found.first.engines.items():
        steps = found.first.steps.get(engine)
        lines.append(f"{engine}: {code}" if steps is None else (
            f"{engine}: accumulator {steps.accumulator}, v {steps.value}, requantized to {steps.requantized}, "
            f"code {code}"))
    if found.stages is not None:
        stages = found.stages
        lines += ["", "at the requantizer of the RTL:", *(
            f"{what} {'unknown' if number is None else number}" for what, number in (
                ("accumulator", stages.accumulator), ("residual", stages.residual), ("code", stages.requantized))),
            (f"wrong accumulators: {stages.wrong_accumulators}, residuals: {stages.wrong_residuals}, codes that do not "
            f"follow from these: {stages.wrong_requantized}, written codes that are other ones: {stages.wrong_after}")]
    if found.diagnosis.others:
        lines += ["", "other hypotheses that make the same codes:", *found.diagnosis.others]
    rows = tap_rows(found.explanation.taps)
    if rows:
        lines += ["", "tap, channel, pixel, code, weight, product of its operands:",
                  *("  ".join(map(str, row)) for row in rows[:MOST_TAPS])]
        lines += [f"and {len(rows) - MOST_TAPS} more"] if len(rows) > MOST_TAPS else []
    lines += ["", "op, verdict, codes, wrong by itself, of these undefined, wrong codes read:",
              *(f"{op.op}: {op.verdict}, {op.codes}, {op.wrong_by_itself}, {op.undefined}, {op.wrong_read}"
                for op in found.ops)]
    return "\n".join(lines) + "\n"
