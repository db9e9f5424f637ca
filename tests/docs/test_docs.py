"""The docs match the code: specs load, options and fields are documented, commands exist, links resolve."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from enireconcile.cli.app import cli
from enireconcile.iam import policy as iam_policy
from enireconcile.model import FORMAT_VERSION
from enireconcile.spec import load
from enireconcile.spec.schema import json_schema
from tests.docs import reference

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
PAGE_IDS = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^|[\s/])enireconcile ([a-z][a-z-]*)", re.MULTILINE)
# The heading in the reference of the spec for each row of the schema.
HEADINGS = {
    "Document": "The file",
    "SecurityGroup": "security_groups",
    "IngressRule": "Rules",
    "EgressRule": "Rules",
    "Instance": "instances",
    "MetadataOptions": "Metadata options",
    "RootVolume": "Volumes",
    "Volume": "Volumes",
    "Placement": "Placement",
    "CpuOptions": "CPU options",
    "Hibernation": "Hibernation and enclaves",
    "Enclave": "Hibernation and enclaves",
    "CapacityReservation": "Capacity Reservations",
    "CapacityReservationTarget": "Capacity Reservations",
    "Spot": "Spot",
    "ExternalInstance": "External instances",
    "NetworkInterface": "network_interfaces",
    "ConnectionTracking": "Connection tracking",
    "Attachment": "Attachment",
    "Failover": "Failover",
    "ElasticIp": "elastic_ips",
    "Lifecycle": "lifecycle",
    "Association": "Association",
    "Route": "Routes",
    "Check": "checks",
    "WebProbe": "Web checks",
}


def fences(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of the fenced blocks of a page."""
    for found in FENCE.finditer(page.read_text(encoding="utf-8")):
        yield found[1], found[2]


def whole_specs() -> list[tuple[str, str]]:
    """YAML blocks that are complete specs, with their page."""
    return [
        (str(page.relative_to(ROOT)), text)
        for page in PAGES
        for language, text in fences(page)
        if language == "yaml" and text.startswith("version: 1\n") and "\n\n" in text
    ]


