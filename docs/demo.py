"""A tour of a minute, for ``make demo``. It runs inside ``enireconcile sandbox`` only, never on an account.

The last scene is in demo_page.py.

Every scene checks the exit codes of its commands; the first unexpected one ends the tour with code 1.
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
SCENES = 8


class EndedOtherwiseError(Exception):
    """A scene did not end as expected."""


def main() -> int:
    """The whole tour. Returns the exit code."""
    if not os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://127.0.0.1:"):
        click.echo("The tour runs in the sandbox only: run `make demo`.", err=True)
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
    """Spec, plan, apply, nothing to do, drift, repair, destroy, a page. Raises EndedOtherwiseError."""
    heading(1, "The spec", "One instance with two interfaces, each with its own Elastic IP. From " + SPEC + ":")
    click.echo(excerpt())

    heading(2, "The plan", "The account is empty. `plan` shows what `apply` would create.")
    plan(changes=True)

    heading(3, "The apply", "Independent calls run in parallel. Then enireconcile reads the live state again.")
    made = apply(report, "converged")

    heading(
        4, "Apply again", "Nothing differs, so apply changes nothing. This is what cron runs most of the time."
    )
    idle = apply(report, "unchanged")
    check(not idle["steps"], "the second apply had something to do")
    click.echo(f"It made {sum(idle['api_calls'].values())} calls, and all of them were reads.")

    heading(5, "Drift", "Three changes by hand, as in the AWS console:")
    drift()
    plan(changes=True)

    heading(6, "Repair", "The same command again: three differences, three calls, with the impacts shown above.")
    repaired = apply(report, "converged")
    check(len(repaired["steps"]) == 3, f"it took {len(repaired['steps'])} calls to repair three differences")
    check(made["account_id"] == repaired["account_id"], "the account changed during the tour")
    plan(changes=False)

    heading(7, "Destroy", "Everything that the stack owns is removed, in order, and nothing else.")
    destroy(report)

    heading(
        8,
        "The page",
        "Does it answer? The sandbox has no packets. So this scene has an EC2, a VPC and a guest of its own, in\n"
        "network namespaces; the network of this machine is out of reach.\n",
    )
    code = page()
    check(code == 0, f"the last scene ended with code {code}")

    farewell()


# Parts of the scenes


def excerpt() -> str:
    """The end of the spec: interfaces and addresses."""
    text = (ROOT / SPEC).read_text(encoding="utf-8")
    start = text.index("network_interfaces:")
    return "\n".join(f"  {line}".rstrip() for line in text[start:].splitlines())


def plan(*, changes: bool) -> None:
    """Show a plan, and check whether it has changes."""
    done = command("plan", SPEC, "--detailed-exitcode", show="plan " + SPEC)
    check(done.returncode == (2 if changes else 0), f"plan ended with code {done.returncode}")


def closing(stdout: str) -> str:
    """What a run prints after its plan: how it ended, and the addresses."""
    parts = stdout.strip().split("\n\n")
    ends = [number for number, part in enumerate(parts) if part.startswith(("Converged", "Unchanged"))]
    return "\n\n".join(parts[ends[-1] :] if ends else parts[-1:])


def apply(report: Path, outcome: str) -> dict[str, Any]:
    """Apply unattended and show how it ended only. Returns the JSON report."""
    done = command("apply", "-y", SPEC, "--report", str(report), show="apply -y " + SPEC, keep=True)
    check(done.returncode == 0, f"apply ended with code {done.returncode}\n{done.stdout}")
    click.echo(click.style(closing(done.stdout), fg="green"))
    told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    check(told["outcome"] == outcome, f"apply says {told['outcome']}, not {outcome}")
    return told


def destroy(report: Path) -> None:
    """Remove the stack, and check that nothing of it is left."""
    flags = ["-y", "--allow-destroy"]
    done = command(
        "destroy", *flags, SPEC, "--report", str(report), show=f"destroy {' '.join(flags)} {SPEC}", keep=True
    )
    check(done.returncode == 0, f"destroy ended with code {done.returncode}\n{done.stdout}")
    click.echo(click.style(closing(done.stdout), fg="green"))
    import boto3

    ours = [{"Name": "tag:enireconcile:stack", "Values": [STACK]}]
    left = boto3.client("ec2").describe_addresses(Filters=ours)["Addresses"]
    check(not left, f"{len(left)} Elastic IPs are left")


def drift() -> None:
    """Three changes that bypass the spec."""
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
            "open port 22 of my-sg-1 to 0.0.0.0/0",
            lambda: ec2.authorize_security_group_ingress(
                GroupId=group["GroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
            ),
        ),
        (
            "detach web-eth1",
            lambda: ec2.detach_network_interface(AttachmentId=interface["Attachment"]["AttachmentId"]),
        ),
        (
            f"disassociate web-1 ({address['PublicIp']}) from its interface",
            lambda: ec2.disassociate_address(AssociationId=address["AssociationId"]),
        ),
    )
    for what, deed in deeds:
        click.echo(f"  {what}")
        deed()


def page() -> int:
    """Run the last scene. Returns its exit code. Ctrl-C goes to the scene, too, which then tidies up."""
    with subprocess.Popen([sys.executable, str(ROOT / "docs" / "demo_page.py")]) as scene:  # noqa: S603 (our own program)
        try:
            return scene.wait()
        except KeyboardInterrupt:
            scene.wait()
            raise


def farewell() -> None:
    rule("End of the tour")
    click.echo(
        "The sandbox and its resources are gone; nothing was sent to AWS. Read next:\n"
        "  docs/tutorial.md        the same step by step, and then in your account\n"
        "  docs/reference/spec.md  every field of the spec file\n"
        f"  {SPEC}     the spec of this tour"
    )


# Running and showing


def command(
    *arguments: str, show: str, keep: bool = False, mute: bool = False, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run enireconcile. With ``keep``, its stdout is captured instead of shown; with ``mute``, its stderr, too."""
    click.echo("\n" + click.style(f"$ enireconcile {show}", bold=True))
    return subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, "-m", "enireconcile", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE if keep else None,
        stderr=subprocess.PIPE if mute else None,
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
    """A heading: a line across a terminal, plain text elsewhere."""
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
