"""Where everything in a picture stands: boxes, labels and wires, in pixels.

::

    ┌ instance ────────────────┐
    │ ┌ 0 interface ─────────┐ │
    │ │ subnet, groups       │ │
    │ │ 10.0.1.10 ●──────────┼─┼──( 203.0.113.7 web-1 )
    │ └──────────────────────┘ │
    └──────────────────────────┘

Instances, and what stands in none, are blocks. All blocks have one width and fill columns from left to right; a
high one is continued in a further block.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.outputs.graph.measure import Font
from enireconcile.outputs.graph.picture import (
    Association,
    Attachment,
    ElasticIp,
    Interface,
    Item,
    Picture,
    Route,
    State,
)
from enireconcile.outputs.words import counted
from enireconcile.printable import printable

TITLE, NAME, TEXT, MONO, WORD = (
    Font(19, bold=True),
    Font(14, bold=True),
    Font(12),
    Font(12, mono=True),
    Font(11, bold=True),
)
FONTS = {"title": TITLE, "name": NAME, "text": TEXT, "chip": TEXT, "mono": MONO, "word": WORD}
"""By the roles of labels."""

_MARGIN, _PAD, _GAP, _LINE, _ROW = 24, 12, 12, 18, 30
_WIRE, _BADGE, _CHIP = 40, 30, 24
_CARD_WIDTHS, _CHIP_WIDTHS = (230, 400), (90, 360)
_COLUMN_GAP = 36
_TITLE_ROOM = 960
"""The room of a title that is wider than what is below it: it says where EC2 is, and what is drawn."""
_HIGHEST = 900
"""Of a block, before it is continued in another."""
_MOST_COLUMNS = 5


class Box(Struct, frozen=True):
    """A rectangle; its role is the class of its style. ``round`` is the radius of its corners."""

    role: str
    x: float
    y: float
    width: float
    height: float
    state: State = State.SAME
    round: float = 6


class Label(Struct, frozen=True):
    """A line of text. ``x`` is its start, or its end if it is ``at_end``; ``y`` its base line.

    ``full`` is the whole text if this is only its beginning.
    """

    role: str
    x: float
    y: float
    text: str
    state: State = State.SAME
    at_end: bool = False
    full: str | None = None


class Wire(Struct, frozen=True):
    """A line from what is outside, at the right, to an address of an interface."""

    x1: float
    x2: float
    y: float
    state: State = State.SAME


Part = Box | Label | Wire


class Drawing(Struct, frozen=True):
    """A whole picture in pixels."""

    width: float
    height: float
    parts: tuple[Part, ...]


def moved(part: Part, x: float, y: float) -> Part:
    """A part at another place."""
    if isinstance(part, Wire):
        return replace(part, x1=part.x1 + x, x2=part.x2 + x, y=part.y + y)
    return replace(part, x=part.x + x, y=part.y + y)


def layout(picture: Picture, title: str) -> Drawing:
    """The picture below its title. Nothing overlaps, whatever font a viewer has."""
    cards = _cards(picture)
    sizes = _Sizes([card for held in cards.values() for card in held])
    blocks = [piece for block in _blocks(picture, cards, sizes) for piece in block.pieces()]
    columns = _columns(blocks, sizes.block)
    head = list(_head(picture, title, len(columns) * (sizes.block + _COLUMN_GAP) - _COLUMN_GAP))
    top = max((_bottom(part) for part in head), default=0) + _GAP * 2
    parts, bottom = head, top
    for number, column in enumerate(columns):
        x, y = _MARGIN + number * (sizes.block + _COLUMN_GAP), top
        for block in column:
            parts += (moved(part, x, y) for part in block.parts())
            y += block.height + _GAP * 2
        bottom = max(bottom, y - _GAP * 2)
    right = max(map(_right, parts))
    return Drawing(math.ceil(right + _MARGIN), math.ceil(bottom + _MARGIN), tuple(parts))


def _right(part: Part) -> float:
    if isinstance(part, Label):
        return part.x if part.at_end else part.x + FONTS[part.role].width(part.text)
    return part.x2 if isinstance(part, Wire) else part.x + part.width


def _bottom(part: Part) -> float:
    return part.y + part.height if isinstance(part, Box) else part.y


# ---- the head


def _head(picture: Picture, title: str, width: float) -> Iterator[Part]:
    """Title, counts, and in a picture of changes the legend."""
    width = max(width, 520)
    yield _label("title", _MARGIN, _MARGIN + 18, title, max(width, _TITLE_ROOM))
    yield _label("text", _MARGIN, _MARGIN + 40, _counts(picture), width)
    if picture.states in ((), (State.SAME,)):
        return
    x, y = float(_MARGIN), _MARGIN + 52
    for state, text in picture.legend:
        step = 40 + WORD.width(text) + 16
        if x + step > _MARGIN + width and x > _MARGIN:
            x, y = float(_MARGIN), y + 24
        yield Box("card", x, y, 30, 16, state, 4)
        yield Label("word", x + 38, y + 12, text, state)
        x += step


def _counts(picture: Picture) -> str:
    if picture.empty:
        return "The stack has no resources."
    numbers = (
        (len(picture.instances), "instance"),
        (len(picture.interfaces), "network interface"),
        (len(picture.elastic_ips), "Elastic IP"),
        (len(picture.routes), "route"),
    )
    counts = ", ".join(counted(number, noun) for number, noun in numbers if number)
    return " · ".join(filter(None, (counts, printable(picture.vpc))))


# ---- what an interface shows


class _Chip(Struct, frozen=True):
    """What leads to an interface from outside: an Elastic IP or a route table. ``line`` is the wire's state."""

    role: str
    mono: str
    text: str
    state: State
    word: str
    line: State = State.SAME

    @property
    def width(self) -> float:
        parts = [font.width(text) + 8 for font, text in self.labels if text]
        return math.ceil(sum(parts)) + 16

    @property
    def labels(self) -> tuple[tuple[Font, str], ...]:
        return ((MONO, self.mono), (TEXT, self.text), (WORD, self.word))

    def parts(self, x: float, y: float, width: float) -> Iterator[Part]:
        yield Box(self.role, x, y, width, _CHIP, self.state, _CHIP / 2 if self.role == "address" else 3)
        at, base, room = x + 12, y + 16, width - 16
        shown = WORD.fit(self.word, room - (MONO.width(self.mono) + 8 if self.mono else 0))
        word = WORD.width(shown) + 8 if shown else 0
        if self.mono:
            yield _label("mono", at, base, self.mono, room - word, self.state)
            at, room = at + MONO.width(self.mono) + 8, room - MONO.width(self.mono) - 8
        if self.text and room - word > 20:
            yield _label("chip", at, base, self.text, room - word - 8, self.state)
        if self.word:
            yield Label("word", x + width - 10, base, shown, self.state, at_end=True)


