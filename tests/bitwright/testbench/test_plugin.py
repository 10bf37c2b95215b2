"""The pytest plugin, and with it the example: the bug of the MAC array is found and located."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bitwright.testbench
from bitwright.testbench.bench_runner import run_bench
from sim.errors import EngineError, InputError

EXAMPLE = Path(__file__).parents[3] / "examples" / "mac_array"
PLUGIN = "bitwright.testbench.pytest_plugin"


def pytest_on(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the plugin, as a project of its own would."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", PLUGIN, "-c", "/dev/null",
               f"--rootdir={folder}", "-q", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_page_shows_the_bench_of_thirty_lines():
    """The bench on the page is that of the example, and has at most so many lines."""
    bench, page = (EXAMPLE / "mac_array_bench.py").read_text(), EXAMPLE.parents[1] / "docs" / "testbench.md"
    assert len(bench.splitlines()) <= 30
    assert f"```python\n{bench}```\n" in page.read_text()


def test_the_bug_of_the_mac_array_is_located(tmp_path):
    """The report names a code and blames the requantizer's ties of negative numbers; the mended array passes."""
    done = pytest_on(EXAMPLE, "-W", "error", "--bitwright-seed=1", f"--junitxml={tmp_path / 'report.xml'}")
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "2 of 2 tests of the bench failed" in done.stdout
    assert "codes differ; first at image " in done.stdout
    assert "the requantizer is suspected: equal sums of a channel have become equal codes; all wrong" in done.stdout
    assert ") are ties of negative numbers" in done.stdout
    assert "the sum is" not in done.stdout
    assert "repeat with --bitwright-seed=1" in done.stdout
    report = (tmp_path / "report.xml").read_text()
    assert 'name="bitwright_seed" value="1"' in report
    assert 'name="bench equals_the_reference/pattern=half" value="passed"' in report


FIXTURES = """
from bitwright.testbench import Format, LayerLimits
LIMITS = LayerLimits(Format(4, "signed"), Format(4, "unsigned"), Format(4, "unsigned"), acc_bits=16)
def test_draws(random_layers, program_coverage, bitwright_seed):
    for layer in random_layers(LIMITS, 3):
        program_coverage.add_run(layer.program, {"x": layer.codes})
    assert program_coverage.covered
    assert bitwright_seed == 5
def test_fails(bitwright_seed):
    assert False
def test_fails_too():
    assert False
"""


def test_the_seed_is_printed_where_it_was_used(tmp_path):
    """Layers follow from the seed of the option; a failing test that used the seed tells how to repeat it."""
    (tmp_path / "test_it.py").write_text(FIXTURES)
    done = pytest_on(tmp_path, "--bitwright-seed=5")
    assert "2 failed, 1 passed" in done.stdout, done.stdout
    assert done.stdout.count("repeat with --bitwright-seed=5") == 1


def test_the_plugin_imports_nothing_heavy():
    """Other projects' runs pay for pytest alone."""
    heavy = {"numpy", "numba", "cocotb", "torch", "sim", "rtl"}
    code = f"import sys, {PLUGIN}; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    """Each is found where the package says, and no other."""
    assert all(getattr(bitwright.testbench, name) is not None for name in bitwright.testbench.__all__)
    assert {*bitwright.testbench.__all__} == {*bitwright.testbench._HOMES}
    with pytest.raises(AttributeError, match=r"^module 'bitwright\.testbench' has no attribute 'nothing'$"):
        _ = bitwright.testbench.nothing


def test_what_cannot_run_is_said(tmp_path):
    """A missing file, and sources that the simulator refuses."""
    bench, source = EXAMPLE / "mac_array_bench.py", tmp_path / "broken.sv"
    with pytest.raises(InputError, match=r"^no file '.*/none\.sv'$"):
        run_bench(bench, [tmp_path / "none.sv"], "top", tmp_path, seed=1)
    source.write_text("module top; syntax error endmodule")
    with pytest.raises(EngineError, match=r"^icarus refused the sources: (?s:.*)broken\.sv:1: syntax error"):
        run_bench(bench, [source], "top", tmp_path, seed=1)
