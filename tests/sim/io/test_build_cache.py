"""Folders in the user's cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.io.build_cache import _of_this_process, cache_directory, get_or_build, is_built, prune, warn_once


@pytest.fixture(autouse=True)
def _as_in_a_new_process():
    """Nothing has been said, and no folder been made."""
    for known in (warn_once, _of_this_process):
        known.cache_clear()
    yield
    _of_this_process.cache_clear()


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    """Builds are kept in the user's cache, else in the temporary files with a warning, else nowhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_directory("rtl") == tmp_path / "cache" / "bitwright" / "rtl"
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    place = tmp_path / f"bitwright-{os.geteuid()}"
    reason = f"{file / 'bitwright'}: Not a directory"
    with pytest.warns(RuntimeWarning, match=f"^the cache is kept in {re.escape(f'{place}: {reason}')}$"):
        assert cache_directory("rtl") == place / "rtl"
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(file))
    message = f"no folder for a cache: {reason}; {file / place.name}: Not a directory"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        cache_directory("rtl")


def test_folders_are_made_for_the_user_alone(monkeypatch, tmp_path):
    """Whatever the umask is, and those above them as well: nobody can ever exchange one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a" / "b"))
    before = os.umask(0)
    try:
        folder = cache_directory("rtl/icarus")
        get_or_build(folder / "key",
                     lambda place: (place / "deep").mkdir(0o777) or (place / "deep" / "file").write_text("x"))
    finally:
        os.umask(before)
    for path in (tmp_path / "a", *(tmp_path / "a").rglob("*")):
        assert not path.stat().st_mode & 0o022
    assert is_built(folder / "key")


@pytest.mark.parametrize("home", ["relative/cache", "", "."])
def test_a_relative_cache_is_none(monkeypatch, tmp_path, home):
    """The specification of XDG ignores it: every folder in which a command runs would have a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_directory("rtl") == tmp_path / "home" / ".cache" / "bitwright" / "rtl"
    monkeypatch.setenv("HOME", "home")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    with pytest.warns(RuntimeWarning, match=r": the home folder home is not absolute$"):
        assert cache_directory("rtl").is_relative_to(tmp_path / "tmp")


def test_a_user_without_a_home_has_a_cache(monkeypatch, tmp_path):
    """Containers run as users that no list of users holds."""
    def unknown(user):
        raise KeyError(user)

    for variable in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with pytest.warns(RuntimeWarning, match=r": Could not determine home directory\.$"):
        assert cache_directory("rtl") == tmp_path / f"bitwright-{os.geteuid()}" / "rtl"


def test_without_any_temporary_folder_there_is_no_cache(monkeypatch, tmp_path):
    """A system on which nothing can be written says so in one sentence."""
    def nowhere():
        raise FileNotFoundError(2, "No usable temporary directory found")

    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    with pytest.raises(InputError, match=r"^no folder for a cache: .*Not a directory; .*No usable temporary directory"):
        cache_directory("rtl")


@pytest.mark.parametrize("part", ["", "bitwright", "bitwright/rtl", "bitwright/rtl/icarus"])
def test_a_cache_that_others_can_write_is_not_taken(monkeypatch, tmp_path, part):
    """Not one of its folders, from the first on."""
    home, other = tmp_path / "cache", tmp_path / "tmp"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(other))
    assert cache_directory("rtl/icarus") == home / "bitwright" / "rtl" / "icarus"
    (home / part).chmod(0o777)
    with pytest.warns(RuntimeWarning, match=f": {re.escape(str(home / part))} can be written by others"):
        assert cache_directory("rtl/icarus").is_relative_to(other)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_temporary_files_of_another_are_not_taken(monkeypatch, tmp_path):
    """Somebody may wait there with a folder of our name, or a link to a place that he can exchange."""
    (tmp_path / "file").write_text("")
    (tmp_path / "ours").mkdir()
    tmp_path.chmod(0o1777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    place = tmp_path / f"bitwright-{os.geteuid()}"
    for lay in (place.mkdir, lambda: place.symlink_to(tmp_path / "ours")):
        lay()
        os.lchown(place, 65534, -1)
        text = f"{tmp_path / 'file' / 'bitwright'}: Not a directory; {place} belongs to user 65534"
        warn_once.cache_clear()
        with pytest.warns(RuntimeWarning, match=f"^the cache goes with this process: {re.escape(text)}$"):
            assert cache_directory("rtl").parent.stat().st_uid == 0
        assert not list((tmp_path / "ours").iterdir())
        place.unlink() if place.is_symlink() else shutil.rmtree(place)


def test_a_process_may_have_a_cache_of_its_own(tmp_path):
    """Where others can write the temporary files, as in a volume of a container, and there is no home: it goes."""
    script = ("import os; from sim.io.build_cache import cache_directory\n"
              "if os.fork() == 0: cache_directory('rtl'); raise SystemExit\n"
              "folder = cache_directory('rtl/icarus')\n"
              "if os.fork() == 0: raise SystemExit\n"
              "os.wait(), os.wait(); assert folder.is_dir(); print(folder)")
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o777)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "file"), "TMPDIR": str(tmp_path / "tmp"),
                                "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.is_relative_to(tmp_path / "tmp")
    assert not folder.exists()
    assert [path.name for path in (tmp_path / "tmp").iterdir()] in ([], [f"bitwright-{os.geteuid()}"])


