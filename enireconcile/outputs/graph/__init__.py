"""Pictures of a stack: what a spec wants, what is, or what a plan changes; as SVG, Mermaid or DOT. Pure.

A *picture* is data: instances, interfaces, Elastic IPs and the relations between them, each with a state. All that
is needed to make one is a ``Document`` and, for what is, the ``Live`` that a read returns::

    spec_picture(document)                    what the spec wants, without AWS
    live_picture(document, live)              what is: before a plan runs
    plan_picture(plan, document, live)        what changes: both together, with states
    plan_picture(plan, document, live).after  what is after the plan, as far as it is known before

``engine.planner.look`` returns all three in its ``Seen``: ``plan``, ``live``, and the document is the spec's. For
what is once an apply has ended, take ``live_picture`` of its last read.

``svg(picture, title=…)`` is a document of its own. With ``standalone=False`` it is an ``<svg>`` element for an
HTML page: its ids are made from title and picture, and all rules of its style begin with one class, so that
several fit in one page. The style of each is ``STYLE``, for a Content-Security-Policy that names its hash.
``mermaid`` and ``dot`` can do without a title.
"""

from enireconcile.outputs.graph.dot import dot
from enireconcile.outputs.graph.mermaid import mermaid
from enireconcile.outputs.graph.of_live import live_picture
from enireconcile.outputs.graph.of_plan import plan_picture
from enireconcile.outputs.graph.of_spec import spec_picture
from enireconcile.outputs.graph.picture import Picture, State, together
from enireconcile.outputs.graph.svg import STYLE, svg

__all__ = [
    "STYLE",
    "Picture",
    "State",
    "dot",
    "live_picture",
    "mermaid",
    "plan_picture",
    "spec_picture",
    "svg",
    "together",
]
