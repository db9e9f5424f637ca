"""The console blocks of the docs, made by running what they show.

``python -m tests.docs.console`` compares every block with what its commands print; ``--write`` updates the pages.
Ids, times and ports differ from run to run, so they are not compared; a block with no other difference is kept.
A block may be an excerpt: a line ``…`` stands for lines that are left out.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.ec2 import Settings
from tests.harness import ENVIRONMENT, Harness, open_harness
from tests.probing import guests
from tests.s3 import BUCKET, Clock, Object, S3Server
from tests.scenarios.firewalls import Firewalls
from tests.scenarios.orphans import orphan

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STORY = "specs/two-enis.yaml"
AMAZON_LINUX = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
DEBIAN = "/aws/service/debian/release/12/latest/amd64"
WAITING = "waiting for "
"""How lines begin that only a slow machine shows."""
LONGEST = 100.0
"""Seconds that a command may take."""
NOT_RUN = {
    "docs/explanation/mutation-testing.md": "it takes more than an hour",
    "docs/reference/cli.md": "a synopsis, without output",
}
"""Pages whose console blocks are not run, and why."""
_SLOW = re.compile(r"^(waiting for \S+ …|\d+ of \d+ units, \d+ of \d+ accounts.*)\n", re.MULTILINE)
"""What a command says on a busy machine."""
_ENDPOINT = re.compile(
    r"( EC2 is)? at http://127\.0\.0\.1:\d+, not AWS(?(1)\.)|^warning: checks ask real addresses: .*\n",
    re.MULTILINE,
)
"""Where the strict EC2 is, and what that means. It stands for AWS on the pages, so they do not show it.

The sandbox is no AWS there.
"""
_UNIT = re.compile(r"[\w-]+/[\w-]+/[\w-]+: ")
"""How a line about a unit of a fleet begins. Units run at the same time."""
_VARIABLE = (
    (re.compile(r"\b(ami|eipalloc|eni|i|sg|subnet|vpc)-[0-9a-f]{8,17}\b"), r"\1-ID"),
    (re.compile(r"\d+\.\d s\b"), "N s"),
    (re.compile(r'(?<="seconds": )\d+\.\d+'), "N"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\b(\d{1,3}\.){3}\d{1,3}\b(?!/)"), "ADDRESS"),
    # The width of a column depends on its addresses.
    (re.compile(r"(?<=\S) {2,}"), "  "),
)


@dataclass(frozen=True)
class Shell:
    """Runs the commands of a page as processes, stdout and stderr together.

    ``as_aws``: readers of the page take the EC2 of these commands for AWS.
    """

    cwd: Path
    variables: Mapping[str, str]
    as_aws: bool = False

    @property
    def environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ENIRECONCILE_"))
        }
        unconfigured = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        return {**inherited, **ENVIRONMENT, **unconfigured, "AWS_EC2_METADATA_DISABLED": "true", **self.variables}

    def told(self, output: str) -> str:
        """An output, as a page shows it."""
        return _ENDPOINT.sub("", output) if self.as_aws else output

    def block(self, line: str, *shown: str, answer: str | None = None) -> str:
        """The block of a command: its line and its output, or an excerpt of the lines that begin with ``shown``.

        ``answer`` is typed at the prompt.
        """
        program, *arguments = shlex.split(line)
        assert program in ("enireconcile", "grep")
        command = [sys.executable, "-m", program] if program == "enireconcile" else [program]
        with _typed(answer) as stdin:
            ran = subprocess.run(
                [*command, *arguments],
                cwd=self.cwd,
                env=self.environment,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LONGEST,
                check=False,
            )
        output = self.told(_SLOW.sub("", ran.stdout))
        if answer is not None:
            before, prompt, after = output.partition("[y/N]: ")
            assert prompt, output
            output = f"{before}{prompt}{answer}\n{after}"
        return f"$ {line}\n{excerpt(output, shown)}"

    def script(self, text: str) -> None:
        """Run a shell script in which ``aws`` is tests/docs/aws.py. It must succeed."""
        with tempfile.TemporaryDirectory() as directory:
            aws = Path(directory) / "aws"
            aws.write_text(
                f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.docs.aws "$@"\n', encoding="utf-8"
            )
            aws.chmod(0o700)
            path = f"{directory}:{os.environ['PATH']}"
            subprocess.run(
                ["sh", "-eu", "-c", text],
                cwd=self.cwd,
                env={**self.environment, "PATH": path},
                stdout=subprocess.DEVNULL,
                timeout=LONGEST,
                check=True,
            )


@contextlib.contextmanager
def _typed(answer: str | None) -> Iterator[int]:
    """A stdin: nothing, or a terminal on which the answer was typed."""
    if answer is None:
        yield subprocess.DEVNULL
        return
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, f"{answer}\n".encode())
        yield terminal
    finally:
        os.close(terminal)
        os.close(keyboard)


def excerpt(text: str, shown: tuple[str, ...]) -> str:
    """The lines that match one of the patterns at their beginning; each gap becomes one line with ``…``."""
    lines = text.rstrip().splitlines()
    if not shown:
        return "".join(f"{line}\n" for line in lines)
    wanted = re.compile("|".join(shown))
    kept = ""
    for matches, group in itertools.groupby(lines, lambda line: bool(wanted.match(line))):
        run = list(group)
        if matches:
            kept += "".join(f"{line}\n" for line in run)
        elif any(run):
            kept += "    …\n" if all(line.startswith("    ") for line in run if line) else "…\n"
        else:
            kept += "\n"
    return kept


def sh_blocks(page: str, heading: str) -> list[str]:
    """The ``sh`` blocks of a page's section."""
    return _blocks("sh", page, heading)


