"""The page of --html in a real browser: Chromium, without a screen.

What it proves: nothing from a tag or a description runs, and no request leaves; it fits a phone; all text has a
contrast of 4.5:1 in light and dark, and axe finds nothing against WCAG; print hides and cuts nothing; the keyboard
reaches everything in order, and the focus is visible.
"""

from __future__ import annotations

import select
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, sync_playwright

from enireconcile.model import Plan
from enireconcile.outputs.html import Planned, Ran, plans_html, reports_html
from tests.outputs.test_html import MADE, drawn, some_reports
from tests.outputs.test_markdown import HOSTILE, hostile
from tests.outputs.test_report import MIXED, NASTY, WORLD
from tests.planning.test_golden import GOLDEN, planned
from tests.planning.worlds import Words, plan_of
from tests.proofs.conftest import Proofs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CANARY = "window.canary = 'sings'"
ATTACKS = [
    f"<script>{CANARY}</script>",
    f"</style></pre></details></main><script>{CANARY}</script>",
    f'<img src=x onerror="{CANARY}">\'"><svg onload="{CANARY}">',
    f'</title><iframe srcdoc="<script>parent.{CANARY}</script>"></iframe>',
    f'<a href="javascript:{CANARY}" autofocus onfocus="{CANARY}">x</a>',
    "<base href='http://127.0.0.1:9/'>",
    "<style>@import url(http://127.0.0.1:9/);</style><link rel=stylesheet href=http://127.0.0.1:9/>",
]
REFRESH = "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>"
"""No policy forbids this: only escaping does."""
NARROW, WIDE, PAPER = 360, 1200, 718
"""CSS pixels: a phone, a screen, and A4 without its margins."""
NODES: Words = {
    "security_groups": {"web": {"ingress": [{"protocol": "tcp", "ports": 443, "sources": ["0.0.0.0/0"]}]}},
    "network_interfaces": {
        f"node-{number}": {"subnet": {"default_for_az": "us-east-1a"}, "security_groups": ["web"]}
        for number in range(60)
    },
    "elastic_ips": {
        f"node-{number}": {"association": {"network_interface": f"node-{number}"}} for number in range(60)
    },
}

CONTRASTS = """
() => {
  const parsed = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => {
    const [red, green, blue] = parsed(colour).map(part => part / 255)
      .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (one, two) => {
    const [dark, light] = [luminance(one), luminance(two)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const opaque = colour => colour !== "none" && (parsed(colour)[3] ?? 1) === 1;
  const rects = new Map();
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (opaque(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const below = text => {
    const box = text.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
    const svg = text.ownerSVGElement;
    if (!rects.has(svg)) rects.set(svg, [...svg.querySelectorAll("rect")].map(
      rect => [rect.getBoundingClientRect(), getComputedStyle(rect).fill]).filter(([_, fill]) => opaque(fill)));
    return rects.get(svg).findLast(
      ([at, _]) => at.left <= x && x <= at.right && at.top <= y && y <= at.bottom)[1];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || !element.checkVisibility() || ["title", "desc", "style"].includes(element.tagName)) continue;
    const style = getComputedStyle(element), drawn = element.tagName === "text";
    found.push([ratio(drawn ? style.fill : style.color, drawn ? below(element) : behind(element)), text]);
  }
  return found;
}
"""
FOCUSED = """
() => {
  const all = [...document.querySelectorAll("a[href], summary, [tabindex='0']")];
  const here = document.activeElement, box = here.getBoundingClientRect(), style = getComputedStyle(here);
  return {
    number: all.indexOf(here),
    visible: box.width > 1 && box.height > 1 && box.right > 0 && box.left < innerWidth && box.bottom > 0,
    outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    count: all.length,
  };
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages: a plan, 60 interfaces, a destructive plan beside others, and runs that ended in all ways."""
    folder = tmp_path_factory.mktemp("pages")
    mixed = plan_of(MIXED, WORLD)
    pictures = drawn(MIXED, WORLD, mixed)
    many = plan_of(NODES, {})
    plans = {
        "plan": [Planned(mixed, pictures)],
        "nodes": [Planned(many, drawn(NODES, {}, many))],
        "stacks": [
            Planned(mixed, pictures),
            *(_golden(name) for name in ("user-data-replaces", "error-and-an-elastic-ip-in-the-way")),
            Planned(replace(mixed, stack="quiet", changes=(), steps=(), interruptions=())),
        ],
    }
    texts = {name: plans_html(each, MADE) for name, each in plans.items()}
    reports = [replace(each, stack=each.stack and each.outcome) for each in some_reports(mixed)]
    runs = [Ran(report, pictures if report.stack else None) for report in reports]
    texts |= {"run": reports_html(runs[:1], MADE), "runs": reports_html(runs, MADE)}
    attacks = [hostile(text) for text in (*ATTACKS, REFRESH, *HOSTILE, NASTY, "x" * 100_000, "אבג" * 50)]
    texts["hostile-plan"] = plans_html([Planned(plan) for plan, _ in attacks], MADE)
    texts["hostile-run"] = reports_html([Ran(report) for _, report in attacks], MADE)
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text)
    return folder


