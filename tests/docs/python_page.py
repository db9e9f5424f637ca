"""The reference of the Python API, docs/reference/python.md, made of the docstrings in enireconcile/api.py.

``--write`` makes the page anew; without it, ``python -m tests.docs.python_page`` says whether it is current.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator

import enireconcile
from enireconcile import api
from tests.docs.console import ROOT

PAGE = ROOT / "docs" / "reference" / "python.md"
FUNCTIONS = ("load", "plan", "apply", "show", "verify")
CLASSES = ("Plan", "Report", "Inventory", "Record")
INTRODUCTION = """# Python

`import enireconcile` loads no AWS code; a function loads what it needs when it is called first.
[How to use it](../how-to/python.md).
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, markdown(inspect.getdoc(api) or "").partition("\n\n")[2]]
    parts += [f"## {name}\n\n{code(signature(name))}\n\n{documented(name)}" for name in FUNCTIONS]
    parts += [f"## {name}\n\n{documented(name)}{attributes(name)}" for name in CLASSES]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def documented(name: str) -> str:
    return markdown(inspect.getdoc(getattr(enireconcile, name)) or "")


def signature(name: str) -> str:
    """How a function is called, one parameter a line."""
    found = inspect.signature(getattr(enireconcile, name))
    lines = "".join(f"    {each},\n" for each in _parameters(found))
    return f"{name}(\n{lines}) -> {found.return_annotation}"


def _parameters(found: inspect.Signature) -> Iterator[str]:
    named = False
    for each in found.parameters.values():
        if each.kind is inspect.Parameter.KEYWORD_ONLY and not named:
            named = True
            yield "*"
        default = "" if each.default is inspect.Parameter.empty else f" = {each.default!r}"
        yield f"{each.name}: {each.annotation}{default}"


def attributes(name: str) -> str:
    """The attributes that a class declares, with their types."""
    declared = inspect.get_annotations(getattr(enireconcile, name))
    lines = "\n".join(f"{attribute}: {kind}" for attribute, kind in declared.items())
    return f"\n\n{code(lines)}" if lines else ""


def code(text: str, language: str = "python") -> str:
    return f"```{language}\n{text}\n```"


def markdown(docstring: str) -> str:
    """A docstring as Markdown: literals, examples, indented code, lists of terms."""
    blocks: list[str] = []
    for block in re.split(r"\n\n+", docstring.strip()):
        if blocks and all(each.startswith("    ") for each in (block, blocks[-1])):
            blocks[-1] += f"\n\n{block}"
        else:
            blocks.append(block)
    made = (_block(block) for block in blocks if block != "::")
    return "\n\n".join(made)


def _block(block: str) -> str:
    if block.startswith(">>> "):
        return code(block, "pycon")
    if block.startswith("    "):
        return code(textwrap.dedent(block))
    literal = re.sub(r"``(.+?)``", r"`\1`", block, flags=re.DOTALL)
    terms = re.findall(r"^(\S.*)\n((?:    .*(?:\n|$))+)", literal, re.MULTILINE)
    if terms and "".join(f"{term}\n{text}" for term, text in terms).strip() == literal.strip():
        return "\n".join(f"- {term}: {' '.join(text.split())}" for term, text in terms)
    return literal


def main(arguments: list[str]) -> int:
    """0 if the page is up to date, or was written; 1 if it is not."""
    if "--write" in arguments:
        PAGE.write_text(page(), encoding="utf-8")
    current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()
    print("up to date" if current else "run python -m tests.docs.python_page --write")  # noqa: T201 - the answer
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