def yaml_blocks(page: str, heading: str = "") -> list[str]:
    """The ``yaml`` blocks of a page, or of a section of it."""
    return _blocks("yaml", page, heading)


def _blocks(language: str, page: str, heading: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    if heading:
        text = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# ---- The pages


@contextlib.contextmanager
def sandbox(state: str) -> Iterator[tuple[str, dict[str, str]]]:
    """What ``enireconcile sandbox`` prints, and the variables that it says to export."""
    with subprocess.Popen(
        [sys.executable, "-m", "enireconcile", "sandbox"],
        env=Shell(ROOT, {}).environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            while lines[-1].startswith("export "):
                lines.append(process.stdout.readline())
            exports = [line.removeprefix("export ").strip() for line in lines if line.startswith("export ")]
            variables = dict(each.split("=", 1) for each in exports)
            yield "$ enireconcile sandbox\n" + "".join(lines), {**variables, "ENIRECONCILE_STATE": state}
        finally:
            process.send_signal(signal.SIGINT)


def tutorial(directory: Path) -> Iterator[str]:
    """The whole tutorial, in the sandbox."""
    offline = Shell(ROOT, {})
    yield offline.block(f"enireconcile validate {STORY}")
    typo = directory / STORY
    typo.parent.mkdir()
    text = (ROOT / STORY).read_text(encoding="utf-8")
    typo.write_text(text.replace("security_groups: [my-sg-1]", "security_groups: [my-sg1]"), encoding="utf-8")
    yield Shell(directory, {}).block(f"enireconcile validate {STORY}")
    with sandbox(str(directory / "state")) as (printed, variables):
        yield printed
        shell = Shell(ROOT, variables)
        yield shell.block(f"enireconcile plan {STORY}")
        marks = r"CreateSecurityGroup .*my-sg-1 ", r"CreateNetworkInterface .*web-eth0 ", "RunInstances "
        shown = (r"(Apply|Destroy) \d+ ", *(f"✓ {mark}" for mark in marks), "Converged")
        yield shell.block(f"enireconcile apply {STORY}", *shown, answer="y")
        yield shell.block(f"enireconcile apply {STORY}")
        yield shell.block(f"enireconcile show {STORY}")
        for script in sh_blocks("docs/tutorial.md", "Drift and repair"):
            shell.script(script)
        yield shell.block(f"enireconcile plan {STORY}")
        yield shell.block(f"enireconcile apply {STORY}", r"(Apply|Destroy) \d+ ", "Converged", answer="y")
        yield from roads(directory)
        removed = "- ", "Plan", r"\d+ EC2 calls", r"(Apply|Destroy) \d+ ", "Destroyed"
        yield shell.block(f"enireconcile destroy {STORY}", *removed, answer="y")


def on(harness: Harness, cwd: Path, state: Path) -> Shell:
    """A shell whose commands go to the strict EC2 of a harness."""
    variables = {"AWS_ENDPOINT_URL": harness.server.url, "ENIRECONCILE_STATE": str(state / "state")}
    return Shell(cwd, variables, as_aws=True)


def readme(directory: Path) -> Iterator[str]:
    """The story; how it is mended is a picture."""
    with open_harness(directory / "before") as harness:
        yield on(harness, ROOT, directory).block(f"enireconcile apply {STORY}", f"(?!✓|{WAITING})", answer="y")


def adopt(directory: Path) -> Iterator[str]:
    """The first spec of the page, on an account that has these resources."""
    with open_harness(directory / "before") as harness:
        ids = orphan(harness)
        spec = yaml_blocks("docs/how-to/adopt.md")[0]
        for address in (
            "instances.web",
            "security_groups.my-sg-1",
            "network_interfaces.web-eth0",
            "elastic_ips.web-1",
        ):
            prefix, _, _ = ids[address].rpartition("-")
            spec = re.sub(rf"\b{prefix}-[0-9a-f]+", ids[address], spec)
        (directory / "shop.yaml").write_text(spec, encoding="utf-8")
        yield on(harness, directory, directory).block("enireconcile plan shop.yaml")


def failover(directory: Path) -> Iterator[str]:
    """specs/ha-failover.yaml, when the status checks of the first instance fail."""
    with open_harness(directory / "before") as harness:
        firewalls = Firewalls(harness)
        harness.apply((ROOT / "specs" / "ha-failover.yaml").read_text(encoding="utf-8"))
        firewalls.sicken("fw-a")
        yield on(harness, ROOT, directory).block("enireconcile plan specs/ha-failover.yaml")


def roads(directory: Path) -> Iterator[str]:
    """The end of the tutorial, on Debian: the second address is closed, then dead in the guest, then alive."""
    checks, rule = yaml_blocks("docs/tutorial.md", "A page through both addresses")
    path = directory / STORY
    story = replaced((ROOT / STORY).read_text(encoding="utf-8"), AMAZON_LINUX, DEBIAN)
    with played(directory, story) as stage:

        def write(first: int, second: int, rules: str) -> None:
            text = replaced(stage.story, "  my-sg-2: {}              # no ingress: no port is open\n", rules)
            asked = replaced(checks, "web-1, http: {", f"web-1, http: {{port: {first}, ")
            asked = replaced(asked, "web-2, http: {", f"web-2, http: {{port: {second}, ")
            path.write_text(f"{text}\n{asked}", encoding="utf-8")
            stage.shown |= {str(first): "80", str(second): "80"}

        with guests.web(stage.public("web-1")) as first:
            with guests.full(stage.public("web-2")) as second:
                write(first, second, "  my-sg-2: {}\n")
                yield stage.block(f"enireconcile verify {STORY}")
                write(first, second, rule.replace("ports: 80", f"ports: {second}"))
                yield stage.block(f"enireconcile apply --verify {STORY}", answer="y")
            with guests.web(stage.public("web-2")) as second:
                write(first, second, rule)
                yield stage.block(f"enireconcile verify {STORY}")


def verify(directory: Path) -> Iterator[str]:
    """The checks of the page, answered; then without the rule."""
    spec = directory / "shop.yaml"
    with played(directory, (ROOT / STORY).read_text(encoding="utf-8")) as stage:

        def block(page: int, shut: int, *within: str) -> str:
            http = f"{{port: {page}, contains: Testing ENI}}"
            checks = (
                f"  page: {{elastic_ip: web-1, http: {http}, within: {within[0]}}}\n"
                f"  shut: {{elastic_ip: web-2, tcp: {shut}, expect: silent, within: {within[1]}}}\n"
            )
            spec.write_text(f"{stage.story}\nchecks:\n{checks}", encoding="utf-8")
            stage.shown |= {str(page): "80", str(shut): "80"}
            return stage.block("enireconcile verify shop.yaml")

        with guests.full(stage.public("web-2")) as shut:
            with guests.web(stage.public("web-1")) as port:
                yield block(port, shut, "30s", "1s")
            client = stage.harness.client()
            [group] = client.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["my-sg-1"]}])[
                "SecurityGroups"
            ]
            client.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
            with guests.full(stage.public("web-1")) as port:
                yield block(port, shut, "1s", "30s")


