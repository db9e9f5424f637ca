"""A part of our own laid under the user data of an instance. Pure."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator

from enireconcile.model import Ref, Template, joined

_BOUNDARY = "==enireconcile=="
_LARGEST = 2**20
_LENGTHS = {"mac_address": 17, "private_ip": 15}
_ID = 20

Content = str | bytes | Template


def laid_under(own: Content | None, part: str | Template) -> str | Template:
    """User data with the user's own part, as it is, and the part ``part``, a ``#cloud-config``.

    cloud-init merges the second with the first: it comes later, and says how.
    """
    if own is None:
        return part
    boundary = _BOUNDARY
    while any(boundary in text for text in _texts(own)):
        boundary = f"={boundary}"
    pieces = [
        f'Content-Type: multipart/mixed; boundary="{boundary}"\nMIME-Version: 1.0\n\n--{boundary}\n',
        *_entity(own),
        f"\n--{boundary}\nContent-Type: text/cloud-config\n\n",
        *_parts(part),
        f"\n--{boundary}--\n",
    ]
    return joined(pieces)


def size(content: Content) -> int:
    """The bytes of user data, as far as they are known: references to addresses count with their usual length."""
    if isinstance(content, bytes):
        return len(content)
    return sum(
        _LENGTHS.get(part.attribute, _ID) if isinstance(part, Ref) else len(part.encode())
        for part in _parts(content)
    )


def _parts(content: str | Template) -> tuple[str | Ref, ...]:
    return content.parts if isinstance(content, Template) else (content,)


def _texts(content: Content) -> Iterator[str]:
    """The texts that are, or may become, text of the whole: an archive in a gzip file is unpacked."""
    if isinstance(content, bytes):
        yield _unpacked(content) or ""
    else:
        yield from (part for part in _parts(content) if isinstance(part, str))


def _entity(own: Content) -> Iterator[str | Ref]:
    """The user's own part: headers, an empty line and the content. Its type is found by its first line."""
    if isinstance(own, bytes):
        inner = _unpacked(own)
        if inner is not None and _is_archive(inner):
            yield inner
            return
        kind = "text/plain" if inner is None else "application/gzip"
        encoded = base64.encodebytes(own).decode()
        yield f"Content-Type: {kind}\nContent-Transfer-Encoding: base64\n\n{encoded}"
        return
    first = next(_texts(own), "")
    if _is_archive(first):
        yield from _parts(own)
        return
    quoted = any(re.search(_NOT_PLAIN, text) for text in _texts(own))
    encoding = "quoted-printable" if quoted else "7bit"
    yield f'Content-Type: text/plain; charset="utf-8"\nContent-Transfer-Encoding: {encoding}\n\n'
    # What a reference stands for has no character that would have to be quoted.
    yield from (_quoted(part) if quoted and isinstance(part, str) else part for part in _parts(own))


_NOT_PLAIN = r"[^\t\n -~]"


def _quoted(text: str) -> str:
    """Quoted-printable, without line breaks of its own. White space at the end of a line would be lost."""
    return re.sub(
        r"[^\n -<>-~]| (?=\n|$)", lambda match: "".join(f"={byte:02X}" for byte in match[0].encode()), text
    )


def _is_archive(text: str) -> bool:
    """Is it a MIME archive? cloud-init knows it by this header."""
    return "mime-version:" in text[:4096].lower()


def _unpacked(content: bytes) -> str | None:
    """The text in a gzip file; empty if it is no text, None if it is no gzip file."""
    if not content.startswith(b"\x1f\x8b"):
        return None
    try:
        return zlib.decompressobj(wbits=31).decompress(content, _LARGEST).decode(errors="replace")
    except zlib.error:
        return ""
