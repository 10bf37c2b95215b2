"""One Simulator for many: threads, streams, processes, copies."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sim.arch.machine import load_machine
from sim.functional.engine.simulator import Simulator
from sim.functional.engine.workers import Worker
from sim.functional.kernels.isa import available
from sim.functional.reference import simulate
from sim.ir.program import Program
from sim.testing import random_program

Batch = dict[str, np.ndarray]
SIZES = (1, 60, 3, 0, 17)


@pytest.fixture(scope="module")
def program() -> Program:
    return random_program(np.random.default_rng(1), load_machine("tiny"), layers=3)


@pytest.fixture(scope="module")
def batches(program: Program) -> list[Batch]:
    """Batches of sizes that differ, several of each."""
    rng = np.random.default_rng(2)
    return [{t.name: rng.integers(t.format.low, t.format.high + 1, (images, *t.shape)) for t in program.inputs}
            for images in SIZES * 3]


@pytest.fixture(scope="module")
def right(program: Program, batches: list[Batch]) -> list[Batch]:
    return [simulate(program, batch) for batch in batches]


def agree(found: Batch, right: Batch) -> bool:
    return all(np.array_equal(codes, right[name]) for name, codes in found.items())


def side_by_side(jobs: list[Callable[[], bool]]) -> list[bool]:
    """Start all jobs at the same time, each in a thread."""
    start = threading.Barrier(len(jobs))

    def after_the_others(job: Callable[[], bool]) -> bool:
        start.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(after_the_others, jobs))


@pytest.mark.parametrize("isa", available())
@pytest.mark.parametrize("threads", [1, 2])
def test_calls_of_several_threads_do_not_mix(isa: str, threads: int, program: Program, batches: list[Batch],
                                             right: list[Batch]) -> None:
    """Six threads call one Simulator with batches of other sizes than the others': each gets its own codes."""
    simulator = Simulator(program, capture=[t.name for t in program.tensors], isa=isa, threads=threads)

    def job(first: int) -> Callable[[], bool]:
        order = [(first + k) % len(batches) for k in range(4 * len(batches))]
        return lambda: all(agree(simulator.run(batches[i]), right[i]) for i in order)

    assert all(side_by_side([job(i) for i in range(6)]))


