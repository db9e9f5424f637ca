"""The last scene of ``make demo``: a page through both addresses, with packets.

It runs in namespaces of its own: what it makes ends with it, and the machine's network is out of its reach.
Where they cannot be made, it says so and ends with code 0.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import click
from demo import ROOT, SPEC, EndedOtherwiseError, check, command

sys.path.insert(0, str(ROOT))

from tests.ec2 import EC2Server, Settings, World  # found by the line above
from tests.vpc import DataPlane
from tests.vpc.namespace import why_not

APART = "--apart"
DEBIAN = "/aws/service/debian/release/12/latest/amd64"
CHANGES = {
    "my-sg-2: {}              # no ingress: no port is open": (
        "my-sg-2: {ingress: [{protocol: tcp, ports: 80, sources: [0.0.0.0/0]}]}"
    ),
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64": DEBIAN,
    "dnf -y install httpd": "apt-get update && apt-get -y install apache2",
    "systemctl enable --now httpd": "systemctl enable --now apache2",
}
"""Of the spec of the tour."""
CHECKS = """\
checks:
  first: {elastic_ip: web-1, http: {contains: Testing ENI}, within: 1s}
  second: {elastic_ip: web-2, http: {contains: Testing ENI}, within: 1s}
"""
PAGE = "Testing ENI"
NAME = Path(SPEC).name


def main() -> int:
    """The scene, apart from this machine. Returns the exit code."""
    os.environ["PATH"] += f"{os.pathsep}/usr/sbin{os.pathsep}/sbin"  # where Debian has nft
    try:
        if APART not in sys.argv:
            return go_apart()
        reason = why_not()
        return skip(reason) if reason else scene()
    except EndedOtherwiseError as error:
        click.echo(f"\n{error}", err=True)
        return 1
    except KeyboardInterrupt:
        return 130


def go_apart() -> int:
    """Start again in a network namespace and a mount namespace with a /run of its own."""
    for tool in ("unshare", "ip", "nft"):
        if shutil.which(tool) is None:
            return skip(f"{tool} is not installed")
    root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    apart = ["unshare", *root, "--net", "--mount", "--kill-child"]
    apart += ["sh", "-c", 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"', "sh"]
    tried = subprocess.run([*apart, "true"], capture_output=True, text=True, check=False)  # noqa: S603
    if tried.returncode:
        return skip(tried.stderr.strip().splitlines()[-1])
    return os.execvp(apart[0], [*apart, sys.executable, __file__, APART])  # noqa: S606 (our own program)


def skip(reason: str) -> int:
    click.echo(f"No packets here, so the scene ends: {reason}")
    return 0


def scene() -> int:
    """Apply, ask, configure the guest, ask again. Raises EndedOtherwiseError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="enireconcile-demo-")))
        (folder / NAME).write_text(spec(), encoding="utf-8")
        click.echo(
            "my-sg-2 opens port 80 now, too, the image is Debian's, and the spec says what should answer:\n"
        )
        click.echo("".join(f"  {line}\n" for line in CHECKS.splitlines()).rstrip())

        world = World(Settings(public_network="203.0.113.0/24"))
        world.add_image("debian-12-amd64", "2026-01-06", owner_id="136693071363", parameter=DEBIAN)
        ec2 = stack.enter_context(EC2Server(world))
        os.environ.update(AWS_ENDPOINT_URL=ec2.url, ENIRECONCILE_STATE=str(folder / "state"))
        applied = enireconcile(folder, "apply", "-y", NAME)
        warned = [part for part in applied.split("\n\n") if part.startswith("warning: ")]
        check(len(warned) == 1, f"apply does not warn of the guest\n{applied}")
        click.echo(click.style(warned[0], fg="yellow"))
        ending, table = applied.split("\n\n")[-2:]
        click.echo(click.style(f"{ending}\n", fg="green") + f"\n{table}")

        try:
            plane = stack.enter_context(DataPlane(ec2.client()))
        except (OSError, RuntimeError) as error:  # what this kernel lacks
            return skip(str(error).splitlines()[0])
        (web,) = plane.guests.values()
        web.boot()
        web.serve_http(PAGE)
        click.echo("\nThe guest runs. It has configured its first interface only, as Debian does.")

        # From here on the commands run on a machine on the internet, where the EC2 has the same URL.
        stack.enter_context(plane.outside.entered())
        stack.enter_context(EC2Server(world, port=urlsplit(ec2.url).port or 0))
        click.echo(enireconcile(folder, "verify", NAME, ends=6, mute=True))
        click.echo("\nEC2 is as the spec says, and web-2 is dead. The cure, as a script for the guest:")
        script = enireconcile(folder, "guest", NAME, "web", "--format", "ip")
        web.give(script)
        click.echo(
            f"{len(script.splitlines())} lines of shell, run in the guest: a routing table for each interface."
        )
        click.echo(click.style(enireconcile(folder, "verify", NAME, mute=True), fg="green"))
        for address in sorted(world.data.addresses.values(), key=lambda each: each.public_ip):
            page = plane.fetch(address.public_ip)
            check(page == PAGE, f"{address.public_ip} answers {page!r}")
            click.echo(f"  http://{address.public_ip}/  {page}")
    return 0


def spec() -> str:
    """The spec of the tour, changed. Raises EndedOtherwiseError."""
    text = (ROOT / SPEC).read_text(encoding="utf-8")
    for before, after in CHANGES.items():
        check(before in text, f"{SPEC} has no {before!r}")
        text = text.replace(before, after)
    return f"{text}\n{CHECKS}"


def enireconcile(folder: Path, *arguments: str, ends: int = 0, mute: bool = False) -> str:
    """The stdout of a command, which must end with this code."""
    done = command(*arguments, show=" ".join(arguments), keep=True, mute=mute, cwd=folder)
    told = f"{done.stdout}{done.stderr or ''}"
    check(done.returncode == ends, f"{arguments[0]} ended with code {done.returncode}\n{told}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
