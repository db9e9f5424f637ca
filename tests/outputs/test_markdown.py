"""Plans and reports as a comment on GitHub: content, length, and no markup from AWS in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec.structs import replace

from enireconcile.errors import Problem
from enireconcile.model import Action, Change, Field, Impact, Leftover, Outcome, Plan, Report, Status, Step
from enireconcile.outputs.markdown import LIMIT, plans_markdown, reports_markdown
from tests.outputs.test_report import MIXED, WORLD
from tests.planning.worlds import plan_of

ALLOWED = {"h3", "sub", "p", "b", "table", "tr", "th", "td", "br", "code", "pre", "details", "summary", "ul", "li"}
QUOTED = {"code", "pre"}
HOSTILE = [
    "@everyone @octocat @org/team",
    "#1 GH-1 owner/repo#1 6eb9a1d2d8d5d1c7d1b1c7f4e5a8e1f0c9b8a7d6",
    "https://evil.example www.evil.example evil@evil.example",
    "[here](https://evil.example) ![x](https://evil.example/x.png) <https://evil.example>",
    "<script>alert(1)</script><img src=x onerror=alert(1)><a href='https://evil.example'>x</a>",
    "</code></pre></td></tr></table></details><h1>converged</h1>",
    "--> <!-- -->",
    "| a | b |\n|---|---|\n",
    "\n\n# Heading\n\n- list\n\n> quote\n\n```\nfence\n```\n",
    "`code` ``more`` **bold** _it_ ~~no~~ $x$ :smile: \\` \\| a\\|b",
    "&lt;b&gt; &amp; &#64;everyone &commat;x",
    "\x1b[31m\u202eesrever\u2066\u0000\r\x0b",
]


class Reader(HTMLParser):
    """Parses a block as a browser does: tags, and text with the tags around it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[Any] = []
        self.texts: list[tuple[frozenset[str], str]] = []
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.texts.append((frozenset(self.open), text))

    def handle_comment(self, text: str) -> None:
        self.comments.append(text)


