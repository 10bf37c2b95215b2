"""Elements of HTML and SVG; whatever text they get is escaped when they are written."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element, tostring

from sim.io.bounds import printable

__all__ = ["Element", "as_html", "as_svg", "node"]


def node(tag: str, text: str | None = None, children: Iterable[Element] = (),
         **attributes: str | float | None) -> Element:
    """Make an element.

    Parameters
    ----------
    tag : str
    text : str, optional
        Before the children.
    children : iterable of Element
    **attributes
        A trailing underscore is dropped, other underscores become hyphens, and None leaves the attribute out. Numbers
        are written with at most two decimals.
    """
    element = Element(tag, {name.rstrip("_").replace("_", "-"): _text(value) for name, value in attributes.items()
                            if value is not None})
    element.text = None if text is None else printable(text)
    element.extend(children)
    return element


def as_html(element: Element) -> str:
    """Write an element and all in it as HTML."""
    return tostring(element, encoding="unicode", method="html")


def as_svg(element: Element) -> str:
    """Write an element and all in it as XML."""
    return tostring(element, encoding="unicode", method="xml")


def _text(value: str | float) -> str:
    return printable(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
