"""Clients share one TLS context, and verify as botocore's own do."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from botocore.exceptions import SSLError

from enireconcile.aws.session import connect

ANSWER = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(certificate: trustme.LeafCert) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The bundles that are loaded into contexts, in order."""
    seen: list[Any] = []
    load = ssl.SSLContext.load_verify_locations

    def counted(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> None:
        seen.append(args)
        load(self, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
    return seen


def client(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    return connect(region="us-east-1", profile=None).client("sts")


def trusting(authority: trustme.CA, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))


def test_the_bundle_is_loaded_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loads: list[Any]) -> None:
    authority = trustme.CA()
    trusting(authority, tmp_path / "ca.pem", monkeypatch)
    with serving(authority.issue_cert("localhost")) as url:
        for _ in range(3):
            sts = client(url, monkeypatch)
            assert sts.get_caller_identity()["Account"] == "123456789012"
            sts.close()
    assert len(loads) == 1


def test_a_changed_bundle_is_loaded_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A watch of many days meets a new authority."""
    bundle, new = tmp_path / "ca.pem", trustme.CA()
    trusting(trustme.CA(), bundle, monkeypatch)
    with serving(new.issue_cert("localhost")) as url:
        with pytest.raises(SSLError, match="certificate verify failed"):
            client(url, monkeypatch).get_caller_identity()
        trusting(new, bundle, monkeypatch)
        assert client(url, monkeypatch).get_caller_identity()["Account"] == "123456789012"


@pytest.mark.parametrize(
    ("name", "words"),
    [("localhost", "unable to get"), ("other.example", "doesn't match|Hostname mismatch|not valid for")],
)
def test_wrong_certificates_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, words: str
) -> None:
    known, unknown = trustme.CA(), trustme.CA()
    trusting(known, tmp_path / "ca.pem", monkeypatch)
    authority = unknown if name == "localhost" else known
    with serving(authority.issue_cert(name)) as url, pytest.raises(SSLError, match=words):
        client(url, monkeypatch).get_caller_identity()


def test_a_missing_bundle_is_told_by_the_first_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with serving(trustme.CA().issue_cert("localhost")) as url:
        sts = client(url, monkeypatch)
        with pytest.raises(Exception, match=r"none\.pem|No such file"):
            sts.get_caller_identity()