def test_calls_at_one_time_have_other_memory(program: Program, batches: list[Batch], right: list[Batch],
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """While a call is under way no other is given its worker; afterwards one is."""
    simulator, run, taken, inside = Simulator(program), Worker.run, [], threading.Barrier(3)

    def together(worker: Worker, *span: object) -> None:
        taken.append(worker)
        inside.wait()
        run(worker, *span)

    monkeypatch.setattr(Worker, "run", together)
    for _ in range(2):
        jobs = [lambda i=i: agree(simulator.run(batches[i]), right[i]) for i in range(3)]
        assert all(side_by_side(jobs))
    assert len(set(map(id, taken[:3]))) == len(set(map(id, taken[3:]))) == 3
    assert set(map(id, taken[:3])) & set(map(id, taken[3:]))


def test_one_caller_uses_the_memory_of_one(program: Program, batches: list[Batch],
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls one after the other, streams that are left in the middle, and calls that fail share one worker."""
    run, taken = Worker.run, []
    monkeypatch.setattr(Worker, "run", lambda worker, *span: (taken.append(id(worker)), run(worker, *span)))
    simulator = Simulator(program)
    for batch in batches:
        simulator.run(batch)
        next(simulator.stream([batch, batch]))

    def fail(worker: Worker, *span: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as inner:
        inner.setattr(Worker, "run", fail)
        with pytest.raises(KeyboardInterrupt):
            simulator.run(batches[0])
    simulator.run(batches[0])
    assert len(set(taken)) == 1


def test_what_many_callers_leave_is_bounded(program: Program) -> None:
    """However many calls there were at one time, no more workers stay than processors, or threads if they are more."""
    for threads in (1, 200):
        workers = Simulator(program, threads=threads)._workers
        blocks = [workers.one() for _ in range(300)]
        found = [block.__enter__() for block in blocks]
        assert len(set(map(id, found))) == 300
        for block in blocks:
            block.__exit__(None, None, None)
        assert len(workers._idle) == max(threads, os.cpu_count() or 1)


@pytest.mark.parametrize("own", [True, False], ids=["a stream each", "one stream"])
def test_streams_of_several_threads_do_not_mix(own: bool, program: Program, batches: list[Batch],
                                               right: list[Batch]) -> None:
    """Streams drawn by four threads, and one stream of a generator that four draw from: every batch comes once."""
    simulator, drawn, lock = Simulator(program, threads=2), [], threading.Lock()

    def numbered() -> Iterator[Batch]:
        for i, batch in enumerate(batches * 4):
            yield batch
            drawn.append(i)

    def job(stream: Iterator[Batch]) -> Callable[[], bool]:
        def draw() -> bool:
            for found in stream:
                with lock:
                    results.append(found)
            return True

        return draw

    results: list[Batch] = []
    shared = simulator.stream(numbered())
    streams = [simulator.stream(numbered()) if own else shared for _ in range(4)]
    assert all(side_by_side([job(stream) for stream in streams]))
    assert sorted(drawn) == sorted(list(range(len(batches) * 4)) * (4 if own else 1))
    expected = right * (16 if own else 4)
    assert len(results) == len(expected)
    for codes in expected:
        match = next(i for i, found in enumerate(results) if agree(found, codes))
        results.pop(match)


def test_streams_of_one_thread_take_turns(program: Program, batches: list[Batch], right: list[Batch]) -> None:
    """Two streams of one Simulator, drawn in turns, with a call between them; one is left before its end."""
    simulator = Simulator(program)
    forwards, backwards = simulator.stream(batches), simulator.stream(batches[::-1])
    for i in range(len(batches)):
        assert agree(next(forwards), right[i])
        if i < 5:
            assert agree(next(backwards), right[-1 - i])
        assert agree(simulator.run(batches[0]), right[0])


def test_an_error_among_batches_reaches_the_caller(program: Program, batches: list[Batch], right: list[Batch]) -> None:
    """What a generator of batches raises comes out of the stream, and the Simulator goes on working."""
    def broken() -> Iterator[Batch]:
        yield batches[0]
        raise OSError("no more")

    simulator = Simulator(program)
    stream = simulator.stream(broken())
    assert agree(next(stream), right[0])
    with pytest.raises(OSError, match=r"^no more$"):
        next(stream)
    assert agree(simulator.run(batches[1]), right[1])


def test_a_copy_is_a_simulator_like_it(program: Program, batches: list[Batch], right: list[Batch]) -> None:
    """Pickled, copied and deeply copied, with all it was made with; no memory is shared."""
    names = [t.name for t in program.tensors]
    simulator = Simulator(program, capture=names, threads=2, isa="portable")
    for again in (pickle.loads(pickle.dumps(simulator)), copy.copy(simulator), copy.deepcopy(simulator)):
        assert again._workers is not simulator._workers
        assert (again.threads, again.kernels) == (2, simulator.kernels)
        found = again.run(batches[1])
        assert set(found) == set(names)
        assert agree(found, right[1])


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_in_the_middle_of_calls_goes_on(program: Program, batches: list[Batch], right: list[Batch]) -> None:
    """Whatever other threads were doing when a process was forked, the child's calls are right and end."""
    simulator, stop = Simulator(program, threads=2), threading.Event()

    def busy() -> None:
        while not stop.is_set():
            simulator.run(batches[1])

    others = [threading.Thread(target=busy) for _ in range(3)]
    for other in others:
        other.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    status = int(not all(agree(simulator.run(batches[i]), right[i]) for i in range(5)))
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for other in others:
            other.join()