@dataclass
class Played:
    """A story that has been applied, and whose public addresses are loopback's, with all their ports.

    A port whose queue is full is as silent as one that no group opens. ``shown`` is what stands in blocks instead
    of these addresses and ports.
    """

    harness: Harness
    shell: Shell
    story: str
    shown: dict[str, str]

    def public(self, name: str) -> str:
        """The address of an Elastic IP."""
        found = self.harness.strict.world.data.addresses.values()
        return next(each.public_ip for each in found if each.tags["Name"] == name)

    def block(self, line: str, answer: str | None = None) -> str:
        text = self.shell.block(line, answer=answer)
        for here, instead in self.shown.items():
            text = re.sub(rf"\b{re.escape(here)}\b", instead, text)
        return text


@contextlib.contextmanager
def played(directory: Path, story: str) -> Iterator[Played]:
    with open_harness(directory / "before", Settings(public_network="127.55.0.0/16")) as harness:
        harness.strict.world.add_image("debian-12-amd64", "2026-01-06", owner_id="136693071363", parameter=DEBIAN)
        harness.apply(story)
        stage = Played(harness, on(harness, directory, directory), story, {})
        stage.shown |= {stage.public("web-1"): "203.0.113.7", stage.public("web-2"): "203.0.113.8"}
        yield stage


