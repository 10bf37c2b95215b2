"""Workers as a user asks for them."""

from __future__ import annotations

from importlib.util import find_spec

from bitwright.farm.processes import Processes
from bitwright.farm.workers import Here, Workers
from sim.errors import InputError

__all__ = ["open_workers"]


def open_workers(jobs: int, scheduler: str | None = None) -> Workers:
    """Return what does jobs, to be used as a block.

    Parameters
    ----------
    jobs : int, at least 1
        Number of processes; with 1 and without a scheduler this process does them.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers do them, however many there are; `local`: one that is started for
        this run, with `jobs` workers.

    Raises
    ------
    InputError
        If Dask is not installed or does not answer, or there is no process.
    """
    if scheduler is None:
        return Here() if jobs == 1 else Processes(jobs)
    if find_spec("distributed") is None:
        raise InputError("work on a Dask scheduler needs the package distributed, which is not installed: pip install "
                         "'bitwright[farm]'")
    from bitwright.farm.dask_workers import DaskWorkers

    return DaskWorkers(scheduler, jobs)