def read(markdown: str) -> Reader:
    """As GitHub does: Markdown first, in which all must be HTML blocks, then HTML."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    assert {token.type for token in tokens} == {"html_block"}
    reader = Reader()
    for token in tokens:
        reader.feed(token.content)
        assert reader.open == [], token.content
    reader.close()
    assert set(reader.tags) <= ALLOWED
    assert reader.attributes == []
    assert all(comment.startswith(" enireconcile ") for comment in reader.comments)
    return reader


def plain(markdown: str) -> str:
    return " ".join(" ".join(text for _, text in read(markdown).texts).split())


def quoted(markdown: str) -> list[str]:
    """The text in code, where GitHub renders neither mentions nor links."""
    return [text for tags, text in read(markdown).texts if tags & QUOTED]


def unquoted(markdown: str) -> str:
    return " ".join(text for tags, text in read(markdown).texts if not tags & QUOTED)


@pytest.fixture
def mixed() -> Plan:
    return plan_of(MIXED, WORLD)


def test_a_plan_says_what_a_person_wants_to_know(mixed: Plan) -> None:
    """Where, the sum, a row for each resource with what differs, the calls folded away, what is left over."""
    markdown = plans_markdown([mixed])
    assert markdown.startswith("<!-- enireconcile plan lab -->\n\n<h3>enireconcile plan <code>lab</code>")
    words = plain(markdown)
    assert "account 123456789012 , us-east-1" in words
    assert "Plan: " in words
    assert "What differs" in words
    for change in mixed.changes:
        assert (f"<code>{change.address}</code>" in markdown) == (change.action is not Action.UNCHANGED)
    assert "elastic_ips.old 192.0.2.1 eipalloc-old" in words
    assert f"<details><summary>{len(mixed.steps)} EC2 calls</summary>" in markdown
    assert all(
        any(f"{step.id}  {step.call}  {step.address}" in text for text in quoted(markdown)) for step in mixed.steps
    )
    assert "<b>disruptive</b>" in markdown
    assert "hunter2" not in markdown


SANDBOX = "http://127.0.0.1:4566"


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (SANDBOX, f"us-east-1</code> at <code>{SANDBOX}</code>, not AWS</sub></h3>"),
        ("https://ec2.example.com", "us-east-1</code> at <code>https://ec2.example.com</code></sub></h3>"),
        ("http://127.0.0.1:1/<b>@x", "at <code>http://127.0.0.1:1/&lt;b&gt;@x</code>, not AWS</sub></h3>"),
        (None, "us-east-1</code></sub></h3>"),
    ],
)
def test_the_head_says_what_is_not_aws(mixed: Plan, endpoint: str | None, words: str) -> None:
    ran = report("converged", plan=mixed, endpoint=endpoint)
    for markdown in (plans_markdown([mixed], endpoints=[endpoint]), reports_markdown([ran])):
        assert next(line for line in markdown.splitlines() if line.startswith("<h3>")).endswith(words)


def test_nothing_to_do() -> None:
    plan = Plan("lab", "123456789012", "us-east-1", "sha256:0", (), ())
    markdown = plans_markdown([plan])
    assert "No changes: the stack has no resources." in plain(markdown)
    assert "<table>" not in markdown
    assert "<details>" not in markdown


def report(outcome: str, *outcomes: Outcome, **words: Any) -> Report:
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Report("lab", "123456789012", "us-east-1", outcome, started, 3.2, outcomes, **words)


def test_a_report_lists_the_addresses_after_a_change(mixed: Plan) -> None:
    """As long as they fit; the calls are dearer."""
    address = {"id": "eipalloc-1", "network_interface": None, "private_ip": None}
    found = {f"elastic_ips.ip-{n}": {**address, "public_ip": f"192.0.2.{n}"} for n in range(2000)}
    done = Outcome(mixed.steps[0], Status.DONE, acted=True)
    few = reports_markdown([report("converged", done, plan=mixed, resources=dict(list(found.items())[:2]))])
    assert "<details><summary>Addresses</summary>\n<pre>" in few
    assert "elastic_ips\n  ip-0       192.0.2.0  free\n  ip-1       192.0.2.1  free</pre>" in few
    assert "Addresses" not in reports_markdown([report("unchanged", plan=mixed, resources=found)])
    many = reports_markdown([report("converged", done, plan=mixed, resources=found)])
    assert ("Addresses" in many, "1 EC2 call</summary>" in many) == (False, True)


def test_a_report_says_what_came_of_it(mixed: Plan) -> None:
    done = Outcome(mixed.steps[0], Status.DONE, result_id="sg-1", acted=True)
    failed = Outcome(mixed.steps[1], Status.FAILED, error="RunInstances: InsufficientInstanceCapacity: no room")
    skipped = Outcome(mixed.steps[2], Status.SKIPPED, error="needs s2")
    markdown = reports_markdown(
        [report("partial", done, failed, skipped, remaining=("instances.web",), plan=mixed)]
    )
    words = plain(markdown)
    assert "Stopped before converging: 1 of 3 calls in 3.2 s. Running it again is safe." in words
    assert f"✓ s1 {mixed.steps[0].call} {mixed.steps[0].address} 192.0.2.1 associated with web0 sg-1" in words
    assert (
        f"✗ s2 {mixed.steps[1].call} {mixed.steps[1].address} {mixed.steps[1].summary} RunInstances: Insuff"
        in words
    )
    assert "· s3" in words
    assert "still to do: instances.web" in words
    assert "Plan: " in words


def test_a_report_of_a_run_that_never_began() -> None:
    locked = replace(
        report("locked", error="another run holds the stack"), stack=None, account_id=None, region=None
    )
    words = plain(reports_markdown([locked]))
    assert words == (
        "enireconcile apply (no stack) Locked: another run holds the lock of this stack. "
        "another run holds the stack"
    )


def test_refused_files_are_told_after_the_stacks(mixed: Plan) -> None:
    """Each with its problems; a stack that could not be planned has its place among the others."""
    failed = report("failed", error="AssumeRole: AccessDenied: no")
    problems = [
        Problem("specs/b.yaml", 3, 1, "elastic_ip", "unknown key", "did you mean `elastic_ips`?"),
        Problem("specs/b.yaml", 5, 1, "instance", "unknown key"),
        Problem("specs/c.yaml", 1, 1, "", "cannot be read: no such file"),
    ]
    words = plain(plans_markdown([failed, mixed], refused=problems))
    assert words.startswith("enireconcile plan lab")
    assert "Failed: nothing was changed. AssumeRole: AccessDenied: no" in words
    assert words.endswith(
        "enireconcile plan specs/b.yaml Refused: 2 problems in this file. "
        "specs/b.yaml:3:1: elastic_ip: unknown key hint: did you mean `elastic_ips`? "
        "specs/b.yaml:5:1: instance: unknown key "
        "enireconcile plan specs/c.yaml Refused: 1 problem in this file. "
        "specs/c.yaml:1:1: cannot be read: no such file"
    )
    assert plain(reports_markdown([], "apply", problems[2:])).startswith("enireconcile apply specs/c.yaml Refused")


def test_many_problems_fit(mixed: Plan) -> None:
    problems = [Problem("a.yaml", line, 1, "x" * 400, "unknown key") for line in range(1, 2_000)]
    markdown = plans_markdown([mixed], refused=problems)
    assert len(markdown) < LIMIT
    assert "and 1949 more" in plain(markdown)


def hostile(text: str) -> tuple[Plan, Report]:
    """A plan and a report in which every field that comes from AWS contains this text."""
    change = Change(
        f"elastic_ips.{text}",
        Action.UPDATE,
        Impact.DISRUPTIVE,
        text,
        (
            Field("tags", {"a": text}, {"a": "b", text: text}),
            Field("description", text, "ours"),
            Field("security_groups", [text], ["ours"]),
            Field("association", {"network_interface": text}, {"network_interface": "a", "private_ip": text}),
        ),
        text,
    )
    step = Step("s1", "ReleaseAddress", {"AllocationId": text, "Tags": [{"Key": text}]}, f"elastic_ips.{text}")
    plan = Plan(
        "lab", text, text, "sha256:0", (change,), (step,), (Leftover(text, text),), (text,), targets=(text,)
    )
    failed = Outcome(step, Status.FAILED, result_id=text, error=text)
    return plan, report("partial", failed, remaining=(text,), error=text, plan=plan)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_from_aws_is_not_markup(text: str) -> None:
    """Text from AWS is in code only, and escaped: no mention, no link, no heading, no end of a block."""
    plan, told = hostile(text)
    refused = [Problem(text, 1, 1, text, text, text)]
    for markdown in (plans_markdown([plan]), reports_markdown([told]), plans_markdown([], refused=refused)):
        outside = unquoted(markdown)
        assert not {"@", "#", "[", "`", "|", "&", "<", ">", "\x1b", "\u202e"} & set(outside)
        assert "evil" not in markdown or any("evil" in each for each in quoted(markdown))
        assert "evil" not in outside
        assert "converged" not in outside
        assert all(char.isprintable() or char == "\n" for char in markdown)


@settings(deadline=None, max_examples=60)
@given(st.text(min_size=1, max_size=60))
def test_random_text_is_not_markup(text: str) -> None:
    """Likewise for any other text."""
    harmless = unquoted(plans_markdown([hostile("x")[0]]))
    plan, told = hostile(text)
    assert unquoted(plans_markdown([plan])).split() == harmless.split()
    read(reports_markdown([told]))


def large(resources: int, length: int, stack: str = "lab") -> Plan:
    tags = {f"key-{number}": "x" * length for number in range(20)}
    changes = tuple(
        Change(f"elastic_ips.ip-{number}", Action.CREATE, Impact.SAFE, None, (Field("tags", None, tags),))
        for number in range(resources)
    )
    steps = tuple(
        Step(f"s{number}", "AllocateAddress", {"Tags": [tags]}, f"elastic_ips.ip-{number}")
        for number in range(resources)
    )
    warnings = tuple("w" * length for _ in range(resources))
    return Plan(stack, "123456789012", "us-east-1", "sha256:0", changes, steps, (), warnings)


def shown(markdown: str) -> Iterator[str]:
    for what in ("s0  AllocateAddress", "&quot;Tags&quot;:[", "key-0=", "ip-0", "ip-199", "more</td>"):
        if what in markdown:
            yield what


@pytest.mark.parametrize(
    ("resources", "length", "kept"),
    [
        (5, 20, ["s0  AllocateAddress", "&quot;Tags&quot;:[", "key-0=", "ip-0"]),
        (40, 100, ["s0  AllocateAddress", "key-0=", "ip-0"]),
        (200, 5, ["ip-0", "ip-199"]),
        (300, 256, ["ip-0", "more</td>"]),
        (5000, 256, ["ip-0", "more</td>"]),
    ],
)
def test_it_fits(resources: int, length: int, kept: list[str]) -> None:
    """Parameters go first, then the calls, then what differs, then rows: never the sum, and it is well-formed."""
    markdown = plans_markdown([large(resources, length)])
    assert len(markdown) < LIMIT
    assert list(shown(markdown)) == kept
    assert f"Plan: {resources} to create, 0 unchanged." in plain(markdown)


@pytest.mark.parametrize("stacks", [2, 10, 60])
def test_many_stacks_share_the_room(stacks: int) -> None:
    plans = [large(50, 100, f"stack-{number}") for number in range(stacks)]
    markdown = plans_markdown(plans)
    assert len(markdown) < LIMIT
    assert "<code>stack-0</code>" in markdown
    there = sum(f"<h3>enireconcile plan <code>stack-{number}</code>" in markdown for number in range(stacks))
    left_out = f"{stacks - there} more stack"
    assert there == stacks or left_out in plain(markdown)
    assert there == stacks or ": too long for a comment, see the log." in plain(markdown)


def test_one_enormous_value_is_cut() -> None:
    plan, told = hostile("x" * 1_000_000)
    assert len(plans_markdown([plan])) < LIMIT
    assert len(reports_markdown([told])) < LIMIT
    read(reports_markdown([told]))
