"""Numbers and texts in cells of tables, as people read them."""

from __future__ import annotations

__all__ = ["cell_text"]


def cell_text(value: object) -> str:
    """Return how a table shows a value: four digits of a fraction, thousands set apart, nothing for None.

    >>> [cell_text(value) for value in (0.123456, 1234.56, 1234567, "conv1", None)]
    ['0.1235', '1,235', '1,234,567', 'conv1', '']
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