class _Row(Struct, frozen=True):
    """An address or a destination in an interface, and what leads to it."""

    text: str
    state: State
    chips: tuple[_Chip, ...]

    @property
    def height(self) -> float:
        return max(_LINE + 2, len(self.chips) * _ROW)


class _Card(Struct, frozen=True):
    """An interface, or with ``ghost`` the place of one that is elsewhere."""

    name: str
    slot: str
    state: State
    word: str
    details: tuple[Item, ...] = ()
    rows: tuple[_Row, ...] = ()
    ghost: bool = False

    @property
    def width(self) -> float:
        """The width in which nothing is wrapped or cut."""
        head = _BADGE + NAME.width(self.name) + (WORD.width(self.word) + 16 if self.word else 0)
        rows = (MONO.width(row.text) + 20 for row in self.rows)
        return max(head, *(TEXT.width(each.marked) for each in self.details), *rows, 0) + 2 * _PAD

    def height(self, width: float) -> float:
        lines = sum(len(_wrapped(each, width)) for each in self.details)
        rows = sum(row.height for row in self.rows)
        return 32 + lines * _LINE + (3 + rows if self.rows else 0) + (0 if self.ghost else 6)

    def parts(self, x: float, y: float, width: float, chip: float) -> Iterator[Part]:
        """The card with its upper left corner at x and y, and its chips, ``chip`` wide, outside of its box."""
        yield Box("ghost" if self.ghost else "card", x, y, width, self.height(width), self.state)
        if self.slot:
            badge = max(20, WORD.width(self.slot) + 8)
            yield Box("badge", x + _PAD - 2, y + 7, badge, 18, self.state, 4)
            yield Label(
                "word", x + _PAD + 2 + (badge - 8 - WORD.width(self.slot)) / 2, y + 20, self.slot, self.state
            )
            at = x + _PAD + badge + 6
        else:
            at = x + _PAD
        word = WORD.width(self.word) + 8 if self.word else 0
        role = "text" if self.ghost else "name"
        yield _label(role, at, y + 21, self.name, x + width - _PAD - at - word, self.state)
        if self.word:
            yield Label("word", x + width - _PAD, y + 20, self.word, self.state, at_end=True)
        base = y + 32
        for each in self.details:
            for line, full in _wrapped(each, width):
                yield Label("text", x + _PAD, base + 11, line, each.state, full=full)
                base += _LINE
        base += 3
        for row in self.rows:
            middle = base + row.height / 2
            yield _label("mono", x + _PAD, middle + 4, row.text, width - 2 * _PAD - 16, row.state)
            for number, leading in enumerate(row.chips):
                at, left = base + _ROW * number + _ROW / 2, x + width + _PAD + _WIRE
                yield Wire(left, x + width - _PAD, at, leading.line)
                yield from leading.parts(left, at - _CHIP / 2, chip)
            base += row.height


