"""``variables``, ``defaults``, ``for_each`` and ``${…}``: what a file says once, and where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Ref, Template, joined
from enireconcile.spec import Document, Given, load, variables_of
from enireconcile.spec import expand as expanding
from enireconcile.spec.yamltree import Plain
from tests.spec.reading import HEAD, INSTANCE, assert_refused, document, problems

PAIR = (
    HEAD
    + """\
region: us-east-1
variables:
  ops: 192.0.2.0/24
  pair: {a: {zone: us-east-1a, ip: 172.31.0.10}, b: {zone: us-east-1b, ip: 172.31.16.10}}
defaults:
  instances: {image: ami-12345678, instance_type: m5.large, on_change: restart, tags: {Team: net, Zone: none}}
  network_interfaces: {source_dest_check: false}
instances:
  "fw-${each.key}":
    for_each: ${var.pair}
    tags: {Zone: "${each.value.zone}"}
network_interfaces:
  "fw-${each.key}-outside":
    for_each: ${var.pair}
    subnet: {default_for_az: "${each.value.zone}"}
    private_ip: ${each.value.ip}
    attachment: {instance: "fw-${each.key}", device_index: 0}
"""
)
"""A firewall pair, said once."""


def given(text: str, **variables: str) -> Document:
    values = {name: Plain(value) for name, value in variables.items()}
    (spec,) = load(["-"], given=Given(values), stdin=lambda: text)
    return spec.document


def tagged(value: str, head: str = HEAD) -> str | Template:
    """What a tag of the file says."""
    return document(f"{head}tags:\n  a: {value}\n").tags["a"]


def test_a_pair_is_said_once() -> None:
    """for_each makes the rows, defaults fill them, tags are merged, what the row says wins."""
    made = document(PAIR)
    assert list(made.instances) == ["fw-a", "fw-b"]
    assert {row.instance_type for row in made.own_instances.values()} == {"m5.large"}
    assert made.own_instances["fw-b"].tags == {"Team": "net", "Zone": "us-east-1b"}
    outside = made.network_interfaces["fw-b-outside"]
    assert (outside.private_ip, outside.source_dest_check) == ("172.31.16.10", False)
    assert outside.attachment is not None
    assert outside.attachment.instance == "fw-b"


def test_it_is_what_the_long_file_is() -> None:
    """A file that says the same in full is the same document."""
    rows = HEAD + "region: us-east-1\ninstances:\n"
    for name, zone in (("a", "us-east-1a"), ("b", "us-east-1b")):
        rows += (
            f"  fw-{name}: {{image: ami-12345678, instance_type: m5.large, on_change: restart,"
            f" tags: {{Team: net, Zone: {zone}}}}}\n"
        )
    rows += "network_interfaces:\n"
    for name, zone, ip in (("a", "us-east-1a", "172.31.0.10"), ("b", "us-east-1b", "172.31.16.10")):
        rows += (
            f"  fw-{name}-outside: {{subnet: {{default_for_az: {zone}}}, private_ip: {ip},"
            f" source_dest_check: false, attachment: {{instance: fw-{name}, device_index: 0}}}}\n"
        )
    assert document(PAIR) == document(rows)


@pytest.mark.parametrize(
    ("elements", "names"),
    [
        ("[a, b]", ["x-a", "x-b"]),
        ("{a: 1, b: {c: 2}}", ["x-a", "x-b"]),
        ("[1, 2]", ["x-1", "x-2"]),
        ("[]", []),
        ("{}", []),
        ("${var.list}", ["x-p", "x-q"]),
        ('"${var.deep.list}"', ["x-r"]),
    ],
)
def test_for_each_takes_mappings_and_lists(elements: str, names: list[str]) -> None:
    head = HEAD + "variables: {list: [p, q], deep: {list: [r]}}\n"
    row = '  "x-${each.key}":\n    tags: {k: "${each.key}"}\n    for_each: '
    text = f"{head}elastic_ips:\n{row}{elements}\n"
    made = document(text)
    assert list(made.elastic_ips) == names
    assert [row.tags["k"] for row in made.elastic_ips.values()] == [name[2:] for name in names]


@pytest.mark.parametrize("use", ["${each.value}", "<${each.value}>"])
@pytest.mark.parametrize("elements", ["{a: '$${HOME} ${stack}'}", "['$${HOME} ${stack}']", "${var.homes}"])
def test_a_literal_in_an_element_stays_one(elements: str, use: str) -> None:
    """Elements are read once, wherever they stand."""
    head = HEAD + "variables: {homes: {a: '$${HOME} ${stack}'}}\n"
    made = document(f'{head}elastic_ips:\n  x:\n    tags: {{k: "{use}"}}\n    for_each: {elements}\n')
    assert made.elastic_ips["x"].tags["k"] == use.replace("${each.value}", f"${{HOME}} {made.stack}")


@pytest.mark.parametrize("value", ["${var.n}", '"${var.n}"', "'${var.n}'"])
def test_a_reference_alone_keeps_its_type(value: str) -> None:
    """Quoted or not: a number stays a number, a list a list."""
    head = (
        HEAD + "variables: {n: 2, peers: [10.0.0.0/8, self], rule: {protocol: tcp, ports: 22, sources: [self]}}\n"
    )
    text = f"network_interfaces:\n  a:\n    subnet: subnet-12345678\n    ipv6_address_count: {value}\n"
    made = document(head + text)
    assert made.network_interfaces["a"].ipv6_address_count == 2
    groups = head + (
        "security_groups:\n  a:\n    ingress:\n      - ${var.rule}\n"
        "      - {protocol: udp, ports: 53, sources: '${var.peers}'}\n"
    )
    tcp, udp = document(groups).security_groups["a"].ingress
    assert (tcp.protocol, udp.sources) == ("tcp", ("10.0.0.0/8", "self"))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("${stack}", "s"),
        ("${enireconcile.stack}", "s"),
        ("in ${region}, ${account_id}", "in us-east-1, 012345678901"),
        ("a ${var.x} ${var.m.k} ${var.l.1}", "a 1.10 v second"),
        ("$${HOME}", "${HOME}"),
        ("$$${x}", "$${x}"),
        ("${var.nested}", "<s>"),
        ("${var.literal}", "${HOME}"),
        ("$HOME $ {x} }{", "$HOME $ {x} }{"),
    ],
)
def test_references_inside_text_become_text(written: str, read: str) -> None:
    head = HEAD + (
        "region: us-east-1\naccount_id: 012345678901\n"
        "variables: {x: 1.10, m: {k: v}, l: [first, second], nested: '<${stack}>', literal: '$${HOME}'}\n"
    )
    assert tagged(f"'{written}'", head) == read


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("${var.opps}", "unknown variable 'opps'", "did you mean `ops`?"),
        ("${ops}", "unknown reference ${ops}", "write ${var.ops}"),
        ("${opps}", "unknown reference ${opps}", "${var.NAME}"),
        ("${env:OPS}", "unknown reference ${env:OPS}", '--var OPS="$OPS"'),
        ("${var.ops.x}", "${var.ops.x}: there is no 'x'", ""),
        ("${var.map.x}", "${var.map.x}: there is no 'x'", "choose from: k"),
        ("${each.key}", "outside of a row with `for_each`", "add `for_each`"),
        ("${var.ops", "has no closing", "$${"),
        ("a ${var.map}", "is a mapping: it cannot be part of a text", "one of its fields"),
        ("a ${var.list}", "is a list", "one of its fields"),
        ("${account_id}", "${account_id} has no value", "write `account_id: …`"),
        ("${var.loop}", "refers to itself", "write the value out"),
        ("x ${var.loop}", "refers to itself", "write the value out"),
        ("${}", "unknown reference ${}", ""),
        ("${elastic_ips}", "unknown reference", ""),
    ],
)
def test_a_reference_without_a_value_is_refused(text: str, message: str, hint: str) -> None:
    head = HEAD + "variables: {ops: x, map: {k: v}, list: [a], loop: 'x ${var.loop}'}\n"
    assert_refused(f"{head}tags:\n  a: '{text}'\n", "5:6 tags.a", message, hint)


def test_an_error_has_the_place_of_the_template_and_names_the_element() -> None:
    text = PAIR.replace("ip: 172.31.16.10", "ip: 172.31.16.300")
    assert_refused(
        text,
        "18:17 network_interfaces.fw-b-outside.private_ip",
        "(each.key 'b')",
        "",
    )
    text = PAIR.replace("m5.large", "m5large")
    assert_refused(text, "8:51 instances.fw-a.instance_type", "(each.key 'a')", "t3.micro")


@pytest.mark.parametrize(
    ("rows", "place", "message", "hint"),
    [
        ('x: {for_each: [a, b]}', "4:3 elastic_ips.x", "two rows of the name 'x'", "${each.key} into the name"),
        ('"x-${each.key}": {for_each: [a, a]}', "4:3 elastic_ips.", "two rows of the name 'x-a'", ""),
        ("x: {for_each: a}", "4:17 elastic_ips.x.for_each", "mapping or a list", "${var.NAME}"),
        ("x: {for_each: [[a]]}", "4:17 elastic_ips.x.for_each", "list of single values", ""),
        ("x: {for_each: '${each.key}'}", "4:17 elastic_ips.x.for_each", "outside of a row", ""),
        ('"${each.value}": {for_each: {a: [b]}}', "4:3 elastic_ips.", "is a list", ""),
        ("x: {tags: {'${stack}': a, s: b}}", "4:13 elastic_ips.x.tags", "the key 's' twice", ""),
    ],
)  # fmt: skip
def test_a_for_each_that_makes_no_rows_is_refused(rows: str, place: str, message: str, hint: str) -> None:
    found = problems(f"{HEAD}elastic_ips:\n  {rows}\n")
    assert len(found) == 1, found
    assert found[0].startswith(place), found
    assert message in found[0]
    assert hint in found[0]


@pytest.mark.parametrize(
    ("defaults", "place", "message"),
    [
        ("{instance: {}}", "3:12 defaults.instance", "unknown section"),
        ("{instances: {typ: x}}", "3:24 defaults.instances.typ", "unknown key"),
        ("{instances: {adopt: i-12345678}}", "3:24 defaults.instances.adopt", "cannot be a default"),
        ("{instances: [a]}", "3:23 defaults.instances", "must be a mapping"),
        ("[a]", "3:11 defaults", "must be a mapping"),
        ("{instances: {key_name: }}", "3:24 defaults.instances.key_name", "has no value"),
    ],
)
def test_wrong_defaults_are_refused_even_without_a_row(defaults: str, place: str, message: str) -> None:
    found = problems(f"{HEAD}defaults: {defaults}\n")
    assert len(found) == 1, found
    assert found[0].startswith(f"{place} | ")
    assert message in found[0]


def test_defaults_yield_to_what_excludes_them() -> None:
    """A row with a list of addresses takes no count from the defaults, and an external instance takes nothing."""
    made = document(
        HEAD + "defaults:\n"
        "  network_interfaces: {secondary_private_ip_count: 2, subnet: subnet-12345678}\n"
        "  instances: {instance_type: t3.micro, image: ami-12345678}\n"
        "instances: {out: {external: i-12345678}}\n"
        "network_interfaces:\n"
        "  a: {secondary_private_ips: [10.0.0.9]}\n"
        "  b: {attachment: {instance: out, device_index: 1}}\n"
    )
    assert made.network_interfaces["a"].secondary_private_ip_count is None
    assert made.network_interfaces["b"].secondary_private_ip_count == 2


# ---- references inside of references


NESTED = """\
version: 1
stack: s
region: us-east-1
variables: {owners: {a: ann, b: bob}, which: b, e: {b: e-}}
instances:
  "i-${each.key}":
    for_each: [a, b]
    image: ami-12345678
    instance_type: t3.micro
    user_data: "ip=${elastic_ips.e-${each.key}.public_ip} ${HOME:-${PWD}}"
    tags: {Ip: "${elastic_ips.${var.e.b}${each.key}.public_ip}", Owner: "of ${var.owners.${each.key}}"}
