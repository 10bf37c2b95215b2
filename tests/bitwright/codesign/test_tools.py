"""Which tools are installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

from bitwright.codesign.tools import installed_tools
from rtl.cosim.simulators import ICARUS, VERILATOR


def test_everything_has_a_version_or_advice():
    """A tool has a version if it is installed, and advice if it is missing."""
    for tool in installed_tools():
        assert (tool.version is None) == bool(tool.advice), tool


def test_an_optional_engine_may_be_missing(monkeypatch):
    """Without Verilator everything works, without Icarus Verilog it does not."""
    monkeypatch.setattr(type(VERILATOR), "missing", lambda self: "no Verilator")
    assert all(tool.ok for tool in installed_tools())
    monkeypatch.setattr(type(ICARUS), "missing", lambda self: "no Icarus")
    assert [tool.advice for tool in installed_tools() if not tool.ok] == ["no Icarus"]


def test_onnx_runtime_may_be_missing(monkeypatch):
    """Only an engine of verify needs it; the advice says how to install it."""
    def version(name):
        if name == "onnxruntime":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr("bitwright.codesign.tools.version", version)
    (tool,) = (tool for tool in installed_tools() if tool.version is None)
    assert (tool.tool, tool.ok) == ("onnxruntime", True)
    assert tool.advice == "onnxruntime was not found; install it with 'pip install onnxruntime'"


def test_a_missing_package_is_told(monkeypatch):
    """The advice says how to install it."""
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("bitwright.codesign.tools.version", version)
    advice = [tool.advice for tool in installed_tools() if not tool.ok]
    assert "amaranth was not found; install it with 'pip install amaranth'" in advice
