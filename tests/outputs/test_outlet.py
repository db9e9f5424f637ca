"""Files that a run writes: regular files are replaced as a whole, everything else is written in place."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from enireconcile.errors import EnireconcileError
from enireconcile.outputs.outlet import Outlet, opened

ROOT = os.geteuid() == 0
TEXT = "new\n"


def outlet(path: Path, *, private: bool = False, patience: float = 10.0) -> Outlet:
    return Outlet(path, "the report", private=private, patience=patience)


def mode_of(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


# ---- regular files


@pytest.mark.parametrize(("private", "mode"), [(False, "0o640"), (True, "0o600")])
def test_a_new_file(path: Path, private: bool, mode: str) -> None:
    """The umask limits its mode; a private file is for its owner only."""
    before = os.umask(0o027)
    try:
        outlet(path, private=private).write(TEXT)
    finally:
        os.umask(before)
    assert (path.read_text(), mode_of(path)) == (TEXT, mode)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_file_keeps_its_mode(path: Path) -> None:
    path.write_text("old")
    path.chmod(0o604)
    outlet(path).write(TEXT)
    assert (path.read_text(), mode_of(path)) == (TEXT, "0o604")


@pytest.mark.skipif(not ROOT, reason="only root can give a file away")
def test_a_file_keeps_its_owner(path: Path) -> None:
    path.write_text("old")
    os.chown(path, 12345, 23456)
    outlet(path).write(TEXT)
    assert (path.read_text(), path.stat().st_uid, path.stat().st_gid) == (TEXT, 12345, 23456)


def test_opening_changes_nothing(path: Path) -> None:
    outlet(path).open()
    assert list(path.parent.iterdir()) == []
    path.write_text("old")
    outlet(path).open()
    assert [(each.name, each.read_text()) for each in path.parent.iterdir()] == [(path.name, "old")]


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays(path: Path, there: bool) -> None:
    """Its target is replaced, or made."""
    target = path.with_name("target")
    if there:
        target.write_text("old")
    path.symlink_to("target")
    outlet(path).write(TEXT)
    assert (path.is_symlink(), target.read_text()) == (True, TEXT)


@pytest.mark.parametrize("there", [True, False])
def test_a_private_file_replaces_a_link(path: Path, there: bool) -> None:
    """Its content must not get into a file that others read."""
    target = path.with_name("target")
    if there:
        target.write_text("old")
    path.symlink_to("target")
    outlet(path, private=True).write(TEXT)
    assert (path.is_symlink(), path.read_text(), mode_of(path)) == (False, TEXT, "0o600")
    assert target.exists() == there
    assert not there or target.read_text() == "old"


def test_no_link_waits_under_the_temporary_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link of that name is not followed, even if the random part was guessed."""
    victim = path.with_name("victim")
    victim.write_text("precious")
    monkeypatch.setattr("enireconcile.files.os.urandom", bytes)
    path.with_name(f".enireconcile-{'00' * 8}.new").symlink_to(victim)
    path.write_text("old")
    with pytest.raises(EnireconcileError, match="File exists"):
        outlet(path).write(TEXT)
    assert (victim.read_text(), path.read_text()) == ("precious", "old")


def test_two_runs_do_not_tear_each_others_report(path: Path) -> None:
    """Every read sees one whole report."""
    reports = [json.dumps({"run": number, "text": "x" * 30_000}) for number in range(2)]
    outlet(path).write(reports[0])
    ended = threading.Event()

    def run(report: str) -> None:
        for _ in range(60):
            outlet(path).write(report)

    def read() -> None:
        while not ended.is_set():
            seen.add(path.read_text())

    seen: set[str] = set()
    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=run, args=(report,)) for report in reports]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    reader.join()
    assert seen <= set(reports)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


# ---- what cannot be written is found before the work


def _loop(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


def _socket(path: Path) -> Path:
    code = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, path.name], check=True, cwd=path.parent)
    return path