network_interfaces:
  "${each.key}":
    for_each: [a, b]
    subnet: subnet-12345678
    attachment: {instance: "i-${each.key}", device_index: 0}
elastic_ips:
  "e-${each.key}": {for_each: [a, b], tags: {Owner: "${var.owners.${var.which}}"}}
"""


@pytest.mark.parametrize(
    "text", ["echo ${instances.web-${HOSTNAME}.private_ip}", "x ${var.name${SUFFIX}} y", "${each.key${x}", "${var"]
)
def test_what_has_a_variable_of_the_shell_inside_is_the_shells(text: str) -> None:
    written = "ip=${elastic_ips.e-${each.key}.public_ip} ${HOME:-${PWD}}"
    assert document(NESTED.replace(written, text)).own_instances["i-a"].user_data == text


def test_a_reference_inside_of_another_one_is_expanded_first() -> None:
    """In user data, in tags, in variables; what the shell nests stays the shell's."""
    made = document(NESTED)
    for key, owner in (("a", "ann"), ("b", "bob")):
        row = made.own_instances[f"i-{key}"]
        ip = Ref(f"elastic_ips.e-{key}", "public_ip")
        assert row.user_data == Template(("ip=", ip, " ${HOME:-${PWD}}"))
        assert row.tags == {"Ip": Template((ip,)), "Owner": f"of {owner}"}
        assert made.elastic_ips[f"e-{key}"].tags == {"Owner": "bob"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${elastic_ips.e-${each.ky}.public_ip}", "unknown reference ${each.ky}"),
        ("${elastic_ips.e-${each.key}x.public_ip}", "there is no elastic ip 'e-ax'"),
        ("${elastic_ips.e-${each.key}.public}", "${elastic_ips.e-a.public}: elastic_ips have no 'public'"),
        ("${elastic_ips.${elastic_ips.e-a.id}.id}", "${elastic_ips.e-a.id} cannot be part of another reference"),
        ("${elastic_ips.${var.e.${var.which}}a.id}", "a reference inside of a reference can have none inside"),
        ("${elastic_ips.e-${each.key}.public_ip", "closing `}`"),
        ("${var.owners.${var.e}}", "${var.e} is a mapping: it cannot be part of a text"),
    ],
)
@pytest.mark.parametrize("place", ["user_data", "tags"])
def test_a_wrong_reference_inside_of_another_one_is_refused(text: str, message: str, place: str) -> None:
    written = "ip=${elastic_ips.e-${each.key}.public_ip} ${HOME:-${PWD}}"
    if place == "tags":
        written = "${elastic_ips.${var.e.b}${each.key}.public_ip}"
    found = problems(NESTED.replace(written, text))
    assert message in found[0], found
    assert found[0].startswith(f"{'10:16' if place == 'user_data' else '11:16'} instances.i-a.{place}"), found


