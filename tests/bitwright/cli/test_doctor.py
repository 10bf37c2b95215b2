"""What `bitwright doctor` finds."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

from bitwright.cli.doctor import examine
from rtl.cosim.simulators import ICARUS, VERILATOR


def test_everything_has_a_version_or_advice():
    """A tool is there with its version, or missing with what to do."""
    for finding in examine():
        assert (finding.version is None) == bool(finding.advice), finding


def test_an_optional_engine_may_be_missing(monkeypatch):
    """Without Verilator everything works, without Icarus Verilog it does not."""
    monkeypatch.setattr(type(VERILATOR), "missing", lambda self: "no Verilator")
    assert all(finding.ok for finding in examine())
    monkeypatch.setattr(type(ICARUS), "missing", lambda self: "no Icarus")
    assert [finding.advice for finding in examine() if not finding.ok] == ["no Icarus"]


def test_a_missing_package_is_told(monkeypatch):
    """With how to install it."""
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("bitwright.cli.doctor.version", version)
    advice = [finding.advice for finding in examine() if not finding.ok]
    assert "amaranth was not found; install it with 'pip install amaranth'" in advice