def _below_a_file(path: Path) -> Path:
    path.write_text("")
    return path / "x"


PLACES: list[tuple[Callable[[Path], Path], str]] = [
    (lambda path: path.parent / "no" / "x", "No such file or directory"),
    (lambda path: path.parent, "Is a directory"),
    (_below_a_file, "Not a directory"),
    (_loop, "Too many levels of symbolic links"),
    (_socket, "it is a socket, or a device that is not there"),
    (lambda _: Path("/dev/fd/987654"), "Bad file descriptor"),
    (lambda path: path / ("x" * 300), "File name too long|No such file or directory"),
    (lambda _: Path("/proc/enireconcile"), "No such file or directory|Permission denied"),
]


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize(("make", "reason"), PLACES)
def test_places_that_cannot_be_written(
    path: Path, make: Callable[[Path], Path], reason: str, private: bool
) -> None:
    place = make(path)
    with pytest.raises(EnireconcileError, match=rf"^cannot write the report {place}: ({reason})"):
        outlet(place, private=private).open()


def test_all_are_opened_or_none(path: Path, fifo: Path) -> None:
    """The second cannot be opened: the first one is closed again."""
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    first, second = outlet(fifo), outlet(path / "no" / "x")
    with pytest.raises(EnireconcileError), opened(first, None, second):
        raise AssertionError("not opened")
    assert (first.is_stream, os.read(reader, 10)) == (False, b"")
    os.close(reader)


# ---- devices


@pytest.fixture
def null(tmp_path: Path) -> Path:
    """A null device of this test: no test touches that of the machine."""
    path = tmp_path / "null"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        path.write_text("")
    except OSError:
        pytest.skip("this user or file system has no devices")
    return path


@pytest.mark.parametrize("private", [False, True])
def test_a_device_stays_a_device(null: Path, private: bool) -> None:
    link = null.with_name("link")
    link.symlink_to(null)
    for path in (null, link):
        with opened(one := outlet(path, private=private)):
            one.write(TEXT)
            one.write(TEXT)
    assert stat.S_ISCHR(null.lstat().st_mode)
    assert (link.is_symlink(), stat.S_IMODE(null.stat().st_mode) & 0o077 != 0) == (True, True)
    assert sorted(each.name for each in null.parent.iterdir()) == ["link", "null"]


# ---- pipes


def test_a_fifo_without_a_reader(fifo: Path) -> None:
    """Found at once, and not waited for."""
    with pytest.raises(EnireconcileError, match=r"fifo: no process reads this FIFO\n  hint: start its reader"):
        outlet(fifo).open()
    assert stat.S_ISFIFO(fifo.lstat().st_mode)


def test_a_fifo_with_a_reader(fifo: Path) -> None:
    """More than a pipe holds arrives, and then the end."""
    text = "x" * 200_000
    arrived = fifo.with_name("arrived")
    with arrived.open("w") as file, subprocess.Popen(["cat", fifo], stdout=file) as reader:
        # Blocks until the reader is there.
        waiting = os.open(fifo, os.O_WRONLY)
        with opened(one := outlet(fifo)):
            os.close(waiting)
            one.write(text)
        assert reader.wait(60) == 0
    assert arrived.read_text() == text


def test_a_reader_that_does_not_read(fifo: Path) -> None:
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with opened(one := outlet(fifo, patience=0.1)), pytest.raises(EnireconcileError, match="has read nothing"):
        one.write("x" * 2_000_000)
    os.close(reader)


def test_a_reader_that_leaves_and_another_that_comes(fifo: Path) -> None:
    """The round of a watch after the one that failed opens the FIFO again."""
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with opened(one := outlet(fifo)):
        os.close(reader)
        with pytest.raises(EnireconcileError, match="its reader has closed it"):
            one.write(TEXT)
        with pytest.raises(EnireconcileError, match="no process reads this FIFO"):
            one.write(TEXT)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        one.write(TEXT)
        assert os.read(reader, 100) == TEXT.encode()
    os.close(reader)


