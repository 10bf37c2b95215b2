"""`python -m bitwright.campaign`: the command line of campaigns."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from bitwright.campaign.campaign import SEED, Campaign, run_campaign
from bitwright.campaign.report import campaign_report
from bitwright.cli.console import message, show
from bitwright.farm.open_workers import open_workers
from rtl.cosim.simulators import ICARUS, VERILATOR
from sim.errors import EngineError, InputError

__all__ = ["main"]

INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run a campaign and return the exit status, which is 1 if a pair differs."""
    parser = argparse.ArgumentParser(prog="python -m bitwright.campaign", description=(
        "Random machines, each with random Programs, on the RTL and in the simulator. Everything follows from the "
        "seed; what is done is kept, and a campaign that was stopped goes on there."))
    parser.add_argument("--machines", type=int, default=60)
    parser.add_argument("--pairs", "--programs", type=int, default=1000,
                        help="pairs of a machine and a Program, over all machines")
    parser.add_argument("--layers", type=int, help="small machines in Icarus Verilog and Programs of all kinds of at "
                        "most so many layers, many in one simulation; default: every other Program is large in one way")
    parser.add_argument("--minutes", type=float, help="begin no simulation after this time; the next run does the rest")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--scheduler", help="address of a Dask scheduler whose workers run the RTL, or `local`")
    parser.add_argument("--out", type=Path, default=Path("campaign-out"),
                        help="folder of what is done, from which the next run goes on")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    if min(given.machines, given.pairs, given.jobs, 1 if given.layers is None else given.layers) < 1 or given.seed < 0:
        parser.error("machines, pairs, layers and jobs must be at least 1, the seed at least 0")
    until = time.time() + 60 * given.minutes if given.minutes is not None else float("inf")
    campaign = Campaign(given.seed, given.machines, given.pairs, given.layers)
    try:
        for engine in (ICARUS, VERILATOR)[:1 + campaign.has_wide]:
            engine.require()
        with open_workers(given.jobs, given.scheduler) as workers:
            shares = run_campaign(campaign, given.out, workers, until)
    except (InputError, EngineError, OSError) as error:
        message(f"campaign: {error}")
        return 1
    except KeyboardInterrupt:
        message("campaign: interrupted; the next run goes on")
        return INTERRUPTED
    report, equal = campaign_report(shares, campaign.pairs)
    show(report, given.json)
    return 0 if equal else 1
