"""The YAML reader: what it reads, what it refuses, and that it does not guess types."""

from __future__ import annotations

import pytest
import yaml

from enireconcile.spec.yamltree import MAX_BYTES, Plain, read_tree
from tests.spec.reading import GROUP, HEAD, INSTANCE, INTERFACE, RULE, assert_refused, document, problems

REFUSED = [
    # what the file holds, line:column path, the message, the hint
    ("", "1:1", "the file is empty", "begin with `version: 1`"),
    ("# only a comment\n", "1:1", "the file is empty", "begin with `version: 1`"),
    ("---\n", "1:1", "the file is empty", "begin with `version: 1`"),
    ("null\n", "1:1", "the file is empty", "begin with `version: 1`"),
    ("hello\n", "1:1", "must be a mapping, not 'hello'", "`key: value`"),
    ("- version: 1\n", "1:1", "must be a mapping, not a list", "remove the `- `: write `version:`"),
    (HEAD + "---\nversion: 1\n", "3:1", "a second YAML document", "a file of its own"),
    (HEAD + "stack: t\n", "3:1 stack", "duplicate key; the first is at line 2", "keep one"),
    (HEAD + "tags: {a: x, b: y, a: z}\n", "3:20 tags.a", "duplicate key; the first is at line 3", "keep one"),
    (HEAD + "tags: {a: x, 'a': {b: c}}\n", "3:14 tags.a", "duplicate key", "keep one"),
    (HEAD + "tags: {a: !!str 1}\n", "3:11 tags.a", "YAML tags are not allowed", "quotes"),
    (HEAD + "tags: {a: !!python/name:os.system x}\n", "3:11 tags.a", "YAML tags are not allowed", "quotes"),
    (HEAD + "tags: !local {a: x}\n", "3:7 tags", "tag '!local'", "quotes"),
    (
        HEAD + "tags: {a: &x y}\n",
        "3:11 tags.a",
        "anchor '&x': YAML anchors are not allowed",
        "write the value out",
    ),
    (HEAD + "tags: *x\n", "3:7 tags", "alias '*x': YAML aliases are not allowed", "write the value out"),
    (HEAD + "tags: {<<: {a: x}}\n", "3:8 tags", "YAML merge keys are not allowed", "write the value out"),
    (HEAD + "tags: {[a, b]: x}\n", "3:8 tags", "a collection as a key", "plain text"),
    (HEAD + "tags: {? *a : x}\n", "3:10 tags", "an alias as a key", "plain text"),
    (HEAD + "tags: {~: x}\n", "3:8 tags", "an empty key", "quotes"),
    (HEAD + "tags:\n\ta: x\n", "4:1", "not valid YAML", "spaces, never with tabs"),
    (HEAD + "tags: {a: x: y}\n", "3:12", "not valid YAML", ""),
    (HEAD + "tags: {a: x\n", "4:1", "not valid YAML", "missing"),
    (HEAD + "tags: {a: @x}\n", "3:11", "cannot start any token", "in quotes"),
    (HEAD + 'tags: {a: "x}\n', "4:1", "not valid YAML", "still open"),
    (HEAD + "  tags: {}\n", "3:7", "not valid YAML", "indentation"),
    (HEAD + "tags: {a: b, , c: d}\n", "3:14", "not valid YAML", ""),
    (HEAD + "tags: {a: [b, , c]}\n", "3:15", "node content", "remove the comma or bracket"),
    (HEAD + "a: *\n", "3:5", "scanning an alias", "begins with `*` in quotes"),
    (HEAD + "a: &\n", "3:5", "scanning an anchor", "begins with `&` in quotes"),
    (HEAD + "a: !x!y z\n", "3:4", "undefined tag handle", "begins with `!` in quotes"),
    (HEAD + "a: ? b\n", "3:4", "mapping keys are not allowed", "begins with `?` in quotes"),
    (HEAD + "%x: 1\n", "3:3", "scanning a directive", "begins with `%` in quotes"),
    (HEAD + 'a: "\\xg"\n', "3:7", "not valid YAML", "use single quotes"),
    (HEAD + "a: - b\n", "3:4", "sequence entries are not allowed", "on the line below its key"),
    (HEAD + "a: | x\n", "3:6", "scanning a block scalar", "on the line below `|` or `>`"),
    (HEAD + "a: b\n...\nc: d\n", "5:1", "<document start>", "remove the line `...` above"),
    (HEAD + "tags: {a: \x1b[31m}\n", "3:11", "unprintable character '\\x1b'", '"\\u001b"'),
    (HEAD + "tags: {a: b\x00}\n", "3:12", "unprintable character '\\x00'", "remove it"),
    (HEAD + "tags: {a: b\u2028c}\n", "3:12", "unprintable character '\\u2028'", '"\\u2028"'),
    (HEAD + "tags: {a: b\udcffc}\n", "3:12", "unprintable character '\\udcff'", "remove it"),
    (HEAD + "tags: " + "[" * 40 + "]" * 40, "3:22 tags" + ".0" * 15, "more than 16 levels", ""),
    (HEAD + "#" * MAX_BYTES, "1:1", f"larger than {MAX_BYTES} bytes", "split"),
]


