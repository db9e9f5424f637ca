"""init: a first spec, with comments that teach. Asks on a terminal for what the options do not say."""

from __future__ import annotations

import functools
import ipaddress
import os
import re
import shlex
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec import Struct
from msgspec.structs import replace

from enireconcile.errors import EnireconcileError, SpecErrors
from enireconcile.outputs import logs
from enireconcile.printable import printable
from enireconcile.regions import REGION, of_environment, wrong_region
from enireconcile.spec import load

T = TypeVar("T")
SCHEMA_FILE = "enireconcile.schema.json"
_ANYWHERE = "0.0.0.0/0"
_ADMIN_PORTS = frozenset({22, 3389})
"""SSH and RDP: never opened to all addresses by default."""


# ---- Values, as options and answers give them


def stack(text: str) -> str:
    if not re.fullmatch("[a-z][a-z0-9-]{0,62}", text):
        raise click.BadParameter(f"{text!r}: write a lower-case name of letters, digits and `-`, such as web")
    return _accepted(text, stack=text)


def region(text: str) -> str:
    if wrong := wrong_region(text):
        raise click.BadParameter(": ".join(wrong))
    return text


def id_or_name(text: str) -> str:
    """An id, or the value of a tag Name."""
    if not text.strip() or printable(text) != text or any(char in text for char in "\"\\'"):
        raise click.BadParameter(f"{text!r}: write an id, or the value of the tag Name")
    return _accepted(text, vpc=text, subnet="lab-a")


