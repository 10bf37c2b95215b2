"""Show what a machine takes on an FPGA, and the clock that it reaches there.

    bitwright generate --machine tiny --board ulx3s --out FOLDER && sh FOLDER/ulx3s.sh
    python -m benchmarks.fpga FOLDER [--out benchmarks/results/fpga.json]

The folder is one in which the script of a board has run.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BOARD = "ulx3s"
SHOWN = {"TRELLIS_COMB": "look-up tables, carries and distributed memory", "TRELLIS_FF": "flip-flops",
         "DP16KD": "block memories of 18 Kbit", "MULT18X18D": "multipliers, of the counters"}


@dataclass(frozen=True)
class FpgaUse:
    """What one build gave.

    Attributes
    ----------
    tools : tuple of str
    used, available : dict of str to int
        Resources of the device by nextpnr's names.
    highest_mhz : float
        Of the placed and routed design.
    path : str
        Where its longest path begins and ends.
    """

    machine: str
    tools: tuple[str, ...]
    used: dict[str, int]
    available: dict[str, int]
    highest_mhz: float
    path: str


def read_use(folder: Path) -> FpgaUse:
    """Read what Yosys and nextpnr have written."""
    report = json.loads((folder / f"{BOARD}.report.json").read_text())
    [clock] = report["fmax"].values()
    [longest] = [path for path in report["critical_paths"] if path["from"] == path["to"]]
    yosys = json.loads((folder / f"{BOARD}.stat.json").read_text())["creator"].partition(" (")[0]
    use = report["utilization"]
    return FpgaUse(
        machine=json.loads((folder / "bitwright.json").read_text())["machine"]["name"],
        tools=(yosys, "nextpnr-ecp5"), used={name: use[name]["used"] for name in SHOWN},
        available={name: use[name]["available"] for name in SHOWN}, highest_mhz=round(clock["achieved"], 1),
        path=f"{_register(longest['path'][0], 'from')} to {_register(longest['path'][-1], 'to')}")


def _register(step: dict[str, Any], end: str) -> str:
    """Return the register at an end of a path, without what the tools have put behind its name."""
    return re.sub(r"_TRELLIS_.*", "", step[end]["cell"])


def table(use: FpgaUse) -> list[str]:
    """Return the lines of a table in Markdown."""
    rows = [f"| {text} | {use.used[name]:,} | {use.available[name]:,} |" for name, text in SHOWN.items()]
    return [f"| `{use.machine}` on `{BOARD}` | used | available |", "|---|--:|--:|", *rows,
            f"| highest clock [MHz] | {use.highest_mhz:g} | |"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    use = read_use(arguments.folder)
    print("\n".join([*table(use), "", f"longest path: {use.path}"]))
    if arguments.out:
        arguments.out.write_text(json.dumps(asdict(use), indent=1) + "\n")


if __name__ == "__main__":
    main()