def _wrapped(item: Item, width: float) -> list[tuple[str, str | None]]:
    """The lines of a detail, and the whole text where a line is cut."""
    lines = TEXT.wrap(item.marked.split(" "), width - 2 * _PAD)
    return [(line, item.marked if line.endswith("…") else None) for line in lines]


def _label(role: str, x: float, y: float, text: str, room: float, state: State = State.SAME) -> Label:
    """A label that is cut if there is too little room for it."""
    shown = FONTS[role].fit(text, room)
    return Label(role, x, y, shown, state, full=None if shown == text else text)


# ---- blocks


class _Block(Struct, frozen=True, dict=True):
    """An instance and its interfaces; or with ``bare`` what stands in none, below a heading."""

    name: str
    facts: tuple[Item, ...]
    state: State
    cards: tuple[_Card, ...]
    chips: tuple[_Chip, ...]
    sizes: _Sizes
    bare: bool = False

    @property
    def _head(self) -> float:
        lines = sum(len(_wrapped(each, self.sizes.card + 2 * _PAD)) for each in self.facts)
        return 30 + lines * _LINE

    @cached_property
    def height(self) -> float:
        cards = sum(card.height(self.sizes.card) + _GAP for card in self.cards)
        return self._head + cards + len(self.chips) * _ROW + (4 if not self.bare else 0)

    def pieces(self) -> Iterator[_Block]:
        """The block, or if it is too high several."""
        cards: list[_Card] = []
        chips: list[_Chip] = []
        height, name = self._head, self.name
        members: tuple[_Card | _Chip, ...] = (*self.cards, *self.chips)
        for each in members:
            step = each.height(self.sizes.card) + _GAP if isinstance(each, _Card) else _ROW
            if height + step > _HIGHEST and (cards or chips):
                yield replace(self, name=name, cards=tuple(cards), chips=tuple(chips))
                cards, chips, height, name = [], [], self._head, f"{self.name}, continued"
            if isinstance(each, _Card):
                cards.append(each)
            else:
                chips.append(each)
            height += step
        yield replace(self, name=name, cards=tuple(cards), chips=tuple(chips))

    def parts(self) -> Iterator[Part]:
        width = self.sizes.card + 2 * _PAD
        if not self.bare:
            yield Box("instance", 0, 0, width, self.height, self.state, 10)
        word = self.state.words
        room = width - 2 * _PAD - (WORD.width(word) + 8 if word else 0)
        yield _label("name", _PAD, 22, self.name, room, self.state)
        if word:
            yield Label("word", width - _PAD, 21, word, self.state, at_end=True)
        y = 30.0
        for each in self.facts:
            for line, full in _wrapped(each, width):
                yield Label("text", _PAD, y + 9, line, each.state, full=full)
                y += _LINE
        for card in self.cards:
            yield from card.parts(_PAD, y, self.sizes.card, self.sizes.chip)
            y += card.height(self.sizes.card) + _GAP
        for chip in self.chips:
            yield from chip.parts(_PAD, y, min(self.sizes.card, max(chip.width, _CHIP_WIDTHS[0])))
            y += _ROW


