"""Makes docs/images/report-page.png anew, of what ``plan --html`` writes: ``python -m tests.docs.screenshot``.

It needs Chromium. tests/proofs/test_page.py proves what the page looks like; this is a picture of it for the docs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.docs.console import ROOT, STORY, on
from tests.docs.pictures import FOLDER, changed_by_hand
from tests.harness import open_harness
from tests.proofs.test_page import CHROMIUM, OPTIONS

WIDTH, HEIGHT = 900, 830


def main() -> None:
    """The story, changed by hand, planned, and its page drawn."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        page = directory / "plan.html"
        with open_harness(directory / "before") as harness:
            harness.apply((ROOT / STORY).read_text(encoding="utf-8"))
            changed_by_hand(harness.client())
            command = [sys.executable, "-m", "enireconcile", "plan", "--html", str(page), STORY]
            shell = on(harness, ROOT, directory)
            subprocess.run(command, cwd=ROOT, env=shell.environment, stdout=subprocess.DEVNULL, check=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
            tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
            tab.goto(page.as_uri())
            tab.screenshot(path=FOLDER / "report-page.png")
            browser.close()


if __name__ == "__main__":
    main()
