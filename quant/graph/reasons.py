"""Why layers that several kinds of files have are refused."""

from __future__ import annotations

__all__ = ["NEIGHBOURS", "OWN_SUMS"]

OWN_SUMS = "it needs sums over each image's own values, which the machine does not have"
NEIGHBOURS = "it divides by sums over neighbouring channels, which the machine does not have; BatchNorm is understood"
