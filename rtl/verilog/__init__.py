"""From Amaranth to lint-free SystemVerilog, one module a file, with a smoke test."""