def test_a_full_disk_is_not_taken(monkeypatch, tmp_path):
    """A build needs room; it is looked for in the temporary files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    facts = os.statvfs(tmp_path)

    def full(path):
        taken = list(facts)
        taken[4] = 100 if Path(path).is_relative_to(tmp_path / "cache") else taken[4]
        return os.statvfs_result(taken)

    monkeypatch.setattr("sim.io.build_cache.os.statvfs", full)
    with pytest.warns(RuntimeWarning, match=r"cache/bitwright/rtl has less than 64 MB of room$"):
        assert cache_directory("rtl") == tmp_path / f"bitwright-{os.geteuid()}" / "rtl"


@pytest.mark.parametrize("spoil", [
    lambda place: (place / "file").chmod(0o666),
    lambda place: place.chmod(0o777),
    lambda place: ((place / "file").unlink(), os.mkfifo(place / "file")),
    lambda place: ((place / "file").unlink(), (place / "file").symlink_to("/etc/hostname")),
    lambda place: (shutil.rmtree(place), place.symlink_to("/etc")),
    lambda place: (shutil.rmtree(place), os.mkfifo(place)),
    lambda place: (shutil.rmtree(place), place.write_text("")),
], ids=["file", "folder", "pipe inside", "link inside", "link", "pipe", "no folder"])
def test_what_others_may_have_changed_is_made_anew(tmp_path, spoil):
    """A place in which not all is the user's own is as good as none."""
    place = tmp_path / "place"
    get_or_build(place, lambda folder: (folder / "file").write_text("old"))
    assert is_built(place)
    spoil(place)
    assert not is_built(place)
    get_or_build(place, lambda folder: (folder / "file").write_text("new"))
    assert is_built(place)
    assert (place / "file").read_text() == "new"


def test_a_killed_maker_leaves_nothing_that_stays(tmp_path):
    """The half made folder of a process that was killed goes when its place is made, or anything else is pruned."""
    script = ("import sys, time; from pathlib import Path; from sim.io.build_cache import get_or_build\n"
              "def make(folder):\n    (folder / 'half').touch(); print('making', flush=True); time.sleep(99)\n"
              "get_or_build(Path(sys.argv[1]), make)")
    for later in (lambda: get_or_build(tmp_path / "place", lambda folder: None), lambda: prune(tmp_path)):
        shutil.rmtree(tmp_path / "place", ignore_errors=True)
        with subprocess.Popen([sys.executable, "-c", script, tmp_path / "place"], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            prune(tmp_path)
            assert len(list(tmp_path.glob(".building-*"))) == 1
            process.kill()
        later()
        assert not list(tmp_path.glob(".building-*"))


def test_a_failed_make_leaves_nothing(tmp_path):
    """A place appears only when it is complete."""
    def fails(folder):
        (folder / "half").write_text("")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match=r"^no$"):
        get_or_build(tmp_path / "place", fails)
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]


def test_a_place_is_made_once(tmp_path):
    """Of several that want the same place at the same time, one makes it and the others wait for it."""
    calls, started = [], threading.Barrier(4)

    def want():
        started.wait()
        get_or_build(tmp_path / "place", lambda folder: (calls.append(folder), (folder / "file").write_text("x")))
        assert (tmp_path / "place" / "file").read_text() == "x"

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_what_was_used_last_stays(tmp_path):
    """Pruning keeps as many bytes as asked for, of what was used last; using a place counts."""
    for age, name in enumerate("abcd"):
        (tmp_path / name).mkdir(mode=0o700)
        (tmp_path / name / "file").write_text("x" * 100)
        (tmp_path / name / "file").chmod(0o600)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    used = tmp_path / "d"
    get_or_build(used, lambda _: None)
    prune(tmp_path, keep_bytes=250)
    assert sorted(path.name for path in tmp_path.glob("?")) == ["a", "d"]


def test_what_vanishes_meanwhile_does_not_matter(tmp_path):
    """Links that lead nowhere neither, and what they lead to stays."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "file").write_text("x")
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    (folder / "b").symlink_to(tmp_path / "other")
    prune(folder, keep_bytes=0)
    assert not (folder / "a").exists()
    assert (tmp_path / "other" / "file").exists()