@pytest.mark.parametrize("user_data", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "${elastic_ips.e-${each.key}.public_ip}",
        "$${elastic_ips.e-${each.key}.public_ip}",
        "${elastic_ips.${var.e.${var.which}}a.id}",
        "${var.a-${var.b",
        "${a ${b}",
    ],
)
def test_an_escaped_text_is_read_as_it_was(text: str, user_data: bool) -> None:
    written = expanding.escaped(text, user_data=user_data)
    if user_data:
        assert script(written) == text + "\n"
    else:
        assert tagged(f"'{written}'", HEAD) == text


# ---- attributes of other resources


LENT = """\
version: 1
stack: s
region: us-east-1
instances:
  web: {image: ami-12345678, instance_type: t3.micro, user_data: "USER_DATA"}
  out: {external: i-12345678}
network_interfaces:
  eth0: {subnet: subnet-12345678, private_ip: 10.0.0.10, attachment: {instance: web, device_index: 0}}
  eth1: {subnet: subnet-12345678, attachment: {instance: web, device_index: 1}}
  eth2: {subnet: subnet-12345678, secondary_private_ip_count: 1, attachment: {instance: out, device_index: 1}}
  eth3: {subnet: subnet-87654321, private_ip: 10.0.0.10, secondary_private_ips: [10.0.0.11]}
elastic_ips:
  a: {association: {network_interface: eth0, private_ip: 10.0.0.10}}
  b: {association: {network_interface: eth1}}
  c: {association: {network_interface: eth2, secondary: true}}
  d: {association: {instance: out}}
  e: {association: {network_interface: eth3, private_ip: 10.0.0.11}}
  f: {association: {network_interface: eni-12345678}}
  g: {}
  z: {tags: {x: "TAG"}}
"""


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("network_interfaces.eth0.public_ip", Ref("elastic_ips.a", "public_ip")),
        ("network_interfaces.eth1.public_ip", Ref("elastic_ips.b", "public_ip")),
        ("instances.web.public_ip", Ref("elastic_ips.a", "public_ip")),
        ("instances.web.private_ip", Ref("network_interfaces.eth0", "private_ip")),
        ("instances.out.private_ip", Ref("instances.out", "private_ip")),
        ("instances.out.public_ip", Ref("elastic_ips.d", "public_ip")),
        ("elastic_ips.a.private_ip", "10.0.0.10"),
        ("elastic_ips.b.private_ip", Ref("network_interfaces.eth1", "private_ip")),
        ("elastic_ips.d.private_ip", Ref("instances.out", "private_ip")),
        ("elastic_ips.e.private_ip", "10.0.0.11"),
    ],
)
def test_an_attribute_of_another_resource_is_a_reference_to_that(reference: str, found: Ref | str) -> None:
    """Elastic IPs give their address to interfaces and instances, these theirs to Elastic IPs."""
    made = document(LENT.replace("USER_DATA", f"x ${{{reference}}}").replace("TAG", f"${{{reference}}}"))
    assert made.own_instances["web"].user_data == joined(["x ", found])
    assert made.elastic_ips["z"].tags["x"] == joined([found])


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("network_interfaces.eth2.public_ip", "no Elastic IP of the file is associated", "${elastic_ips.NAME."),
        ("network_interfaces.eth3.public_ip", "no Elastic IP of the file is associated", ""),
        ("elastic_ips.c.private_ip", "is associated with no address that the file tells", ""),
        ("elastic_ips.f.private_ip", "is associated with no address that the file tells", ""),
        ("elastic_ips.g.private_ip", "is associated with no address that the file tells", ""),
        ("elastic_ips.nope.private_ip", "there is no elastic ip 'nope'", ""),
    ],
)  # fmt: skip
def test_an_attribute_that_nothing_gives_is_refused(reference: str, message: str, hint: str) -> None:
    text = LENT.replace("USER_DATA", "x").replace("TAG", f"${{{reference}}}")
    assert_refused(text, "20:17 elastic_ips.z.tags.x", message, hint)