def _golden(name: str) -> Planned:
    plan: Plan = replace(planned(GOLDEN[name]), stack=name)
    return Planned(plan, drawn(GOLDEN[name]["spec"], GOLDEN[name]["live"], plan))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


def opened(page: Page, path: Path, *, width: int = WIDE, scheme: str = "light", media: str = "screen") -> Page:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(media=media, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(path.as_uri())
    return page


def test_nothing_runs_and_no_request_leaves(page: Page, folder: Path, proofs: Proofs) -> None:
    """Whatever stands in tags, descriptions and errors: the browser asks for the page, and for nothing else."""
    requests: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    paths = sorted(folder.iterdir())
    for path in paths:
        opened(page, path)
        assert page.evaluate("[typeof canary, document.scripts.length]") == ["undefined", 0]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path.name
        proofs.count("pages in a browser")
    assert (requests, said) == ([path.as_uri() for path in paths], [])


def test_the_policy_holds_where_escaping_would_not(page: Page, folder: Path, tmp_path: Path) -> None:
    """Markup put into the finished page neither runs nor loads nor styles. The page's own style is allowed."""
    text, path = (folder / "plan.html").read_text(), tmp_path / "attacked.html"
    with socket.create_server(("127.0.0.1", 0)) as outside:
        for attack in ATTACKS:
            attack = attack.replace("127.0.0.1:9", f"127.0.0.1:{outside.getsockname()[1]}")
            path.write_text(text.replace("<main", f"{attack}<style>h1 {{ color: #010203 }}</style><main", 1))
            opened(page, path)
            assert page.evaluate("typeof canary") == "undefined", attack
            assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(27, 31, 36)"
        assert select.select([outside], [], [], 0)[0] == []


@pytest.mark.parametrize("name", ["stacks", "runs", "nodes"])
def test_it_fits_a_phone_and_can_be_read(page: Page, folder: Path, name: str) -> None:
    """At 360 pixels only tables and pictures scroll sideways, in their frames. Contrast in light and dark."""
    for scheme in ("light", "dark"):
        opened(page, folder / f"{name}.html", width=NARROW, scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 20
        assert [(text, ratio) for ratio, text in contrasts if ratio < 4.5] == []


@pytest.mark.parametrize(("name", "width", "scheme"), [("stacks", NARROW, "dark"), ("runs", WIDE, "light")])
def test_axe_finds_nothing(page: Page, folder: Path, name: str, width: int, scheme: str) -> None:
    """WCAG 2 A and AA, and axe's best practices."""
    results = Axe().run(opened(page, folder / f"{name}.html", width=width, scheme=scheme))
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("name", ["stacks", "run", "nodes"])
def test_print_hides_and_cuts_nothing(page: Page, folder: Path, name: str) -> None:
    """All that unfolds is there, pictures and tables fit the paper, and paper is white, whatever the screen is."""
    opened(page, folder / f"{name}.html", width=PAPER, scheme="dark", media="print")
    hidden = """[...document.querySelectorAll("details > *, td, pre, .scroll svg")].filter(
      each => !each.checkVisibility({contentVisibilityAuto: true}) || !each.getBoundingClientRect().height
              && each.textContent.trim()).length"""
    cut = """[...document.querySelectorAll("html, body *")].filter(
      each => each.getBoundingClientRect().right > innerWidth).length"""
    assert page.evaluate(f"[{hidden}, {cut}]") == [0, 0]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_the_keyboard_reaches_everything(page: Page, folder: Path, width: int) -> None:
    """In the order of the page, each with a visible frame; the first link leads past the head."""
    opened(page, folder / "stacks.html", width=width)
    page.keyboard.press("Tab")
    focused = page.evaluate(FOCUSED)
    for number in range(focused["count"]):
        assert (focused["number"], focused["visible"], focused["outline"]) == (number, True, True)
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
    page.reload()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    details = page.locator("td details").first
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    assert details.get_attribute("open") is not None
