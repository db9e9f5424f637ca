"""botocore's parsers with the checks of ``aws.answers``: once, as soon as a response arrives.

For the XML of EC2 and STS the walk through a response is our own: botocore asks the model at each element what it
is, and here each shape of the model becomes one function, which reads an element and checks it. With thousands of
interfaces that walk is most of what reading costs.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from xml.etree.ElementTree import Element

from botocore.model import ListShape, Shape, StructureShape
from botocore.parsers import EC2QueryParser, QueryParser, ResponseParserError, ResponseParserFactory
from botocore.response import StreamingBody
from botocore.session import Session as BotocoreSession

from enireconcile.aws.answers import (
    FORMS,
    UnreadableAnswer,
    check,
    check_error,
    check_lists,
    check_members,
    check_root,
    check_text,
)

Read = Callable[[Element], Any]


def check_answers_of(core: BotocoreSession) -> None:
    """From now on the clients of this botocore session check what they receive and raise UnreadableAnswer."""
    core.register_component("response_parser_factory", _Parsers())


class _Parsers(ResponseParserFactory):
    """botocore's parsers, with the checks."""

    def create_parser(self, protocol_name: str) -> Any:
        made = _XML.get(protocol_name)
        return _Parser(made() if made else super().create_parser(protocol_name), made is not None)


class _Parser:
    def __init__(self, parser: Any, is_xml: bool) -> None:
        self._parser, self._is_xml = parser, is_xml

    def parse(self, response: Mapping[str, Any], shape: Shape | None) -> dict[str, Any]:
        """As botocore's. Raises UnreadableAnswer."""
        if response["status_code"] >= 300:
            return self._error(response, shape)
        call = response["context"]["operation_name"]
        if self._is_xml:
            check_root(call, response["body"])
        answer = self._parsed(response, shape)
        if isinstance(shape, StructureShape):
            check_lists(call, shape, answer)
            if not self._is_xml:
                check(shape, {name: value for name, value in answer.items() if name != "ResponseMetadata"})
        return answer

    def _error(self, response: Mapping[str, Any], shape: Shape | None) -> dict[str, Any]:
        status = int(response["status_code"])
        try:
            answer = self._parsed(response, shape)
            if shape is not None and shape.metadata.get("exception"):
                # botocore's second look at an error, for members of its own.
                return answer
            check_error(answer)
        except UnreadableAnswer as error:
            if status < 500:
                raise UnreadableAnswer(f"HTTP {status}, and the body is not an AWS error: {error}") from None
            # A load balancer or a proxy, which says with its status that the service is away.
            code = {"Code": str(status), "Message": http.client.responses.get(status, "")}
            return {"Error": code, "ResponseMetadata": {"HTTPStatusCode": status}}
        return answer

    def _parsed(self, response: Mapping[str, Any], shape: Shape | None) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._parser.parse(response, shape)
        except UnreadableAnswer:
            raise
        except Exception as error:
            if isinstance(response["body"], StreamingBody):
                # Else its connection would stay open.
                response["body"].close()
            # A plain ResponseParserError repeats the whole body.
            plain = isinstance(error, ResponseParserError)
            why = "the body is not well formed" if plain else f"{type(error).__name__}: {error}"
            raise UnreadableAnswer(" ".join(why.split())[:200]) from error
        return answer


class _Compiled:
    """Reads the elements of a successful response with one function for each shape."""

    def __init__(self) -> None:
        super().__init__()
        self._readers: dict[tuple[str, str], Read] = {}

    def _parse_shape(self, shape: Shape, node: Any) -> Any:
        """botocore's hook: the value of an element. Raises UnreadableAnswer, and ValueError for a scalar."""
        if shape.metadata.get("exception"):
            return super()._parse_shape(shape, node)  # type: ignore[misc]
        return self._reader(shape, shape.name)(node)

    def _reader(self, shape: Shape, name: str) -> Read:
        """What reads elements of a shape, as the member ``name`` of a structure."""
        key = shape.name, name
        if key not in self._readers:
            # For a shape with members of its own kind, until it is made.
            self._readers[key] = partial(self._late, key)
            self._readers[key] = self._made(shape, name)
        return self._readers[key]

    def _late(self, key: tuple[str, str], node: Element) -> Any:
        return self._readers[key](node)

    def _made(self, shape: Shape, name: str) -> Read:
        if isinstance(shape, StructureShape):
            return self._structure(shape)
        if isinstance(shape, ListShape):
            return self._list(shape, name)
        if shape.type_name == "string":
            return _form(name) if name in FORMS else _text
        return partial(getattr(self, f"_handle_{shape.type_name}"), shape)

    def _structure(self, shape: StructureShape) -> Read:
        members = {
            member.serialization.get("name", name): (name, self._reader(member, name))
            for name, member in shape.members.items()
        }
        structure = shape.name

        def read(node: Element) -> dict[str, Any]:
            value: dict[str, Any] = {}
            for child in node:
                # The tag of an element of a namespace is `{namespace}tag`.
                known = members.get(child.tag.rpartition("}")[2])
                if known is None:
                    continue
                name, read_member = known
                if name in value:
                    raise UnreadableAnswer(f"{name} appears twice")
                value[name] = read_member(child)
            check_members(structure, value)
            return value

        return read

    def _list(self, shape: ListShape, name: str) -> Read:
        read_item = self._reader(shape.member, name)

        def read(node: Element) -> list[Any]:
            found = []
            for item in node:
                found.append(read_item(item))
                # What is read is not needed any more: a response may have ten thousand items.
                item.clear()
            return found

        return read


class _EC2(_Compiled, EC2QueryParser):
    pass


class _Query(_Compiled, QueryParser):
    pass


_XML: Mapping[str, Callable[[], Any]] = {"ec2": _EC2, "query": _Query}


def _text(node: Element) -> str:
    return node.text or ""


def _form(name: str) -> Read:
    def read(node: Element) -> str:
        text = node.text or ""
        check_text(name, text)
        return text

    return read