def test_the_tags_of_the_file_can_have_attributes_of_other_resources() -> None:
    made = document(LENT.replace("version: 1", "version: 1\ntags: {Ip: 'to ${instances.web.public_ip}'}"))
    assert made.tags == {"Ip": Template(("to ", Ref("elastic_ips.a", "public_ip")))}


def test_a_mistake_in_the_row_that_would_give_it_is_told() -> None:
    text = LENT.replace("USER_DATA", "x").replace("TAG", "${network_interfaces.eth1.public_ip}")
    for wrong in ("b: {association: [eth1]}", "b: {association: {network_interface: [eth1]}}", "b: eth1", "b:"):
        found = problems(text.replace("b: {association: {network_interface: eth1}}", wrong))
        assert any("elastic_ips.b" in each for each in found), found


# ---- user data


def script(text: str, **variables: str) -> str | bytes | Template | None:
    """The user data that a block of text becomes."""
    block = "".join(f"      {line}\n" for line in text.splitlines())
    return given(f"{INSTANCE}user_data: |\n{block}", **variables).own_instances["web"].user_data


def test_the_shells_own_braces_stay() -> None:
    """stack, region and account_id are names that scripts use, so they are replaced only with a prefix."""
    lines = '${HOME} ${stack} ${region:-x} ${a[@]} ${#a} ${!b} $(c) ${x%.*} "${each}" ${var} ${PATH//:/ }'
    assert script(lines) == lines + "\n"
    assert script("${enireconcile.stack} ${var.x} $${var.x}", x="1") == "s 1 ${var.x}\n"


