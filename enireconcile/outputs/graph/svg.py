"""A picture as SVG: no script, no font and no resource from outside; light or dark as the viewer prefers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from html import escape

from enireconcile.outputs.graph.layout import FONTS, Box, Drawing, Label, Part, Wire, layout
from enireconcile.outputs.graph.lines import outline
from enireconcile.outputs.graph.picture import Picture, State
from enireconcile.printable import printable

_ROOT = "enireconcile-picture"
_SANS = 'ui-sans-serif,system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif'
_MONO = 'ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace'
_DASHES = {
    State.SAME: "none",
    State.CREATED: "none",
    State.ADOPTED: "20 4",
    State.CHANGED: "9 4",
    State.REPLACED: "9 3 2 3",
    State.REMOVED: "2 3",
}
_WIDTHS = {
    State.SAME: 1.2,
    State.CREATED: 2.4,
    State.ADOPTED: 2,
    State.CHANGED: 2,
    State.REPLACED: 2,
    State.REMOVED: 2,
}
_LIGHT = {
    State.SAME: ("#6e7781", "#f6f8fa", "#1f2328"),
    State.CREATED: ("#1a7f37", "#e3f8e8", "#116329"),
    State.ADOPTED: ("#0969da", "#e6f4ff", "#0a4fa8"),
    State.CHANGED: ("#9a6700", "#fff6d6", "#7d4e00"),
    State.REPLACED: ("#8250df", "#f5edff", "#6639ba"),
    State.REMOVED: ("#cf222e", "#ffeceb", "#a40e26"),
}
_DARK = {
    State.SAME: ("#848d97", "#161b22", "#e6edf3"),
    State.CREATED: ("#3fb950", "#0f2a19", "#7ee787"),
    State.ADOPTED: ("#58a6ff", "#0d2239", "#79c0ff"),
    State.CHANGED: ("#d29922", "#2b2005", "#f2cc60"),
    State.REPLACED: ("#a371f7", "#21163b", "#d2a8ff"),
    State.REMOVED: ("#f85149", "#341113", "#ffa198"),
}
"""Of each state: lines, surfaces, text."""


def _colours(palette: dict[State, tuple[str, str, str]], paper: str, quiet: str) -> Iterator[str]:
    root = f".{_ROOT} "
    yield f"{root}.ep-paper{{fill:{paper}}}"
    for state, (line, surface, ink) in palette.items():
        of = f".ep-{state}"
        yield f"{root}rect{of},{root}line{of}{{stroke:{line}}}"
        yield f"{root}rect{of}{{fill:{surface}}}"
        yield f"{root}text{of}{{fill:{ink}}}"
        yield f"{root}circle{of}{{fill:{line}}}"
    yield f"{root}rect.ep-instance,{root}rect.ep-ghost{{fill:{paper}}}"
    yield f"{root}text.ep-quiet{{fill:{quiet}}}"


def _style() -> str:
    root = f".{_ROOT} "
    rules = [
        f".{_ROOT}{{font-family:{_SANS}}}",
        *(
            f"{root}.ep-{role}{{font-size:{font.size}px;font-weight:{600 if font.bold else 400}"
            f"{f';font-family:{_MONO}' if font.mono else ''}}}"
            for role, font in FONTS.items()
        ),
        *(
            f"{root}.ep-{state}{{stroke-width:{_WIDTHS[state]};stroke-dasharray:{dash}}}"
            for state, dash in _DASHES.items()
        ),
        f"{root}text{{stroke:none}}",
        f"{root}.ep-name.ep-{State.REMOVED}{{text-decoration:line-through}}",
        f"{root}.ep-ghost.ep-{State.SAME}{{stroke-dasharray:4 4}}",
        *_colours(_LIGHT, "#ffffff", "#57606a"),
    ]
    dark = "".join(_colours(_DARK, "#0d1117", "#9198a1"))
    # Paper is white, whatever its reader prefers on a screen.
    return "".join(rules) + f"@media screen and (prefers-color-scheme:dark){{{dark}}}"


STYLE = _style()
"""The style of all pictures."""


def svg(picture: Picture, *, title: str, standalone: bool = True) -> str:
    """The picture as an SVG document, or without ``standalone`` as an element for an HTML page.

    It has its natural size in pixels, in which text is 11 pixels high and more: a page that is narrower should let
    it scroll. ``title`` is its heading, and what a screen reader says first; then comes a description of all that
    is drawn.
    """
    title = printable(title)
    drawing, description = layout(picture, title), _description(picture)
    name = "p" + hashlib.sha256(f"{title}\n{picture!r}".encode(errors="backslashreplace")).hexdigest()[:12]
    size = (
        f'width="{drawing.width:g}" height="{drawing.height:g}" viewBox="0 0 {drawing.width:g} {drawing.height:g}"'
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{_ROOT}" {size} role="img" '
        f'aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{escape(title)}</title>',
        f'<desc id="{name}-desc">{escape(description)}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="ep-paper" width="{drawing.width:g}" height="{drawing.height:g}"/>',
        *_elements(drawing),
        "</svg>",
    ]
    prolog = ['<?xml version="1.0" encoding="UTF-8"?>'] if standalone else []
    return "\n".join([*prolog, *lines]) + "\n"


def _elements(drawing: Drawing) -> Iterator[str]:
    for part in drawing.parts:
        yield from _element(part)


def _element(part: Part) -> Iterator[str]:
    if isinstance(part, Box):
        yield (
            f'<rect class="ep-{part.role} ep-{part.state}" x="{part.x:g}" y="{part.y:g}" '
            f'width="{part.width:g}" height="{part.height:g}" rx="{part.round:g}"/>'
        )
    elif isinstance(part, Wire):
        yield f'<line class="ep-{part.state}" x1="{part.x1:g}" y1="{part.y:g}" x2="{part.x2:g}" y2="{part.y:g}"/>'
        yield f'<circle class="ep-{part.state}" cx="{part.x2:g}" cy="{part.y:g}" r="3.5"/>'
    else:
        yield _text(part)


def _text(label: Label) -> str:
    quiet = " ep-quiet" if label.role == "text" and label.state is State.SAME else ""
    anchor = ' text-anchor="end"' if label.at_end else ""
    full = f"<title>{escape(label.full)}</title>" if label.full is not None else ""
    return (
        f'<text class="ep-{label.role} ep-{label.state}{quiet}" x="{label.x:g}" y="{label.y:g}"{anchor}>'
        f"{full}{escape(label.text)}</text>"
    )


def _description(picture: Picture) -> str:
    """All that is drawn, in sentences."""
    drawn, vpc = outline(picture), printable(picture.vpc)
    names = {key: lines[0] for key, lines in drawn.heads.items()}
    sentences = [f"All is in {vpc}."] if vpc.startswith("vpc-") else [f"All is in the {vpc}."] if vpc else []
    for group in drawn.groups:
        if group.title is not None:
            inside = "; ".join(", ".join(node.lines) for node in group.nodes)
            sentences.append(f"Instance {', '.join(group.title)}: {inside or 'no interfaces'}.")
        else:
            sentences += (f"{', '.join(node.lines)}." for node in group.nodes)
    for edge in drawn.edges:
        label = f" ({edge.label})" if edge.label else ""
        sentences.append(f"{names[edge.source]} leads to {names[edge.target]}{label}.")
    return " ".join(sentences) or "The stack has no resources."
