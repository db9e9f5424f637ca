"""Live records and the rows of a spec: by name tag, by ``adopt``, and what belongs to no row."""

from __future__ import annotations

import pytest

from enireconcile.live.matching import Matches, by_address
from enireconcile.live.records import AnyRecord, LiveElasticIp, LiveInstance, LiveSecurityGroup
from tests.planning.worlds import Words, live_of, spec_of


def records(words: Words) -> list[AnyRecord]:
    live = live_of(words)
    return [
        *live.security_groups, *live.instances, *live.network_interfaces, *live.elastic_ips, *live.adoptable,
    ]  # fmt: skip


ADDRESSES: list[tuple[str, Words, dict[str, list[str]]]] = [
    ("by its name tag", {"instances": {"web": {}}}, {"instances.web": ["i-web"]}),
    (
        "by its id where the name tag is of another section",
        {"instances": {"web": {"tags": {"enireconcile:name": "elastic_ips.web"}}}},
        {"instances.i-web": ["i-web"]},
    ),
    (
        "by its id where the name tag is gone",
        {"elastic_ips": {"web": {"tags": {"enireconcile:name": ""}}}},
        {"elastic_ips.eipalloc-web": ["eipalloc-web"]},
    ),
    ("not a terminating instance", {"instances": {"web": {"state": "shutting-down"}}}, {}),
    ("not an Elastic IP of a service", {"elastic_ips": {"web": {"manager": "nlb"}}}, {}),
    (
        "several of one name",
        {"security_groups": {"a": {"named": "web"}, "b": {"named": "web"}}},
        {"security_groups.web": ["sg-a", "sg-b"]},
    ),
]


@pytest.mark.parametrize(("words", "expected"), [row[1:] for row in ADDRESSES], ids=[row[0] for row in ADDRESSES])
def test_the_address_of_a_record(words: Words, expected: dict[str, list[str]]) -> None:
    found = by_address(records(words))
    assert {address: [record.id for record in each] for address, each in found.items()} == expected


WEB: Words = {"adopt": "i-0123456789abcdef0", "image": "ami-12345678", "instance_type": "t3.micro"}
SPEC = spec_of({"security_groups": {"web": {}}, "instances": {"web": WEB}}).document
ADOPTED: Words = {"id": WEB["adopt"]}


def test_an_adopted_resource_belongs_to_its_row_before_and_after_it_is_tagged() -> None:
    for words in ({**ADOPTED, "found": True}, ADOPTED):
        [live] = records({"instances": {"web": words}})
        matches = Matches(SPEC, [live])
        assert matches.at("instances.web", LiveInstance) == (live,)
        assert matches.row(live) is SPEC.own_instances["web"]


def test_a_terminating_instance_does_not_stand_in_for_the_one_to_adopt() -> None:
    """EC2 lists a terminated instance, with its tags, for about an hour."""
    [terminated] = records({"instances": {"web": {"state": "terminated"}}})
    matches = Matches(SPEC, [terminated])
    assert not matches.exists("instances.web")
    assert matches.row(terminated) is None
    assert matches.unnamed(LiveInstance) == ()


def test_what_the_spec_no_longer_names() -> None:
    known = records({"security_groups": {"web": {}, "old": {}}, "elastic_ips": {"old": {}}})
    matches = Matches(SPEC, known)
    assert [record.id for record in matches.unnamed(LiveSecurityGroup)] == ["sg-old"]
    assert [record.id for record in matches.unnamed(LiveElasticIp)] == ["eipalloc-old"]
    assert [matches.row(record) is None for record in known] == [False, True, True]


def test_a_resource_that_is_listed_twice_is_one() -> None:
    """A list that shifts between two pages repeats an item."""
    [live] = records({"elastic_ips": {"web": {}}})
    assert by_address([live, live]) == {"elastic_ips.web": (live,)}