def test_unknown_references_in_user_data_are_refused() -> None:
    text = INSTANCE + "user_data: |\n      #!/bin/sh\n      echo ${var.nope}\n"
    assert_refused(text, "8:16 instances.web.user_data", "unknown variable 'nope'", "--var nope=VALUE")
    text = INSTANCE + "user_data: |\n      #!/bin/sh\n      echo ${enireconcile.nope}\n"
    hint = "${enireconcile.stack}, ${enireconcile.region} or ${enireconcile.account_id}; $${ for a literal ${"
    assert_refused(text, "8:16 instances.web.user_data", "unknown reference ${enireconcile.nope}", hint)
    assert "${stack}" not in problems(text)[0]


def test_volume_tags_refer_to_no_resources() -> None:
    """EC2 gets them with the launch."""
    text = INSTANCE + "volume_tags: {a: '${elastic_ips.b.id}'}\nelastic_ips: {b: {}}\n"
    message, hint = "'volume_tags' cannot refer to resources", "only user data and tags can refer"
    assert_refused(text, "8:22 instances.web.volume_tags.a", message, hint)


SCRIPTS = sorted(
    path
    for folder in (
        "/etc/init.d",
        "/usr/bin",
        "/usr/sbin",
        "/usr/share/bash-completion",
        "/etc/profile.d",
        "/lib/init",
    )
    if Path(folder).is_dir()
    for path in Path(folder).rglob("*")
    if path.is_file() and path.stat().st_size < 200_000 and path.read_bytes()[:2] == b"#!"
)


