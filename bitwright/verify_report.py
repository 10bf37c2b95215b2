"""What `bitwright verify` shows of a Program: every tensor, every record, every counter, and where engines part."""

from __future__ import annotations

from bitwright.console import Report
from bitwright.verify import Verification

__all__ = ["verify_report"]


def verify_report(result: Verification) -> Report:
    """The tables of a verification, with the first difference of every two engines."""
    report = Report({"ok": result.ok, "mismatches": result.mismatches, "tensors_compared": result.tensors_compared,
                     **vars(result)})
    report.table("codes", ["engines", "tensor", "codes", "mismatches", "undefined"],
                 [[" = ".join(compared.engines), tensor.name, tensor.codes, tensor.mismatches, tensor.undefined]
                  for compared in result.comparisons for tensor in compared.by_tensor])
    if result.failure is None:
        report.table("end of every record [cycles]", ["record", "predicted", "counted", "difference"],
                     [[x.name, x.predicted, x.counted, x.counted - x.predicted] for x in result.layers])
        differences = {name: max((counters[name] - right for counters in result.counted), key=abs)
                       for name, right in result.predicted.items()}
        report.table("counters of one image", ["counter", "predicted", "counted", "difference"],
                     [[name, right, right + differences[name], differences[name]]
                      for name, right in result.predicted.items()])
    report.lines += [f"{' = '.join(x.engines)}: {x.tensors} tensors, {x.codes:,} codes, {x.mismatches:,} mismatches"
                     for x in result.comparisons]
    report.lines += [str(x.first) for x in result.comparisons if x.first]
    report.lines += [f"the RTL did not end: {result.failure}"] if result.failure else []
    report.lines += [f"RTL simulated by {result.simulator}",
                     "equal bits, equal cycles" if result.ok else "NOT EQUAL"]
    return report
