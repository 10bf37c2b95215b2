"""Where WebAssembly keeps its machine code."""

from __future__ import annotations

from pathlib import Path

from rtl.wasm import wasm_environment
from sim.errors import InputError

VARIABLES = "XDG_CACHE_HOME", "YOWASP_CACHE_DIR"


def test_machine_code_lies_in_our_cache(monkeypatch, tmp_path):
    """Which nobody else can have written, for both run times; all else stays as it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("YOWASP_CACHE_DIR", "/somewhere")
    monkeypatch.setenv("A_VARIABLE", "kept")
    with wasm_environment() as environment:
        assert {environment[name] for name in VARIABLES} == {str(tmp_path / "bitwright" / "wasm")}
        assert environment["A_VARIABLE"] == "kept"


def test_without_a_cache_it_lies_in_a_folder_that_goes(monkeypatch):
    """It is made anew every time, and nothing stays."""
    def refuse(part):
        raise InputError("no folder")

    monkeypatch.setattr("rtl.wasm.cache_directory", refuse)
    with wasm_environment() as environment:
        folder = Path(environment["XDG_CACHE_HOME"])
        assert environment["YOWASP_CACHE_DIR"] == str(folder)
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