@pytest.mark.skipif(not SCRIPTS, reason="this machine has no shell scripts in the usual folders")
def test_the_scripts_of_a_distribution_stay_as_they_are() -> None:
    """No script that the distribution ships has anything that would be read as a reference."""
    changed = []
    for path in SCRIPTS:
        text = path.read_bytes().decode("utf-8", errors="replace")
        if expanding.escaped(text, user_data=True) != text:
            changed.append(str(path))
    assert changed == []


def test_a_user_data_file_is_read_like_user_data(tmp_path: Path) -> None:
    (tmp_path / "boot-a.sh").write_text("echo ${each.key} ${HOME} ${enireconcile.stack}\n")
    text = PAIR.replace("tags: {Zone: ", "user_data_file: 'boot-${each.key}.sh'\n    tags: {Zone: ", 1)
    spec = tmp_path / "fw.yaml"
    spec.write_text(
        text.replace("{a: {zone: us-east-1a, ip: 172.31.0.10}, b: ", "{a: ").replace(
            "ip: 172.31.16.10}", "ip: 172.31.16.10}"
        )
    )
    (loaded,) = load([str(spec)])
    assert loaded.document.own_instances["fw-a"].user_data == "echo a ${HOME} s\n"


# ---- the command line's values


def test_the_command_line_overrides_the_file(tmp_path: Path) -> None:
    """--var-file over variables, --var over both; what is not declared is known where the file uses it."""
    file = tmp_path / "prod.yaml"
    file.write_text("size: m5.large\nn: 3\nextra: [a]\n")
    text = (
        HEAD
        + "variables: {size: t3.micro, n: }\ntags: {size: '${var.size}', n: '${var.n}', e: '${var.extra.0}'}\n"
    )
    variables = variables_of([str(file)], [("size", "m5.xlarge")])
    (spec,) = load(["-"], given=Given(variables.values), stdin=lambda: text)
    assert spec.document.tags == {"size": "m5.xlarge", "n": "3", "e": "a"}


def test_a_variable_without_a_value_must_be_given() -> None:
    text = HEAD + "variables: {n: }\ntags: {n: '${var.n}'}\n"
    found = problems(text)
    assert found[0] == "3:13 variables.n | has no value | write a value, or give --var n=VALUE"
    assert given(text, n="1").tags == {"n": "1"}


def test_a_variable_that_no_spec_has_is_refused() -> None:
    with pytest.raises(SpecErrors, match="no spec has a variable 'oops'") as caught:
        given(HEAD + "variables: {ops: x}\n", oops="1")
    assert caught.value.problems[0].hint == "did you mean `ops`?"


