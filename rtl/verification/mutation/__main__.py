"""`python -m rtl.verification.mutation`: the campaign on a small machine, a table of what was found, and the survivors.

What it has found stands in the folder's `results.jsonl` as soon as it is found: an interrupted campaign goes on where
it was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rtl.verification.mutation.campaign import Campaign
from rtl.verification.mutation.report import report
from rtl.verification.mutation.small_geometry import small_geometry


def main(arguments: list[str] | None = None) -> int:
    """Run it; the status is 1 if a survivor has no reason or too few mutants were found."""
    parser = argparse.ArgumentParser(prog="python -m rtl.verification.mutation", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("mutants-out"), help="where results and builds are kept")
    parser.add_argument("--count", type=int, default=200, help="mutants per family")
    parser.add_argument("--programs", type=int, default=56, help="random Programs that a mutant meets")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--families", nargs="*", default=[], help="only these")
    chosen = parser.parse_args(arguments)
    campaign = Campaign(small_geometry(), chosen.folder, chosen.count, chosen.programs, chosen.seed)
    results = campaign.run(chosen.families, lambda line: print(line, file=sys.stderr, flush=True))
    text, good = report(results, campaign.text)
    (chosen.folder / "report.md").write_text(text)
    print(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
