"""A picture in DOT, the language of Graphviz."""

from __future__ import annotations

from collections.abc import Sequence

from enireconcile.outputs.graph.lines import COLOURS, INK, outline
from enireconcile.outputs.graph.picture import Picture, State
from enireconcile.printable import printable

_STYLES = {
    State.SAME: "solid",
    State.CREATED: "bold",
    State.ADOPTED: "rounded",
    State.CHANGED: "dashed",
    State.REPLACED: "dashed,bold",
    State.REMOVED: "dotted",
}
_SHAPES = {"round": "ellipse", "table": "parallelogram"}


def dot(picture: Picture, *, title: str = "") -> str:
    """The picture as a directed graph. States are told in colour, in the line and in words."""
    drawn = outline(picture)
    lines = [
        "digraph {",
        "  rankdir=LR; compound=true;",
        f'  graph [fontname="Helvetica", labelloc=t, label={_label([printable(picture.heading(title))])}];',
        '  node [fontname="Helvetica", shape=box, margin="0.25,0.1"];',
        '  edge [fontname="Helvetica"];',
    ]
    anchors, clusters = {}, {}
    for number, group in enumerate(drawn.groups):
        indent = "  "
        if group.title is not None:
            state = drawn.states[group.key]
            lines.append(f"  subgraph cluster_{number} {{")
            lines.append(
                f'    label={_label(group.title)}; color="{COLOURS[state][0]}"; style="{_STYLES[state]}";'
            )
            indent = "    "
            if not group.nodes:
                # A cluster without a node is not drawn.
                lines.append(f'{indent}{_quoted(group.key)} [label="", shape=point, style=invis];')
            clusters[group.key] = f", lhead=cluster_{number}"
            anchors[group.key] = group.nodes[0].key if group.nodes else group.key
        for node in group.nodes:
            state = drawn.states[node.key]
            colour, fill = COLOURS[state]
            shape = f", shape={_SHAPES[node.shape]}" if node.shape in _SHAPES else ""
            look = f'color="{colour}", fillcolor="{fill}", fontcolor="{INK}", style="{_STYLES[state]},filled"'
            lines.append(f"{indent}{_quoted(node.key)} [label={_label(node.lines)}{shape}, {look}];")
        if group.title is not None:
            lines.append("  }")
    for edge in drawn.edges:
        colour, _ = COLOURS[edge.state]
        style = "dotted" if edge.faint else _STYLES[edge.state]
        lines.append(
            f"  {_quoted(edge.source)} -> {_quoted(anchors.get(edge.target, edge.target))} "
            f'[label={_label([edge.label])}, color="{colour}", fontcolor="{colour}", style="{style}"'
            f"{clusters.get(edge.target, '')}];"
        )
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    """A text as an id."""
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _label(lines: Sequence[str]) -> str:
    """Lines as a label, in which Graphviz reads the entities of HTML."""
    return '"' + "\\n".join(_quoted(line.replace("&", "&amp;"))[1:-1] for line in lines) + '"'
