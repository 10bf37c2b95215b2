"""Python code of the user: what `file.py:name` or `package.module:name` stands for.

Loading it runs it. What it prints goes to stderr, so that the results of a command stay alone on stdout.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from sim.errors import InputError
from sim.io.bounds import shown, shown_path

__all__ = ["call", "is_place", "load_object", "running"]


def is_place(text: str) -> bool:
    """Return whether a text names something in a module or in a Python file: PLACE:NAME.

    >>> is_place("nets/mine.py:make"), is_place("package.module:Net"), is_place("resnet8")
    (True, True, False)
    """
    return ":" in text


def load_object(place: str) -> Any:
    """Return what a name stands for in a Python file or in a module that can be imported.

    Modules in the present folder, and those beside the file, can be imported after all others: none of them takes the
    place of an installed one.

    Parameters
    ----------
    place : str
        `path/to/file.py:name` or `package.module:name`; a name may have parts, as `Class.method` does.

    Raises
    ------
    InputError
        If there is no such file, module or name, or if the code ends in an error: with its last line there.
    """
    where, _, name = place.rpartition(":")
    if not where or not name:
        raise InputError(f"'{shown(place)}' must be FILE.py:NAME or MODULE:NAME")
    found: Any = _file(Path(where)) if where.endswith(".py") else _module(where)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            of = f"{shown_path(where)} ({shown_path(found.__file__)})" if _is_other_file(found, where) else where
            raise InputError(f"{shown_path(of)} has no '{shown(name)}'") from None
    return found


def call(function: Callable[..., Any], place: str, offered: Mapping[str, object]) -> Any:
    """Call a function of the user with those of the `offered` arguments that it has parameters for.

    Raises
    ------
    InputError
        If it needs others, or ends in an error.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        parameters = {}.values()
    named = {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    needed = [one.name for one in parameters if one.default is one.empty and one.name not in offered
              and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    if needed:
        takes = f"may take {' and '.join(offered)}" if offered else "takes no argument"
        raise InputError(f"'{shown_path(place)}' {takes}, but needs '{shown(needed[0])}'")
    with running(f"'{shown_path(place)}'"):
        return function(**{name: value for name, value in offered.items() if name in named})


@contextmanager
def running(what: str) -> Iterator[None]:
    """Run code of the user in the block: what it prints goes to stderr, and its errors become one sentence.

    Raises
    ------
    InputError
        With the kind of the error, its text, and the line of the user's code at which it was raised.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        kind, text = type(error).__name__, " ".join(str(error).split())
        raise InputError(f"{what} raised {kind}{_line(error)}{': ' * bool(text)}{shown(text)}") from error


def _file(path: Path) -> ModuleType:
    """Return the module that a file makes; it is run once, whatever asks for it."""
    if not path.is_file():
        raise InputError(f"no Python file '{shown_path(path)}'")
    name = str(path.resolve())
    if name in sys.modules:
        return sys.modules[name]
    _make_importable(path.resolve().parent)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with running(f"'{shown_path(path)}'"):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module(name: str) -> ModuleType:
    """Return a module that can be imported."""
    _make_importable(Path.cwd())
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(f"'{shown_path(name)}' is neither a Python file, *.py, nor the name of a module")
    try:
        with running(f"module '{shown(name)}'"):
            return importlib.import_module(name)
    except InputError as error:
        missing = error.__cause__
        if isinstance(missing, ModuleNotFoundError) and f"{name}.".startswith(f"{missing.name}."):
            raise InputError(f"no module '{shown(name)}' here or among what is installed") from None
        raise


def _make_importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _is_other_file(found: Any, where: str) -> bool:
    """Return whether `found` is a module that was imported by its name: its file may be another than was meant."""
    return isinstance(found, ModuleType) and not where.endswith(".py") and getattr(found, "__file__", None) is not None


def _line(error: BaseException) -> str:
    """Say where an error was raised: the last line outside of what is installed."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" in line {error.lineno} of {shown_path(error.filename)}"
    others = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), __file__, "<")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(others)]
    return f" in line {frames[-1].lineno} of {shown_path(frames[-1].filename)}" if frames else ""
