"""What `bitwright verify` shows: of a Program every tensor, op and counter, and of random ones what they met."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bitwright.cli.console import Report
from bitwright.codesign.verify import Verification
from bitwright.codesign.verify_layers import LayersVerification
from bitwright.codesign.verify_random import RandomVerification
from bitwright.divergence.findings_text import short_lines

__all__ = ["layers_report", "random_report", "verify_report"]


def verify_report(result: Verification, coverage: bool) -> Report:
    """Report every tensor, op and counter of a Program, and the first difference between each two engines.

    With `coverage`, count the situations that were met, and name those that no image met or the Program has not.
    """
    report = Report({"ok": result.ok, "mismatches": result.mismatches, "tensors_compared": result.tensors_compared,
                     **vars(result)})
    report.table("codes", ["engines", "tensor", "codes", "mismatches", "undefined"],
                 [[" = ".join(compared.engines), tensor.name, tensor.codes, tensor.mismatches, tensor.undefined]
                  for compared in result.comparisons for tensor in compared.by_tensor])
    if result.failure is None:
        report.table("end of every op [cycles]", ["op", "predicted", "counted", "difference"],
                     [[x.name, x.predicted, x.counted, x.counted - x.predicted] for x in result.layers])
        differences = {name: max((counters[name] - right for counters in result.counted), key=abs)
                       for name, right in result.predicted.items()}
        report.table("counters of one image", ["counter", "predicted", "counted", "difference"],
                     [[name, right, right + differences[name], differences[name]]
                      for name, right in result.predicted.items()])
    report.lines += [f"{' = '.join(x.engines)}: {x.tensors} tensors, {x.codes:,} codes, {x.mismatches:,} mismatches"
                     for x in result.comparisons]
    report.lines += [f"not compared: {result.skipped}"] if result.skipped else []
    report.lines += [str(x.first) for x in result.comparisons if x.first]
    report.lines += _divergence_lines(result)
    report.lines += f"the RTL did not end: {result.failure}".splitlines() if result.failure else []
    if coverage and result.exercised is not None:
        report.table("situations that this Program met on the RTL", ["group", "bins", "met", "times"],
                     [[one.group, one.bins, one.met, one.times] for one in result.exercised.groups if one.met])
        report.lines += [f"no image met {text}" for text in result.unmet]
        report.lines += [f"this Program has no {text}" for text in result.exercised.absent]
    if result.unmet and not coverage:
        report.lines.append(f"{len(result.unmet)} situations that this Program can meet were met by no image: "
                            "--coverage names them")
    report.lines += [f"RTL simulated by {result.simulator}",
                     "equal bits, equal cycles" if result.ok else "NOT EQUAL"]
    return report


def _divergence_lines(result: Verification) -> list[str]:
    """Say what is wrong with the RTL, and where more about it is."""
    found = result.divergence
    if found is None:
        return []
    lines = list(short_lines(found.findings))
    if found.folder is None:
        return [*lines, "--divergence DIR writes the case, its explanation and waveforms"]
    return [*lines, f"wrote report.txt, report.json and window.fst with window.gtkw to {found.folder}",
            f"again: {found.command}" if found.again else "the same codes did not come again, see report.txt"]


def layers_report(result: LayersVerification, kept: Sequence[Path]) -> Report:
    """Report the layers and tiles that the RTL has run, and where those that differ are `kept`, in their order."""
    pieces = [{"op": piece.op, "rows": piece.rows, "channels": piece.channels, "codes": piece.codes,
               "cycles": piece.cycles, "found": piece.found} for piece in result.pieces]
    report = Report({"ok": result.ok, "simulator": result.simulator, "comparisons": result.comparisons,
                     "skipped": result.skipped, "network_cycles": result.network_cycles, "pieces": pieces,
                     "kept": [str(place) for place in kept]})
    report.table("layers on the RTL, each on the codes that reach it", ["layer", "rows", "channels", "codes", "cycles",
                                                                        "differences"],
                 [[piece.op, f"{piece.rows[0]}..{piece.rows[1] - 1}", f"{piece.channels[0]}..{piece.channels[1] - 1}",
                   piece.codes, piece.cycles, len(piece.found)] for piece in result.pieces])
    report.lines += [f"{' = '.join(x.engines)}: {x.tensors} tensors, {x.codes:,} codes, {x.mismatches:,} mismatches"
                     for x in result.comparisons]
    report.lines += [f"not compared: {result.skipped}"] if result.skipped else []
    report.lines += [str(x.first) for x in result.comparisons if x.first]
    different = [piece for piece in result.pieces if piece.found]
    for piece, place in zip(different, kept, strict=True):
        report.lines += [f"layer '{piece.op}' differs: {what}" for what in piece.found]
        report.lines.append(f"  again: bitwright verify {place / 'program.safetensors'} -m {place / 'machine.yaml'} "
                            f"-i {place / 'inputs.npz'} --simulator {result.simulator}")
    report.lines.append(f"{len(result.pieces)} parts of {len({piece.op for piece in result.pieces})} layers, "
                        f"{sum(piece.codes for piece in result.pieces):,} codes in "
                        f"{sum(piece.cycles for piece in result.pieces):,} cycles on the RTL, simulated by "
                        f"{result.simulator}")
    if result.network_cycles is not None:
        report.lines.append(f"the network takes {result.network_cycles:,} cycles, since it moves tensors and weights "
                            "beside other layers")
    report.lines.append("equal bits, equal cycles" if result.ok else "NOT EQUAL")
    return report


def random_report(result: RandomVerification, machine: str, coverage: bool) -> Report:
    """Report which situations random Programs met on a machine, and the case that differs.

    With `coverage`, name the situations that none of them met.
    """
    met, ok = result.coverage, not result.failure
    missing = [met.text(situation) for situation in met.missing]
    report = Report({"ok": ok, "machine": machine, "programs": result.programs, "ops": result.ops,
                     "cycles": result.cycles, "failure": result.failure, "kept": str(result.kept or ""),
                     "coverage_percent": met.percent, "coverage": [
                         {"group": group, "bins": bins, "met": covered, "times": times}
                         for group, bins, covered, times in met.table()], "missing": missing})
    report.table(f"situations that random Programs met on machine '{machine}'", ["group", "bins", "met", "times"],
                 met.table())
    report.lines += [f"missing {text}" for text in missing] if coverage else []
    report.lines.append(f"{result.programs} Programs of {result.ops} ops, {result.cycles:,} cycles: "
                        f"{met.covered} of {met.declared} bins, {met.percent:.1f} %")
    report.lines += [f"the case kept in {result.kept} differs: {what}" for what in result.failure]
    report.lines.append("equal bits, equal cycles" if ok else "NOT EQUAL")
    return report
