"""Time single layers: 3x3 convolutions against the peak of the registers, depthwise ones against ONNX Runtime."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.simulator.programs import layer_case
from benchmarks.simulator.rounds import Expected, prepare, ratio_of, take_turns
from benchmarks.simulator.sides import PEAK_MACS, Side
from sim.functional.kernels.isa import available

__all__ = ["layer_rows", "report_layers"]

DENSE = ((64, 56), (128, 28), (256, 14), (512, 7))
DEPTHWISE = ((32, 112, 1), (96, 112, 2), (144, 56, 1), (384, 14, 1), (960, 7, 1))
MORE = 4
"""Layers by which the longer of two Programs is longer: the difference of their times is that of layers alone."""

Row = dict[str, Any]


def layer_rows(seconds: float) -> list[Row]:
    """Measure all layers on one thread, a row for each."""
    dense = DENSE if "avx512" in available() else ()
    return [*(_dense(*shape, seconds) for shape in dense), *(_depthwise(*shape, seconds) for shape in DEPTHWISE)]


def _dense(channels: int, size: int, seconds: float) -> Row:
    print(f"dense, {channels} channels of {size} x {size}", file=sys.stderr)
    with TemporaryDirectory() as place, _Sides(Path(place)) as sides:
        exact = sides.ours("one", channels, size, 1, False, 1, "avx512")
        exact &= sides.ours("more", channels, size, 1, False, 1 + MORE, "avx512")
        sides.add("peak", "vnni-peak")
        times = take_turns(sides.sides, seconds) if exact else {}
    row: Row = {"layer": f"3x3 {channels}@{size}", "isa": "avx512", "exact": exact}
    if exact:
        ours = [(more - one) / MORE for more, one in zip(times["more"], times["one"], strict=True)]
        macs = 9 * (channels * size) ** 2
        shares = [macs / layer / (PEAK_MACS / peak) for layer, peak in zip(ours, times["peak"], strict=True)]
        row["share_of_peak"], row["spread"] = ratio_of(shares)
        row |= {"ours_us": median(ours) * 1e6, "ours_gmacs": macs / median(ours) / 1e9,
                "peak_gmacs": PEAK_MACS / median(times["peak"]) / 1e9}
    return row


def _depthwise(channels: int, size: int, stride: int, seconds: float) -> Row:
    print(f"depthwise, {channels} channels of {size} x {size}, stride {stride}", file=sys.stderr)
    with TemporaryDirectory() as place, _Sides(Path(place)) as sides:
        exact = True
        for name, count in (("one", 1), ("more", 1 + MORE))[: 3 - stride]:
            exact &= sides.ours(name, channels, size, stride, True, count, None)
            sides.add(f"{name} theirs", "ort-int8")
        isa = sides.sides["one"].isa
        times = take_turns(sides.sides, seconds) if exact else {}
    row: Row = {"layer": f"depthwise {channels}@{size}{' s2' if stride == 2 else ''}", "isa": isa, "exact": exact,
                "against": "ort-int8"}
    if not exact:
        return row
    row["ratio"], row["spread"] = ratio_of([b / a for a, b in zip(times["one"], times["one theirs"], strict=True)])
    row |= {"ours_us": median(times["one"]) * 1e6, "theirs_us": median(times["one theirs"]) * 1e6}
    if "more" in times:
        ours, theirs = ([(more - one) / MORE for more, one in zip(times[f"more{side}"], times[f"one{side}"],
                                                                 strict=True)] for side in ("", " theirs"))
        row["inside_ratio"], row["inside_spread"] = ratio_of([b / a for a, b in zip(ours, theirs, strict=True)])
        row |= {"inside_ours_us": median(ours) * 1e6, "inside_theirs_us": median(theirs) * 1e6}
    return row


class _Sides:
    """Processes that end together."""

    def __init__(self, place: Path) -> None:
        self._place, self._files = place, (place, place)
        self.sides: dict[str, Side] = {}

    def ours(self, name: str, channels: int, size: int, stride: int, depthwise: bool, count: int,
             isa: str | None) -> bool:
        """Add the simulator on a Program; whether it is exact."""
        case = layer_case(channels, size, stride, depthwise, count)
        self._files = prepare(case, self._place)
        self.sides[name] = Side("ours", *self._files, isa=isa)
        return Expected(case).agrees(self.sides[name], self._place / "found.npz")

    def add(self, name: str, side: str) -> None:
        """Add another side on the Program added last."""
        self.sides[name] = Side(side, *self._files)

    def __enter__(self) -> _Sides:
        return self

    def __exit__(self, *_: object) -> None:
        for side in self.sides.values():
            side.close()


def report_layers(rows: list[Row]) -> None:
    """Print both tables."""
    print("3x3 convolutions inside a network: share of the register-only peak of VNNI, one thread")
    for row in (row for row in rows if "against" not in row):
        if not row["exact"]:
            print(f"{row['layer']:20} not exact")
            continue
        low, high = row["spread"]
        print(f"{row['layer']:20}{row['isa']:>8}{row['ours_us']:9.0f} us{row['ours_gmacs']:8.0f} of"
              f"{row['peak_gmacs']:5.0f} GMAC/s{row['share_of_peak']:7.0%} ({low:.0%}..{high:.0%})")
    print("depthwise layers beside ONNX Runtime's QLinearConv, one thread: alone, with the way in and out;"
          " inside a network")
    for row in (row for row in rows if "against" in row):
        if not row["exact"]:
            print(f"{row['layer']:20} not exact")
            continue
        low, high = row["spread"]
        line = (f"{row['layer']:20}{row['isa']:>8}{row['ours_us']:9.0f} us{row['theirs_us']:9.0f} us"
                f"{row['ratio']:7.2f} ({low:.2f}..{high:.2f})")
        if "inside_ratio" in row:
            low, high = row["inside_spread"]
            line += (f"{row['inside_ours_us']:9.0f} us{row['inside_theirs_us']:9.0f} us"
                     f"{row['inside_ratio']:7.2f} ({low:.2f}..{high:.2f})")
        print(line)