class _Sizes:
    """The widths of all interfaces and of all that leads to them."""

    def __init__(self, cards: Sequence[_Card]) -> None:
        chips = [chip.width for card in cards for row in card.rows for chip in row.chips]
        self.card = _within(_CARD_WIDTHS, [card.width for card in cards])
        self.chip = _within(_CHIP_WIDTHS, chips) if chips else 0
        self.block = self.card + 2 * _PAD + (_WIRE + self.chip if chips else 0)


def _within(limits: tuple[float, float], widths: Iterable[float]) -> float:
    least, most = limits
    return math.ceil(min(most, max(least, *widths, 0)))


def _blocks(picture: Picture, cards: Mapping[str | None, Sequence[_Card]], sizes: _Sizes) -> Iterator[_Block]:
    for instance in picture.instances:
        facts = tuple(_facts(tuple(map(_printable, instance.facts))))
        mine = tuple(cards.get(instance.key, ()))
        yield _Block(printable(instance.name), facts, instance.state, mine, (), sizes)
    if None in cards:
        yield _Block("Not attached", (), State.SAME, tuple(cards[None]), (), sizes, bare=True)
    used = {each.elastic_ip for each in picture.associations if each.state is not State.REMOVED}
    gone = {each.elastic_ip for each in picture.associations} - used
    free = tuple(
        _address(each, each.state, each.words)
        for each in picture.elastic_ips
        # One that is released is shown where it was.
        if each.key not in used and not (each.key in gone and each.state is State.REMOVED)
    )
    if free:
        yield _Block("Not associated", (), State.SAME, (), free, sizes, bare=True)


def _facts(facts: Sequence[Item]) -> Iterator[Item]:
    """Facts that stay in one line, each that changes in one of its own."""
    if same := " · ".join(each.text for each in facts if each.state is State.SAME):
        yield Item(same)
    yield from (each for each in facts if each.state is not State.SAME)


def _cards(picture: Picture) -> Mapping[str | None, Sequence[_Card]]:
    """The cards of each instance by its key, in the order of their slots; under None those in no instance."""
    standing, rows = picture.standing, _rows(picture)
    interfaces = {each.key: each for each in picture.interfaces}
    found: defaultdict[str | None, list[_Card]] = defaultdict(list)
    for each in picture.places:
        interface = interfaces[each.interface]
        if standing.get(each.interface) == each:
            found[each.instance].append(_card(interface, each, rows[interface.key], picture.vpc))
        else:
            found[each.instance].append(_ghost(each, interface, moves=each.interface in standing))
    for interface in picture.interfaces:
        if interface.key not in standing:
            found[None].append(_card(interface, None, rows[interface.key], picture.vpc))
    return found


def _ghost(place: Attachment, interface: Interface, *, moves: bool) -> _Card:
    """Where an interface may fail over to, or where it was."""
    word = "standby" if place.standby else "− moves" if moves else "− detached"
    return _Card(printable(interface.name), place.slot, place.state, word, ghost=True)


def _card(interface: Interface, place: Attachment | None, rows: Sequence[_Row], common: str) -> _Card:
    """``common`` is the VPC that the heading names."""
    where = (interface.subnet, interface.zone, interface.vpc if interface.vpc != common else "")
    details = [
        Item(printable(" · ".join(filter(None, where)))),
        *_groups(interface.groups),
        *map(_printable, interface.facts),
    ]
    if place is not None and place.state not in (State.SAME, interface.state):
        details.append(Item(f"attached here, index {place.slot}", place.state))
    return _Card(
        printable(interface.name),
        place.slot if place is not None else "",
        interface.state,
        interface.state.words,
        tuple(each for each in details if each.text),
        tuple(rows),
    )