def section(page: Path, heading: str) -> str:
    """The text below a heading, up to the next heading."""
    parts = re.split(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[heading]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub generates them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows() -> dict[str, set[str]]:
    """Row to field names, by the JSON Schema; ``for_each``, which all rows have, has a section of its own."""
    schema = json_schema()
    found = {name: set(row["properties"]) - {"for_each"} for name, row in schema["$defs"].items()}
    return found | {"Document": set(schema["properties"])}


@pytest.mark.parametrize("text", [text for _, text in whole_specs()], ids=[page for page, _ in whole_specs()])
def test_specs_in_the_docs_load(text: str) -> None:
    (spec,) = load(["-"], stdin=lambda: text)
    assert spec.document.stack


def test_readme_and_reference_show_a_whole_spec() -> None:
    assert {page for page, _ in whole_specs()} >= {"README.md", "docs/reference/spec.md"}


def test_readme_shows_the_spec_of_the_project() -> None:
    """Without its comments."""
    [text] = [text for page, text in whole_specs() if page == "README.md"]
    (shown,) = load(["-"], stdin=lambda: text)
    (meant,) = load([str(ROOT / "specs" / "two-enis.yaml")])
    assert shown.document == meant.document


def test_parts_in_the_tutorial_make_the_spec_of_the_project() -> None:
    """The YAML blocks of the tutorial, joined, are the same document as specs/two-enis.yaml.

    How it is changed at the end is run by tests/docs/console.py.
    """
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8").partition("## A page through both addresses")[0]
    parts = [text for language, text in FENCE.findall(page) if language == "yaml"]
    whole = "".join(part for part in parts if not part.startswith("account_id:"))
    (told,) = load(["-"], stdin=lambda: whole)
    (meant,) = load([str(ROOT / "specs" / "two-enis.yaml")])
    assert told.document == meant.document


NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_tests_that_the_docs_name_exist(page: Path) -> None:
    for path, name in NAMED_TEST.findall(page.read_text(encoding="utf-8")):
        tests = (ROOT / path).read_text(encoding="utf-8")
        assert not name or re.search(rf"^def {name}\(", tests, re.MULTILINE), f"{path} has no {name}"


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_files_and_folders_that_the_docs_name_exist(page: Path) -> None:
    """Test files by their bare name, and paths of the repository."""
    text = page.read_text(encoding="utf-8")
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"`(test_\w+\.py)`", text)) - tests == set()
    paths = re.findall(r"`((?:tests|docs|specs|enireconcile)/[\w./-]+)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_claim_about_security_names_its_test() -> None:
    """Each item of the page, except under "What remains"."""
    page = (DOCS / "explanation" / "security.md").read_text(encoding="utf-8")
    points = re.findall(r"^- (.*(?:\n  .*)*)", page.partition("## What remains")[0], re.MULTILINE)
    assert len(points) > 20
    assert [point for point in points if not any(name for _, name in NAMED_TEST.findall(point))] == []


def test_reference_lists_every_permission() -> None:
    """The permissions table has each call that the package may make."""
    text = section(DOCS / "reference" / "permissions.md", "Permissions")
    assert [call for call in iam_policy.calls() if f"`ec2:{call}`" not in text] == []


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_reference_has_every_option(command: str) -> None:
    """In its own section, or among those of all commands with specs, above the commands."""
    page = DOCS / "reference" / "cli.md"
    text = section(page, command) + page.read_text(encoding="utf-8").partition("## Commands")[0]
    missing = [name for name in reference.options_of(cli.commands[command]) if f"`{name}" not in text]
    assert missing == []


def test_the_table_of_options_is_current() -> None:
    """``python -m tests.docs.reference --write`` makes it."""
    assert reference.main([]) == 0


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_reference_tells_no_option_and_no_default_that_is_not(command: str) -> None:
    """In the tables of the command's own section."""
    options = reference.options_of(cli.commands[command])
    for row in re.findall(r"^\| (`-.*) \|$", section(DOCS / "reference" / "cli.md", command), re.MULTILINE):
        names, _, meaning = re.sub(r"\\\|", "/", row).partition(" | ")
        told = re.findall(r"(?:^|[\s`])(--?[a-z][a-z-]*)", names)
        assert [name for name in told if name not in options] == [], row
        default = re.search(r"\bdefault (\d\w*)", meaning)
        if default and options[told[0]].show_default:
            assert default[1] == str(options[told[0]].default), row


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_variables_in_the_docs_are_those_of_options(page: Path) -> None:
    known = {str(option.envvar) for _, command in reference.commands() for option in command.options}
    named = set(re.findall(r"\bENIRECONCILE_[A-Z_]+", page.read_text(encoding="utf-8")))
    # For unexpected errors, for the acceptance kit, and for the Lambda function.
    more = {"ENIRECONCILE_DEBUG", "ENIRECONCILE_ACCEPTANCE"}
    more |= {f"ENIRECONCILE_{name}" for name in ("COMMAND", "SPECS", "OPTIONS")}
    assert named - known - more == set()


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_commands_in_the_docs_exist(page: Path) -> None:
    named = {name for _, text in fences(page) for name in COMMAND.findall(text)}
    assert named <= set(cli.commands)


@pytest.mark.parametrize("row", sorted(rows()))
def test_reference_has_every_field(row: str) -> None:
    text = section(DOCS / "reference" / "spec.md", HEADINGS[row])
    assert {name for name in rows()[row] if f"| `{name}` |" not in text} == set()


@pytest.mark.parametrize("row", sorted(rows()))
def test_reference_has_no_field_that_is_not(row: str) -> None:
    text = section(DOCS / "reference" / "spec.md", HEADINGS[row])
    same_heading = {name for other, names in rows().items() if HEADINGS[other] == HEADINGS[row] for name in names}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) - same_heading == set()


def test_permissions_name_every_call() -> None:
    """The permissions table has every call that a kind names."""
    sources = [*(ROOT / "enireconcile" / "kinds").glob("*.py")]
    calls = {name for path in sources for name in re.findall(r'call="([A-Z]\w+)"', path.read_text("utf-8"))}
    text = section(DOCS / "reference" / "permissions.md", "Permissions")
    assert calls, "no call found: has the code changed its way of writing them?"
    assert {call for call in calls if f"`ec2:{call}`" not in text} == set()


def test_reference_names_the_format_version() -> None:
    assert f'"{FORMAT_VERSION}"' in section(DOCS / "reference" / "json.md", "JSON of plan")


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_map_leads_to_every_page() -> None:
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in LINK.findall((DOCS / "index.md").read_text())}
    assert {page for page in PAGES if page not in linked and page != DOCS / "index.md"} == set()
