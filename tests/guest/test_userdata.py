"""Our part under the user's own: the user's stays as it is, whatever it is, and cloud-init finds both."""

from __future__ import annotations

import base64
import email
import gzip
import json
import subprocess
from email.message import Message
from pathlib import Path

import pytest

from enireconcile.guest.userdata import Content, laid_under, size
from enireconcile.model import Ref, Template

PART = "#cloud-config\nbootcmd: [ours]\n"
SCRIPT = '#!/bin/sh\necho "$HOME" # = \\ 100 %\n\n'
UMLAUTS = "#!/bin/sh\necho Grüße = \t \n"
ARCHIVE = (
    'Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n'
    "--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\necho one\n"
    "--b\nContent-Type: text/cloud-config\n\npackages: [two]\n--b--\n"
)
OWN: dict[str, tuple[str | bytes, list[bytes]]] = {
    "a script": (SCRIPT, [SCRIPT.encode()]),
    "no line end": ("#!/bin/sh\necho", [b"#!/bin/sh\necho"]),
    "a configuration": ("#cloud-config\npackages: [nginx]\n", [b"#cloud-config\npackages: [nginx]\n"]),
    "not ASCII": (UMLAUTS, [UMLAUTS.encode()]),
    "DOS line ends": ("#!/bin/sh\r\necho\r\n", [b"#!/bin/sh\r\necho\r\n"]),
    "our boundary": ("#!/bin/sh\n: --==enireconcile==\n", [b"#!/bin/sh\n: --==enireconcile==\n"]),
    "gzip": (gzip.compress(SCRIPT.encode(), mtime=0), [gzip.compress(SCRIPT.encode(), mtime=0)]),
    "other bytes": (b"#!/bin/sh\n: \xff\xfe\n", [b"#!/bin/sh\n: \xff\xfe\n"]),
    "an archive": (ARCHIVE, [b"#!/bin/sh\necho one", b"packages: [two]"]),
    "a packed archive": (gzip.compress(ARCHIVE.encode()), [b"#!/bin/sh\necho one", b"packages: [two]"]),
    "a packed archive with our boundary": (
        gzip.compress(ARCHIVE.replace('"b"', '"==enireconcile=="').replace("--b", "--==enireconcile==").encode()),
        [b"#!/bin/sh\necho one", b"packages: [two]"],
    ),
}
"""User data, and the content of its parts."""


def _parts(text: str) -> list[Message]:
    return [part for part in email.message_from_string(text).walk() if part.get_content_maintype() != "multipart"]


def _text(content: str | Template) -> str:
    assert isinstance(content, str)
    return content


@pytest.mark.parametrize(("own", "contents"), OWN.values(), ids=OWN)
def test_the_users_own_part_is_as_it_was(own: str | bytes, contents: list[bytes]) -> None:
    made = _text(laid_under(own, PART))
    *theirs, ours = _parts(made)
    assert [part.get_payload(decode=True) for part in theirs] == contents
    assert ours.get_content_type() == "text/cloud-config"
    assert ours.get_payload(decode=True) == PART.encode()
    assert made.isascii()
    assert size(made) == len(made)


def test_without_the_users_own_it_is_the_part_alone() -> None:
    assert laid_under(None, PART) == PART


@pytest.mark.parametrize("words", ["echo ", "echo ü= "])
def test_references_stay_references(words: str) -> None:
    """What stands for them is put in when it is known; their length counts roughly."""
    mac, address = Ref("network_interfaces.a", "mac_address"), Ref("network_interfaces.a", "private_ip")
    own = Template(("#!/bin/sh\n", words, address, " \n"))
    made = laid_under(own, Template(("#cloud-config\n# ", mac, "\n")))
    assert isinstance(made, Template)
    assert [part for part in made.parts if isinstance(part, Ref)] == [address, mac]
    known = {mac: "02:00:00:00:00:01", address: "10.0.1.10"}
    text = "".join(part if isinstance(part, str) else known[part] for part in made.parts)
    theirs, ours = _parts(text)
    assert theirs.get_payload(decode=True) == f"#!/bin/sh\n{words}10.0.1.10 \n".encode()
    assert ours.get_payload() == "#cloud-config\n# 02:00:00:00:00:01\n"
    assert len(text) <= size(made) <= len(text) + 10


_PROCESS = """
import base64, json, sys
from cloudinit import user_data, util
class Paths:
    def get_ipath_cur(self, *names): return "/nowhere"
    get_cpath = get_ipath_cur
processor = user_data.UserDataProcessor(Paths())
message = processor.process(base64.b64decode(sys.stdin.read()))
found = []
for part in message.walk():
    if part.get_content_maintype() != "multipart":
        payload = util.fully_decoded_payload(part)
        raw = payload.encode("utf-8", "surrogateescape") if isinstance(payload, str) else payload
        found.append([part.get_content_type(), base64.b64encode(raw).decode()])
print(json.dumps(found))
"""


@pytest.mark.parametrize("name", OWN)
def test_cloud_init_finds_what_it_would_have_found(name: str) -> None:
    """The parts that cloud-init makes of it are those of the user data alone, and ours."""
    python = "/usr/bin/python3"
    if (
        not Path(python).exists()
        or subprocess.run([python, "-c", "import cloudinit"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs cloud-init")

    def processed(content: Content) -> list[tuple[str, bytes]]:
        raw = content if isinstance(content, bytes) else _text(content).encode()
        done = subprocess.run(
            [python, "-c", _PROCESS],
            input=base64.b64encode(raw).decode(),
            capture_output=True,
            text=True,
            check=True,
        )
        return [(kind, base64.b64decode(payload)) for kind, payload in json.loads(done.stdout)]

    own, _ = OWN[name]
    *theirs, ours = processed(laid_under(own, PART))
    assert theirs == processed(own)
    assert ours == ("text/cloud-config", PART.encode())
