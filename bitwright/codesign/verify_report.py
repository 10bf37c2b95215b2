"""What `bitwright verify` shows of a Program: every tensor, every op, every counter, and where engines part."""

from __future__ import annotations

from bitwright.codesign.verify import Verification
from bitwright.console import Report

__all__ = ["verify_report"]


def verify_report(result: Verification, coverage: bool) -> Report:
    """The tables of a verification, the first difference of every two engines, what was not met by name if wanted."""
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
    report.lines += [str(x.first) for x in result.comparisons if x.first]
    report.lines += f"the RTL did not end: {result.failure}".splitlines() if result.failure else []
    report.lines += [f"no image met {text}" for text in result.unmet] if coverage else []
    if result.unmet and not coverage:
        report.lines.append(f"{len(result.unmet)} situations that this Program can meet were met by no image: "
                            "--coverage names them")
    report.lines += [f"RTL simulated by {result.simulator}",
                     "equal bits, equal cycles" if result.ok else "NOT EQUAL"]
    return report