def _printable(item: Item) -> Item:
    return replace(item, text=printable(item.text), was=printable(item.was), note=printable(item.note))


def _groups(groups: Sequence[Item]) -> Iterator[Item]:
    """Groups that stay in one line, each that changes in one of its own."""
    same = [printable(each.text) for each in groups if each.state is State.SAME]
    if same:
        yield Item(f"groups {', '.join(same)}" if len(same) > 1 else f"group {same[0]}")
    yield from (
        Item(f"group {printable(each.words)}", each.state) for each in groups if each.state is not State.SAME
    )


def _rows(picture: Picture) -> Mapping[str, Sequence[_Row]]:
    """The addresses of each interface, and the destinations of its routes, by its key."""
    elastic_ips = {each.key: each for each in picture.elastic_ips}
    chips: defaultdict[tuple[str, str], list[_Chip]] = defaultdict(list)
    for each in picture.associations:
        elastic_ip = elastic_ips[each.elastic_ip]
        chip = replace(_address(elastic_ip, *_of_association(each, elastic_ip)), line=each.state)
        chips[each.interface, each.address].append(chip)
    rows = {
        interface.key: [
            _Row(printable(item.marked), item.state, tuple(chips[interface.key, item.key]))
            for item in interface.addresses
        ]
        for interface in picture.interfaces
    }
    for route in picture.routes:
        text = route.state.marked(f"to {printable(route.destination)}")
        rows[route.interface].append(_Row(text, route.state, (_table(route),)))
    return rows


def _of_association(association: Association, elastic_ip: ElasticIp) -> tuple[State, str]:
    """State and word of an Elastic IP at the address that it leads to, or led to."""
    if elastic_ip.state in (State.CREATED, State.REMOVED) or association.state in (State.SAME, State.REPLACED):
        return elastic_ip.state, elastic_ip.words
    words = {State.CREATED: "+ associated", State.REMOVED: "− disassociated"}
    return association.state, words.get(association.state, association.state.words)


def _address(elastic_ip: ElasticIp, state: State, word: str) -> _Chip:
    name = printable(elastic_ip.name)
    # A public address says by itself what it is.
    text = name if elastic_ip.public_ip else f"Elastic IP {name}"
    return _Chip("address", printable(elastic_ip.public_ip), text, state, word)


def _table(route: Route) -> _Chip:
    """The route is what changes, not the table that it is in."""
    return _Chip("table", "", f"route table {printable(route.table)}", State.SAME, "", route.state)


# ---- columns


def _columns(blocks: Sequence[_Block], width: float) -> list[list[_Block]]:
    """The blocks in their order, in as many columns as make the picture a little wider than high."""
    if not blocks:
        return []

    def distance(columns: list[list[_Block]]) -> float:
        height = max(sum(block.height + 2 * _GAP for block in column) for column in columns)
        return abs(math.log(len(columns) * (width + _COLUMN_GAP) / height / 1.3))

    return min((_filled(blocks, number) for number in range(1, _MOST_COLUMNS + 1)), key=distance)


def _filled(blocks: Sequence[_Block], number: int) -> list[list[_Block]]:
    """At most this many columns, the highest as low as possible."""
    heights = [block.height + 2 * _GAP for block in blocks]
    low, high = max(heights), sum(heights)
    while high - low > 1:
        limit = (low + high) / 2
        if len(_broken(heights, limit)) <= number:
            high = limit
        else:
            low = limit
    found, start = [], 0
    for count in _broken(heights, high):
        found.append(list(blocks[start : start + count]))
        start += count
    return found


def _broken(heights: Sequence[float], limit: float) -> list[int]:
    """How many blocks each column takes, if none is higher than the limit."""
    counts, height = [0], 0.0
    for each in heights:
        if counts[-1] and height + each > limit:
            counts.append(0)
            height = 0.0
        counts[-1] += 1
        height += each
    return counts