def replaced(text: str, old: str, new: str) -> str:
    """The text with one part, which it has, replaced."""
    assert old in text, old
    return text.replace(old, new)


def disks(directory: Path) -> Iterator[str]:
    """The spec of the page: new, with another size, and replaced from the snapshot that the page names."""
    page = "docs/how-to/disks.md"
    first, changed = yaml_blocks(page)[0], row_lines(page)
    path = directory / "db.yaml"
    with open_harness(directory / "before") as harness:
        harness.strict.world.data.snapshots["snap-0123456789abcdef0"] = 100
        shell = on(harness, directory, directory)
        path.write_text(first, encoding="utf-8")
        yield shell.block("enireconcile plan db.yaml", r"\+ instances", ".*volume", "Plan")
        harness.apply(first)
        harness.loop.now += 60
        path.write_text(first.replace("size_gib: 100", "size_gib: 200"), encoding="utf-8")
        yield shell.block("enireconcile plan db.yaml")
        harness.apply(first.replace("m5.large\n", "m5.large\n    state: stopped\n"))
        harness.loop.now += 60
        old = first.partition("    volumes:\n")[2].partition("    volume_tags")[0]
        replaced = first.replace(f"    volumes:\n{old}", changed)
        path.write_text(replaced, encoding="utf-8")
        yield shell.block("enireconcile plan db.yaml")
        report = harness.apply(replaced)
        assert (report.outcome, report.error) == ("converged", None)


def row_lines(page: str) -> str:
    """The lines of a row that a page shows inside of a list, indented as in the spec."""
    return (ROOT / page).read_text(encoding="utf-8").partition("    ```yaml\n")[2].partition("    ```\n")[0]


def unlock(directory: Path) -> Iterator[str]:
    """A lock that a run on another machine left 75 seconds ago."""
    clock = Clock()
    holder = {
        "who": "ops",
        "host": "build-7",
        "pid": 4711,
        "command": "enireconcile apply -y",
        "since": "2026-03-01T10:15:04+00:00",
        "lease": 60.0,
        "token": "0123456789abcdef",
        "renewals": 3,
    }
    with open_harness(directory) as harness, S3Server(clock) as s3:
        lock = json.dumps(holder).encode()
        s3.objects["stacks/123456789012-us-east-1-two-enis/lock.json"] = Object(lock, '"1"', clock.now)
        clock.now += 75
        variables = {
            "AWS_ENDPOINT_URL": harness.server.url,
            "AWS_ENDPOINT_URL_S3": s3.url,
            "ENIRECONCILE_STATE": f"s3://{BUCKET}/stacks",
        }
        yield Shell(ROOT, variables).block(f"enireconcile unlock {STORY}", answer="y")


