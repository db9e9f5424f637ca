"""Files, directories, stdin, and the files of user data."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
from pathlib import Path

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.spec import Given, load, load_valid
from tests.spec.reading import HEAD


def spec(directory: Path, name: str, stack: str) -> str:
    path = directory / name
    path.write_text(f"version: 1\nstack: {stack}\n")
    return str(path)


def problems(*sources: str) -> list[str]:
    with pytest.raises(SpecErrors) as caught:
        load(sources)
    return [str(problem) for problem in caught.value.problems]


def test_a_file_is_named_as_the_user_named_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Editors need the path as the user gave it."""
    spec(tmp_path, "a.yaml", "a")
    monkeypatch.chdir(tmp_path)
    assert [(loaded.file, loaded.document.stack) for loaded in load(["./a.yaml"])] == [("./a.yaml", "a")]


def test_a_directory_stands_for_its_specs(tmp_path: Path) -> None:
    """Sorted, without hidden files, subdirectories and other file types."""
    for name, stack in (("b.yml", "b"), ("a.yaml", "a"), (".a.yaml", "a"), ("c.json", "c")):
        spec(tmp_path, name, stack)
    (tmp_path / "d.yaml").mkdir()
    assert [loaded.file for loaded in load([str(tmp_path)])] == [f"{tmp_path}/a.yaml", f"{tmp_path}/b.yml"]


def test_stdin_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the argument, otherwise from the process's stdin."""
    assert load(["-"], stdin=lambda: HEAD)[0].file == "-"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(HEAD.encode())))
    assert load(["-"])[0].document.stack == "s"


def test_stdin_has_one_spec_only() -> None:
    """Stdin can be read only once."""
    with pytest.raises(SpecErrors, match="-:1:1: stdin is given twice"):
        load(["-", "-"], stdin=lambda: HEAD)


def test_stdin_that_is_not_text() -> None:
    """Python decodes stdin, and fails before the loader gets the text."""

    def undecodable() -> str:
        return b"\xff".decode()

    with pytest.raises(SpecErrors, match="-:1:1: cannot be read: not a text file"):
        load(["-"], stdin=undecodable)


def test_nothing_to_read(tmp_path: Path) -> None:
    """Missing files, empty directories and invalid names are all reported at once."""
    found = problems(str(tmp_path / "no.yaml"), str(tmp_path), "a\0b", "x" * 5000)
    assert len(found) == 4
    assert any("no.yaml:1:1: cannot be read: No such file" in line for line in found)
    assert any("there is no *.yaml or *.yml file in this directory" in line for line in found)


def test_all_problems_of_all_files_are_reported(tmp_path: Path) -> None:
    """Sorted by file and place."""
    spec(tmp_path, "a.yaml", "A")
    spec(tmp_path, "b.yaml", "b\nregion: here\nregoin: there")
    found = [line.removeprefix(f"{tmp_path}/").split(": ")[0] for line in problems(str(tmp_path))]
    assert found == ["a.yaml:2:8", "b.yaml:3:9", "b.yaml:4:1"]


@pytest.mark.parametrize("rest", ["", "\nregoin: x"])
def test_two_files_with_one_stack(tmp_path: Path, rest: str) -> None:
    """Each file would treat the other's resources as leftovers. Other mistakes do not hide this one."""
    spec(tmp_path, "a.yaml", "same")
    spec(tmp_path, "b.yaml", "same" + rest)
    assert problems(str(tmp_path))[0].splitlines() == [
        f"{tmp_path}/b.yaml:2:8: stack: stack 'same' is already defined in {tmp_path}/a.yaml",
        "  hint: merge the two files, choose another stack name, or write the region or account_id of each",
    ]


def test_one_file_given_twice(tmp_path: Path) -> None:
    """By one name, or by another one. It is told as that, not as two files of one stack."""
    name = spec(tmp_path, "a.yaml", "same")
    hint = "\n  hint: give it once; a directory stands for all its files"
    for again in (name, str(tmp_path)):
        assert problems(name, again, name) == [f"{name}:1:1: is given twice{hint}"]
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    assert problems(str(tmp_path)) == [f"{tmp_path}/b.yaml:1:1: is the same file as {name}{hint}"]


# ---- a file that refuses itself alone


def refused(*sources: str) -> tuple[list[str], list[str]]:
    """The stacks that are loaded, and the problems of the files that are not, without their hints."""
    loaded = load_valid(sources)
    problems = loaded.refused.problems if loaded.refused else ()
    return [each.document.stack for each in loaded.specs], [str(each).splitlines()[0] for each in problems]


