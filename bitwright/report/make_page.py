"""The page of a run, whichever command it is of."""

from __future__ import annotations

from dataclasses import replace

from bitwright.report.of_comparison import compare_page, machines_page
from bitwright.report.of_demo import demo_page
from bitwright.report.of_estimate import estimate_page
from bitwright.report.of_exploration import explore_page
from bitwright.report.of_network import network_page
from bitwright.report.of_provenance import machine_of, provenance_section
from bitwright.report.of_verification import layers_page, verify_page
from bitwright.report.page import Page
from bitwright.report.runs import (
    CompareRun,
    DemoRun,
    EstimateRun,
    ExploreRun,
    LayersRun,
    MachinesRun,
    NetworkRun,
    Provenance,
    Run,
    VerifyRun,
)

__all__ = ["make_page"]


def make_page(run: Run, name: str, provenance: Provenance) -> Page:
    """Return the page of a run, with where it comes from; `name` is that of its file or folder."""
    page = _page(run, name, provenance)
    return replace(page, sections=(*page.sections, provenance_section(provenance)))


def _page(run: Run, name: str, provenance: Provenance) -> Page:
    match run:
        case EstimateRun():
            return estimate_page(run)
        case DemoRun():
            return demo_page(run, machine_of(provenance))
        case NetworkRun():
            return network_page(run)
        case CompareRun():
            return compare_page(run)
        case MachinesRun():
            return machines_page(run)
        case ExploreRun():
            return explore_page(run, name)
        case LayersRun():
            return layers_page(run, name)
        case VerifyRun():
            return verify_page(run, name)
