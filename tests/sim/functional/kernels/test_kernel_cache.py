"""Machine code that is kept: never stale, never half, never in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from sim.errors import InputError
from sim.functional.engine import compiled_network
from sim.functional.engine.simulator import Simulator
from sim.functional.kernels import kernel_cache as module
from sim.functional.kernels.isa import LADDER, available, chosen
from sim.functional.kernels.kernel_cache import Library, cache_key, compiled, kernel_ids, library
from sim.functional.kernels.kernel_id import KernelId, requantizer_id
from sim.functional.kernels.source_digest import AT_IMPORT, SOURCES, digest
from sim.functional.reference import simulate
from sim.io.cache_entries import Entries, open_entries
from sim.ir.formats import Format
from sim.ir.ops import Conv, Tensor
from sim.ir.program import Program
from sim.ir.signed_digits import digits_of, no_digits

KERNEL = KernelId("copy", "copy")


def test_any_edit_of_a_source_is_another_key(tmp_path: Path) -> None:
    """One byte more in any file of the package, or one file more, and nothing that was compiled before is found."""
    digests = {AT_IMPORT}
    for file in (*sorted(SOURCES.glob("*.py")), None):
        copy = tmp_path / (file.stem if file else "new")
        shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("__pycache__"))
        assert digest(copy) == AT_IMPORT
        target = copy / (file.name if file else "new.py")
        target.write_text((target.read_text() if target.exists() else "") + "#")
        digests.add(digest(copy))
    assert len(digests) == 2 + len(list(SOURCES.glob("*.py")))


def test_the_cpu_and_the_versions_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another CPU, or another Numba, finds nothing of this one's."""
    keys = {cache_key()}
    told = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx", "NUMBA_OPT": "1", "NUMBA_ENABLE_AVX": "0"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
        keys.add(cache_key())
    for package in ("numba", "llvmlite"):
        monkeypatch.setattr(module, "version", lambda name, package=package: "0" if name == package else version(name))
        keys.add(cache_key())
    monkeypatch.setattr(llvm, "get_host_cpu_name", lambda: "z80")
    keys.add(cache_key())
    monkeypatch.setattr(llvm, "get_host_cpu_features", dict)
    keys.add(cache_key())
    assert len(keys) == 9


def test_what_is_compiled_during_an_edit_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may have been read before the edit or after it: the code runs, but no other process finds it."""
    monkeypatch.setattr(module, "digest", lambda: "edited")
    assert Library(Entries(tmp_path / "key")).kernel(KERNEL).compiled
    assert not (tmp_path / "key").exists()


def test_code_is_compiled_once_and_kept(tmp_path: Path) -> None:
    """The second library loads what the first compiled; nothing but the kernels lies in the folder."""
    assert Library(Entries(tmp_path / "key")).kernel(KERNEL).compiled
    assert not Library(Entries(tmp_path / "key")).kernel(KERNEL).compiled
    assert [file.name for file in (tmp_path / "key").iterdir()] == [str(KERNEL)]


@pytest.mark.parametrize("damage", ["shorter", "changed", "empty", "no header"])
def test_damaged_code_is_never_loaded(tmp_path: Path, damage: str) -> None:
    """A file that is not what was written is compiled again, and replaced."""
    Library(Entries(tmp_path)).kernel(KERNEL)
    file = tmp_path / str(KERNEL)
    whole = file.read_bytes()
    file.write_bytes({"shorter": whole[:-9], "changed": whole[:-9] + bytes(9), "empty": b"",
                      "no header": whole.partition(b"\n")[2]}[damage])
    assert Library(Entries(tmp_path)).kernel(KERNEL).compiled
    assert not Library(Entries(tmp_path)).kernel(KERNEL).compiled


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    """The kernel works, and the user reads that the next process compiles again."""
    (tmp_path / "key").touch()
    kernels = Library(Entries(tmp_path / "key"))
    with pytest.warns(RuntimeWarning, match=r"^machine code is compiled anew by every process: .*File exists"):
        assert kernels.address(KERNEL)
    assert kernels.folder is None


def test_kernels_of_several_processes_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba numbers functions anew in every process, so objects define the same names; each kernel keeps its own."""
    named = partial(requantizer_id, interleaved="avx512" in available())
    ids = [named("narrow", residual=""), named("narrow", residual="", rounding="free"),
           named("wide", residual=""), named("wide", residual="residual")]
    script = """import sys; from pathlib import Path; from sim.io.cache_entries import Entries
from sim.functional.kernels.kernel_cache import Library
from sim.functional.kernels.kernel_id import KernelId
Library(Entries(Path(sys.argv[1]))).kernel(KernelId(*sys.argv[2:]))"""
    for kernel in ids:
        subprocess.run([sys.executable, "-c", script, tmp_path, kernel.family, kernel.variant], check=True)
    assert len({(tmp_path / str(kernel)).read_bytes().split(b"\n", 2)[1] for kernel in ids}) < len(ids)
    kernels = Library(Entries(tmp_path))
    for kernel in ids:
        assert not kernels.kernel(kernel).compiled
    monkeypatch.setattr(compiled_network, "library", lambda: kernels)
    rng, fmt = np.random.default_rng(0), Format(8, "signed")
    for residual in (None, "r"):
        conv = Conv("conv", "x", "y", rng.integers(-128, 128, (64, 9, 1, 1)).astype(np.int8), fmt,
                    digits_of([[12]] * 64), np.full(64, 33), np.zeros(64, np.int64), -128, 127, residual=residual,
                    residual_multiplier=digits_of([[34]] * 64) if residual else no_digits(0))
        tensors = tuple(Tensor(name, 3, 3, (channels,), fmt) for name, channels in
                        (("x", 9), ("y", 64), *((("r", 64),) if residual else ())))
        program = Program(tensors, (conv,))
        inputs = {t.name: rng.integers(-128, 128, (1, *t.shape)) for t in program.inputs}
        simulator = Simulator(program)
        assert simulator.requantizers["conv"] in map(str, ids)
        np.testing.assert_array_equal(simulator.run(inputs)["y"], simulate(program, inputs)["y"])


