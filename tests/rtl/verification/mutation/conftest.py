"""The hardware that the mutation campaign is about."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from rtl.shell.top import Top
from rtl.verification.mutation.small_geometry import small_geometry
from rtl.verilog.cache import cached_text
from rtl.verilog.emit import TOP, verilog_text

INSTANCE = re.compile(r"^  (\w+) (\w+) \($", re.M)


@pytest.fixture(scope="session")
def accelerator() -> dict[str, list[str]]:
    """The lines of Verilog of each instance in the campaign's machine, by its path."""
    text = cached_text("the machine of the mutation campaign", lambda: verilog_text(Top(small_geometry()), TOP))
    bodies = {found[1]: found[0] for found in re.finditer(r"^module (\w+).*?^endmodule", text, re.M | re.S)}

    def below(module: str, path: str) -> Iterator[tuple[str, list[str]]]:
        yield path, bodies[module].splitlines()
        for kind, name in INSTANCE.findall(bodies[module]):
            if kind in bodies:
                yield from below(kind, f"{path}.{name}")

    return dict(below(TOP, TOP))