def fleet(directory: Path) -> Iterator[str]:
    """The walk through the page, in the sandbox, in a directory that has the page's three files only."""
    page, folder = "docs/how-to/fleet.md", directory / "fleet"
    folder.mkdir()
    names = "fleet.yaml", "edge.yaml", "bastion.yaml"
    for name, text in zip(names, yaml_blocks(page, "In the sandbox first"), strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    offline = Shell(folder, {})
    yield offline.block("enireconcile fleet validate fleet.yaml")
    yield offline.block("enireconcile fleet units fleet.yaml")
    with sandbox(str(directory / "state")) as (printed, variables):
        yield printed
        shell = Shell(folder, variables)
        yield shell.block("enireconcile fleet plan --only 'dev/*' fleet.yaml")
        yield shell.block("enireconcile fleet plan fleet.yaml", "Planned: ")
        yield shell.block("enireconcile fleet apply fleet.yaml", answer="y")
        yield shell.block("enireconcile fleet apply -y fleet.yaml")
        [script] = sh_blocks(page, "A change by hand, and its repair")
        shell.script(script)
        yield shell.block("enireconcile fleet plan fleet.yaml")
        yield shell.block("enireconcile fleet apply -y --report report.json fleet.yaml")
        yield shell.block("grep -A 8 prod-b/eu-west-1/edge report.json")


def order(directory: Path) -> Iterator[str]:
    """The first example of the page: the interface is in the old group, and the file has the new one."""
    after = f"version: 1\nstack: web\nregion: us-east-1\n{yaml_blocks('docs/explanation/order.md')[0]}"
    with open_harness(directory / "before") as harness:
        harness.apply(after.replace("web2", "web"))
        harness.loop.now += 60
        (directory / "web.yaml").write_text(after, encoding="utf-8")
        yield on(harness, directory, directory).block("enireconcile explain --prune web.yaml s3")


SCENES: Mapping[str, Callable[[Path], Iterator[str]]] = {
    "README.md": readme,
    "docs/tutorial.md": tutorial,
    "docs/how-to/adopt.md": adopt,
    "docs/how-to/ha-failover.md": failover,
    "docs/how-to/disks.md": disks,
    "docs/how-to/fleet.md": fleet,
    "docs/how-to/state.md": unlock,
    "docs/how-to/verify.md": verify,
    "docs/explanation/order.md": order,
}
"""Page to what makes its console blocks, in their order on the page."""


# ---- Comparing and writing


def comparable(block: str) -> str:
    """A block without what differs from run to run."""
    for pattern, instead in _VARIABLE:
        block = pattern.sub(instead, block)
    lines: list[str] = []
    for of_units, run in itertools.groupby(block.splitlines(), lambda line: bool(_UNIT.match(line))):
        lines += sorted(run, key=str if of_units else lambda _: "")
    return "\n".join(line for line in lines if line.strip() != "…")


def blocks(page: str) -> list[str]:
    """The console blocks of a page, as they stand."""
    return FENCE.findall((ROOT / page).read_text(encoding="utf-8"))


def made(page: str) -> list[str]:
    """The console blocks of a page, made anew; one that differs in ids and times only is the one that stands."""
    with tempfile.TemporaryDirectory() as directory:
        new = list(SCENES[page](Path(directory)))
    old = [*blocks(page), *[""] * len(new)]
    return [
        stands if comparable(stands) == comparable(block) else block
        for stands, block in zip(old, new, strict=False)
    ]


def write(page: str) -> bool:
    """Put the blocks that were made anew into the page. True if it changed."""
    path, new = ROOT / page, made(page)
    text = path.read_text(encoding="utf-8")
    if len(new) != len(blocks(page)):
        raise SystemExit(f"{page} has {len(blocks(page))} console blocks, its scene makes {len(new)}")
    remaining = iter(new)
    path.write_text(FENCE.sub(lambda _: f"```console\n{next(remaining)}```", text), encoding="utf-8")
    return path.read_text(encoding="utf-8") != text


def main(arguments: list[str]) -> int:
    """0 if every page is up to date, or was written; 1 if one is not."""
    stale = [page for page in SCENES if (write(page) if "--write" in arguments else made(page) != blocks(page))]
    print("\n".join(stale) or "up to date")  # noqa: T201 - this is the program's answer
    return 1 if stale and "--write" not in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
