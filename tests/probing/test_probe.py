"""One attempt of a check: what it sends, and what it makes of what comes back. Everything is on loopback."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from enireconcile.probing import probe
from enireconcile.probing.answer import Answer, question
from enireconcile.spec import Check
from tests.probing import guests
from tests.probing.certificates import self_signed
from tests.virtual import VirtualLoop, run

HOST = "127.0.0.1"


def check(**words: Any) -> Check:
    return Check.model_validate({"elastic_ip": "web", **words})


def asked(row: Check, patience: float = 20.0) -> Answer:
    return asyncio.run(probe.ask(row, HOST, patience))


def web(**words: Any) -> Answer:
    """The answer to a request to the web server."""
    with guests.web() as port:
        return asked(check(http={"port": port, **words}))


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ({}, ""),
        ({"contains": "Testing ENI", "status": 200}, ""),
        ({"path": "/chunked", "contains": "Testing ENI"}, ""),
        ({"contains": "Hello"}, "status 200 without 'Hello'"),
        ({"status": 204}, "status 200"),
        ({"path": "/empty", "status": 204}, ""),
        ({"path": "/moved"}, ""),
        ({"path": "/gone"}, "status 410"),
        ({"path": "/gone", "status": 410}, ""),
        ({"path": "/name", "host": "www.example.com", "contains": "www.example.com"}, ""),
        ({"path": "/name", "contains": "127.0.0.1:"}, ""),
    ],
)
def test_a_page_is_judged_by_its_status_and_its_text(words: dict[str, Any], wrong: str) -> None:
    assert web(**words) == Answer("open", wrong)


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not an HTTP answer"),
        (b"", "the connection was closed without an HTTP answer"),
        (b"HTTP/1.0 200 OK\r\n\r\nTesting ENI", ""),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nTe",
            "the connection was closed in the middle",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.1 102 Processing\r\n\r\n" * 2 + b"HTTP/1.1 410 Gone\r\n\r\n", "status 410"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "the connection was closed without an HTTP answer"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "status 101"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", "not an HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nx", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx", ""),
        (b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\nx", "not an HTTP answer"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\nx\r\n0\r\n\r\n",
            "the connection was closed in the middle",
        ),
    ],
    ids=[
        "another protocol",
        "nothing",
        "HTTP/1.0",
        "cut off",
        "continue",
        "early hints",
        "processing",
        "early hints only",
        "switching protocols",
        "too many headers",
        "long length",
        "negative length",
        "long status",
        "long chunk",
    ],
)
def test_what_is_no_right_page(sent: bytes, wrong: str) -> None:
    with guests.sending(sent) as port:
        answer = asked(check(http={"port": port}))
    assert answer.state == "open"
    assert answer.wrong.startswith(wrong)
    assert bool(answer.wrong) == bool(wrong)


def test_an_answer_after_interim_ones_is_not_waited_for() -> None:
    """It is complete, although the server keeps the connection open."""
    body = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    with guests.sending(body, keep=True) as port:
        assert asked(check(http={"port": port, "contains": "x"})) == Answer("open")


def test_a_port_is_open_refused_or_silent() -> None:
    """Silence takes the whole patience, which is virtual here."""
    with guests.mute() as port:
        assert asked(check(tcp=port)) == Answer("open")
    assert asked(check(tcp=guests.shut())) == Answer("refused")
    loop = VirtualLoop()
    with guests.full() as port:
        began = loop.now
        assert run(probe.ask(check(tcp=port), HOST), loop) == Answer("silent")
        assert loop.now - began == pytest.approx(probe.PATIENCE)
    loop.close()


def test_a_page_that_does_not_come() -> None:
    """The port is open, so the network is; the service behind it is not well."""
    loop = VirtualLoop()
    with guests.mute() as port:
        answer = run(probe.ask(check(http={"port": port}), HOST), loop)
    assert answer == Answer("open", "no HTTP answer within 5 s")
    with guests.mute() as port:
        answer = run(probe.ask(check(http={"port": port}), HOST, 1.97838), loop)
    assert answer == Answer("open", "no HTTP answer within 2 s")
    loop.close()


def test_no_route_is_not_silence() -> None:
    """A check that expects silence must not pass because this machine is offline."""
    answer = asyncio.run(probe.ask(check(tcp=80), "255.255.255.255", 20.0))
    assert answer.state == "unreachable"
    assert answer.text.startswith("unreachable: ")
    assert not answer.fits(check(tcp=80, expect="silent"))


# ---- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for www.example.com, with its key."""
    return self_signed(tmp_path_factory.mktemp("tls") / "site.pem", "www.example.com")


def served(certificate: Path, port_words: dict[str, Any]) -> Answer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with guests.web(context=context) as port:
        return asked(check(https={"port": port, **port_words}))


def test_a_certificate_is_verified_only_for_a_name(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert served(certificate, {"contains": "Testing ENI"}) == Answer("open")
    untrusted = served(certificate, {"host": "www.example.com"})
    assert untrusted == Answer("open", "TLS: the certificate is not valid: self-signed certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert served(certificate, {"host": "www.example.com", "path": "/name", "contains": "www.example"}) == Answer(
        "open"
    )
    other = served(certificate, {"host": "other.example.com"})
    assert other.wrong.startswith("TLS: the certificate is not valid: Hostname mismatch")


def test_a_port_that_does_not_speak_tls() -> None:
    with guests.web() as port:
        answer = asked(check(https={"port": port}))
    assert answer.state == "open"
    assert answer.wrong.startswith("TLS: ")


# ---- words


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (check(tcp=22), "tcp 192.0.2.7:22"),
        (check(http={}), "http 192.0.2.7:80/"),
        # The values of a query may be secret.
        (check(https={"path": "/a?token=s3cr3t&b"}), "https 192.0.2.7:443/a?…"),
    ],
)
def test_what_a_check_asks(row: Check, words: str) -> None:
    assert question(row, "192.0.2.7") == words
    assert question(row, None) == words.replace("192.0.2.7", "elastic_ips.web")


def test_the_address_from_which_this_machine_asks() -> None:
    assert probe.source_to("127.9.9.9", 80) == "127.0.0.1"
    assert probe.source_to("255.255.255.255", 80) is None