def test_a_bad_file_refuses_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all its problems. So does a file that is not there."""
    monkeypatch.chdir(tmp_path)
    spec(tmp_path, "a.yaml", "a")
    assert refused("a.yaml") == (["a"], [])
    spec(tmp_path, "b.yaml", "b\nregion: here\nregoin: there")
    spec(tmp_path, "c.yaml", "c")
    assert refused("a.yaml", "no.yaml", "b.yaml", "c.yaml") == (
        ["a", "c"],
        [
            "b.yaml:3:9: region: must be a Region, not 'here'",
            "b.yaml:4:1: regoin: unknown key",
            "no.yaml:1:1: cannot be read: No such file or directory",
        ],
    )


def test_files_of_one_stack_refuse_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its Region, one may be the twin of two that are none of each other."""
    monkeypatch.chdir(tmp_path)
    spec(tmp_path, "a.yaml", "same\nregion: us-east-1")
    spec(tmp_path, "b.yaml", "same\nregion: eu-west-1")
    spec(tmp_path, "c.yaml", "c")
    assert refused("a.yaml", "b.yaml", "c.yaml") == (["same", "same", "c"], [])
    spec(tmp_path, "d.yaml", "same")
    assert refused("a.yaml", "b.yaml", "c.yaml", "d.yaml") == (
        ["c"],
        [
            "a.yaml:2:8: stack: stack 'same' is also defined in d.yaml",
            "b.yaml:2:8: stack: stack 'same' is also defined in d.yaml",
            "d.yaml:2:8: stack: stack 'same' is already defined in a.yaml",
        ],
    )


def test_what_is_no_file_in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and refuses itself alone: a stack must not vanish without a word."""
    monkeypatch.chdir(tmp_path)
    spec(tmp_path, "a.yaml", "a")
    (tmp_path / "b.yaml").symlink_to("gone.yaml")
    (tmp_path / "c.yaml").symlink_to("c.yaml")
    os.mkfifo(tmp_path / "d.yaml")
    (tmp_path / "e.yaml").symlink_to(os.devnull)
    (tmp_path / "f.yaml").symlink_to("a.json")
    spec(tmp_path, "a.json", "f")
    assert refused(".") == (
        ["a", "f"],
        [
            "b.yaml:1:1: cannot be read: No such file or directory",
            "c.yaml:1:1: cannot be read: Too many levels of symbolic links",
            "d.yaml:1:1: cannot be read: not a regular file",
            "e.yaml:1:1: cannot be read: not a regular file",
        ],
    )


@pytest.mark.parametrize(("one", "two"), [("role", "role"), ("role", "account_id"), ("account_id", "role")])
def test_a_role_says_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: str, two: str) -> None:
    """As account_id does: one name in two accounts is two stacks, in one account it is one."""
    monkeypatch.chdir(tmp_path)
    lines = {"role": "assume_role_arn: arn:aws:iam::{}:role/x", "account_id": 'account_id: "{}"'}
    spec(tmp_path, "a.yaml", f"same\n{lines[one].format('111111111111')}")
    spec(tmp_path, "b.yaml", f"same\n{lines[two].format('222222222222')}")
    assert refused(".") == (["same", "same"], [])
    spec(tmp_path, "b.yaml", f"same\n{lines[two].format('111111111111')}")
    assert len(problems(".")) == 1


def test_what_refuses_all(tmp_path: Path) -> None:
    """No valid file; and a variable of the command line that no file has, for it may concern each of them."""
    good, bad = spec(tmp_path, "a.yaml", "a"), spec(tmp_path, "b.yaml", "B")
    with pytest.raises(SpecErrors) as caught:
        load_valid([bad])
    assert [str(each) for each in caught.value.problems] == problems(bad)
    with pytest.raises(SpecErrors, match="no spec has a variable 'ops'") as caught:
        load_valid([good, bad], given=Given({"ops": "10.0.0.0/8"}))
    assert len(caught.value.problems) == 2


def test_a_file_that_is_too_large_is_not_read_to_its_end() -> None:
    """/dev/zero is endless."""
    (found,) = problems("/dev/zero")
    assert "larger than 1048576 bytes" in found


def test_a_fifo_that_no_process_writes_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for. One with a writer is read to its end, however long the writer takes."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert problems(str(fifo)) == [
        f"{fifo}:1:1: cannot be read: no process writes to this FIFO\n  hint: start its writer first"
    ]
    found_empty, set_blocking = threading.Event(), os.set_blocking

    def wait_for_the_writer(descriptor: int, blocking: bool) -> None:
        set_blocking(descriptor, blocking)
        found_empty.set()

    def write(descriptor: int) -> None:
        with os.fdopen(descriptor, "w") as file:
            found_empty.wait(30)
            for line in [*HEAD.splitlines(keepends=True), "#" * 100_000]:
                file.write(line)
                file.flush()

    monkeypatch.setattr("os.set_blocking", wait_for_the_writer)
    # Open for reading, too: that does not wait for a reader.
    writer = threading.Thread(target=write, args=[os.open(fifo, os.O_RDWR)])
    writer.start()
    assert load([str(fifo)])[0].document.stack == "s"
    writer.join(30)


@pytest.mark.parametrize("path", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_pipe_by_its_path(path: str) -> None:
    """As a shell gives it for <(…), also when its writer has ended."""
    for content, stack in ((HEAD, "s"), ("", None)):
        reader, writer = os.pipe()
        os.write(writer, content.encode())
        os.close(writer)
        if stack:
            assert load([path.format(reader)])[0].document.stack == stack
        else:
            assert "the file is empty" in problems(path.format(reader))[0]
        os.close(reader)


def test_a_problem_that_is_found_later_has_a_place() -> None:
    """Stages after loading report problems at the line of the value."""
    (loaded,) = load(["-"], stdin=lambda: HEAD + "elastic_ips:\n  a:\n    tags: {b: c}\n")
    assert (
        str(loaded.problem(("elastic_ips", "a", "tags", "b"), "m", "h"))
        == "-:5:15: elastic_ips.a.tags.b: m\n  hint: h"
    )
    assert str(loaded.problem(("elastic_ips", "a", "tags"), "m")) == "-:5:11: elastic_ips.a.tags: m"
    assert str(loaded.problem(("elastic_ips", "a", "association"), "m")) == "-:4:3: elastic_ips.a.association: m"
    assert str(loaded.problem((), "m")) == "-:1:1: m"


# ---- user_data_file


def with_user_data(directory: Path, lines: str) -> str:
    path = directory / "s.yaml"
    path.write_text(
        HEAD
        + "network_interfaces: {a: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0}}}\n"
        + "instances:\n  web:\n    image: ami-12345678\n    instance_type: t3.micro\n"
        + lines
    )
    return str(path)


def test_user_data_from_a_file(tmp_path: Path) -> None:
    """The content is not changed; the path is relative to the spec and not to the working directory."""
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "web.sh").write_bytes(b"#!/bin/sh\r\necho \xc3\xa9")
    (loaded,) = load([with_user_data(tmp_path, "    user_data_file: boot/web.sh\n")])
    assert loaded.document.own_instances["web"].user_data == "#!/bin/sh\r\necho é"


def test_user_data_for_a_spec_on_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the working directory."""
    (tmp_path / "web.sh").write_text("x")
    text = Path(with_user_data(tmp_path, "    user_data_file: web.sh\n")).read_text()
    monkeypatch.chdir(tmp_path)
    assert load(["-"], stdin=lambda: text)[0].document.own_instances["web"].user_data == "x"