# ---- open descriptors


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
@pytest.mark.parametrize("private", [False, True])
def test_a_descriptor_of_a_file_continues_it(path: Path, name: str, private: bool) -> None:
    """`--report /dev/stdout >log`: what was printed before stays, and the link is not replaced."""
    with path.open("wb", buffering=0) as file:
        file.write(b"printed before\n")
        link = path.with_name("link")
        link.symlink_to(name.format(file.fileno()))
        for place in (Path(name.format(file.fileno())), link):
            with opened(one := outlet(place, private=private)):
                one.write(TEXT)
        file.write(b"printed after\n")
    assert path.read_text() == f"printed before\n{TEXT}{TEXT}printed after\n"
    assert link.is_symlink()


def test_a_descriptor_of_a_pipe_whose_reader_does_not_read() -> None:
    """`--report >(sleep 1h)`: the descriptor blocks, the run does not."""
    reader, writer = os.pipe()
    one = outlet(Path(f"/dev/fd/{writer}"), patience=0.1)
    with opened(one), pytest.raises(EnireconcileError, match="its reader has read nothing"):
        one.write("x" * 2_000_000)
    os.close(reader)
    with pytest.raises(EnireconcileError, match="its reader has closed it"):
        outlet(Path(f"/dev/fd/{writer}")).open()
    os.close(writer)


def test_a_descriptor_that_is_open_for_reading_only(path: Path) -> None:
    path.write_text("old")
    with path.open() as file, pytest.raises(EnireconcileError, match="it is not open for writing"):
        outlet(Path(f"/dev/fd/{file.fileno()}")).open()
    assert path.read_text() == "old"


# ---- mounts


def in_a_mount_namespace(script: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script whose mounts end with it."""
    try:
        subprocess.run(["unshare", "-m", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user cannot make mounts of its own")
    command = ["unshare", "-m", "sh", "-ec", script, "sh", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


WRITE = [sys.executable, "-c", "import sys; from tests.outputs.test_outlet import write; write(*sys.argv[1:])"]


def write(path: str, text: str, private: str = "") -> None:
    """What the tests run in a mount namespace: open, and write."""
    with opened(one := outlet(Path(path), private=bool(private))):
        one.write(text)


@pytest.mark.parametrize("private", ["", "private"])
def test_a_bind_mounted_file_is_written_in_place(path: Path, private: str) -> None:
    """As containers get single files: it cannot be renamed over."""
    source = path.with_name("source")
    source.write_text("old, and longer than the new one\n")
    path.touch()
    script = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
    ran = in_a_mount_namespace(script, source, path, *WRITE, str(path), TEXT, private)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (source.read_text(), path.read_text()) == (TEXT, "")
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, "source"]


def test_a_file_in_a_read_only_folder_is_written_in_place(path: Path) -> None:
    source = path.with_name("source")
    source.write_text("old, and longer than the new one\n")
    folder = path.with_name("folder")
    folder.mkdir()
    (folder / "report.json").touch()
    script = (
        'mount --bind "$2" "$2"; mount --bind "$1" "$2/report.json"; mount -o remount,bind,ro "$2"; '
        'shift 2; exec "$@"'
    )
    ran = in_a_mount_namespace(script, source, folder, *WRITE, str(folder / "report.json"), TEXT)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert source.read_text() == TEXT


def test_a_full_disk_leaves_the_old_file(path: Path) -> None:
    """And no temporary file beside it."""
    folder = path.with_name("disk")
    folder.mkdir()
    script = (
        'mount -t tmpfs -o size=8k tmpfs "$1"; echo old >"$1/report.json"; disk=$1; shift; '
        '"$@" 2>&1 | tail -n 2; ls -A "$disk"; cat "$disk/report.json"'
    )
    ran = in_a_mount_namespace(script, folder, *WRITE, str(folder / "report.json"), "x" * 9000)
    assert "No space left on device" in ran.stdout
    assert ran.stdout.endswith("report.json\nold\n")
