"""The section ``checks``: what a row says, and what is wrong with one."""

from __future__ import annotations

import pytest

from enireconcile.spec import Check
from tests.spec.reading import HEAD, assert_refused, document, problems

ROWS = HEAD + "elastic_ips: {web: {}}\nnetwork_interfaces: {eth0: {subnet: subnet-12345678}}\nchecks:\n  "
"""Append a row of the section, at line 6, column 3."""


def row(text: str) -> Check:
    [check] = document(ROWS + text).checks.values()
    return check


@pytest.mark.parametrize(
    ("text", "target", "port", "seconds"),
    [
        ("a: {elastic_ip: web, tcp: 22}", ("elastic_ip", "web"), 22, 30),
        ("a: {network_interface: eth0, tcp: 22, within: 2m}", ("network_interface", "eth0"), 22, 120),
        ("a: {elastic_ip: web, http: {}}", ("elastic_ip", "web"), 80, 30),
        ("a: {elastic_ip: web, https: {}, within: 1h}", ("elastic_ip", "web"), 443, 3600),
        ("a: {elastic_ip: web, https: {port: 8443, host: WWW.example.com.}}", ("elastic_ip", "web"), 8443, 30),
    ],
)
def test_what_a_row_says(text: str, target: tuple[str, str], port: int, seconds: int) -> None:
    check = row(text)
    assert (check.target, check.port, check.seconds, check.expect) == (target, port, seconds, "open")


def test_a_request_has_defaults() -> None:
    web = row("a: {elastic_ip: web, http: {}}").http
    assert web is not None
    assert web.model_dump() == {"port": None, "path": "/", "status": None, "contains": None, "host": None}
    named = row("a: {elastic_ip: web, https: {host: WWW.example.com.}}").web
    assert named is not None
    assert named.host == "www.example.com"


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("a: {elastic_ip: wbe, tcp: 1}", "6:19 checks.a.elastic_ip", "there is no elastic ip 'wbe'", "`web`"),
        (
            "a: {network_interface: eth1, tcp: 1}",
            "6:26 checks.a.network_interface",
            "no network interface",
            "`eth0`",
        ),
        ("a: {tcp: 1}", "6:6 checks.a", "needs either `elastic_ip` or `network_interface`", "exactly one"),
        ("a: {elastic_ip: web, network_interface: eth0, tcp: 1}", "6:6 checks.a", "needs either", "exactly one"),
        ("a: {elastic_ip: web}", "6:6 checks.a", "needs one of `http`, `https` and `tcp`", "`tcp: 22`"),
        ("a: {elastic_ip: web, tcp: 1, http: {}}", "6:6 checks.a", "needs one of", "exactly one"),
        ("a: {elastic_ip: web, tcp: 0}", "6:29 checks.a.tcp", "must be from 1 to 65535, not 0", ""),
        ("a: {elastic_ip: web, tcp: ssh}", "6:29 checks.a.tcp", "must be a whole number", ""),
        ("a: {elastic_ip: web, http: }", "6:24 checks.a.http", "has no value", "write `{}`"),
        ("a: {elastic_ip: web, http: {pth: /}}", "6:31 checks.a.http.pth", "unknown key", "did you mean `path`?"),
        ("a: {elastic_ip: web, http: {path: x}}", "6:37 checks.a.http.path", "must be a path", "/health"),
        ("a: {elastic_ip: web, http: {path: '/ x'}}", "6:37 checks.a.http.path", "must be a path", "%XX"),
        ("a: {elastic_ip: web, http: {status: 99}}", "6:39 checks.a.http.status", "must be from 100 to 599", ""),
        ("a: {elastic_ip: web, http: {contains: ''}}", "6:41 checks.a.http.contains", "must not be empty", ""),
        ("a: {elastic_ip: web, https: {host: a b}}", "6:38 checks.a.https.host", "must be a domain name", ""),
        ("a: {elastic_ip: web, tcp: 1, within: 5}", "6:40 checks.a.within", "must be a duration", "write 5s"),
        (
            "a: {elastic_ip: web, tcp: 1, expect: shut}",
            "6:40 checks.a.expect",
            "`open`, `refused` or `silent`",
            "",
        ),
        (
            "a: {elastic_ip: web, http: {}, expect: silent}",
            "6:42 checks.a.expect",
            "a request cannot expect 'silent'",
            "write `tcp: 80` instead",
        ),
        ("a b: {elastic_ip: web, tcp: 1}", "6:3 checks.'a b'", "", ""),
        ("a: ", "6:3 checks.a", "has no value", ""),
    ],
)
def test_what_is_wrong_with_a_row(text: str, place: str, message: str, hint: str) -> None:
    assert_refused(ROWS + text + "\n", place, message, hint)


def test_one_mistake_does_not_hide_another() -> None:
    found = problems(ROWS + "a: {elastic_ip: web}\n  b: {elastic_ip: wbe, tcp: 1}\n")
    assert [line.partition(" |")[0] for line in found] == ["6:6 checks.a", "7:19 checks.b.elastic_ip"]


def test_a_check_of_a_row_with_a_mistake_is_valid() -> None:
    """That mistake is told once."""
    text = HEAD + "elastic_ips: {web: {pool: x}}\nchecks: {a: {elastic_ip: web, tcp: 1}}\n"
    assert [line.partition(" |")[0] for line in problems(text)] == ["3:21 elastic_ips.web.pool"]


def test_checks_are_said_once() -> None:
    """Variables, defaults and for_each work as in other sections. A row's own question replaces the default."""
    text = """
variables: {hosts: [a, b], page: Testing ENI}
defaults: {checks: {within: 2m, elastic_ip: a, http: {contains: "${var.page}"}}}
elastic_ips: {a: {}, b: {}}
network_interfaces: {eth0: {subnet: subnet-12345678}}
checks:
  "page-${each.key}": {for_each: "${var.hosts}", elastic_ip: "${each.value}"}
  ssh: {network_interface: eth0, tcp: 22, within: 5s}
"""
    checks = document(HEAD + text).checks
    assert sorted(checks) == ["page-a", "page-b", "ssh"]
    assert [checks[name].target for name in sorted(checks)] == [
        ("elastic_ip", "a"),
        ("elastic_ip", "b"),
        ("network_interface", "eth0"),
    ]
    assert [checks[name].web and checks[name].web.contains for name in sorted(checks)] == [  # type: ignore[union-attr]
        "Testing ENI",
        "Testing ENI",
        None,
    ]
    assert checks["page-a"].seconds == 120


def test_checks_are_no_resources() -> None:
    found = document(ROWS + "a: {elastic_ip: web, tcp: 22}\n")
    assert sorted(found.resources) == ["elastic_ips.web", "network_interfaces.eth0"]
