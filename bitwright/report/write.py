"""Reports written into files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bitwright.report.draw import svg_sheet
from bitwright.report.html_page import html_page
from bitwright.report.page import Page
from bitwright.report.text_formats import as_csv, as_json, as_markdown
from sim.io.atomic_write import atomic_write_text

__all__ = ["FORMATS", "write"]

FORMATS: Mapping[str, Callable[[Page], str]] = {
    "html": html_page, "md": as_markdown, "json": as_json, "csv": as_csv,
    "svg": lambda page: svg_sheet(page.title, page.figures)}
"""How each format is written."""


def write(page: Page, kind: str, path: Path) -> None:
    """Write a page in one of FORMATS, whole or not at all."""
    atomic_write_text(path, FORMATS[kind](page))
