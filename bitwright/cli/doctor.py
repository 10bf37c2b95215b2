"""`bitwright doctor`: the tools that are installed."""

from __future__ import annotations

import typer

from bitwright.cli.console import Report, show
from bitwright.cli.options import AsJson

__all__ = ["doctor"]


def doctor(as_json: AsJson = False) -> None:
    """List the tools that are installed, and how to get those that are missing."""
    from bitwright.codesign.tools import installed_tools

    tools = installed_tools()
    ok = all(tool.ok for tool in tools)
    report = Report({"ok": ok, "findings": tools})
    report.table("what is installed", ["tool", "version", "purpose", "used by"],
                 [[tool.tool, tool.version or "missing", tool.purpose, tool.commands] for tool in tools])
    report.lines += [tool.advice for tool in tools if tool.advice]
    show(report, as_json)
    if not ok:
        raise typer.Exit(1)
