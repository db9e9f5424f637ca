"""Rows with ``adopt``: which keys they need, and which attributes they specify."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enireconcile.spec import SECTIONS, Document, Lifecycle, Resource
from enireconcile.spec.render import render
from tests.spec.documents import documents
from tests.spec.reading import HEAD, INSTANCE, INTERFACE, assert_refused, document, problems
from tests.spec.test_render import RELAXED

PREFIXES = dict(zip(SECTIONS, ("sg", "i", "eni", "eipalloc"), strict=True))
BARE = """
security_groups: {a: {adopt: sg-12345678}}
instances: {a: {adopt: i-12345678}}
network_interfaces: {a: {adopt: eni-12345678}}
elastic_ips: {a: {adopt: eipalloc-12345678}}
"""


def test_an_id_is_enough() -> None:
    """``adopt`` is the only required key, and a row with nothing else specifies only its tags."""
    read = document(HEAD + BARE)
    assert [row.model_fields_set for row in read.resources.values()] == [{"adopt"}] * 4
    assert read.adopted == {f"{section}.a": f"{PREFIXES[section]}-12345678" for section in SECTIONS}
    for row in read.resources.values():
        assert [name for name in row.attributes() if row.specifies(name)] == ["tags"]


def test_a_row_without_adopt_specifies_everything() -> None:
    """A default counts like a written value."""
    row = document(INTERFACE).network_interfaces["eth0"]
    assert all(row.specifies(name) for name in row.attributes())
    assert not {"adopt", "lifecycle", "on_change"} & {*row.attributes()}


@pytest.mark.parametrize(
    ("rows", "missing"),
    [
        ("instances: {a: {}}", ["instances.a.image", "instances.a.instance_type"]),
        ("instances: {a: {image: ami-12345678}}", ["instances.a.instance_type"]),
        ("network_interfaces: {a: {}}", ["network_interfaces.a.subnet"]),
    ],
)
def test_without_adopt_what_is_needed_is_missing(rows: str, missing: list[str]) -> None:
    """Every missing key is reported, with a hint what to add."""
    found = [problem for problem in problems(HEAD + rows + "\n") if "device_index 0" not in problem]
    assert [problem.split(" ")[1] for problem in found] == missing
    for problem, path in zip(found, missing, strict=True):
        assert f"is missing | add `{path.rpartition('.')[2]}: …`" in problem


def test_a_wrong_id_is_the_only_problem() -> None:
    """With an invalid ``adopt``, the keys that ``adopt`` makes optional are not reported as missing."""
    text = HEAD + "instances: {a: {adopt: a}}\n"
    assert_refused(text, "3:24 instances.a.adopt", "'a' is not an instance id", "i-0123456789abcdef0")


def test_an_external_instance_is_not_adopted() -> None:
    """enireconcile never changes external instances."""
    text = HEAD + "instances: {a: {external: i-12345678, adopt: i-12345678}}\n"
    assert_refused(
        text, "3:39 instances.a.adopt", "unknown key", "an external instance has only the key `external`"
    )


def test_one_resource_has_one_name() -> None:
    """Two rows must not adopt the same id."""
    text = HEAD + "elastic_ips:\n  a: {adopt: eipalloc-12345678}\n  b: {adopt: eipalloc-12345678}\n"
    message = "eipalloc-12345678 is already adopted by elastic_ips.a"
    assert_refused(text, "5:14 elastic_ips.b.adopt", message, "remove one")


def test_an_instance_that_is_not_adopted_still_needs_its_interface() -> None:
    """A launch needs an interface at index 0."""
    text = INSTANCE.replace("device_index: 0", "device_index: 1")
    assert len(problems(text)) == 1
    assert problems(text.rstrip() + "\n    adopt: i-12345678\n") == []


def test_the_addresses_of_an_adopted_interface_are_unknown() -> None:
    """Unless the row specifies them: then an association with another address is an error."""
    text = (
        HEAD
        + "elastic_ips: {a: {association: {network_interface: b, private_ip: 10.0.0.10}}}\n"
        + "network_interfaces: {b: {adopt: eni-12345678}}\n"
    )
    assert problems(text) == []
    partly = text.replace("12345678", "12345678, secondary_private_ips: []")
    assert problems(partly) == []
    assert len(problems(partly.replace("[]", "[], private_ip: 10.0.0.11"))) == 1


def test_a_tag_more_is_counted_where_attributes_are_ignored() -> None:
    """EC2 allows 50 tags. enireconcile sets 3, and with ``ignore`` the tag enireconcile:new, too."""
    tags = ", ".join(f"t{number}: x" for number in range(47))
    text = HEAD + f"elastic_ips: {{a: {{tags: {{{tags}}}}}}}\n"
    assert problems(text) == []
    ignoring = text.replace("{a: {", "{a: {lifecycle: {ignore: [association]}, ")
    assert len(problems(ignoring)) == 1


@st.composite
def adopting(draw: st.DrawFn) -> Document:
    """Documents in which some rows have ``adopt`` and lack keys; any row may have a lifecycle."""
    whole = draw(documents())
    sections: dict[str, dict[str, Resource]] = {section: dict(getattr(whole, section)) for section in SECTIONS}
    for number, (address, row) in enumerate(whole.resources.items()):
        section, _, name = address.partition(".")
        kept = {key: getattr(row, key) for key in row.attributes()}
        if draw(st.booleans()):
            # An instance without adopt needs the attachment of its interface.
            kept = {key: value for key, value in kept.items() if key == "attachment" or draw(st.booleans())}
            kept = {key: value for key, value in kept.items() if value is not None}
            kept["adopt"] = f"{PREFIXES[section]}-{number:08x}"
        lifecycle = Lifecycle(
            prevent_destroy=draw(st.booleans()),
            ignore=tuple(draw(st.lists(st.sampled_from(row.attributes()), max_size=2, unique=True))),
        )
        sections[section][name] = type(row)(**kept, lifecycle=lifecycle)
    return whole.model_copy(update=sections)


@RELAXED
@given(adopting())
def test_what_is_left_out_stays_left_out(wanted: Document) -> None:
    """Rendered and loaded, the document is the same, and rows with ``adopt`` have the same keys."""
    text = render(wanted)
    assert problems(text) == []
    read = document(text)
    assert read == wanted
    for address in wanted.adopted:
        assert _specified(read.resources[address]) == _specified(wanted.resources[address])


def _specified(row: Resource) -> dict[str, bool]:
    return {name: row.specifies(name) for name in row.attributes()}
