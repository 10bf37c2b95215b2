"""Dask's workers, on any number of machines.

Jobs travel as text, and replies as text and bytes. Dask itself pickles what it sends between client, scheduler and
workers, which are processes of one user; nothing of that is ever written to a file.
"""

from __future__ import annotations

import hashlib
import logging
import time
from concurrent.futures import CancelledError
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from distributed import Client, Future, KilledWorker, LocalCluster, wait

from bitwright.farm.perform import Reply, perform
from sim.errors import InputError

__all__ = ["LOCAL", "DaskWorkers"]

LOCAL = "local"
CONNECT_SECONDS = 10
REFRESH_SECONDS = 5.0
"""After which it is asked again how many workers there are."""
PACKAGES = ("sim", "rtl", "quant", "bitwright")
ROOT = Path(__file__).parents[2]


class DaskWorkers:
    """The workers of a Dask scheduler, which may come and go.

    Parameters
    ----------
    scheduler : str
        Its address, such as `tcp://10.0.0.1:8786`; `LOCAL`: a scheduler and workers of this machine, for this run.
    count : int
        Number of workers of `LOCAL`.

    Raises
    ------
    InputError
        If nothing answers at the address, or a worker has several threads or other sources than this process.
    """

    def __init__(self, scheduler: str, count: int) -> None:
        self._cluster = None if scheduler != LOCAL else LocalCluster(
            n_workers=count, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR)
        try:
            self._client = Client(self._cluster or scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(f"no Dask scheduler answers at '{scheduler}': {error}") from None
        self._name, self._run = scheduler, uuid4().hex
        self._begun: dict[Future[Reply], str] = {}
        self._asked, self._slots = -REFRESH_SECONDS, 0
        self._check()

    def _check(self) -> None:
        """Refuse a scheduler without workers, and workers that run other sources."""
        try:
            self._client.wait_for_workers(1, CONNECT_SECONDS)
            others = self._client.run(sources_digest)
        except TimeoutError:
            self._close()
            raise InputError(f"the Dask scheduler at '{self._name}' has no workers: start some with `dask worker "
                             f"{self._name} --nthreads 1`") from None
        except Exception as error:
            self._close()
            raise InputError(f"workers of '{self._name}' cannot import this Bitwright: {error}") from None
        different = sorted(worker for worker, digest in others.items() if digest != sources_digest())
        if different:
            self._close()
            raise InputError(f"worker {different[0]} has other sources of Bitwright than this process")

    @property
    def slots(self) -> int:
        """How many workers there are now."""
        if time.monotonic() - self._asked >= REFRESH_SECONDS:
            threads = self._client.nthreads()
            several = sorted(worker for worker, count in threads.items() if count != 1)
            if several:
                raise InputError(f"worker {several[0]} must have 1 thread (`dask worker --nthreads 1`), not "
                                 f"{threads[several[0]]}")
            self._asked, self._slots = time.monotonic(), len(threads)
        return self._slots

    def start(self, key: str, text: str) -> None:
        """Send a job to the scheduler, which gives it to another worker if one dies."""
        self._begun[self._client.submit(perform, text, key=f"bitwright-{self._run}-{key}", pure=False)] = key

    def wait(self, seconds: float) -> list[tuple[str, Reply | None]]:
        """Return what has ended."""
        if not self._begun:  # all workers have gone
            time.sleep(seconds)
        try:
            with self._client.as_current():
                wait(list(self._begun), seconds, "FIRST_COMPLETED")
            ended = [future for future in self._begun if future.done()]
            return [(self._begun.pop(future), _reply(future)) for future in ended]
        except TimeoutError:
            return []
        except (CancelledError, OSError) as error:
            raise InputError(f"the Dask scheduler at '{self._name}' has gone; the next run goes on") from error

    def _close(self) -> None:
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Take back what has not begun, and leave the scheduler."""
        for future in self._begun:
            future.cancel()
        self._close()


def _reply(future: Future[Reply]) -> Reply:
    """Return the reply of a job, also if Dask has given it up."""
    try:
        return future.result()
    except KilledWorker as error:
        return 0.0, None, f"the worker that did it died, {error.allowed_failures + 1} times", b""


@cache
def sources_digest() -> str:
    """Return the SHA-256 of all sources of Bitwright that this process imports."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
