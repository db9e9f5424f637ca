"""A picture in DOT, the language of Graphviz."""

from __future__ import annotations

from enireconcile.outputs.graph.lines import outline
from enireconcile.outputs.graph.picture import Picture, State

_LOOKS = {
    State.SAME: ('"#57606a"', '"#f6f8fa"', '"solid"'),
    State.CREATED: ('"#1a7f37"', '"#dafbe1"', '"bold"'),
    State.CHANGED: ('"#9a6700"', '"#fff8c5"', '"dashed"'),
    State.REPLACED: ('"#8250df"', '"#fbefff"', '"dashed,bold"'),
    State.REMOVED: ('"#cf222e"', '"#ffebe9"', '"dotted"'),
}
_SHAPES = {"round": "ellipse", "table": "parallelogram"}


def dot(picture: Picture) -> str:
    """The picture as a directed graph. States are told in colour, in the line and in words."""
    drawn = outline(picture)
    lines = [
        "digraph {",
        "  rankdir=LR;",
        '  graph [fontname="sans-serif"];',
        '  node [fontname="sans-serif", shape=box];',
        '  edge [fontname="sans-serif"];',
    ]
    anchors = {}
    for number, group in enumerate(drawn.groups):
        indent = "  "
        if group.title is not None:
            colour, fill, style = _LOOKS[drawn.states[group.key]]
            lines.append(f"  subgraph cluster_{number} {{")
            lines.append(f"    label={_text(group.title)}; color={colour}; style={style};")
            indent = "    "
            if not group.nodes:
                # A cluster without a node is not drawn.
                lines.append(f'{indent}{_text([group.key])} [label="", shape=point, style=invis];')
            anchors[group.key] = group.nodes[0].key if group.nodes else group.key
        for node in group.nodes:
            colour, fill, style = _LOOKS[drawn.states[node.key]]
            shape = f", shape={_SHAPES[node.shape]}" if node.shape in _SHAPES else ""
            look = f'color={colour}, fillcolor={fill}, fontcolor="#1f2328", style={style[:-1]},filled"'
            lines.append(f"{indent}{_text([node.key])} [label={_text(node.lines)}{shape}, {look}];")
        if group.title is not None:
            lines.append("  }")
    for edge in drawn.edges:
        colour, _, style = _LOOKS[edge.state]
        target = anchors.get(edge.target, edge.target)
        style = '"dotted"' if edge.faint else style
        lines.append(
            f"  {_text([edge.source])} -> {_text([target])} "
            f"[label={_text([edge.label])}, color={colour}, fontcolor={colour}, style={style}];"
        )
    return "\n".join([*lines, "}"]) + "\n"


def _text(lines: list[str] | tuple[str, ...]) -> str:
    """Lines as one quoted text."""
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'
