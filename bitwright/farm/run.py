"""Do jobs that are not done yet, and yield what came of all of them in their order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from bitwright.farm.job import Job
from bitwright.farm.outcome import Outcome
from bitwright.farm.perform import Reply
from bitwright.farm.stand import Stand
from bitwright.farm.store import Store
from bitwright.farm.workers import Workers

__all__ = ["run"]

AHEAD = 1000
"""Jobs that may be ahead of the first one that has not ended: so many descriptions are held."""
TRIES = 3
"""Times that a job is begun whose worker dies."""
WAIT_SECONDS = 1.0


def run(jobs: Iterable[Job], store: Store, workers: Workers, *, total: int | None = None,
        until: float = float("inf"), watch: Callable[[Stand], None] = lambda stand: None) -> Iterator[Outcome]:
    """Do jobs, and yield the outcome of each in the order of `jobs`, whatever the number of workers.

    A job that the store has is not done again, unless it has failed. A job whose worker dies is begun again, up to
    `TRIES` times; then it has failed. Jobs are drawn as they are needed, so there may be any number of them.

    Parameters
    ----------
    jobs : iterable of Job
    store : Store
        Holds each result before it is yielded.
    workers : Workers
    total : int, optional
        Number of jobs, for `watch`.
    until : float
        Time after which no job begins [s since the epoch]; jobs that are not done then have no outcome.
    watch : callable
        Gets a `Stand` whenever a job has ended.
    """
    return _Run(iter(jobs), store, workers, total, until, watch).outcomes()


@dataclass
class _Run:
    jobs: Iterator[Job]
    store: Store
    workers: Workers
    total: int | None
    until: float
    watch: Callable[[Stand], None]
    order: deque[Job] = field(default_factory=deque)
    """Jobs that are begun or have ended, and were not yielded yet."""
    running: dict[str, Job] = field(default_factory=dict)
    deaths: dict[str, int] = field(default_factory=dict)
    """Of the workers of a running job."""
    exhausted: bool = False
    ended: int = 0
    before: int = 0
    failed: int = 0
    started: float = field(default_factory=time.monotonic)

    def outcomes(self) -> Iterator[Outcome]:
        """Do everything."""
        while True:
            self._fill()
            while self.order and self.order[0].key not in self.running:
                yield self.store.outcome(self.order.popleft())
            if self.exhausted and not self.running:
                return
            for key, reply in self.workers.wait(WAIT_SECONDS):
                self._take(key, reply)

    def _fill(self) -> None:
        """Draw jobs, and begin those that are not done, as long as there is room."""
        while not self.exhausted and len(self.running) < self.workers.slots and len(self.order) < AHEAD:
            job = next(self.jobs, None)
            if job is None:
                self.exhausted = True
            elif self.store.has(job):
                self.order.append(job)
                self.ended += 1
                self.before += 1
            elif job.key in self.running:
                self.order.append(job)
            elif time.time() < self.until:
                self.order.append(job)
                self.running[job.key] = job
                self.workers.start(job.key, job.text)

    def _take(self, key: str, reply: Reply | None) -> None:
        """Keep a reply, or begin the job again if its worker has died."""
        if reply is None:
            self.deaths[key] = deaths = self.deaths.get(key, 0) + 1
            if deaths < TRIES:
                self.workers.start(key, self.running[key].text)
                return
            reply = 0.0, None, f"the process that did it died, {TRIES} times", b""
        self.store.keep(self.running.pop(key), reply)
        self.deaths.pop(key, None)
        self.ended += 1
        self.failed += reply[1] is None
        self.watch(Stand(self.ended, self.before, self.failed, self.total, time.monotonic() - self.started))
