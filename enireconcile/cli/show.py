"""show: what the stacks own, with addresses and holders. Changes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from enireconcile.aws.api import Reader
from enireconcile.cli.session import Connection
from enireconcile.cli.signals import run_async
from enireconcile.engine.planner import guard_account
from enireconcile.errors import EnireconcileError
from enireconcile.live.reader import read_owned
from enireconcile.model import Reads
from enireconcile.outputs import logs
from enireconcile.outputs.json import inventory_json
from enireconcile.outputs.stdout import as_shown
from enireconcile.outputs.tables import text_of, variables
from enireconcile.outputs.terminal import columns
from enireconcile.outputs.text import inventory_text
from enireconcile.planning.inventory import Inventory, inventory
from enireconcile.printable import printable
from enireconcile.spec import Spec
from enireconcile.spec.suggest import Nearest, address_hint, hint_text


def show_specs(specs: Sequence[Spec], connection: Connection, output: str, get: str | None) -> int:
    """Print what each stack owns, or the one value at ``get``. Returns the exit code."""
    read_subnets = output == "text" and get is None
    read = [_inventory(spec, connection, subnets=read_subnets) for spec in specs]
    inventories = [each for each, _ in read]
    if get is not None:
        click.echo(printable(text_of(_value(get, specs, inventories))))
    elif output == "json":
        objects = [inventory_json(each) for each in inventories]
        click.echo(json.dumps(objects[0] if len(specs) == 1 else objects, indent=2))
    elif output == "env":
        click.echo("".join(f"{line}\n" for line in variables(inventories)), nl=False)
    else:
        width = columns(sys.stdout)
        texts = (inventory_text(each, click.style, endpoint=endpoint, width=width) for each, endpoint in read)
        click.echo(as_shown("\n\n".join(texts)))
    return 0


def _inventory(spec: Spec, connection: Connection, *, subnets: bool) -> tuple[Inventory, str | None]:
    """What a stack owns, and EC2's endpoint if it is not AWS's."""
    with logs.about(spec.document.stack), connection.open(spec, read_only=True) as channel:
        found = run_async(read_inventory(Reader(channel), spec, channel.session.region, subnets=subnets))
        return found, channel.session.endpoint


async def read_inventory(reader: Reads, spec: Spec, region: str, *, subnets: bool) -> Inventory:
    """What the stack owns; ``subnets`` reads their zones and CIDRs, too. Raises AwsError, GuardError."""
    found = await read_owned(reader, spec.document, region, subnets=subnets)
    guard_account(spec, found.account_id)
    return inventory(spec.document, found)


def _value(path: str, specs: Sequence[Spec], inventories: Sequence[Inventory]) -> Any:
    """The value at ``ADDRESS.ATTRIBUTE``. Raises EnireconcileError if there is none, or one in several stacks."""
    if whole := next((each.resources[path] for each in inventories if path in each.resources), None):
        raise EnireconcileError(
            f"{printable(path)} is a resource, and not one value",
            hint=f"write {printable(path)}.ATTRIBUTE, one of {', '.join(whole)}",
        )
    address, _, attribute = path.rpartition(".") if path.count(".") > 1 else (path, "", "")
    found = [each for each in inventories if address in each.resources]
    if not found:
        raise _no_resource(address, specs, inventories)
    if len(found) > 1:
        stacks = " and ".join(each.stack for each in found)
        raise EnireconcileError(
            f"{printable(address)} is in the stacks {stacks}", hint="give the spec of one of them only"
        )
    attributes = found[0].resources[address]
    if attribute not in attributes:
        raise EnireconcileError(
            f"{printable(address)} has no attribute {printable(attribute)}",
            hint=hint_text(Nearest(attribute, list(attributes))),
        )
    if attributes[attribute] is None:
        given = ", ".join(name for name, value in attributes.items() if value is not None)
        raise EnireconcileError(f"{printable(address)} has no {attribute} now", hint=f"it has: {given}")
    return attributes[attribute]


def _no_resource(address: str, specs: Sequence[Spec], inventories: Sequence[Inventory]) -> EnireconcileError:
    if any(address in spec.document.resources for spec in specs):
        return EnireconcileError(f"{printable(address)} does not exist yet", hint="apply the spec first")
    stacks = " and ".join(each.stack for each in inventories)
    known = [each for inventory in inventories for each in inventory.resources]
    return EnireconcileError(
        f"{stacks} has no {printable(address)}",
        hint=address_hint(address, known) or "show without --get lists all that there is",
    )