@pytest.mark.parametrize("parser", ["libyaml", "PyYAML's own"])
@pytest.mark.parametrize(("text", "place", "message", "hint"), REFUSED)
def test_what_is_not_read(
    text: str, place: str, message: str, hint: str, parser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file has exactly one problem, with both parsers."""
    if parser != "libyaml":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert_refused(text, place, message, hint)


def test_bytes_that_are_not_utf_8_have_a_place() -> None:
    """The column counts characters, not bytes."""
    (problem,) = read_tree("stack: é".encode() + b"\xff", "f").problems
    assert (problem.line, problem.column, problem.message) == (1, 9, "not UTF-8: byte 0xff")


NULLS = [
    (HEAD + "instances:\n", "3:1 instances", "`{}`"),
    (HEAD + "instances: null\n", "3:12 instances", "`{}`"),
    (HEAD + "tags: ~\n", "3:7 tags", "`{}`"),
    (HEAD + "region:\n", "3:1 region", "remove the key"),
    (HEAD + "region: Null\n", "3:9 region", "quotes"),
    (HEAD + "elastic_ips:\n  spare:\n", "4:3 elastic_ips.spare", "`{}`"),
    (HEAD + "security_groups:\n  a:\n    egress:\n", "5:5 security_groups.a.egress", "`[]`"),
    (HEAD + "tags: {Owner: }\n", "3:8 tags.Owner", '""'),
    (INSTANCE + "key_name:\n", "8:5 instances.web.key_name", "remove the key"),
    (GROUP + "vpc: {tags: }\n", "5:11 security_groups.a.vpc.tags", "remove the key"),
    (
        HEAD + "elastic_ips: {a: {association: {instance: }}}\n",
        "3:33 elastic_ips.a.association.instance",
        "remove",
    ),
    (INTERFACE + "security_groups: [~]\n", "6:23 network_interfaces.eth0.security_groups.0", "remove the key"),
]


@pytest.mark.parametrize(("text", "place", "hint"), NULLS)
def test_nulls_are_errors(text: str, place: str, hint: str) -> None:
    """`instances:` without a value could mean none, or be unfinished."""
    assert_refused(text, place, "has no value", hint)


@pytest.mark.parametrize(
    "written",
    ["on", "off", "yes", "y", "true", "012", "0x1f", "1_000", "1:30", "1.10", "1e3", ".inf", "2024-01-01", "1"],
)
def test_text_stays_as_written_whatever_yaml_1_1_makes_of_it(written: str) -> None:
    """`Version: 1.10` is not 1.1, and the text `on` is not `True`."""
    assert document(HEAD + f"tags: {{Version: {written}, {written}: x}}\n").tags == {
        "Version": written,
        written: "x",
    }


def test_the_account_id_keeps_its_leading_zero() -> None:
    """YAML 1.1 reads this as an octal number."""
    assert document(HEAD + "account_id: 012345678901\n").account_id == "012345678901"


def test_quoted_and_plain_scalars_are_distinguished() -> None:
    """The models refuse `"80"` where a number is expected."""
    tree = read_tree("a: x\nb: 'x'\nc: |\n  x\n", "f")
    assert {key: type(value) for key, value in tree.data.items()} == {"a": Plain, "b": str, "c": str}


@pytest.mark.parametrize("start", ["\ufeff", "---\n", "%YAML 1.2\n---\n", "# comment\n\n"])
def test_beginnings_that_are_fine(start: str) -> None:
    """A byte order mark, a document start, a version, a comment."""
    assert problems(start + HEAD) == []


@pytest.mark.parametrize("line_break", ["\r\n", "\r"])
def test_other_line_breaks_are_counted_and_not_kept(line_break: str) -> None:
    """Editors on Windows write them."""
    assert document((HEAD + "tags: {a: b}\n").replace("\n", line_break)).tags == {"a": "b"}
    assert_refused((HEAD + "region: x\n").replace("\n", line_break), "3:9 region", "must be a Region", "")


def test_one_mistake_does_not_hide_another() -> None:
    """Problems of the YAML, of values and of references are reported together, in the order of the file."""
    text = HEAD + "region: nowhere\ntags: {a: x, a: y}\nelastic_ips: {ip: {association: {network_interface: e}}}\n"
    assert [line.split(" ")[0] for line in problems(text)] == ["3:9", "4:14", "5:53"]


def test_an_invalid_resource_is_not_also_reported_as_missing() -> None:
    """A reference to an invalid row is not reported."""
    text = HEAD + "network_interfaces: {eth0: {subnet: sub-1}}\n"
    text += "elastic_ips: {ip: {association: {network_interface: eth0}}}\n"
    assert_refused(
        text, "3:37 network_interfaces.eth0.subnet", "'sub-1' is not a subnet id", "subnet-0123456789abcdef0"
    )


def test_messages_hold_no_control_characters() -> None:
    """A spec may come from an untrusted source, and terminals execute escape codes."""
    text = (
        HEAD
        + r'"\e[31mkey": 1'
        + "\n"
        + r'region: "\e]0;title\a"'
        + "\n"
        + r'tags: {"\e": "a\eb", "k.\e": [1]}'
        + "\n"
    )
    found = problems(text)
    assert len(found) == 6
    assert all(line.isprintable() for line in found)


@pytest.mark.parametrize(
    "text",
    [
        RULE + r'{protocol: tcp, sources: ["fe80::1%\e[31m"]}',
        HEAD
        + r'network_interfaces: {"\e[31m": {}}'
        + "\nelastic_ips: {a: {association: {network_interface: b}}}\n",
    ],
)
def test_hints_hold_no_control_characters_either(text: str) -> None:
    """Not from scope ids, and not from the invalid names of other rows."""
    found = problems(text)
    assert found
    assert all(line.isprintable() for line in found)


def test_long_values_are_cut_in_messages() -> None:
    """The place shows where the whole value is."""
    (found,) = problems(HEAD + f"region: {'x' * 5000}\n")
    assert len(found) < 200
