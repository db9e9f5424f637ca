"""Foreign groups and prefix lists that the spec selects by tags or by name: the ids that they stand for. Pure.

The rest of planning, and all kinds, see only ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from msgspec import Struct

from enireconcile.kinds.world import World
from enireconcile.live.records import Live, LiveNetworkInterface, LiveSecurityGroup, Sought
from enireconcile.ownership import STACK_TAG
from enireconcile.planning.mistakes import Mistakes, nearest_hint
from enireconcile.spec import (
    Document,
    EgressRule,
    ForeignSelector,
    IngressRule,
    NetworkInterface,
    Path,
    Peer,
    SecurityGroup,
)
from enireconcile.spec.checks import repeated_rules
from enireconcile.spec.rows import PEER_GROUP

Rule = TypeVar("Rule", IngressRule, EgressRule)
_ENDS = {"ingress": "sources", "egress": "destinations"}


class Foreign(Struct, frozen=True, dict=True):
    """``group_vpcs`` maps the names of groups to the ids of their VPCs, ``interface_vpcs`` those of interfaces.

    A selector that does not match exactly once is a mistake, except in an attribute that the plan leaves as it is.
    """

    live: Live
    world: World
    group_vpcs: Mapping[str, str]
    interface_vpcs: Mapping[str, str]
    mistakes: Mistakes

    def document(self) -> Document:
        """The document with ids in the place of all selectors that match once.

        The account in ``<account>/<id>`` is removed where it is the account of the stack.
        """
        document = self.world.document
        interfaces = {
            name: self._routes(name, self._interface(name, row))
            for name, row in document.network_interfaces.items()
        }
        groups = {name: self._group(name, row) for name, row in document.security_groups.items()}
        changed = {name: row for name, row in groups.items() if row is not document.security_groups[name]}
        self._refuse_repeated(document.model_copy(update={"security_groups": changed}))
        return document.model_copy(update={"network_interfaces": interfaces, "security_groups": groups})

    def _interface(self, name: str, row: NetworkInterface) -> NetworkInterface:
        if not _selects(row.security_groups):
            return row
        path: Path = ("network_interfaces", name, "security_groups")
        items = self._ids(row.security_groups or (), path, self.interface_vpcs.get(name))
        present = self.world.record(f"network_interfaces.{name}", LiveNetworkInterface)
        if present is not None and self._leaves(path):
            items = present.groups if _selects(items) else items
        else:
            self._refuse_listed_twice(path, items)
        return row.model_copy(update={"security_groups": items})

    def _routes(self, name: str, row: NetworkInterface) -> NetworkInterface:
        written = [route.destination for route in row.routes]
        if not _selects(written):
            return row
        path: Path = ("network_interfaces", name, "routes")
        ids = [self._id(item, (*path, index, "destination"), None) for index, item in enumerate(written)]
        routes = [
            route.model_copy(update={"destination": each}) for route, each in zip(row.routes, ids, strict=True)
        ]
        return row.model_copy(update={"routes": tuple(routes)})

    def _refuse_listed_twice(self, path: Path, items: Sequence[Peer]) -> None:
        for index, item in enumerate(items):
            if isinstance(item, str) and item in items[:index]:
                self.mistakes.add((*path, index), f"{item} is listed twice", "remove one")

    def _group(self, name: str, row: SecurityGroup) -> SecurityGroup:
        ingress = self._rules(name, "ingress", row.ingress)
        egress = row.egress if row.egress is None else self._rules(name, "egress", row.egress)
        found = {"ingress": ingress, "egress": egress}
        # An attribute that the row does not specify must stay unspecified.
        update = {direction: rules for direction, rules in found.items() if rules != getattr(row, direction)}
        return row.model_copy(update=update) if update else row

    def _rules(self, name: str, direction: str, rules: Sequence[Rule]) -> tuple[Rule, ...]:
        key, found = _ENDS[direction], []
        for index, rule in enumerate(rules):
            written: Sequence[Peer] = getattr(rule, key)
            path: Path = ("security_groups", name, direction, index, key)
            ids = self._ids(written, path, self.group_vpcs.get(name))
            found.append(rule if ids == written else rule.model_copy(update={key: ids}))
        return tuple(found)

    def _refuse_repeated(self, document: Document) -> None:
        """A selector, and an id with this account, can mean what another item of the rules means."""
        for violation in repeated_rules(document):
            if not self._leaves(violation.path):
                self.mistakes.add(violation.path, violation.message, "remove one of the two")

    def _leaves(self, path: Path) -> bool:
        """Does the plan leave the attribute at a path as it is?"""
        return self.world.leaves(f"{path[0]}.{path[1]}", str(path[2]))

    def _ids(self, items: Sequence[Peer], path: Path, vpc: str | None) -> tuple[Peer, ...]:
        return tuple(self._id(item, (*path, index), vpc) for index, item in enumerate(items))

    def _id(self, item: Peer, path: Path, vpc: str | None) -> Peer:
        """The id of what an item means; a selector that does not match once stays."""
        if isinstance(item, str):
            peer = PEER_GROUP.fullmatch(item)
            return peer[2] if peer and peer[1] == self.live.account_id else item
        if item.prefix_list_name is not None:
            noun, where, matching = "prefix list", self.live.region, self._lists(item)
        elif vpc is not None:
            noun, where, matching = "security group", vpc, self._groups(item, vpc)
        else:
            # The VPC has a mistake already.
            return item
        if len(matching) == 1:
            return matching[0]
        if not self._leaves(path):
            self._refuse(item, path, noun, where, matching)
        return item

    def _refuse(self, item: ForeignSelector, path: Path, noun: str, where: str, matching: Sequence[str]) -> None:
        if matching:
            message = f"{len(matching)} {noun}s in {where} match {item.text}: {', '.join(matching)}"
            self.mistakes.add(path, message, "select one of them by its id")
        else:
            message = f"no {noun} in {where} matches {item.text}"
            sought = () if item.prefix_list_name is not None else (Sought("security_groups", "vpc-id", where),)
            self.mistakes.add(path, message, self._hint(item, path, where), sought=sought)

    def _lists(self, selector: ForeignSelector) -> list[str]:
        return sorted(
            found.id
            for found in self.live.prefix_lists
            if found.name == selector.prefix_list_name and not found.leaving
        )

    def _groups(self, selector: ForeignSelector, vpc: str) -> list[str]:
        return sorted(
            group.id for group in self._fitting(selector) if group.vpc_id == vpc and not self._is_ours(group)
        )

    def _fitting(self, selector: ForeignSelector) -> Sequence[LiveSecurityGroup]:
        """The groups that a selector fits, in any VPC and of any stack."""
        if selector.group_name is not None:
            return self._by_name.get(selector.group_name, ())
        tags = (selector.tags or {}).items()
        return [group for group in self.live.foreign_groups if tags <= group.tags.items()]

    @cached_property
    def _by_name(self) -> dict[str, list[LiveSecurityGroup]]:
        found: dict[str, list[LiveSecurityGroup]] = {}
        for group in self.live.foreign_groups:
            found.setdefault(group.name, []).append(group)
        return found

    def _is_ours(self, group: LiveSecurityGroup) -> bool:
        """Does the stack own the group, or adopt it by this plan?"""
        return group.tags.get(STACK_TAG) == self.world.document.stack or group.id in self._ours

    @cached_property
    def _ours(self) -> frozenset[str]:
        return frozenset(record.id for record in self.world.owned.values())

    def _hint(self, selector: ForeignSelector, path: Path, vpc: str) -> str:
        if selector.prefix_list_name is not None:
            return "see `aws ec2 describe-managed-prefix-lists`"
        fitting = sorted(self._fitting(selector), key=lambda group: group.id)
        if ours := [group.id for group in fitting if self._is_ours(group)]:
            return f"{' and '.join(ours)} of this stack would match: write its name in this spec"
        row = self.world.document.security_groups[str(path[1])] if path[0] == "security_groups" else None
        why = "; `vpc` left out means the default VPC" if row is not None and row.leaves_out_vpc else ""
        if elsewhere := [f"{group.id} in {group.vpc_id}" for group in fitting]:
            return f"only groups in {vpc} match; elsewhere there is {', '.join(elsewhere)}{why}"
        look = f"see `aws ec2 describe-security-groups --filters Name=vpc-id,Values={vpc}`"
        return (self._nearest(selector, vpc) or look) + why

    def _nearest(self, selector: ForeignSelector, vpc: str) -> str | None:
        """The nearest name or tag of a group in the VPC, if its groups were read and one of them has any."""
        groups = [
            group
            for group in self.live.similar.get("security_groups", ())
            if isinstance(group, LiveSecurityGroup) and group.vpc_id == vpc and not self._is_ours(group)
        ]
        if selector.group_name is not None:
            known = {group.name for group in groups}
            return nearest_hint(selector.group_name, known, f"security groups in {vpc}") if known else None
        for key, value in (selector.tags or {}).items():
            known = {group.tags[key] for group in groups if key in group.tags}
            if known and value not in known:
                return nearest_hint(value, known, f"values of {key} on security groups in {vpc}")
        return None


def _selects(items: Iterable[Peer] | None) -> bool:
    return any(isinstance(item, ForeignSelector) for item in items or ())