def test_loading_needs_no_numba() -> None:
    """Every kernel of this CPU comes from a full cache without Numba, which would take half a second to import."""
    kernels = kernel_ids(available()[-1])
    for kernel in kernels:
        library().kernel(kernel)
    script = ("import sys\nfrom sim.functional.kernels.kernel_cache import library\n"
              "from sim.functional.kernels.isa import available\n"
              "from sim.functional.kernels.kernel_id import KernelId\n"
              f"available()\nassert not any(library().kernel(kernel).compiled for kernel in {kernels})\n"
              "assert 'numba' not in sys.modules")
    subprocess.run([sys.executable, "-c", script], check=True)


def test_portable_kernels_compile_for_aarch64() -> None:
    """Their LLVM IR names no instruction of x86, and LLVM makes machine code of another architecture from it."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple("aarch64-unknown-linux-gnu").create_target_machine()
    for kernel in kernel_ids("portable"):
        text = compiled(kernel).library.get_llvm_str()
        assert "llvm.x86" not in text, str(kernel)
        code = llvm.parse_assembly(text)
        code.triple, code.data_layout = machine.triple, str(machine.target_data)
        assert machine.emit_object(code)[:4] == b"\x7fELF"


def test_the_rung_of_the_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """BITWRIGHT_ISA picks a lower rung, and one that the CPU lacks is refused."""
    assert available() == LADDER[: len(available())]
    for rung in available():
        monkeypatch.setenv("BITWRIGHT_ISA", rung)
        assert chosen() == rung
    monkeypatch.setenv("BITWRIGHT_ISA", "sse9")
    with pytest.raises(InputError, match=rf"^BITWRIGHT_ISA must be one of {', '.join(available())} on this CPU, not"):
        chosen()
    monkeypatch.delenv("BITWRIGHT_ISA")
    assert chosen() == available()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["x86-64", "haswell"])
def test_code_for_lesser_cpus_is_exact(cpu: str) -> None:
    """A network by machine code for an old CPU equals the plain loops: the lower rungs, as they really are compiled."""
    if available()[-1] == "portable":
        pytest.skip("this CPU has no lower rungs")
    rung, features = {"x86-64": ("portable", ""), "haswell": ("avx2", "+avx2")}[cpu]
    tests = Path(__file__).parents[1] / "engine" / "test_simulator.py"
    environment = os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "BITWRIGHT_ISA": rung}
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-k",
                          f"{rung} and (shape or depthwise)", str(tests)],
                         env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:]


def test_threads_share_the_first_library() -> None:
    """However many ask for it at first and at once: a second one would take its machine code away with it."""
    script = """
import threading, time
from concurrent.futures import ThreadPoolExecutor
from sim.functional.kernels import kernel_cache
opened, start = kernel_cache.open_entries, threading.Barrier(8)
kernel_cache.open_entries = lambda *place: (time.sleep(0.1), opened(*place))[1]
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(lambda _: (start.wait(), kernel_cache.library())[1], range(8)))
raise SystemExit(len(set(map(id, found))) - 1)"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_waits_for_a_kernel_that_is_compiled() -> None:
    """The child finds the library free: what another thread was doing there has been done."""
    kernels, held, done = library(), threading.Event(), []

    def hold() -> None:
        with kernels.lock:
            held.set()
            time.sleep(0.2)
            done.append(True)

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if done and kernels.lock.acquire(timeout=10) else 1)
    other.join()
    assert os.waitpid(child, 0)[1] == 0
    assert not kernels.lock.locked()


@pytest.mark.filterwarnings("ignore:the cache is kept in:RuntimeWarning")
@pytest.mark.parametrize("spoil", [
    lambda path: path.chmod(path.stat().st_mode | 0o022),
    pytest.param(lambda path: os.chown(path, 65534, -1),
                 marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")),
    lambda path: (path.rename(path.with_name("elsewhere")), path.symlink_to("elsewhere"), path.parent.chmod(0o777)),
], ids=["writable", "another's", "link"])
@pytest.mark.parametrize("part", ["bitwright", "bitwright/kernels", "bitwright/kernels/key",
                                  f"bitwright/kernels/key/{KERNEL}"])
def test_machine_code_of_others_is_never_run(part: str, spoil: Callable[[Path], object], tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever on the way to a kernel somebody else can write, it is compiled anew, also where its digest is right."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    assert Library(open_entries("kernels", "key")).kernel(KERNEL).compiled
    assert not Library(open_entries("kernels", "key")).kernel(KERNEL).compiled
    spoil(tmp_path / "cache" / part)
    assert Library(open_entries("kernels", "key")).kernel(KERNEL).compiled
    assert not Library(open_entries("kernels", "key")).kernel(KERNEL).compiled
