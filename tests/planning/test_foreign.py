"""Selectors of foreign groups and prefix lists become ids."""

from __future__ import annotations

from enireconcile.kinds.world import World
from enireconcile.live import records
from enireconcile.live.records import Live, LiveSecurityGroup
from enireconcile.planning.foreign import Foreign
from enireconcile.planning.mistakes import Mistakes
from enireconcile.spec import Document, load

TEXT = """
version: 1
stack: lab
security_groups:
  web:
    ingress: [{protocol: tcp, ports: 443, sources: [PEER]}]
  kept: {adopt: sg-12345678}
"""


def resolved(peer: str, live: Live, vpcs: dict[str, str]) -> tuple[Document, list[str]]:
    """The document with ids, and the messages of the mistakes."""
    [spec] = load(["-"], stdin=lambda: TEXT.replace("PEER", peer))
    mistakes = Mistakes(spec)
    document = Foreign(live, World(spec.document), vpcs, {}, mistakes).document()
    return document, [mistake.problem.message for mistake in mistakes.found]


def group(group_id: str, vpc: str = "vpc-1", **tags: str) -> LiveSecurityGroup:
    described = {"GroupId": group_id, "GroupName": f"name of {group_id}", "VpcId": vpc, "Description": "x"}
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    return records.security_group({**described, "OwnerId": "111122223333", "Tags": tag_list})


def test_a_prefix_list_that_is_being_deleted_does_not_match() -> None:
    """Another tool replaces a list: both have the name for a while."""
    lists = tuple(
        records.prefix_list({"PrefixListId": f"pl-{state}", "PrefixListName": "offices", "State": state})
        for state in ("delete-in-progress", "delete-complete", "modify-in-progress")
    )
    live = Live("111122223333", "us-east-1", prefix_lists=lists)
    document, mistakes = resolved("{prefix_list_name: offices}", live, {"web": "vpc-1"})
    assert mistakes == []
    assert document.security_groups["web"].ingress[0].sources == ("pl-modify-in-progress",)


def test_an_endpoint_that_ignores_filters() -> None:
    """What does not fit the selector is not selected, whatever the endpoint returned."""
    live = Live(
        "111122223333",
        "us-east-1",
        foreign_groups=(group("sg-1"), group("sg-2", Name="ops"), group("sg-3", "vpc-2", Name="ops")),
        prefix_lists=(records.prefix_list({"PrefixListId": "pl-1", "PrefixListName": "other"}),),
    )
    document, _ = resolved("{tags: {Name: ops}}", live, {"web": "vpc-1"})
    assert document.security_groups["web"].ingress[0].sources == ("sg-2",)
    _, mistakes = resolved("{prefix_list_name: offices}", live, {"web": "vpc-1"})
    assert mistakes == ["no prefix list in us-east-1 matches offices"]


def test_a_group_whose_vpc_has_a_mistake() -> None:
    """One mistake is enough: which groups match depends on the VPC."""
    live = Live("111122223333", "us-east-1")
    document, mistakes = resolved("{group_name: ops}", live, {})
    assert mistakes == []
    [selector] = document.security_groups["web"].ingress[0].sources
    assert not isinstance(selector, str)


def test_what_a_row_does_not_specify_stays_unspecified() -> None:
    """Otherwise the rules of an adopted group would be managed, and removed."""
    document, _ = resolved("111122223333/sg-87654321", Live("111122223333", "us-east-1"), {"web": "vpc-1"})
    assert document.security_groups["web"].ingress[0].sources == ("sg-87654321",)
    assert not document.security_groups["kept"].specifies("ingress")
