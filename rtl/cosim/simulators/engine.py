"""What simulators can do: build Verilog, and most of them run a cocotb bench on the build."""

from __future__ import annotations

import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from cocotb_tools.check_results import get_results

from rtl.cosim.simulators.environment import bench_environment
from sim.errors import EngineError, InputError
from sim.io.atomic_write import atomic_write
from sim.io.build_cache import get_or_build

__all__ = ["CocotbEngine", "Engine", "Progress", "SimulationError", "Window", "silent"]

Progress = Callable[[str], None]
"""Takes a line that says what is being done."""
Window = tuple[int, int]
"""First and last cycle of a run of the accelerator."""

LOG_LINES = 40
"""Lines of a failed run's log that its exception shows."""
BUILD_LOG, RUN_LOG = "build.log", "run.log"
WAVES = "waves.fst"
"""In the folder of a run: simulators do not take every letter in a path."""


class SimulationError(EngineError):
    """The simulator or a bench failed; the message ends with the tail of the log."""


def silent(_: str) -> None:
    """Progress that nobody reads."""


class Engine(ABC):
    """What simulates Verilog.

    Attributes
    ----------
    name : str
        For users to choose it, and for cocotb's library.
    title : str
        For messages.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def missing(self) -> str | None:
        """Say in a sentence what is not installed and how to install it; return None if the engine can run."""

    @abstractmethod
    def version(self) -> str:
        """Return the versions of all tools that decide what a build is; called only if nothing is missing."""

    @abstractmethod
    def compile(self, source: Path, top: str, progress: Progress) -> None:
        """Build `source` and the memory model in the source's folder; on failure the log is in `BUILD_LOG` there.

        Raises
        ------
        RuntimeError
            If a tool fails.
        """

    def require(self) -> None:
        """Refuse to go on without this engine.

        Raises
        ------
        InputError
            If something is missing; the message says what to install.
        """
        if reason := self.missing():
            raise InputError(reason)

    def build(self, text: str, top: str, place: Path, progress: Progress = silent) -> Path:
        """Compile SystemVerilog into the folder `place`; it appears there complete or not at all.

        A build that is there already stays.

        Raises
        ------
        InputError
            If the engine is not installed.
        SimulationError
            If it refuses the source.
        """
        self.require()

        def make(folder: Path) -> None:
            source = folder / f"{top}.sv"
            source.write_text(text)
            with _failures(f"{self.title} refused the source", folder / BUILD_LOG):
                self.compile(source, top, progress)

        return get_or_build(place, make)


class CocotbEngine(Engine):
    """A Verilog simulator that runs benches of cocotb.

    Attributes
    ----------
    plusargs : tuple of str
        Arguments of every run.
    """

    plusargs: ClassVar[tuple[str, ...]] = ()

    def run_bench(self, place: Path, top: str, bench: str, folder: Path, environment: Mapping[str, str],
                  waves: Path | None = None, window: Window | None = None) -> None:
        """Run the cocotb module `bench` on the build in `place`, in `folder`.

        Nothing of the user's environment reaches it but what says where things are
        (`rtl.cosim.simulators.environment`).

        Parameters
        ----------
        waves : Path or None
            Where to write all signals as FST, also those of a run that fails.
        window : Window or None
            Cycles of the accelerator's runs to which the waveforms are confined.

        Raises
        ------
        InputError
            If the engine is not installed, writes no waveforms, or they cannot be written there.
        SimulationError
            If a test of the bench fails or the simulator does, with the tail of the log; if there are no waveforms.
        """
        self.require()
        if waves is None:
            self._run(place, top, bench, folder, environment, ())
            return
        arguments, failure, recorded = self.wave_arguments(WAVES, window), None, folder / WAVES
        with atomic_write(waves) as stream:
            try:
                self._run(place, top, bench, folder, environment, arguments)
            except SimulationError as error:
                failure = error
            if not (recorded.exists() and recorded.stat().st_size):
                raise failure or SimulationError(f"{self.title} has written no waveforms\n{_tail(folder / RUN_LOG)}")
            with recorded.open("rb") as file:
                shutil.copyfileobj(file, stream)
        if failure:
            raise SimulationError(f"{failure}\nwaveforms up to there: {waves}") from failure

    def _run(self, place: Path, top: str, bench: str, folder: Path, environment: Mapping[str, str],
             arguments: Sequence[str]) -> None:
        log, results = folder / RUN_LOG, folder / "results.xml"
        with _failures(f"{bench} failed", log):
            variables = bench_environment(top, bench, results.resolve(), environment)
            with log.open("w") as stream:
                done = subprocess.run([*self.command(place, top), *self.plusargs, *arguments], cwd=folder,
                                      env=variables, stdout=stream, stderr=subprocess.STDOUT, check=False)
            tests, failed = get_results(results)
        if failed or not tests:
            raise SimulationError(f"{bench}: {failed} of {tests} tests failed\n{_tail(log)}")
        if done.returncode:
            raise SimulationError(f"{bench}: {self.title} ended with status {done.returncode}\n{_tail(log)}")

    @abstractmethod
    def command(self, place: Path, top: str) -> list[str]:
        """Return the command that starts the build in `place`."""

    def wave_arguments(self, waves: str, window: Window | None) -> tuple[str, ...]:
        """Arguments of a run that writes waveforms, all or those of a window, into a file of its folder.

        Raises
        ------
        InputError
            If the engine writes none.
        """
        raise InputError(f"{self.title} writes no waveforms here; Icarus Verilog does")


@contextmanager
def _failures(what: str, log: Path) -> Iterator[None]:
    """Turn what tools raise into a SimulationError."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise SimulationError(f"{what}\n{_tail(log)}") from error


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:]) if log.exists() else "(no log)"
