"""``export`` as a user meets it: a spec on stdout, notes on stderr, and errors in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ec2 import EC2Server
from tests.processes.test_cli import SPEC, Run, command, server

__all__ = ["command", "server"]


@pytest.fixture
def applied(server: EC2Server, command: Run) -> EC2Server:
    """An account with the story's stack."""
    assert command("apply", "-y", SPEC).code == 0
    server.clear()
    return server


def test_a_stack_is_written_and_plans_to_nothing(applied: EC2Server, command: Run, tmp_path: Path) -> None:
    """The spec alone is on stdout; the account is only read."""
    ran = command("export", "--stack", "two-enis", "--region", "us-east-1")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.startswith("# What exists of the stack two-enis in us-east-1.\n")
    path = tmp_path / "again.yaml"
    path.write_text(ran.stdout, encoding="utf-8")
    assert command("plan", "--detailed-exitcode", str(path)).code == 0
    assert applied.mutating() == []


def test_what_is_left_out_is_told_on_stderr(applied: EC2Server, command: Run) -> None:
    """All of the instance belongs to a stack, so there is nothing to adopt."""
    [web] = applied.world.data.instances
    ran = command("export", "--instance", web, "--region", "us-east-1")
    assert (ran.code, ran.stdout) == (1, "")
    told = (
        f"note: left out: {web} (web): belongs to the stack two-enis: see `enireconcile export --stack two-enis`"
    )
    assert told in ran.stderr.splitlines()
    assert f"error: nothing of {web} can be exported\n  hint: see the notes above\n" in ran.stderr


def test_a_vpc_with_nothing_of_ones_own(server: EC2Server, command: Run) -> None:
    [vpc] = server.world.data.vpcs
    ran = command("export", "--vpc", vpc, "--region", "us-east-1")
    assert (ran.code, ran.stdout) == (1, "")
    assert "hint: there is nothing besides a default security group" in ran.stderr


@pytest.mark.usefixtures("server")
def test_nothing_there(command: Run) -> None:
    ran = command("export", "--stack", "nope", "--region", "us-east-1")
    assert (ran.code, ran.stdout) == (1, "")
    assert "error: nothing in us-east-1 belongs to the stack nope\n  hint: there are no stacks" in ran.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "Give one of --instance, --vpc, --tag and --stack."),
        (("--stack", "a", "--vpc", "vpc-0123456789abcdef0"), "Give one of"),
        (
            ("--instance", "legacy web"),
            "'legacy web' is no instance id, such as i-0123456789abcdef0; to find one by its name, use "
            "--tag 'Name=legacy web'\n",
        ),
        (("--vpc", "i-0123456789abcdef0"), "is no VPC id, such as vpc-0123456789abcdef0\n"),
        (
            ("legacy-web",),
            "Got unexpected extra argument (legacy-web): to find one by its name, use --tag Name=legacy-web\n",
        ),
        (("--tag", "team"), "'team': write KEY=VALUE"),
    ],
)
def test_wrong_usage(command: Run, args: tuple[str, ...], words: str) -> None:
    ran = command("export", *args)
    assert ran.code == 64
    assert words in ran.stderr


# ---- user data


@pytest.fixture
def exporting(applied: EC2Server, command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The account with the story's stack, and a folder of its own to export to. The umask hides nothing."""
    monkeypatch.chdir(tmp_path)
    before = os.umask(0)
    yield command
    os.umask(before)
    assert applied.mutating() == []


EXPORT = ("export", "--stack", "two-enis", "--region", "us-east-1", "--user-data", "boot/web")
OTHER = "error: boot/web/web.sh: there is another file of this name; nothing was written\n  hint: remove it, or"


def test_user_data_goes_into_files_that_only_their_owner_can_read(exporting: Run) -> None:
    """Twice: what is there already may stay. The plan of the spec is empty."""
    for _ in range(2):
        ran = exporting(*EXPORT, "-vv")
        assert ran.code == 0
    file = Path("boot/web/web.sh")
    modes = [oct(each.stat().st_mode & 0o777) for each in (file, file.parent, file.parent.parent)]
    assert modes == ["0o600", "0o700", "0o700"]
    assert "httpd" in file.read_text(encoding="utf-8")
    assert "httpd" not in ran.stdout + ran.stderr
    assert "note: user data, which may hold secrets, is in 1 file in boot/web that only you can read" in ran.stderr
    Path("again.yaml").write_text(ran.stdout, encoding="utf-8")
    assert exporting("plan", "--detailed-exitcode", "again.yaml").code == 0


@pytest.mark.parametrize("what", ["another file", "a link", "a folder", "a link above"])
def test_user_data_overwrites_nothing(exporting: Run, what: str) -> None:
    folder, elsewhere = Path("boot/web"), Path("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "web.sh").write_text("mine", encoding="utf-8")
    if what == "a link above":
        Path("boot").symlink_to(elsewhere, target_is_directory=True)
    else:
        folder.mkdir(parents=True)
    if what == "another file":
        (folder / "web.sh").write_text("mine", encoding="utf-8")
    elif what == "a link":
        (folder / "web.sh").symlink_to(elsewhere / "web.sh")
    elif what == "a folder":
        (folder / "web.sh").mkdir()
    before = sorted(Path().rglob("*"))
    ran = exporting(*EXPORT)
    assert (ran.code, ran.stdout) == (1, "")
    link = "error: --user-data boot/web is reached by a symbolic link; nothing was written"
    assert (link if what == "a link above" else OTHER) in ran.stderr
    assert sorted(Path().rglob("*")) == before
    assert (elsewhere / "web.sh").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("folder", ["../boot", "/boot", "boot/../..", ".hidden", "a b", "${x}"])
def test_user_data_goes_where_a_spec_can_name_it(command: Run, folder: str) -> None:
    ran = command("export", "--stack", "x", "--user-data", folder)
    assert ran.code == 64
    assert "write a folder below the working directory, such as boot" in ran.stderr