FILES = [
    # user_data_file as written, the message
    ("none.sh", "there is no file 'none.sh'"),
    ("../secret", "'../secret' is outside the directory of the spec"),
    ("boot/../../secret", "is outside the directory of the spec"),
    ("/etc/hostname", "'/etc/hostname' is outside the directory of the spec"),
    ("link", "'link' is outside the directory of the spec"),
    ("loop", "'loop'"),
    ("boot", "there is no file 'boot'"),
    ("long.sh", "'long.sh' is longer than 16384 bytes, EC2's limit for user data"),
    ("''", "must be the path of a file"),
    ("[web.sh]", "must be the path of a file"),
    (r'"a\0b"', r"cannot read 'a\x00b'"),
    ("x" * 5000, "cannot read 'xxx"),
]


@pytest.mark.parametrize(("written", "message"), FILES)
def test_user_data_files_that_are_refused(tmp_path: Path, written: str, message: str) -> None:
    """A spec cannot read files outside its directory, directly or through links."""
    (tmp_path / "secret").write_text("x")
    top = tmp_path / "specs"
    (top / "boot").mkdir(parents=True)
    (top / "link").symlink_to(tmp_path / "secret")
    (top / "loop").symlink_to(top / "loop")
    (top / "long.sh").write_text("x" * 16385)
    (found,) = problems(with_user_data(top, f"    user_data_file: {written}\n"))
    assert f"{top}/s.yaml:8:21: instances.web.user_data_file: " in found
    assert message in found


def test_user_data_of_any_bytes(tmp_path: Path) -> None:
    """What is not UTF-8, gzip for example, stays as it is; nothing in it is a reference."""
    content = gzip.compress(b"#!/bin/sh\n", mtime=0) + b"${var.none} $${x}"
    (tmp_path / "boot.gz").write_bytes(content)
    (loaded,) = load([with_user_data(tmp_path, "    user_data_file: boot.gz\n")])
    assert loaded.document.own_instances["web"].user_data == content


def test_user_data_of_too_many_bytes(tmp_path: Path) -> None:
    (tmp_path / "boot.gz").write_bytes(b"\xff" * 16385)
    (found,) = problems(with_user_data(tmp_path, "    user_data_file: boot.gz\n"))
    assert "'boot.gz' is longer than 16384 bytes" in found


def test_user_data_twice(tmp_path: Path) -> None:
    """user_data and user_data_file together are an error."""
    (found,) = problems(with_user_data(tmp_path, "    user_data: x\n    user_data_file: y\n"))
    assert ":9:5: instances.web.user_data_file: cannot be combined with `user_data`" in found


def test_user_data_from_a_file_without_a_name(tmp_path: Path) -> None:
    """A null is an error here, too."""
    (found,) = problems(with_user_data(tmp_path, "    user_data_file:\n"))
    assert ":8:5: instances.web.user_data_file: has no value" in found
