"""The spec of a Terraform state: what it takes over, which Terraform has to forget, and what it does not. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath

from msgspec import Struct

from enireconcile.export.document import exported
from enireconcile.export.selectors import Selectors
from enireconcile.export.terraform.naming import names_in
from enireconcile.export.terraform.place import Place, chosen, place_of
from enireconcile.export.terraform.rules import SEPARATE
from enireconcile.export.terraform.state import TAGS, Resource, text_in
from enireconcile.export.terraform.translate import KINDS, Translation, route_end
from enireconcile.live.records import Tagged, titled
from enireconcile.live.selected import Selected, Selection, stack_wish

_IDS = {"aws_security_group": "sg", "aws_instance": "i", "aws_network_interface": "eni", "aws_eip": "eipalloc"}
_ADDRESSES = ("private_ip_list", "private_ips", "secondary_private_ips", "ipv6_address_list", "ipv6_addresses")
_PREFIXES = ("ipv4_prefixes", "ipv6_prefixes")
_ON_INTERFACES = ("aws_network_interface_attachment", "aws_network_interface_sg_attachment")
_ON_ADDRESSES = ("aws_eip_association", "aws_eip_domain_name")
_ON_GROUPS = (*SEPARATE, "aws_vpc_security_group_rules_exclusive")
_SECRET = (
    "user_data",
    "user_data_base64",
    "password_data",
    "root_block_device",
    "ebs_block_device",
    "volume_tags",
)
"""What never gets into a spec."""
_MOST_TYPES = 12


class Imported(Struct, frozen=True):
    """The text of a spec, None if no resource can have a row; the addresses that Terraform has to forget once that
    spec is applied; and notes on what stays, and why.
    """

    text: str | None
    forget: tuple[str, ...]
    notes: tuple[str, ...]


def imported(
    resources: Sequence[Resource], file: str | None, region: str | None = None, account_id: str | None = None
) -> Imported:
    """The spec of a state's resources in one Region and account. ``file`` gives it a name, if there is one.

    Raises EnireconcileError if the state has several, and none is chosen.
    """
    managed = [each for each in resources if each.managed]
    candidates = [each for each in managed if each.type in KINDS]
    if not candidates:
        return Imported(None, (), tuple(_other_kinds(dict.fromkeys(managed))))
    place = chosen(candidates, region, account_id)
    here = [each for each in resources if place.has(each) and not each.deposed and not _malformed(each)]
    users = _users(here)
    reasons = {each: _objection(each, users) for each in candidates if place.has(each)}
    rows = [each for each, reason in reasons.items() if reason is None]
    translation = Translation(place, rows, here, names_in(managed))
    selection = Selection(terraform=PurePath(file).name if file else "")
    selected = translation.selected(stack_wish(selection, {}))
    made = exported(selection, selected)
    taken = made.rows
    others = (each for each in managed if each.type not in KINDS and place.has(each))
    related = {each: _owner(each, translation) for each in others}
    forget = [each.address for each in rows if each.id in taken]
    forget += [each.address for each, owner in related.items() if owner and owner[1] in taken]
    forgotten = frozenset(forget)
    notes = (
        *made.notes,
        *_staying(reasons, taken),
        *_unowned(related, taken.keys() | {each.id for each in candidates if not place.has(each)}),
        *_inline_routes(translation, taken),
        *_user_data(rows, taken),
        *_sensitive(each for each in managed if each.address in forgotten),
        *(_by_name(selected) if taken else ()),
        *_other_kinds(related),
        *_elsewhere(candidates, place),
    )
    return Imported(made.text, tuple(sorted(forget)), notes)


# ---- reasons


def _objection(resource: Resource, users: Mapping[str, str]) -> str | None:
    """Why a resource gets no row; None if it can have one. ``users`` are what has Elastic IPs, by their ids."""
    if resource.deposed:
        return (
            f"its old object {resource.id} is deposed: run `terraform apply` first, which deletes it, for "
            "`terraform state rm` forgets it, too"
        )
    if resource.tainted:
        return "it is tainted: Terraform is about to replace it, unless you run `terraform untaint` first"
    if not re.fullmatch(rf"{_IDS[resource.type]}-[0-9a-f]{{8,17}}", resource.id):
        return (
            f"the state has no id of EC2 for it, but {resource.id!r}"
            if resource.id
            else "the state has no id for it"
        )
    if _malformed(resource):
        return "the state shows an IP address for it that is none"
    if resource.text("instance_state") in ("shutting-down", "terminated"):
        return "it is terminated"
    if resource.type == "aws_eip" and resource.id in users:
        return f"{users[resource.id]} uses it"
    return None


def _malformed(resource: Resource) -> bool:
    """Does it show addresses that are none?"""
    texts = [each for key in _ADDRESSES for each in resource.texts(key)]
    texts += [each for key in _PREFIXES for each in resource.texts(key)]
    try:
        for text in texts:
            ipaddress.ip_network(text)
    except ValueError:
        return resource.type in KINDS
    return False


def _users(resources: Iterable[Resource]) -> dict[str, str]:
    """The addresses of NAT gateways and load balancers by the Elastic IPs that they have."""
    found: dict[str, str] = {}
    for each in resources:
        if each.type in ("aws_nat_gateway", "aws_lb", "aws_alb"):
            ids = [each.text("allocation_id"), *each.texts("secondary_allocation_ids")]
            ids += [text_in(block, "allocation_id") for block in each.blocks("subnet_mapping")]
            found |= dict.fromkeys(ids, each.address)
    return found


def _owner(resource: Resource, translation: Translation) -> tuple[str, str] | None:
    """What a relation is told by in the spec: in words, and its id. None if it is no relation."""
    if resource.type in _ON_INTERFACES:
        return "network interface", resource.text("network_interface_id")
    if resource.type in _ON_GROUPS:
        return "security group", resource.text("security_group_id")
    if resource.type in _ON_ADDRESSES:
        public_ip = resource.text("public_ip")
        return "Elastic IP", resource.text("allocation_id") or translation.allocations.get(public_ip, public_ip)
    if resource.type == "aws_route" and (interface_id := translation.leads_to(resource)):
        return "network interface", interface_id
    return None


# ---- notes


def _staying(reasons: Mapping[Resource, str | None], taken: Mapping[str, str]) -> Iterator[str]:
    for resource, reason in reasons.items():
        if reason is None and resource.id not in taken:
            reason = f"it gets no row: see what is said of {resource.id}"
        if reason is not None:
            yield f"stays in Terraform: {resource.address}: {reason}"


def _unowned(related: Mapping[Resource, tuple[str, str] | None], known: Container[str]) -> Iterator[str]:
    """The relations of what has no row. ``known`` are the ids of what has one, or is elsewhere."""
    for resource, owner in related.items():
        if owner is not None and owner[1] not in known:
            what, owner_id = owner
            yield f"stays in Terraform: {resource.address}: the {what} {owner_id or 'that it names'} gets no row"
        elif resource.type == "aws_default_security_group":
            yield f"stays in Terraform: {resource.address}: the default group of a VPC cannot be adopted"


def _other_kinds(related: Mapping[Resource, tuple[str, str] | None]) -> Iterator[str]:
    own = "aws_default_security_group"
    counted = Counter(each.type for each, owner in related.items() if owner is None and each.type != own)
    shown = [f"{kind} ({count})" if count > 1 else kind for kind, count in sorted(counted.items())]
    if len(shown) > _MOST_TYPES:
        shown[_MOST_TYPES:] = [f"and {len(shown) - _MOST_TYPES} more types"]
    if shown:
        yield f"stays in Terraform: {', '.join(shown)}: enireconcile does not manage them"


def _inline_routes(translation: Translation, taken: Mapping[str, str]) -> Iterator[str]:
    separate = {
        (each.text("route_table_id"), route_end(each)) for each in translation.of("aws_route", managed=True)
    }
    tables = {each.id: each.address for each in translation.of("aws_route_table", "aws_default_route_table")}
    for table_id, end, interface_id in translation.inline_routes():
        if interface_id in taken and (table_id, end) not in separate:
            yield (
                f"{tables[table_id]} stays in Terraform, and its route {end} is in {taken[interface_id]}, too: "
                "take that route out of its block, and add `lifecycle { ignore_changes = [route] }` to it"
            )


def _user_data(rows: Sequence[Resource], taken: Mapping[str, str]) -> Iterator[str]:
    """Terraform has it as a hash, or as text that may have secrets: neither belongs into an exported spec."""
    having = [
        taken[each.id]
        for each in rows
        if each.id in taken and (each.text("user_data") or each.text("user_data_base64"))
    ]
    if having:
        yield f"not in the spec: the user data of {', '.join(having)}: add it before you launch them anew"


def _sensitive(resources: Iterable[Resource]) -> Iterator[str]:
    """What the configuration marks as sensitive."""
    for resource in resources:
        if resource.sensitive & {*TAGS}:
            yield f"not in the spec: tags of {resource.address} that are sensitive: they stay as they are"
        if said := sorted(resource.sensitive - {*TAGS, *_SECRET}):
            yield f"{resource.address}: {', '.join(said)} is sensitive in Terraform, and may be in the spec"


def _by_name(selected: Selected) -> Iterator[str]:
    """What is selected by its Name: the state does not show what else in the account has the same."""
    selectors = Selectors(selected)
    subnets = {live.subnet_id for live in selected.network_interfaces}
    vpcs = {live.vpc_id for live in selected.security_groups}
    said: list[tuple[Tagged, object]] = [
        *((each, selectors.subnet(each.id)) for each in selected.subnets if each.id in subnets),
        *((each, selectors.vpc(each.id)) for each in selected.vpcs if each.id in vpcs),
        *((each, selectors.route_table(each)) for each in selected.route_tables),
    ]
    found = [titled(each) for each, selector in said if isinstance(selector, Mapping) and "tags" in selector]
    if found:
        yield f"selected by Name: {', '.join(found)}: write the id where others in the account have the same Name"


def _elsewhere(candidates: Sequence[Resource], place: Place) -> Iterator[str]:
    others = Counter(place_of(each) for each in candidates if not place.has(each))
    for other, count in sorted(others.items(), key=lambda item: (item[0].region, item[0].account_id)):
        option = f"--region {other.region}" if other.region != place.region else f"--account-id {other.account_id}"
        what = "1 resource" if count == 1 else f"{count} resources"
        owner = f" of the account {other.account_id}" if other.account_id else ""
        yield f"not in the spec: {what} in {other.region}{owner}: see {option}"
