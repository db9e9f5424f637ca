"""What a message says, and to which URLs one is sent at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from enireconcile.errors import EnireconcileError
from enireconcile.model import CheckResult, Outcome, Report, Status, Step
from enireconcile.outputs.webhook import check, message, payload, wanted


def report(outcome: str, *outcomes: Outcome, **words: Any) -> Report:
    usual: dict[str, Any] = {"stack": "lab", "account_id": "123456789012", "region": "us-east-1"}
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Report(outcome=outcome, started=started, seconds=3.2, outcomes=outcomes, **{**usual, **words})


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("converged", True),
        ("partial", True),
        ("failed", True),
        ("refused", True),
        ("unchanged", False),
        ("locked", False),
    ],
)
def test_what_is_worth_a_message(outcome: str, expected: bool) -> None:
    assert wanted(report(outcome), everything=False) is expected
    assert wanted(report(outcome), everything=True) is True


def test_a_failed_check_is_worth_a_message() -> None:
    """Also if the run itself had nothing to do."""
    checks = (
        CheckResult("page", "http 203.0.113.7:80/", "open", "open", 0.1),
        CheckResult("ssh", "tcp 203.0.113.7:22", "open", "silent", 30.0, why="<b> has no rule"),
    )
    assert wanted(report("unchanged", checks=checks[:1]), everything=False) is False
    assert wanted(report("unchanged", checks=checks), everything=False) is True
    assert message(report("unchanged", checks=checks)).splitlines()[1:] == [
        "Unchanged: everything matches the spec.",
        "  1 of 2 checks failed:",
        "  ✗ ssh  tcp 203.0.113.7:22  silent, not open  (30.0 s)",
        "      &lt;b&gt; has no rule",
    ]


def test_a_message_says_where_what_and_why() -> None:
    done = Outcome(Step("s1", "DetachNetworkInterface", {}, "network_interfaces.eth1"), Status.DONE)
    failed = Outcome(
        Step("s2", "AttachNetworkInterface", {}, "network_interfaces.eth1"), Status.FAILED, error="no room"
    )
    assert message(report("partial", done, failed, remaining=("network_interfaces.eth1",))).splitlines() == [
        "enireconcile lab (123456789012, us-east-1)",
        "Stopped: nothing was changed. Running it again is safe.",
        "  s2 AttachNetworkInterface network_interfaces.eth1: no room",
        "  still to do: network_interfaces.eth1",
        "  DetachNetworkInterface network_interfaces.eth1",
    ]


def test_a_message_says_what_was_mended() -> None:
    """In the words of the lines that a run prints."""
    step = Step("s1", "RevokeSecurityGroupIngress", {}, "security_groups.web", summary="revoke tcp 22 from ::/0")
    assert message(report("converged", Outcome(step, Status.DONE))).splitlines()[-1] == (
        "  RevokeSecurityGroupIngress security_groups.web revoked tcp 22 from ::/0"
    )


def test_a_message_stays_short() -> None:
    done = [Outcome(Step(f"s{n}", "CreateTags", {}, f"elastic_ips.ip-{n}"), Status.DONE) for n in range(2000)]
    lines = message(report("converged", *done)).splitlines()
    assert len(lines) == 23
    assert lines[-1] == "  and 1980 more calls"


def test_a_run_without_a_stack() -> None:
    told = payload(report("failed", stack=None, account_id=None, region=None, error="the spec is bad"))
    assert told["text"].splitlines()[0] == "enireconcile (no stack)"
    assert told["report"]["stack"] is None


def test_nothing_in_a_message_is_markup() -> None:
    """Slack's own: <!channel> calls everybody, <https://…|text> hides where a link leads."""
    hostile = "<!channel> <https://evil.example|here> & \x1b[31m"
    gone = Outcome(Step("s1", "ReleaseAddress", {}, f"elastic_ips.{hostile}"), Status.DONE)
    text = message(report("partial", gone, error=hostile, remaining=(hostile,)))
    assert text.count("&lt;!channel&gt;") == 3
    assert not {"<", ">", "\x1b"} & set(text)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/services/x",
        "https://hooks.example:8443/x?y=z",
        "http://127.0.0.1:9093/hook",
        "http://localhost/hook",
        "http://[::1]:80/hook",
    ],
)
def test_good_urls(url: str) -> None:
    check(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "begins with https"),
        ("hooks.example/x", "begins with https"),
        ("ftp://hooks.example/x", "begins with https"),
        ("file:///etc/passwd", "begins with https"),
        ("https://", "begins with https"),
        ("https://[::1", "begins with https"),
        ("https://hooks.example:port/x", "begins with https"),
        ("http://hooks.example/x", "unencrypted"),
        ("http://127.0.0.1.example/x", "unencrypted"),
        ("http://10.0.0.1/x", "unencrypted"),
        ("https://ops@hooks.example/x", "user name or a password"),
        ("https://ops:pw@hooks.example/x", "user name or a password"),
        ("https://hooks.example/a b", "printable ASCII only"),
        ("https://hooks.example/ü", "printable ASCII only"),
        ("https://hooks.example/a\x00b", "printable ASCII only"),
    ],
)
def test_bad_urls(url: str, words: str) -> None:
    with pytest.raises(EnireconcileError, match=words) as refused:
        check(url)
    assert "/x" not in str(refused.value)
