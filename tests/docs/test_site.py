"""The documentation site is whole, loads nothing from other hosts, and reads as its pages do on GitHub.

Each test worker builds it once, in about a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt

from tests.docs.console import ROOT
from tests.docs.test_docs import PAGE_IDS, PAGES

BUILD = ROOT / "docs" / "site" / "build.py"
LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "srcset"}
"""Element to the attribute with what a browser loads."""
BLOCKS = ("h1", "h2", "h3", "h4", "li", "ol", "pre", "table", "td", "ul")
GITHUB = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@dataclass
class Reader(HTMLParser):
    """What a page has: ids, links, what it loads, and the blocks and words of its text."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    blocks: Counter[str] = field(default_factory=Counter)
    text: str = ""
    in_text: bool = False
    in_mark: bool = False
    """In the sign beside a heading that links to it."""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found["id"]} if "id" in found else set()
        self.in_text = self.in_text or tag == "article"
        if self.in_text and tag in BLOCKS:
            self.blocks[tag] += 1
        self.in_mark = found.get("class") == "headerlink"
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif LOADED.get(tag, "") in found and found.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(found[LOADED[tag]])

    def handle_data(self, data: str) -> None:
        if self.in_text and not self.in_mark:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self.in_text = self.in_text and tag != "article"
        self.in_mark = False


@dataclass
class Site:
    """The folder with the copies and the one with the site, and what each page of the site has."""

    copies: Path
    folder: Path
    pages: dict[Path, Reader]

    def made_of(self, copy: Path) -> Path:
        """The page that was made of a copy, which is given relative to the folder of copies."""
        name = "index.html" if copy.name == "README.md" else f"{copy.stem}.html"
        return self.folder / copy.with_name(name)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site, built in strict mode."""
    folder = tmp_path_factory.mktemp("build")
    ran = subprocess.run([sys.executable, BUILD, folder], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    pages = {
        page: read(page.read_text(encoding="utf-8"))
        for page in (folder / "site").rglob("*.html")
        if page.name != "404.html"
    }
    return Site(folder / "pages", folder / "site", pages)


def test_links_lead_somewhere(site: Site) -> None:
    broken = []
    for page, reader in site.pages.items():
        for link in reader.links:
            url = urlsplit(link)
            target = (page.parent / unquote(url.path)).resolve() if url.path else page
            there = target in site.pages or target.is_file()
            if not url.scheme and not (there and anchored(site, target, url.fragment)):
                broken.append(f"{page.relative_to(site.folder)}: {link}")
    assert broken == []


def anchored(site: Site, page: Path, fragment: str) -> bool:
    return not fragment or unquote(fragment) in site.pages[page].ids


def test_links_to_other_sites_are_well_formed(site: Site) -> None:
    urls = {urlsplit(link) for reader in site.pages.values() for link in reader.links}
    elsewhere = [url for url in urls if url.scheme]
    assert elsewhere
    assert [url.geturl() for url in elsewhere if url.scheme != "https" or "." not in url.netloc] == []


def test_nothing_is_loaded_from_elsewhere(site: Site) -> None:
    for page, reader in site.pages.items():
        assert reader.loads
        for name in reader.loads:
            url = urlsplit(name)
            assert not url.scheme and not url.netloc, f"{page} loads {name}"  # noqa: PT018 (one thought)
            assert (page.parent / unquote(url.path)).is_file(), f"{page} lacks {name}"


def test_every_page_is_made_and_found(site: Site) -> None:
    """By the search."""
    copies = [copy.relative_to(site.copies) for copy in site.copies.rglob("*.md")]
    assert {site.made_of(copy) for copy in copies} == set(site.pages)
    index = json.loads((site.folder / "search.json").read_text(encoding="utf-8"))
    found = {item["location"].partition("#")[0] for item in index["items"]}
    assert found == {str(page.relative_to(site.folder)) for page in site.pages}


def test_charts_that_github_draws_are_pictures(site: Site) -> None:
    """A Mermaid chart of a stack has the picture of that stack above it."""
    charted = [page for page in PAGES if "\n```mermaid\n" in page.read_text(encoding="utf-8")]
    assert charted
    for page in charted:
        text = site.made_of(page.relative_to(ROOT)).read_text(encoding="utf-8")
        before, chart, _ = text.partition("flowchart")
        assert chart
        assert before.rpartition("<img")[2].count("<pre>") == 1


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_pages_read_as_on_github(site: Site, page: Path) -> None:
    """The same blocks, and the same words between them.

    What belongs to an item of a list has to be indented by four spaces, with a blank line before the next item.
    """
    shown = site.pages[site.made_of(page.relative_to(ROOT))]
    github = read(f"<article>{GITHUB.render(page.read_text(encoding='utf-8'))}</article>")
    assert shown.text.split() == github.text.split()
    assert shown.blocks == github.blocks
