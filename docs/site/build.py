"""Build the documentation site: ``python docs/site/build.py [FOLDER]`` writes FOLDER/site; default: build/site.

The pages are written to be read on GitHub too, where links lead to files of the repository. So the site is made
from copies in the repository's layout, in FOLDER/pages, where each other file that a page links to has a page that
shows it. Zensical refuses links to pages and headings that do not exist.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
GUIDES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
ASSETS = {".css", ".png", ".svg"}
LANGUAGES = {".yaml": "yaml", ".json": "json", ".py": "python", ".service": "ini", ".timer": "ini"}
"""How files that are not pages are highlighted."""
_FENCED = re.compile(r"^( *```.*?^ *```)$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")
_ROW = re.compile(r"(?m)^\|.*\|$")
_CHART = re.compile(r"\A```mermaid\n---\ntitle: \"(\S+) in ")
_LANGUAGE = re.compile(r"^( *```[a-z]+) [a-z]+$", re.MULTILINE)


def main(folder: Path) -> int:
    """Copy, then build. Returns Zensical's exit code; the traceback with which strict mode ends is left out."""
    for name in ("pages", "site"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path, content in copies().items():
        copy = folder / "pages" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
    config = (DOCS / "site" / "zensical.toml").read_text(encoding="utf-8")
    nav = toml(navigation((DOCS / "index.md").read_text(encoding="utf-8")))
    (folder / "zensical.toml").write_text(config.replace("nav = []", f"nav = {nav}"), encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", "zensical.toml"]
    ran = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 (our own program)
    told, _, trace = ran.stderr.partition("Traceback (most recent call last)")
    sys.stderr.write(told if "--strict" in trace else ran.stderr)
    print(f"the site is not built: {folder}" if ran.returncode else folder / "site" / "index.html")  # noqa: T201
    return ran.returncode


def copies() -> dict[Path, bytes]:
    """Where each copy belongs in the repository's layout, and its content."""
    pages = [*(ROOT / name for name in GUIDES), *sorted(DOCS.rglob("*.md"))]
    texts = {page: adapted(page) for page in pages}
    for path in sorted({path for page in pages for path in linked(page)}):
        if path.is_dir():
            texts[path / "index.md"] = listing(path)
            texts |= {page_of(each): shown(each) for each in files(path) if each.suffix != ".md"}
        else:
            texts[page_of(path)] = shown(path)
    assets = [path for path in DOCS.rglob("*") if path.suffix in ASSETS]
    return {path: text.encode() for path, text in texts.items()} | {path: path.read_bytes() for path in assets}


def linked(page: Path) -> Iterator[Path]:
    """The files and folders, other than pages and pictures, to which a page links."""
    for name in _LINK.findall("".join(_FENCED.split(page.read_text(encoding="utf-8"))[::2])):
        path = (page.parent / name).resolve()
        if path.exists() and path.suffix not in {".md", *ASSETS}:
            yield path


def adapted(page: Path) -> str:
    """The text of a page as the site needs it.

    Links to files lead to their pages. Above a Mermaid chart of a stack, which GitHub draws, is the picture of
    that stack: to draw the chart, a browser would need a program from elsewhere. ``sh guest`` becomes ``sh``.
    ``\\|``, which pages have only in the code of tables, becomes ``|``: GitHub and Zensical differ there.
    """

    def link(found: re.Match[str]) -> str:
        path = (page.parent / found[0]).resolve()
        known = path.exists() and path.suffix not in ASSETS
        return os.path.relpath(page_of(path), page.parent) if known else found[0]

    parts = _FENCED.split(page.read_text(encoding="utf-8"))
    parts[::2] = [_ROW.sub(lambda row: row[0].replace(r"\|", "|"), part) for part in parts[::2]]
    parts[::2] = [_LINK.sub(link, part) for part in parts[::2]]
    parts[1::2] = [drawn(_LANGUAGE.sub(r"\1", part), page) for part in parts[1::2]]
    return "".join(parts)


def drawn(block: str, page: Path) -> str:
    """A block of code; a Mermaid chart of a stack has its picture above it."""
    chart = _CHART.match(block)
    if chart is None:
        return block
    picture = os.path.relpath(DOCS / "images" / f"{chart[1]}.svg", page.parent)
    return f"![The chart of {chart[1]}, drawn]({picture})\n\n{block}"


def page_of(path: Path) -> Path:
    """The page for a file or a folder."""
    if path.is_dir():
        return path / "index.md"
    return path if path.suffix == ".md" else path.with_name(f"{path.name}.md")


def shown(path: Path) -> str:
    """A page with the text of a file."""
    text = path.read_text(encoding="utf-8")
    language = LANGUAGES.get(path.suffix, "text")
    return f"# {path.name}\n\n`{path.relative_to(ROOT)}`\n\n````{language}\n{text}````\n"


def listing(folder: Path) -> str:
    """A page with links to the files of a folder."""
    lines = [f"- [{path.name}]({page_of(path).name})\n" for path in files(folder)]
    return f"# {folder.name}\n\n`{folder.relative_to(ROOT)}`\n\n{''.join(lines)}"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


# ---- Navigation

Entry = tuple[str, "str | list[Entry]"]


def navigation(text: str) -> list[Entry]:
    """Titles with their pages or entries: the README, then what docs/index.md lists, in its sections."""
    entries: list[Entry] = [("Home", "README.md")]
    levels = [entries]
    for line in text.splitlines():
        if heading := re.fullmatch(r"#(#+) (.*)", line):
            del levels[len(heading[1]) :]
            levels[-1].append((heading[2], below := []))
            levels.append(below)
        elif item := re.match(r"(?:-|\d+\.) \[([^\]]+)\]\(([^)]+)\)", line):
            page = page_of((DOCS / item[2]).resolve()).relative_to(ROOT)
            if page.name != "README.md":
                levels[-1].append((item[1].strip("`"), str(page)))
    return entries


def toml(value: str | list[Entry]) -> str:
    """A value as TOML writes it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "[" + ", ".join(f"{{{toml(title)} = {toml(what)}}}" for title, what in value) + "]"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "build"))