def test_a_variable_of_a_file_that_no_spec_has_is_refused_with_its_place(tmp_path: Path) -> None:
    """Of several files, the last one that gives it; what --var gives has none."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("ops: x\noops: y\n")
    files = [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]
    read = variables_of(files, [("more", "z")])
    given = Given(read.values, places=read.places)
    with pytest.raises(SpecErrors) as caught:
        load(["-"], given=given, stdin=lambda: HEAD + "variables: {ops: x}\n")
    assert [str(each).splitlines()[0] for each in caught.value.problems] == [
        "--var:1:1: no spec has a variable 'more'",
        f"{files[1]}:2:1: no spec has a variable 'oops'",
    ]


def test_a_var_file_is_no_spec(tmp_path: Path) -> None:
    """So the hints for one that is empty or missing tell what it is."""
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    with pytest.raises(SpecErrors) as caught:
        variables_of([str(tmp_path / "empty.yaml"), str(tmp_path / "no.yaml")], [])
    assert [(each.message.partition(":")[0], each.hint) for each in caught.value.problems] == [
        ("the file is empty", "write `NAME: VALUE` lines"),
        ("cannot be read", "give the path of a file with variables: write `NAME: VALUE` lines"),
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("security_groups: {a: {ingress: [{protocol: tcp, sources: '${var.a}'}]}}\n", "a list"),
        ("elastic_ips: {'${each.key}': {for_each: '${var.a}'}}\n", "a list"),
        ("elastic_ips: {a: {tags: '${var.b}'}}\n", "a mapping"),
        ("elastic_ips: {a: {association: '${var.b}'}}\n", "a mapping"),
    ],
)
def test_a_list_of_the_command_line_is_text(text: str, what: str) -> None:
    with pytest.raises(SpecErrors) as caught:
        given(HEAD + "variables: {a: x, b: y}\n" + text, a="[10.0.0.0/8]", b="{k: v}")
    assert [each.hint for each in caught.value.problems] == [f"--var gives text; give {what} in a --var-file"]


@pytest.mark.parametrize("text", ["[a]\n", "a\n", "", "a: [\n", "a: \n"])
def test_a_wrong_var_file_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "vars.yaml"
    file.write_text(text)
    with pytest.raises(SpecErrors, match=r"vars\.yaml:[12]:"):
        variables_of([str(file)], [])


def test_the_region_of_the_command_line_wins() -> None:
    text = HEAD + "region: us-east-1\ntags: {r: '${region}'}\n"
    (spec,) = load(["-"], given=Given(region="eu-west-1"), stdin=lambda: text)
    assert spec.document.tags == {"r": "eu-west-1"}


def test_the_region_of_the_environment_is_the_last_one() -> None:
    """Where the file writes it into values, it is the Region of the file: calls must not go to another one."""
    environment = {"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"}
    given = Given(environment=environment)
    text = HEAD + "tags: {r: '${region}'}\n"
    (spec,) = load(["-"], given=given, stdin=lambda: text)
    assert (spec.document.tags, spec.document.region) == ({"r": "eu-west-1"}, "eu-west-1")
    (spec,) = load(["-"], given=given, stdin=lambda: text + "region: us-east-1\n")
    assert spec.document.tags == {"r": "us-east-1"}
    (spec,) = load(["-"], given=given, stdin=lambda: HEAD + "variables: {a: b}\n")
    assert spec.document.region is None
    environment["AWS_REGION"] = "us-east-1a"
    with pytest.raises(SpecErrors) as caught:
        load(["-"], given=given, stdin=lambda: text)
    (problem,) = caught.value.problems
    assert "${region} (from AWS_REGION): must be a Region, but 'us-east-1a' is an" in str(problem)
    assert (problem.line, problem.hint) == (3, "write us-east-1")


def test_no_region_for_a_value() -> None:
    """The hint says where it may come from; loading a spec reads no AWS configuration."""
    hint = (
        "write `region: …` at the top of the file, or give --region or AWS_REGION; a profile's Region is not read"
    )
    assert_refused(HEAD + "tags: {r: '${region}'}\n", "3:11 tags.r", "${region} has no value", hint)


# ---- a small file does not become a large one


def test_a_few_lines_cannot_make_a_million_rows() -> None:
    items = ", ".join(str(number) for number in range(expanding.MAX_ROWS + 1))
    text = (
        f"{HEAD}variables: {{many: [{items}]}}\nelastic_ips:\n  'x-${{each.key}}': {{for_each: '${{var.many}}'}}\n"
    )
    found = problems(text)
    assert len(found) == 1
    assert "rows" in found[0]


def test_rows_that_are_written_out_may_be_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expanding, "MAX_ROWS", 10)
    text = HEAD + "elastic_ips:\n" + "".join(f"  x-{number}: {{}}\n" for number in range(11))
    (spec,) = load(["-"], stdin=lambda: text)
    assert len(spec.document.elastic_ips) == 11


def test_references_cannot_multiply_text() -> None:
    text = HEAD + "variables:\n  a: " + "x" * 1000 + "\n"
    for number, name in enumerate("bcdefg"):
        text += f"  {name}: '" + f"${{var.{'abcdefg'[number]}}}" * 10 + "'\n"
    found = problems(text + "tags: {a: '${var.g}'}\n")
    assert found
    assert any("too large" in each or "more than" in each for each in found)
