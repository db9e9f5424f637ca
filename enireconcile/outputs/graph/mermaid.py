"""A picture as a Mermaid flowchart, as GitHub and GitLab render it in Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence

from enireconcile.outputs.graph.lines import COLOURS, INK, outline
from enireconcile.outputs.graph.picture import Picture, State
from enireconcile.printable import printable

_STROKES = {
    State.SAME: "",
    State.CREATED: ",stroke-width:3px",
    State.ADOPTED: ",stroke-width:2px,stroke-dasharray:20 4",
    State.CHANGED: ",stroke-width:2px,stroke-dasharray:8 3",
    State.REPLACED: ",stroke-width:2px,stroke-dasharray:8 3 2 3",
    State.REMOVED: ",stroke-width:2px,stroke-dasharray:2 3",
}
_ARROWS = {
    State.SAME: "-->",
    State.CREATED: "==>",
    State.ADOPTED: "-->",
    State.CHANGED: "-->",
    State.REPLACED: "==>",
    State.REMOVED: "-.->",
}
_SPELLED = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;", "\\": "#92;"}


def mermaid(picture: Picture, *, title: str = "") -> str:
    """The picture as Mermaid text. States are told in colour, in the line and in words."""
    drawn = outline(picture)
    ids = {key: f"n{index}" for index, key in enumerate(drawn.keys)}
    heading = picture.heading(title)
    # The front matter is YAML, which reads a text as JSON writes it.
    lines = ["---", f"title: {json.dumps(printable(heading), ensure_ascii=False)}", "---"] if heading else []
    lines.append("flowchart LR")
    for group in drawn.groups:
        indent = "  "
        if group.title is not None:
            # Mermaid leaves room for one line only.
            lines.append(f"  subgraph {ids[group.key]}[{_text([', '.join(group.title)])}]")
            indent = "    "
        lines += (f"{indent}{ids[node.key]}{_shape(node.shape, _text(node.lines))}" for node in group.nodes)
        if group.title is not None:
            lines.append("  end")
    for edge in drawn.edges:
        arrow = "-.->" if edge.faint else _ARROWS[edge.state]
        label = f"|{_text([edge.label])}|" if edge.label else ""
        lines.append(f"  {ids[edge.source]} {arrow}{label} {ids[edge.target]}")
    for state in State:
        members = [ids[key] for key, found in drawn.states.items() if found is state]
        if members:
            colour, fill = COLOURS[state]
            lines += [
                f"  classDef {state} fill:{fill},stroke:{colour},color:{INK}{_STROKES[state]}",
                f"  class {','.join(members)} {state}",
            ]
    return "\n".join(lines) + "\n"


def _shape(shape: str, text: str) -> str:
    return {"round": f"([{text}])", "table": f"[/{text}/]"}.get(shape, f"[{text}]")


def _text(lines: Sequence[str]) -> str:
    """Lines as one quoted text. Characters that Mermaid or HTML would interpret are spelled out."""
    return '"' + "<br/>".join("".join(_SPELLED.get(char, char) for char in line) for line in lines) + '"'
