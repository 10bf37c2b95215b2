"""The registers behind the bus."""

from __future__ import annotations

from rtl.shell.csr_file import CsrFile


def test_registers_follow_the_table(run_unit):
    """Every register and counter reads, is written and raises irq as the table says."""
    run_unit(CsrFile(), "csr_file_bench")
