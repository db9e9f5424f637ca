"""Plans and reports as an HTML page: what it says, that it is valid, and that nothing from AWS is markup in it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest
from msgspec.structs import replace

from enireconcile.model import CheckResult, Outcome, Plan, Report, Status, Trace, Traces
from enireconcile.outputs.html import LONGEST, Pictures, Planned, Ran, pictures_of, plans_html, reports_html
from enireconcile.outputs.text import plan_text, report_text
from tests.outputs.test_markdown import HOSTILE, hostile
from tests.outputs.test_report import MIXED, NASTY, SCRIPT, SHA256_OF_SCRIPT, WORLD, report
from tests.planning.test_golden import GOLDEN, planned
from tests.planning.worlds import Words, live_of, plan_of, spec_of

MADE = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
HTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
EMPTY = Plan("lab", "123456789012", "us-east-1", "sha256:0", (), ())
RESOURCES: dict[str, dict[str, Any]] = {
    "network_interfaces.web0": {
        "id": "eni-web0",
        "private_ip": "172.31.0.10",
        "secondary_private_ips": ["172.31.0.11"],
        "ipv6_addresses": [],
        "public_ip": "192.0.2.1",
        "instance": "web",
        "device_index": 0,
        "status": "in-use",
    },
    "security_groups.web": {"id": "sg-web", "group_name": "web", "vpc_id": "vpc-default"},
}


class Page:
    """A page as a browser parses it; a mistake in its HTML is an error."""

    def __init__(self, text: str) -> None:
        self.source = text
        self.root: Element = html5lib.HTMLParser(strict=True).parse(text)
        self.parents = {child: parent for parent in self.root.iter() for child in parent}

    def all(self, tag: str) -> list[Element]:
        return list(self.root.iter(HTML + tag))

    def one(self, tag: str, **attributes: str) -> Element:
        [found] = [each for each in self.all(tag) if attributes.items() <= dict(each.attrib).items()]
        return found

    @property
    def text(self) -> str:
        return words(self.one("body"))

    def section(self, name: str, stack: int = 0) -> str:
        """The words of a section."""
        return words(self.one("section", id=f"stack-{stack}-{name}"))

    @property
    def tags(self) -> Counter[str]:
        return Counter(str(each.tag) for each in self.root.iter())

    @property
    def headings(self) -> list[tuple[int, str]]:
        found = (each for each in self.root.iter() if re.fullmatch(rf"{HTML}h[1-6]", str(each.tag)))
        return [(int(str(each.tag)[-1]), words(each)) for each in found]


def words(element: Element) -> str:
    """The text of an element, without that of styles, with single blanks."""
    return " ".join(" ".join(_texts(element)).split())


def _texts(element: Element) -> Iterator[str]:
    if str(element.tag).rpartition("}")[2] != "style":
        yield element.text or ""
        for child in element:
            yield from _texts(child)
            yield child.tail or ""


def drawn(spec: Words, world: Words, plan: Plan) -> Pictures:
    """The pictures of a plan."""
    wanted = spec_of(spec)
    return pictures_of(plan, wanted.document, live_of(world, wanted))


def page_of(*plans: Plan | Planned) -> Page:
    return Page(plans_html([each if isinstance(each, Planned) else Planned(each) for each in plans], MADE))


def page_after(*reports: Report, command: str = "apply") -> Page:
    return Page(reports_html([Ran(each) for each in reports], MADE, command))


@pytest.fixture(scope="module")
def mixed() -> Plan:
    return plan_of(MIXED, WORLD)


@pytest.fixture(scope="module")
def page(mixed: Plan) -> Page:
    return page_of(Planned(mixed, drawn(MIXED, WORLD, mixed)))


def some_reports(mixed: Plan) -> list[Report]:
    """Runs that ended in different ways."""
    one, two, three, *_ = mixed.steps
    done = Outcome(one, Status.DONE, 3, 2.34, "eni-0a1b", request_id="7a62c49f-done", acted=True, after=61.5)
    failed = Outcome(
        two, Status.FAILED, 1, 0.12, error="RunInstances: no room\n  hint: wait", request_id="7a62-no"
    )
    skipped = Outcome(three, Status.SKIPPED, error=f"needs {two.id}, which failed")
    checks = (
        CheckResult("page", "http 192.0.2.1:80/", "open", "200", 0.3),
        CheckResult("ssh", "tcp 192.0.2.1:22", "open", "silent", 5.0, "sg-web has no rule for tcp 22"),
    )
    calls = {"DescribeInstances": 4, "RunInstances": 1}
    return [
        report("partial", done, failed, skipped, remaining=("instances.db",), plan=mixed, api_calls=calls),
        report("converged", done, plan=mixed, resources=RESOURCES, checks=checks),
        report("unchanged", plan=EMPTY),
        report("refused", plan=mixed, error="the plan has destructive steps\n  hint: give --allow-destroy"),
        replace(report("failed", error="web.yaml:3:1: no"), stack=None, account_id=None, region=None),
    ]


# ---- what it says


def said(text: str) -> list[str]:
    """The pieces of a text output that a page has to have, in its own layout."""
    pieces = (re.split(r" {2,}|^[-+~±»] | [-+] ", line.strip()) for line in text.split("\n"))
    return [piece.strip("[]: ") for line in pieces for piece in line if piece.strip("[]: ")]


SITUATIONS = (
    "mixed",
    *sorted(name for name in GOLDEN if "error" in name or "interrupt" in name)[:4],
    "addresses-swapped",
)


@pytest.mark.parametrize("name", [*SITUATIONS, "user-data-replaces", "failover-by-force", "adopted-and-corrected"])
def test_it_says_what_the_text_says(mixed: Plan, name: str) -> None:
    """Each piece of each line, in the same words."""
    plan = mixed if name == "mixed" else planned(GOLDEN[name])
    shown = page_of(plan).text.replace(" ", "")
    for piece in said(plan_text(plan).partition("\n")[2]):
        if not piece.startswith("warning: ") and not piece.startswith("error: "):
            assert piece.replace(" ", "") in shown, piece
    assert all(warning.replace(" ", "") in shown for warning in plan.warnings)


def test_a_report_says_what_the_text_says(mixed: Plan) -> None:
    for each in some_reports(mixed):
        shown = page_after(each).text.replace(" ", "")
        for piece in said(report_text(each)):
            assert piece.replace(" ", "") in shown, piece


@pytest.mark.parametrize(
    ("endpoint", "words"), [("http://127.0.0.1:4566", " endpoint http://127.0.0.1:4566, not AWS"), (None, "")]
)
def test_a_page_says_what_is_not_aws(mixed: Plan, endpoint: str | None, words: str) -> None:
    ran = report("converged", plan=mixed, endpoint=endpoint)
    for page in (page_of(Planned(mixed, endpoint=endpoint)), page_after(ran)):
        assert f"account 123456789012 Region us-east-1{words} " in f"{page.text} "
        assert ("endpoint" in page.text) == (endpoint is not None)


def test_a_page_of_a_plan(page: Page, mixed: Plan) -> None:
    """Where, when, the sum, and every part of the plan."""
    assert words(page.one("title")) == "enireconcile plan: lab"
    assert "Made 2026-02-03 04:05:06 UTC" in page.text
    assert "account 123456789012 Region us-east-1" in page.text
    assert "1 warning" in page.text
    assert "1 interruption" in page.text
    assert page.section("breaks").startswith(
        "While the plan runs network_interfaces.float interrupted : attachment"
    )
    assert "+ security_groups.shut create safe" in page.section("changes")
    assert "move disruptive interrupted eni-float" in page.section("changes")
    steps = page.section("steps")
    assert all(f"{step.id} {step.call} {step.detail}".strip() in steps for step in mixed.steps)
    assert "elastic_ips.old" in page.section("leftovers")
    assert SHA256_OF_SCRIPT in page.source
    assert SCRIPT not in page.source


def test_who_changed_it(mixed: Plan) -> None:
    trace = Trace("assumed-role/Ops/alice", datetime(2026, 2, 3, tzinfo=UTC), "AuthorizeSecurityGroupIngress")
    traces = Traces({("security_groups.web", "ingress"): trace})
    shown = page_of(Planned(mixed, None, traces)).section("changes")
    assert "by assumed-role/Ops/alice, 2026-02-03 00:00:00 UTC (AuthorizeSecurityGroupIngress)" in shown


def test_a_page_of_a_run(mixed: Plan) -> None:
    """Each step with its result, its time, its attempts and its request id."""
    partial, converged, *_ = some_reports(mixed)
    page = page_after(partial)
    assert words(page.one("title")) == "enireconcile apply: lab"
    steps = page.section("steps")
    assert "✓ done in 2.3 s , 3 attempts at 03:05:07 UTC , +61.50 s eni-0a1b request 7a62c49f-done" in steps
    assert steps.count("UTC") == 1  # that of another step is not known
    assert "✗ failed in 0.1 s request 7a62-no RunInstances: no room hint: wait" in steps
    assert "· skipped needs s2, which failed" in steps
    assert "1 failed call" in page.text
    assert page.section("calls") == "Calls to AWS DescribeInstances 4, RunInstances 1; 0 throttled."
    page = page_after(converged)
    assert "ssh tcp 192.0.2.1:22 ✗ failed : silent, not open in 5.0 s sg-web has no rule" in page.section("checks")
    assert "web0 172.31.0.10 192.0.2.1 web, index 0 eni-web0 172.31.0.11" in page.section("addresses")


def test_a_run_that_made_no_call(mixed: Plan) -> None:
    """It shows the plan, and says that nothing of it was done; without a plan, why there is none."""
    *_, refused, failed = some_reports(mixed)
    page = page_after(refused)
    assert page.section("steps").startswith("EC2 calls of the plan None of them was made.")
    assert "hint: give --allow-destroy" in page.text
    page = page_after(failed, command="destroy")
    assert page.headings == [(1, "enireconcile destroy: (no stack)")]
    assert "Failed: nothing was changed." in page.text


def test_a_part_of_a_stack_is_told_once(mixed: Plan) -> None:
    """With --target, in a plan and in a run."""
    only = "only elastic_ips.web and its dependencies"
    assert page_of(replace(mixed, targets=("elastic_ips.web",))).text.count(only) == 1
    assert page_after(report("unchanged", plan=mixed, targets=("elastic_ips.web",))).text.count(only) == 1


def test_several_stacks(mixed: Plan) -> None:
    """A table of contents, and a part for each with its own headings; two may have one name, and one picture."""
    plans = (mixed, replace(EMPTY, stack="quiet"), replace(mixed, account_id="210987654321"))
    page = page_of(*(Planned(plan, drawn(MIXED, WORLD, mixed) if plan.steps else None) for plan in plans))
    assert words(page.one("title")) == "enireconcile plan: 3 stacks"
    links = [each.get("href") for each in page.one("nav").iter(f"{HTML}a")]
    assert links == ["#stack-1", "#stack-2", "#stack-3"]
    assert [heading for heading in page.headings if heading[0] == 2][1:] == [
        (2, "lab 123456789012 us-east-1"),
        (2, "quiet 123456789012 us-east-1"),
        (2, "lab 210987654321 us-east-1"),
    ]
    assert "+ security_groups.shut create" in page.section("changes", stack=3)


def test_a_page_of_no_stack() -> None:
    """In a watch, when no file can be read."""
    assert page_after(command="watch").headings == [(1, "enireconcile watch: 0 stacks")]


def test_pictures(page: Page) -> None:
    """What changes, before and after; each with a name for a screen reader, and reachable by keyboard."""
    names = [words(each) for each in page.all("summary")][:3]
    assert names == ["What the plan changes", "Before", "After the plan"]
    assert len(list(page.root.iter(f"{SVG}svg"))) == 3
    frames = [each for each in page.all("div") if each.get("role") == "group"]
    assert [(each.get("tabindex"), each.get("aria-label")) for each in frames] == [("0", name) for name in names]


def test_a_picture_of_what_a_run_has_read(mixed: Plan) -> None:
    """After a run that read back, after is what is there; a stack without differences has one picture."""
    spec = spec_of(MIXED)
    live = live_of(WORLD, spec)
    run = Ran(some_reports(mixed)[1], pictures_of(mixed, spec.document, live, live))
    assert "After the run" in [words(each) for each in Page(reports_html([run], MADE)).all("summary")]
    quiet = Planned(
        replace(mixed, changes=(), steps=(), interruptions=()), pictures_of(mixed, spec.document, live)
    )
    assert [words(each) for each in page_of(quiet).all("summary")] == ["What is there"]
    assert page_of(Planned(EMPTY, drawn({}, {}, EMPTY))).all("svg") == []


# ---- that it is sound


@pytest.fixture(scope="module")
def all_pages(mixed: Plan) -> list[Page]:
    pictures = drawn(MIXED, WORLD, mixed)
    found = page_of(Planned(mixed, pictures), EMPTY, Planned(replace(mixed, account_id="210987654321"), pictures))
    return [found, *(page_after(each) for each in some_reports(mixed)), page_after(*some_reports(mixed))]


def test_it_loads_and_runs_nothing(all_pages: list[Page]) -> None:
    """No script, no form, no frame, no handler, no style attribute, and links only into the page."""
    for page in all_pages:
        assert not {"script", "link", "img", "iframe", "object", "form", "base"} & {
            tag.rpartition("}")[2] for tag in page.tags
        }
        for element in page.root.iter():
            for name, value in element.attrib.items():
                assert not re.fullmatch(r"on.*|style|src|srcset|action|.*}href", str(name)), name
                assert name != "href" or value.startswith("#")
        assert not re.search(r"url\(|@import|@font-face", page.source)
        assert re.sub(r'xmlns="http://www.w3.org/2000/svg"', "", page.source).count("//") == 0


def test_the_policy_names_each_style(all_pages: list[Page]) -> None:
    """A hash for each style as the browser reads it, and nothing else is allowed."""
    for page in all_pages:
        policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).get("content") or ""
        styles = [each for each in page.root.iter() if str(each.tag).endswith("}style")]
        digests = {hashlib.sha256((each.text or "").encode()).digest() for each in styles}
        hashes = " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in sorted(digests))
        assert policy == f"default-src 'none'; style-src {hashes}; base-uri 'none'; form-action 'none'"


def test_ids_headings_tables_and_landmarks(all_pages: list[Page]) -> None:
    """Ids are unique and every reference has one; no level of headings is left out; every header has its scope."""
    for page in all_pages:
        elements = list(page.root.iter())
        ids = Counter(each.get("id") for each in elements if each.get("id"))
        assert max(ids.values()) == 1
        references = {each.get("href", "")[1:] for each in page.all("a")}
        for element in elements:
            references |= set(element.get("aria-labelledby", "").split())
        assert references <= set(ids)
        levels = [level for level, _ in page.headings]
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert all(each.get("scope") in ("col", "row", "rowgroup") for each in page.all("th"))
        assert (len(page.all("main")), len(page.all("header")), page.all("html")[0].get("lang")) == (1, 1, "en")
        assert page.all("a")[0].get("href") == "#content"


# ---- that nothing from AWS is markup


@pytest.mark.parametrize(
    "text", [*HOSTILE, NASTY, "</style>", "';\"--><svg/onload=alert(1)>", "{{ 7*7 }}{% raw %}"]
)
@pytest.mark.parametrize(
    "made", [lambda plan, _: page_of(plan), lambda _, told: page_after(told)], ids=["plan", "run"]
)
def test_text_from_aws_is_not_markup(made: Callable[[Plan, Report], Page], text: str) -> None:
    """The page has the elements of one with harmless text, and shows the text with control characters spelled."""
    harmless, page = made(*hostile("x")), made(*hostile(text))
    assert page.tags == harmless.tags
    assert {key for each in page.root.iter() for key in each.attrib} == {
        key for each in harmless.root.iter() for key in each.attrib
    }
    assert all(char.isprintable() or char == "\n" for char in page.source)


def test_what_is_very_long_is_cut() -> None:
    """A description of 100 kB does not bury the rest; the page says how much more there is."""
    page = page_of(hostile("x" * 100_000)[0])
    assert f"{'x' * LONGEST}… (90,000 more characters)" in page.text
    assert len(page.source) < 250_000
