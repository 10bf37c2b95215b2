"""Recipes."""

import pytest

from quant.training.recipe import Recipe
from sim.errors import InputError


def test_rate_rises_then_falls_to_nothing() -> None:
    """Linear warm-up to at most 1, then a cosine that ends at 0."""
    recipe = Recipe(epochs=1, warmup=0.05)
    rates = [recipe.rate_at(step, 200) for step in range(201)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) <= 1
    assert rates[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("field", "value", "message"), [
    ("epochs", 0, "epochs must be at least 1, not 0"), ("batch", 0, "batch must be at least 1, not 0"),
    ("shift", -1, "shift must be at least 0, not -1"), ("seed", -1, "seed must be at least 0, not -1"),
    ("rate", 0.0, r"rate must be above 0, not 0\.0"), ("rate", float("nan"), "rate must be above 0, not nan"),
    ("decay", -1.0, r"decay must be at least 0, not -1\.0"), ("warmup", 1.5, r"warmup must be in 0\.\.1, not 1\.5"),
    ("interval_rate", float("inf"), "interval_rate must be at least 0, not inf"),
    ("distillation", 2.0, r"distillation must be in 0\.\.1, not 2\.0"),
    ("temperature", 0.0, r"temperature must be above 0, not 0\.0")])
def test_values_out_of_range_are_named(field: str, value: float, message: str) -> None:
    """A recipe that cannot be followed is refused when it is made."""
    with pytest.raises(InputError, match=f"^{message}$"):
        Recipe(**{"epochs": 1, field: value})