def instance_type(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+", text):
        raise click.BadParameter(f"{text!r} is not an instance type: write one such as t3.micro")
    return _accepted(text, instance_type=text)


def _accepted(text: str, **values: Any) -> str:
    """The text, if a spec with these answers is valid. Raises BadParameter with what ``validate`` would say."""
    usual = Answers("web", "us-east-1", None, "us-east-1a", "t3.micro", 1, elastic_ips=True, open=())
    try:
        load(["-"], stdin=lambda: first_spec(replace(usual, **values), "web.yaml"))
    except SpecErrors as errors:
        problem = errors.problems[0]
        raise click.BadParameter(f"{text!r} does not fit into a spec: {problem.message}") from None
    return text


class Opening(Struct, frozen=True):
    """Ports that are open on an interface (0: the first), and to whom; as YAML."""

    interface: int
    protocol: str
    ports: str
    source: str


def opening(text: str) -> Opening:
    """``80``, ``443@192.0.2.0/24``, ``53/udp@10.0.0.0/8``, ``8000-8010``, and ``eth1:`` before it."""
    found = re.fullmatch(r"(?:eth([01]):)?(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp))?(?:@(\S+))?", text)
    if not found:
        raise click.BadParameter(f"{text!r}: write PORT or PORT@CIDR, such as 443 or 22@192.0.2.0/24")
    first, last = int(found[2]), int(found[3] or found[2])
    if not first <= last <= 65535:
        raise click.BadParameter(f"{text!r}: ports are from 0 to 65535, the lower one first")
    if found[5] is None and any(first <= port <= last for port in _ADMIN_PORTS):
        raise click.BadParameter(f"{text!r} would let all addresses try to sign in: write {text}@192.0.2.0/24")
    try:
        source = ipaddress.ip_network(found[5] or _ANYWHERE)
    except ValueError:
        raise click.BadParameter(f"{found[5]!r} is not a CIDR: write one such as 192.0.2.0/24") from None
    ports = str(first) if first == last else f'"{first}-{last}"'
    return Opening(
        int(found[1] or 0), found[4] or "tcp", ports, f'"{source}"' if ":" in str(source) else str(source)
    )


# ---- Questions


class Given(Struct, frozen=True):
    """What the options say; None for what they do not. The names of the fields are those of their parameters."""

    stack: str | None
    region: str | None
    vpc: str | None
    subnet: str | None
    instance_type: str | None
    interfaces: int | None
    elastic_ips: bool | None
    open: Sequence[Opening]

    def without(self, variables: AbstractSet[str]) -> Given:
        """Without what variables of the environment say against other options, or to no purpose without them."""
        zone = re.fullmatch(f"({REGION})[a-z]", self.subnet or "")
        surplus = set()
        if zone and self.region and self.region != zone[1]:
            surplus.add("region" if "region" in variables else "subnet")
        if self.subnet and not zone and self.vpc is None:
            surplus.add("subnet")
        if self.vpc and (self.subnet is None or zone):
            surplus.add("vpc" if "vpc" in variables else "subnet")
        if any(each.interface >= (self.interfaces or 1) for each in self.open):
            surplus.add("open" if "open" in variables else "interfaces")
        left_out: dict[str, Any] = {name: () if name == "open" else None for name in surplus & variables}
        return replace(self, **left_out)


class Answers(Struct, frozen=True):
    """All that a first spec says. ``vpc`` is None for the default VPC; ``subnet`` a zone, an id or a name."""

    stack: str
    region: str
    vpc: str | None
    subnet: str
    instance_type: str
    interfaces: int
    elastic_ips: bool
    open: Sequence[Opening]


def answered(given: Given, *, asks: bool) -> Answers:
    """Each value: the option's, else the answer to a question if ``asks``, else the default. Raises UsageError."""

    def value(option: T | None, question: str, default: str, read: Callable[[str], T]) -> T:
        if option is not None:
            return option
        return click.prompt(question, default, value_proc=read, err=True) if asks else read(default)

    name = value(given.stack, "Name of the stack", "web", stack)
    in_region = value(given.region, "AWS Region", _default_region(given.subnet), region)
    question = "Subnet (an Availability Zone for its default subnet, an id, or a Name)"
    subnet = value(given.subnet, question, f"{in_region}a", lambda text: _in_region(id_or_name(text), in_region))
    in_zone, vpc = _is_zone(_in_region(subnet, in_region), in_region), given.vpc
    if vpc is not None and in_zone:
        raise click.UsageError("--vpc needs --subnet: an id, or the Name of a subnet of this VPC.")
    if vpc is None and not in_zone:
        if not asks:
            raise click.UsageError(f"--subnet {subnet} needs --vpc: the security groups are in its VPC.")
        vpc = click.prompt("VPC of this subnet (an id, or a Name)", value_proc=id_or_name, err=True)
    machine = value(given.instance_type, "Instance type", "t3.micro", instance_type)
    count = value(given.interfaces, "Network interfaces (1 or 2)", "1", _one_or_two)
    public = value(given.elastic_ips, "An Elastic IP for each interface (y or n)", "y", _yes_or_no)
    opened = list(given.open)
    if asks and not opened:
        for index in range(count):
            question = f"Open on interface {index}: PORT or PORT@CIDR, several with blanks, - for none"
            opened += value(None, question, "-", functools.partial(_openings, index))
    if any(each.interface >= count for each in opened):
        raise click.UsageError("--open eth1:… needs --interfaces 2.")
    return Answers(name, in_region, vpc, subnet, machine, count, public, list(dict.fromkeys(opened)))


def _default_region(subnet: str | None) -> str:
    """That of an Availability Zone, else of the environment."""
    if zone := re.fullmatch(f"({REGION})[a-z]", subnet or ""):
        return zone[1]
    _, found = of_environment(os.environ) or ("", "")
    return found if re.fullmatch(REGION, found) else "us-east-1"


def _is_zone(subnet: str, in_region: str) -> bool:
    return re.fullmatch(f"{in_region}[a-z]", subnet) is not None


def _in_region(subnet: str, in_region: str) -> str:
    """Raises UsageError for a zone of another Region."""
    if not _is_zone(subnet, in_region) and re.fullmatch(f"{REGION}(-[a-z0-9]+)*[a-z]?", subnet):
        raise click.UsageError(f"{subnet} is not an Availability Zone of {in_region}: write {in_region}a.")
    return subnet


def _one_or_two(text: str) -> int:
    if text not in ("1", "2"):
        raise click.BadParameter("write 1 or 2; add more by hand")
    return int(text)


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("y", "yes", "n", "no"):
        raise click.BadParameter("write y or n")
    return text.lower().startswith("y")


def _openings(interface: int, text: str) -> list[Opening]:
    return [opening(f"eth{interface}:{word}") for word in text.replace(",", " ").split() if word != "-"]


# ---- The spec


def first_spec(answers: Answers, file: str) -> str:
    """The YAML text; ``file`` is the name that its comments use."""
    # A name that looks like an id cannot be that of a resource.
    name = "web" if re.match("(sg|pl|eni|i)-", answers.stack) else answers.stack
    interfaces = [f"{name}-eth{index}" for index in range(answers.interfaces)]
    groups = "".join(_group(each, index, answers) for index, each in enumerate(interfaces))
    rows = "".join(_interface(each, index, name, answers) for index, each in enumerate(interfaces))
    return f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
# With the schema beside this file, editors complete and check it: enireconcile schema > {SCHEMA_FILE}
#
#   enireconcile validate {file}    checks this file, and calls nothing
#   enireconcile plan {file}        shows what apply would do, and changes nothing
#   enireconcile apply {file}       does it, after a question
#   enireconcile destroy {file}     removes all of it, after a question
version: 1
stack: {answers.stack}  # a tag on every resource, by which it is found again: do not change it
region: {answers.region}
# account_id: "123456789012"  # with credentials of another account, change nothing

security_groups:
{groups}
instances:
  {name}:
    # The newest Amazon Linux at the launch; a newer one later changes nothing.
    image: {{ssm: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64}}
    instance_type: {answers.instance_type}
    on_change: restart  # another instance type: stop and start it; `replace`: a new one, also for a newer image
    # key_name: ops     # an EC2 key pair, for SSH
    # user_data: |      # a script that runs once, at the first boot
    #   #!/bin/bash
    #   dnf -y install httpd && systemctl enable --now httpd

# Interfaces are resources of their own: they keep their addresses when the instance is replaced.
network_interfaces:
{rows}{_addresses(interfaces, name) if answers.elastic_ips else ""}"""


def _group(interface: str, index: int, answers: Answers) -> str:
    rules = [each for each in answers.open if each.interface == index]
    vpc = f"    vpc: {_selector(answers.vpc, 'vpc')}\n" if answers.vpc else ""
    if not rules:
        row = f"  {interface}:\n    description: Traffic of {interface}\n{vpc}"
        example = "{protocol: tcp, ports: 443, sources: [0.0.0.0/0]}"
        return f"{row}    ingress: []  # no port is open; a rule is: {example}\n"
    lines = "".join(
        f"      - {{protocol: {each.protocol}, ports: {each.ports}, sources: [{each.source}]}}\n" for each in rules
    )
    listed = "    ingress:  # exactly these; a rule that others add is revoked\n"
    return f"  {interface}:\n    description: Traffic of {interface}\n{vpc}{listed}{lines}"


def _interface(interface: str, index: int, instance: str, answers: Answers) -> str:
    zone = _is_zone(answers.subnet, answers.region)
    subnet = f"{{default_for_az: {answers.subnet}}}" if zone else _selector(answers.subnet, "subnet")
    primary = "  # the primary interface" if index == 0 else ""
    return (
        f"  {interface}:\n    subnet: {subnet}\n    security_groups: [{interface}]\n"
        f"    attachment: {{instance: {instance}, device_index: {index}}}{primary}\n"
    )


def _selector(text: str, prefix: str) -> str:
    return text if re.fullmatch(f"{prefix}-[0-9a-f]{{8,17}}", text) else f'{{tags: {{Name: "{text}"}}}}'


def _addresses(interfaces: Sequence[str], name: str) -> str:
    rows = "".join(
        f"  {name}-{number}: {{association: {{network_interface: {interface}}}}}\n"
        for number, interface in enumerate(interfaces, 1)
    )
    return f"\nelastic_ips:  # each costs money, in use or not, until `destroy` releases it\n{rows}"


def write_first_spec(given: Given, out: Path | None, *, asks: bool) -> int:
    """Print the spec, or write it to a new file. Raises EnireconcileError if the file exists."""
    if out is not None and out.exists():
        raise _exists(out)
    answers = answered(given, asks=asks)
    text = first_spec(answers, _word(out or Path(f"{answers.stack}.yaml")))
    if out is None:
        click.echo(text, nl=False)
        return 0
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _exists(out) from None
    except OSError as error:
        raise EnireconcileError(f"cannot write {printable(str(out))}: {error.strerror}") from None
    logs.say(f"written: {printable(str(out))}; next: `enireconcile plan {_word(out)}`")
    return 0


def _word(path: Path) -> str:
    """A path as one writes it in a shell."""
    return shlex.quote(printable(str(path)))


def _exists(out: Path) -> EnireconcileError:
    return EnireconcileError(
        f"{printable(str(out))} exists, and init overwrites nothing",
        hint="choose another --out, or move the file away",
    )
