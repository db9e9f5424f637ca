"""A guided tour in a minute, for ``make demo``: it runs inside ``enireconcile sandbox``, never on an account.

Every scene checks how its commands ended; the first one that ends otherwise ends the tour with code 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
SPEC = "specs/two-enis.yaml"
STACK = "two-enis"
SCENES = 6


class EndedOtherwiseError(Exception):
    """A scene did not end as it should."""


def main() -> int:
    """The whole tour; the answer is the exit code."""
    if not os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://127.0.0.1:"):
        click.echo("The tour is for the sandbox only: run `make demo`.", err=True)
        return 64
    try:
        with tempfile.TemporaryDirectory(prefix="enireconcile-demo-") as directory:
            tour(Path(directory) / "report.json")
    except EndedOtherwiseError as error:
        click.echo(f"\nThe tour stops here: {error}", err=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def tour(report: Path) -> None:
    """Spec, plan, apply, nothing to do, drift, mending. Raises EndedOtherwiseError."""
    heading(1, "The spec", "Two interfaces on one instance, each with its own Elastic IP. From " + SPEC + ":")
    click.echo(excerpt())

    heading(2, "The plan", "The account is empty. What would it take?")
    plan(changes=True)

    heading(3, "The apply", "At once where it can be, in order where it must be; then everything is read again.")
    made = apply(report, "converged")

    heading(4, "Once more", "Nothing differs, so nothing is done. This is what cron sees on a good day.")
    idle = apply(report, "unchanged")
    check(not idle["steps"], "the second apply had something to do")
    click.echo(f"It took {sum(idle['api_calls'].values())} calls to know, and all of them were reads.")

    heading(5, "Somebody was here", "A long night, the AWS console, three quick clicks:")
    drift()
    plan(changes=True)

    heading(
        6, "Mended", "The same command again: three differences, three calls, each with its impact named above."
    )
    mended = apply(report, "converged")
    check(len(mended["steps"]) == 3, f"it took {len(mended['steps'])} calls to mend three differences")
    check(made["account_id"] == mended["account_id"], "the account changed on the way")
    plan(changes=False)

    farewell()


# The scenes' parts


def excerpt() -> str:
    """The end of the spec: interfaces and addresses."""
    text = (ROOT / SPEC).read_text(encoding="utf-8")
    start = text.index("network_interfaces:")
    return "\n".join(f"  {line}".rstrip() for line in text[start:].splitlines())


def plan(*, changes: bool) -> None:
    """Show a plan as it is; with or without changes, as expected."""
    done = command("plan", SPEC, "--detailed-exitcode", show="plan " + SPEC)
    check(done.returncode == (2 if changes else 0), f"plan ended with code {done.returncode}")


def apply(report: Path, outcome: str) -> dict[str, Any]:
    """Apply unattended; the answer is the JSON report. The plan has been shown: only the last words are."""
    done = command("apply", "-y", SPEC, "--report", str(report), show="apply -y " + SPEC, keep=True)
    check(done.returncode == 0, f"apply ended with code {done.returncode}\n{done.stdout}")
    click.echo(click.style(done.stdout.strip().split("\n\n")[-1], fg="green"))
    told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    check(told["outcome"] == outcome, f"apply says {told['outcome']}, not {outcome}")
    return told


def drift() -> None:
    """What people do by hand: three changes with no spec in sight."""
    import boto3

    ec2 = boto3.client("ec2")
    ours = [{"Name": "tag:enireconcile:stack", "Values": [STACK]}]
    named = "tag:enireconcile:name"

    def one(name: str) -> list[Any]:
        return [*ours, {"Name": named, "Values": [name]}]

    group = ec2.describe_security_groups(Filters=one("security_groups.my-sg-1"))["SecurityGroups"][0]
    interface = ec2.describe_network_interfaces(Filters=one("network_interfaces.web-eth1"))["NetworkInterfaces"][0]
    address = ec2.describe_addresses(Filters=one("elastic_ips.web-1"))["Addresses"][0]
    deeds: Sequence[tuple[str, Callable[[], object]]] = (
        (
            "opens port 22 of my-sg-1 to the world",
            lambda: ec2.authorize_security_group_ingress(
                GroupId=group["GroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
            ),
        ),
        (
            "detaches web-eth1",
            lambda: ec2.detach_network_interface(AttachmentId=interface["Attachment"]["AttachmentId"]),
        ),
        (
            f"takes the address web-1 ({address['PublicIp']}) off its interface",
            lambda: ec2.disassociate_address(AssociationId=address["AssociationId"]),
        ),
    )
    for what, deed in deeds:
        click.echo(f"  somebody {what}")
        deed()


def farewell() -> None:
    rule("That was all")
    click.echo(
        "The sandbox is gone, and nothing has left this machine. To read next:\n"
        "  docs/tutorial.md        the same, step by step, and then on an account of yours\n"
        "  docs/reference/spec.md  what a spec may say\n"
        f"  {SPEC}     the whole spec of this tour"
    )


# Running and showing


def command(*arguments: str, show: str, keep: bool = False) -> subprocess.CompletedProcess[str]:
    """Run enireconcile; with ``keep`` its stdout is kept instead of shown."""
    click.echo("\n" + click.style(f"$ enireconcile {show}", bold=True))
    return subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, "-m", "enireconcile", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE if keep else None,
        text=True,
        check=False,
    )


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise EndedOtherwiseError(otherwise)


def heading(number: int, title: str, words: str) -> None:
    rule(f"{number}/{SCENES}  {title}")
    click.echo(words)


def rule(title: str) -> None:
    """A heading: a line across a terminal, plain elsewhere."""
    click.echo()
    if not sys.stdout.isatty():
        click.echo(f"== {title}")
        return
    from rich.console import Console
    from rich.rule import Rule
    from rich.text import Text

    Console().print(Rule(Text(title, style="bold"), align="left", style="cyan"))


if __name__ == "__main__":
    sys.exit(main())
