"""Let the names in the tables of the documentation break after dots, slashes and underscores, as a hook of mkdocs."""

from __future__ import annotations

import re

__all__ = ["on_post_page"]


def on_post_page(output: str, **_: object) -> str:
    """Return a page with an optional line break after each such character of the code within its tables.

    Without one, a long name either widens its column or is broken anywhere.

    >>> on_post_page("<td><code>a.b</code></td> <code>a.b</code>")
    '<td><code>a.<wbr>b</code></td> <code>a.b</code>'
    """
    return re.sub(r"<td\b.*?</td>", lambda cell: re.sub(r"(?<=<code>)[^<]*", _broken, cell[0]), output, flags=re.DOTALL)


def _broken(name: re.Match[str]) -> str:
    return re.sub(r"(?<=[._/])(?=\w)", "<wbr>", name[0])
