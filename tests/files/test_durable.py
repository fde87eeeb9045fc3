"""Files that appear when they are whole, and whose temporary files are cleared: those of dead writers, no others."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kills import FORKS

from ai4land_coupler.errors import RunError
from ai4land_coupler.files import durable
from ai4land_coupler.files.durable import (
    AGE,
    clear_dead,
    disk_errors,
    new_path,
    new_paths,
    remove,
    scratch_folder,
    temporary_path,
    write_durably,
)

#: Says how it would name a temporary file, and waits.
NAMER = """
import sys
from pathlib import Path
from ai4land_coupler.files.durable import temporary_path
print(temporary_path(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


class Writer:
    """Another process, and the temporary path that it would write to."""

    def __init__(self, target: Path) -> None:
        command = [sys.executable, "-c", NAMER, str(target)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.aside = Path(self.process.stdout.readline().rstrip("\n"))

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def living() -> Iterator[Writer]:
    writer = Writer(Path("target"))
    yield writer
    writer.end()


@pytest.fixture(scope="module")
def dead() -> Writer:
    writer = Writer(Path("target"))
    writer.end()
    return writer


def make(path: Path, age: float = 0.0) -> Path:
    path.write_text("x")
    return changed(path, age)


def changed(path: Path, age: float) -> Path:
    """Last changed so many seconds ago."""
    then = time.time() - age
    os.utime(path, (then, then), follow_symlinks=False)
    return path


def field(name: str, **changes: str) -> str:
    """A temporary name with other parts: host, machine, pid, start."""
    match = re.fullmatch(
        r"(.+)\.(?P<host>.+?)\.(?P<machine>\w+)-(?P<pid>\d+)-(?P<start>\d+)-\d+\.aside", name, re.DOTALL
    )
    assert match is not None, name
    for part in sorted(changes, key=match.start, reverse=True):
        name = name[: match.start(part)] + changes[part] + name[match.end(part) :]
    return name


# ---- who is dead --------------------------------------------------------------------------------------------------


def test_the_name_tells_host_and_process(tmp_path: Path) -> None:
    name = temporary_path(tmp_path / "out.nc").name
    host = re.sub(r"[^A-Za-z0-9_-]", "-", os.uname().nodename)[:40]
    assert name.startswith(f"out.nc.{host}.")
    assert f"-{os.getpid()}-" in name
    assert temporary_path(tmp_path / "out.nc").name != name


def test_of_the_dead_and_of_no_others(tmp_path: Path, dead: Writer, living: Writer) -> None:
    gone, there, own = (
        make(tmp_path / name) for name in (dead.aside, living.aside, temporary_path(Path("target")).name)
    )
    changed(there, 10 * AGE)
    changed(own, 10 * AGE)
    assert clear_dead(tmp_path) == [gone]
    assert set(tmp_path.iterdir()) == {there, own}


def test_a_number_that_another_process_has_now(tmp_path: Path, living: Writer) -> None:
    """A process of this number lives: one that started at another time, before or after."""
    for start in ("1", "99999999999"):
        gone = make(tmp_path / field(living.aside.name, start=start))
        assert clear_dead(tmp_path) == [gone]
    kept = make(tmp_path / field(living.aside.name, start="0"))  # where that could not be known
    assert clear_dead(tmp_path) == []
    assert kept.exists()


def test_a_killed_process_that_nobody_has_asked_after(tmp_path: Path) -> None:
    """A zombie still has its number."""
    writer = Writer(Path("target"))
    gone = make(tmp_path / writer.aside)
    os.kill(writer.process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, writer.process.pid, os.WEXITED | os.WNOWAIT)
    assert clear_dead(tmp_path) == [gone]
    writer.end()


def test_a_process_of_somebody_else(tmp_path: Path, living: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may not be signalled, and what /proc tells of it may be hidden."""

    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    kept = make(tmp_path / living.aside)
    monkeypatch.setattr(os, "kill", refuse)
    assert clear_dead(tmp_path) == []
    monkeypatch.setattr(durable, "_start_of", lambda pid: None)
    assert clear_dead(tmp_path) == []
    assert kept.exists()


def test_other_hosts_by_age(tmp_path: Path, dead: Writer) -> None:
    """A process of another host cannot be asked after, dead or not."""
    young = make(tmp_path / field(dead.aside.name, host="node-1"), AGE - 60)
    old = make(tmp_path / field(dead.aside.name, host="node-2"), AGE + 60)
    # a store is as young as the youngest of its files
    for name, age in (("node-3", AGE - 60), ("node-4", AGE + 60)):
        folder = tmp_path / field(dead.aside.name, host=name)
        (folder / "a" / "b").mkdir(parents=True)
        make(folder / "a" / "b" / "c", age)
        for path in (folder / "a" / "b", folder / "a", folder):
            changed(path, AGE + 60)
    assert set(clear_dead(tmp_path)) == {old, tmp_path / field(dead.aside.name, host="node-4")}
    assert set(tmp_path.iterdir()) == {young, tmp_path / field(dead.aside.name, host="node-3")}


def test_this_host_before_it_was_started_anew(tmp_path: Path, living: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its boot id was another. A file that was changed since may be another machine's that has the same name."""
    monkeypatch.setattr(durable, "_machine_start", lambda: time.time() - 3600)
    before = make(tmp_path / field(living.aside.name, machine="00000000"), 3700)
    since = make(tmp_path / field(living.aside.name, machine="00000001"), 3500)
    assert clear_dead(tmp_path) == [before]
    assert since.exists()
    changed(since, AGE + 60)
    assert clear_dead(tmp_path) == [since]


def test_when_this_machine_was_started_is_known() -> None:
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert durable._machine_start() == pytest.approx(time.time() - uptime, abs=5)


def test_names_of_earlier_versions(tmp_path: Path, dead: Writer, living: Writer) -> None:
    target = "run.nc"
    gone = make(tmp_path / f"run.nc.{dead.process.pid}.aside")
    there = make(tmp_path / f"run.nc.{living.process.pid}.aside")
    other = make(tmp_path / f"years.{dead.process.pid}.aside", 10 * AGE)
    cached = make(tmp_path / f"run.nc.{'0f' * 16}.aside")
    assert clear_dead(tmp_path) == []
    assert clear_dead(tmp_path, [target]) == [gone]
    changed(there, AGE + 60)
    changed(cached, AGE + 60)
    assert set(clear_dead(tmp_path, [target])) == {there, cached}
    assert clear_dead(tmp_path, None) == [other]


@pytest.mark.parametrize(
    "name",
    [
        "aside",
        ".aside",
        "target.aside",
        "{0}~",
        "{0}.aside.gz",
        "target.{pid}.aside.txt",
        "target.{pid}.ASIDE",
        "target.{pid}x.aside",
        "target.-{pid}.aside",
        ".{pid}.aside",
        "target.host.{pid}-1-1.aside",
        "target.host.0123456-{pid}-1-1.aside",
        "target.host.012345678-{pid}-1-1.aside",
        "target.host.0123456g-{pid}-1-1.aside",
        "target.host.01234567-{pid}-1.aside",
        "target.host.01234567-{pid}-1-1-1.aside",
        "target.ho st.01234567-{pid}-1-1.aside",
        ".host.01234567-{pid}-1-1.aside",
        "target..01234567-{pid}-1-1.aside",
        "target.{pid}\N{SUPERSCRIPT TWO}.aside",
        "target.0123456789abcdef.aside",
        "target." + "g" * 32 + ".aside",
    ],
)
def test_other_names_are_never_touched(tmp_path: Path, dead: Writer, name: str) -> None:
    path = make(tmp_path / name.format(dead.aside.name[: -len(".aside")], pid=dead.process.pid), 100 * AGE)
    assert clear_dead(tmp_path, None) == []
    assert path.exists()


ODD = [
    ".hidden",
    "with space",
    "two\nlines",
    "ends in.aside",
    "1.2.3",
    "land-und-Größe-陸地",
    os.fsdecode(b"no \xff utf-8"),
    "x" * 255,
    "陸" * 85,
    f"other.{'a' * 8}-1-1-1.aside",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names(tmp_path: Path, dead: Writer, name: str) -> None:
    write_durably(tmp_path / name, b"one")
    with new_path(tmp_path / name, "no") as aside:
        aside.write_bytes(b"two")
        killed = make(tmp_path / field(aside.name, pid=str(dead.process.pid)))
        assert clear_dead(tmp_path) == [killed]
    assert (tmp_path / name).read_bytes() == b"two"
    assert len(list(tmp_path.iterdir())) == 1


def test_folders_are_removed_with_their_content_and_links_without_their_target(tmp_path: Path, dead: Writer) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    make(mine / "thesis")
    where = tmp_path / "where"
    folder, link, broken, below = (where / field(dead.aside.name, start=str(n)) for n in range(1, 5))
    (folder / "c" / "0").mkdir(parents=True)
    make(folder / "c" / "0" / "1")
    (folder / "c" / "link").symlink_to(mine)
    link.symlink_to(mine)
    broken.symlink_to(tmp_path / "nothing")
    (where / "deeper").mkdir()
    deeper = make(where / "deeper" / below.name)
    assert set(clear_dead(where)) == {folder, link, broken}
    assert (mine / "thesis").exists()
    assert deeper.exists(), "only the folder itself is cleared"


def test_folders_that_are_not_there_or_not_ours(tmp_path: Path, dead: Writer) -> None:
    assert clear_dead(tmp_path / "nowhere") == []
    assert clear_dead(make(tmp_path / "file")) == []
    with tempfile.TemporaryDirectory() as name:  # that others may enter, which is not so of tmp_path
        folder = Path(name)
        kept = make(folder / dead.aside)
        user = os.geteuid()
        try:
            for rights in (0o555, 0o111):
                folder.chmod(rights)
                if user == 0:
                    os.seteuid(65534)
                assert clear_dead(folder) == []
                with pytest.raises(PermissionError):
                    write_durably(folder / "target", b"new")
                with pytest.raises(RunError, match="not written"), new_path(folder / "target", "not written") as aside:
                    aside.write_bytes(b"new")
                if user == 0:
                    os.seteuid(user)
        finally:
            if user == 0:
                os.seteuid(user)
            folder.chmod(0o755)
        assert kept.exists()
        assert clear_dead(folder) == [kept]


# ---- several writers ----------------------------------------------------------------------------------------------


def _write_many_times(folder: Path, number: int, start: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    for turn in range(150):
        text = f"{number} {turn} ".encode() * 500
        write_durably(folder / "one", text)
        with new_paths([folder / "two", folder / "three.zarr"], "no") as (file, store):
            file.write_bytes(text)
            if turn % 10 == 0:
                clear_dead(folder, None)
            store.write_bytes(text)


def test_writers_of_one_target_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each write clears the folder first; one of the writers is killed."""
    start = FORKS.Barrier(5)
    writers = [FORKS.Process(target=_write_many_times, args=(tmp_path, n, start)) for n in range(4)]
    for writer in writers:
        writer.start()
    start.wait()
    while not (tmp_path / "three.zarr").exists():
        time.sleep(0.01)
    writers[0].kill()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers[1:]] == [0, 0, 0]
    clear_dead(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "three.zarr", "two"]
    for path in tmp_path.iterdir():
        words = path.read_bytes().split()
        assert len(words) == 1000
        assert len(set(zip(words[::2], words[1::2], strict=True))) == 1


# ---- writing ------------------------------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def _make_a_file_and_a_folder(tmp_path: Path, error: type[BaseException] | None = None) -> None:
    with new_paths([tmp_path / "a", tmp_path / "b"], "not written") as (file, folder):
        file.write_text("new")
        folder.mkdir()
        make(folder / "new")
        if error is not None:
            raise error("broken")


def test_after_an_error_nothing_is_left_and_what_was_there_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "inside").write_text("old")
    before = names(tmp_path)
    for error, told in ((ValueError, ValueError), (KeyboardInterrupt, KeyboardInterrupt), (RuntimeError, RunError)):
        with pytest.raises(told):
            _make_a_file_and_a_folder(tmp_path, error)
    with pytest.raises(RunError, match="not written"), new_paths([tmp_path / "a", tmp_path / "b"], "not written"):
        pass  # nothing was made
    assert names(tmp_path) == before
    assert (tmp_path / "a").read_text() == (tmp_path / "b" / "inside").read_text() == "old"


def test_files_and_folders_do_not_take_each_other_s_place(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    make(tmp_path / "thesis" / "chapter")
    make(tmp_path / "file")
    with pytest.raises(RunError, match="not written"), new_path(tmp_path / "thesis", "not written") as aside:
        make(aside)
    with pytest.raises(RunError, match="not written"), new_path(tmp_path / "file", "not written") as aside:
        aside.mkdir()
    with pytest.raises(IsADirectoryError):
        write_durably(tmp_path / "thesis", b"new")
    assert names(tmp_path) == ["file", "thesis", "thesis/chapter"]


def test_a_folder_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    for turn in ("one", "two"):
        with new_path(tmp_path / "new" / "store", "no") as aside:
            aside.mkdir()
            make(aside / turn)
    assert names(tmp_path) == ["new", "new/store", "new/store/two"]


def test_where_a_folder_cannot_take_its_place_the_old_one_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b").mkdir()
    make(tmp_path / "b" / "old")
    real = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if target.name == "b" and (self / "new").exists():
            raise OSError("no")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(RunError):
        _make_a_file_and_a_folder(tmp_path)
    assert names(tmp_path) == ["a", "b", "b/old"]


def test_all_is_on_disk_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        steps.append(f"rename {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    with new_paths([tmp_path / "a", tmp_path / "b"], "no") as (file, folder):
        file.write_text("x")
        (folder / "c").mkdir(parents=True)
        make(folder / "c" / "0")
    assert steps[0] == file.name
    assert set(steps[1:4]) == {"0", "c", folder.name}
    assert steps[4:] == ["rename a", "rename b", tmp_path.name]
    steps.clear()
    write_durably(tmp_path / "a", b"y")
    assert [step for step in steps if ".aside" not in step] == ["rename a", tmp_path.name]
    assert steps[0].endswith(".aside")


def test_a_scratch_folder_is_gone_at_the_end(tmp_path: Path, dead: Writer) -> None:
    killed = make(tmp_path / dead.aside)
    with scratch_folder(tmp_path / "lib") as folder:
        assert not killed.exists()
        make(folder / "x").replace(tmp_path / "x")
        make(folder / "y")
    with pytest.raises(ZeroDivisionError), scratch_folder(tmp_path / "lib"):
        raise ZeroDivisionError
    assert names(tmp_path) == ["x"]


def test_removing_what_is_not_there(tmp_path: Path) -> None:
    remove(tmp_path / "nothing")
    with pytest.raises(RunError, match="check the folder"), disk_errors("not written", tmp_path):
        (tmp_path / "nothing").unlink()
