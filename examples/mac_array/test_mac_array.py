"""The MAC array checked by its bench: `pytest examples/mac_array` fails, and says what is wrong with the hardware."""


def test_mac_array_as_it_was_written(run_bench):
    """Every code is that of the reference."""
    run_bench("mac_array_bench.py", ["mac_array.sv"], "mac_array")


def test_mended_mac_array(run_bench):
    """Every code is that of the reference, once ties are rounded up."""
    run_bench("mac_array_bench.py", ["mac_array.sv"], "mac_array", parameters={"AWAY": 0})
