"""Axes: round numbers, and room for every value."""

from hypothesis import given
from hypothesis import strategies as st

from bitwright.report.ticks import scale_over

VALUES = st.lists(st.floats(-1e12, 1e12), max_size=5)


@given(VALUES, st.booleans())
def test_a_scale_has_room_for_all_values(values: list[float], from_zero: bool) -> None:
    """Places of values lie in 0..1 and in the order of the values; there are a few ticks, rising."""
    scale = scale_over(values, from_zero=from_zero)
    places = [scale(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    assert all(scale.low <= value * (1 + 1e-9) + 1e-300 or value < 0 for value in values)
    assert all(value <= scale.high + abs(scale.high) * 1e-9 for value in values)
    assert 2 <= len(scale.ticks) <= 9
    assert list(scale.ticks) == sorted({*scale.ticks})


@given(st.lists(st.floats(0, 1e300), max_size=5))
def test_a_logarithmic_scale_has_room_for_what_is_above_0(values: list[float]) -> None:
    """Places lie in 0..1; 0 is at the lower end."""
    scale = scale_over(values, logarithmic=True)
    assert all(0 <= scale(value) <= 1 for value in values)
    assert len(scale.ticks) >= 2
