"""Where WebAssembly keeps its machine code."""

from __future__ import annotations

from rtl.verilog.wasm import wasm_environment


def test_machine_code_lies_in_our_cache(monkeypatch, tmp_path):
    """Which nobody else can have written, for both run times; all else stays as it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("YOWASP_CACHE_DIR", "/somewhere")
    monkeypatch.setenv("A_VARIABLE", "kept")
    environment = wasm_environment()
    assert environment["XDG_CACHE_HOME"] == environment["YOWASP_CACHE_DIR"] == str(tmp_path / "bitwright" / "wasm")
    assert environment["A_VARIABLE"] == "kept"
