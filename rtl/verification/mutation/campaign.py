"""The campaign: every mutant against the scripts; resumable, since a result is written down as soon as it is there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from rtl.encoding.geometry import Geometry
from rtl.shell.top import Top
from rtl.verification.mutation.mutant_player import SOURCE, Player, build_player
from rtl.verification.mutation.netlist import FAMILIES, Mutant, mutated_text, sample
from rtl.verification.mutation.suite import write_scripts
from rtl.verilog.emit import TOP, verilog_text
from sim.errors import EngineError, InputError

__all__ = ["Campaign", "Result"]

Progress = Callable[[str], None]
FAULT_FAMILIES = ("control", "dma", "top")
"""Families whose logic deals with faults at the buses; the others meet only aborts, since these scripts are long."""
EVERY = 50
"""Mutants between two lines of progress."""


@dataclass(frozen=True)
class Result:
    """What became of a mutant.

    Attributes
    ----------
    key, family, command : str
        Of the mutant.
    script : str
        That found it; empty if none did.
    reason : str
        How.
    met : str
        Digest of that script, or of all that it survived: the result stands as long as they stay the same.
    """

    key: str
    family: str
    command: str
    script: str
    reason: str
    met: str

    @property
    def mutant(self) -> Mutant:
        """Return the mutant."""
        return Mutant(self.family, self.command)


class Campaign:
    """Mutants of a machine's whole hardware, its buses included, and scripts that it passes without a mutant.

    Parameters
    ----------
    geometry : Geometry
    folder : Path
        Of the results; those of other hardware or scripts are not taken for this campaign's, but a new script leaves
        what others have found.
    count : int
        Mutants per family.
    programs : int
        Random Programs among the scripts.
    seed : int
        Of the sample.
    """

    def __init__(self, geometry: Geometry, folder: Path, count: int, programs: int, seed: int) -> None:
        self.text = verilog_text(Top(geometry), TOP)
        self.count, self.seed = count, seed
        self.programs, self.fault_scripts = write_scripts(geometry, programs, folder / "scripts")
        self.folder = folder / _digest(self.text, SOURCE.read_text())
        self.folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def mutants(self) -> list[Mutant]:
        """Draw the sample."""
        return sample(self.text, TOP, FAMILIES, self.count, self.seed)

    def run(self, families: Collection[str], progress: Progress) -> list[Result]:
        """Results of all mutants of these families, or of all; those that are known are not run again.

        Raises
        ------
        InputError
            If there is no such family.
        EngineError
            If a tool fails, or the hardware without a mutant does not pass.
        """
        for family in families:
            if family not in FAMILIES:
                raise InputError(f"families are {', '.join(FAMILIES)}, not {family}")
        wanted = [mutant for mutant in self.mutants if not families or mutant.family in families]
        place = self.folder / "results.jsonl"
        known = {key: result for key, result in read_results(place).items() if self._stands(result)}
        for family in FAMILIES:
            missing = [mutant for mutant in wanted if mutant.family == family and mutant.key not in known]
            for result in self._meet(missing, progress) if missing else ():
                known[result.key] = result
                with place.open("a") as stream:
                    stream.write(json.dumps(asdict(result)) + "\n")
        return [known[mutant.key] for mutant in wanted]

    @cached_property
    def _digests(self) -> dict[str, str]:
        """Return the digest of each script by its name."""
        return {script.name: _digest(script.read_text()) for script in (*self.programs, *self.fault_scripts)}

    def _met(self, family: str, script: str) -> str:
        """Digest of a script, or without a name of all that a family meets."""
        if script:
            return self._digests.get(script, "")
        return _digest(*(self._digests[path.name] for path in self._scripts(family)))

    def _stands(self, result: Result) -> bool:
        return result.met == self._met(result.family, result.script)

    def _meet(self, mutants: Sequence[Mutant], progress: Progress) -> Iterator[Result]:
        """Build mutants into one design and let each meet the scripts, those that found most first."""
        family = mutants[0].family
        player = build_player(mutated_text(self.text, TOP, mutants), TOP, self.folder / family)
        progress(f"{family}: built {len(mutants)} mutants")
        scripts = self._scripts(family)
        _check(player, scripts)
        finds: Counter[Path] = Counter()
        for number, mutant in enumerate(mutants, 1):
            order = sorted(scripts, key=lambda script: -finds[script])
            outcome = player.play(number, order)
            script = "" if outcome.script is None else order[outcome.script].name
            if outcome.script is not None:
                finds[order[outcome.script]] += 1
            yield Result(mutant.key, family, mutant.command, script, outcome.reason, self._met(family, script))
            if number % EVERY == 0:
                progress(f"{family}: {number} of {len(mutants)}, {finds.total()} found")

    def _scripts(self, family: str) -> list[Path]:
        """Return what the mutants of a family meet."""
        faults = [script for script in self.fault_scripts if family in FAULT_FAMILIES or script.stem == "aborts"]
        return [*faults, *self.programs] if family == "top" else [*self.programs, *faults]


def _check(player: Player, scripts: Sequence[Path]) -> None:
    sound = player.play(0, scripts)
    if sound.script is not None:
        raise EngineError(f"without a mutant {scripts[sound.script].name} fails: {sound.reason}")


def _digest(*texts: str) -> str:
    return sha256("\0".join(texts).encode()).hexdigest()[:12]


def read_results(path: Path) -> dict[str, Result]:
    """Results so far, by key of the mutant; the last one of each counts."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {result.key: result for result in (Result(**json.loads(line)) for line in lines)}
