"""What objects show of themselves in a notebook: their numbers, and no name as markup."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

import bitwright as bw
from quant.bits.allocation import Allocation
from sim.io.html_table import html_table

HOSTILE = "<script>alert(1)<b>&"


class Cells(HTMLParser):
    """The texts of all cells and captions, and the elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


@pytest.fixture
def program() -> bw.Program:
    """A network of one layer, whose name is HOSTILE."""
    codes = bw.Format(4, "unsigned")
    layer = bw.Conv(HOSTILE, "x", "y", np.full((1, 1, 1, 1), 2, np.int8), bw.Format(3, "signed"),
                    multiplier=np.ones((1, 1), np.int8), shift=np.zeros(1, np.int64), offset=np.zeros(1, np.int64),
                    low=0, high=15)
    return bw.Program((bw.Tensor("x", 1, 3, (1,), codes), bw.Tensor("y", 1, 3, (1,), codes)), (layer,))


def test_an_estimate_shows_its_layers(program: bw.Program) -> None:
    """Each layer by its name with its cycles; a name is text."""
    cost = bw.estimate(program, "edge")
    found = Cells(cost._repr_html_())
    assert HOSTILE in found.texts
    assert "script" not in found.tags
    assert all(f"{layer.latency_cycles:,}" in found.texts for layer in cost.layers)


def test_a_comparison_shows_a_figure_and_tables(program: bw.Program) -> None:
    """Of two machines each has its row and its point, under identifiers that other outputs do not have."""
    one = bw.compare({HOSTILE: program}, ["large", "edge"])
    found = Cells(one._repr_html_())
    assert [candidate.name for candidate in one.candidates] == [f"{HOSTILE} on large", f"{HOSTILE} on edge"]
    assert {candidate.name for candidate in one.candidates} <= {*found.texts}
    assert "svg" in found.tags
    assert "script" not in found.tags
    assert [candidate.cost for candidate in one.candidates] == [
        bw.estimate(program, machine) for machine in ("large", "edge")]
    other = bw.compare({"b": program}, "edge")
    assert [part.partition('"')[0] for part in one._repr_html_().split(' id="')[1:]] != [
        part.partition('"')[0] for part in other._repr_html_().split(' id="')[1:]]


def test_nothing_to_compare_is_refused(program: bw.Program) -> None:
    """Without Programs, or without machines."""
    text = "^there must be at least one Program and one machine to compare, not"
    with pytest.raises(bw.InputError, match=f"{text} 0 and 1$"):
        bw.compare({}, "tiny")
    with pytest.raises(bw.InputError, match=f"{text} 1 and 0$"):
        bw.compare({"a": program}, [])


def test_machines_areas_and_allocations_show_themselves() -> None:
    """Parameters, parts with their total, and bits."""
    machine, area = bw.load_machine("tiny"), bw.area("tiny")
    assert {"rows", "lanes", "machine 'tiny'"} <= {*Cells(machine._repr_html_()).texts}
    assert {*area.by_part, "total"} <= {*Cells(area._repr_html_()).texts}
    found = Cells(Allocation({HOSTILE: (3, 5)}, {"bytes": 1234.0}, 2.0, 1.5)._repr_html_())
    assert {HOSTILE, "3", "5", "1,234", "2", "1.5"} <= {*found.texts}


def test_control_characters_are_shown_as_escapes() -> None:
    """Also in captions and heads."""
    text = html_table("a\x1b", ["\x00"], [["\u202e", None]])
    assert {"a\\x1b", "\\x00", "\\u202e"} <= {*Cells(text).texts}
