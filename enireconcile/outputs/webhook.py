"""Post the report of a run to a URL, with a ``text`` that Slack, Mattermost and others show.

The URL is a secret, since it is all that is needed to post. Messages name its host alone, and errors of libraries
that may quote the URL are not passed on. Redirects are not followed: the report goes to the given URL only.
"""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Iterator
from http.client import HTTPMessage
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from msgspec.structs import replace

from enireconcile import __version__
from enireconcile.errors import EnireconcileError
from enireconcile.model import Report, Status
from enireconcile.outputs.json import report_json
from enireconcile.outputs.words import outcome_words, report_lines
from enireconcile.printable import printable

PATIENCE = 10.0
"""Seconds within which the server must answer."""
_SHOWN = 20
_UNEVENTFUL = frozenset({"unchanged", "locked"})


def wanted(report: Report, *, everything: bool) -> bool:
    """Whether a run is worth a message: by default if something changed or went wrong."""
    return everything or report.outcome not in _UNEVENTFUL or bool(report.failed_checks)


def check(url: str) -> None:
    """Raises EnireconcileError for a URL that ``post`` does not accept."""
    parts = _parts(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise EnireconcileError("--notify needs a URL that begins with https://")
    if parts.username is not None or parts.password is not None:
        raise EnireconcileError("--notify: the URL must not contain a user name or a password")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise EnireconcileError(
            "--notify: the URL may contain printable ASCII only: encode other characters as %XX"
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise EnireconcileError(
            f"--notify would send the report to {printable(parts.hostname)} unencrypted",
            hint="use https; http is allowed to this machine only (http://127.0.0.1:…)",
        )


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def post(url: str, report: Report, patience: float = PATIENCE) -> None:
    """Post a report. Raises EnireconcileError."""
    parts = urlsplit(url)
    body = json.dumps(payload(report)).encode()
    errors: list[str] = []
    # A server that sends a byte now and then outlasts the socket's timeout, so the thread gets one, too.
    thread = threading.Thread(target=lambda: errors.extend(_sent(url, body, patience)), daemon=True)
    thread.start()
    thread.join(patience)
    if thread.is_alive():
        errors = [_silence(patience)]
    if errors:
        raise EnireconcileError(
            f"cannot notify {printable(parts.hostname)}: {printable(errors[0])}",
            hint="the outcome of the run is not affected",
        )


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _sent(url: str, body: bytes, patience: float) -> Iterator[str]:
    """What went wrong, in words that do not contain the URL."""
    headers = {"Content-Type": "application/json", "User-Agent": f"enireconcile/{__version__}"}
    request = Request(url, body, headers)  # noqa: S310 (check has seen to http and https)
    host = urlsplit(url).hostname or ""
    proxies = [ProxyHandler({})] if is_loopback(host) else []
    try:
        with build_opener(_NoRedirect, *proxies).open(request, timeout=patience):
            return
    except HTTPError as error:
        with error:
            moved = " (redirects are not followed)" if 300 <= error.code < 400 else ""
            yield f"it answered {error.code}{moved}"
    except TimeoutError:
        yield _silence(patience)
    except URLError as error:
        yield str(error.reason).replace(url, "its URL")
    except Exception as error:  # noqa: BLE001 (the run is over: no error here may change its outcome)
        yield type(error).__name__


def _silence(patience: float) -> str:
    return f"no answer within {patience:.0f} s"


def message(report: Report) -> str:
    """The report in a few lines, with Slack's markup characters escaped."""
    where = ", ".join(filter(None, (report.account_id, report.region)))
    lines = [f"enireconcile {report.stack or '(no stack)'}" + (f" ({where})" if where else "")]
    lines += report_lines(report)
    done = [outcome for outcome in report.outcomes if outcome.status is Status.DONE]
    lines += [f"  {outcome_words(outcome, gap=' ')}" for outcome in done[:_SHOWN]]
    if len(done) > _SHOWN:
        lines.append(f"  and {len(done) - _SHOWN} more calls")
    text = "\n".join(lines)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def payload(report: Report) -> dict[str, Any]:
    """The JSON object to post, without the encoded messages of denials."""
    return {"text": message(report), "report": report_json(replace(report, denials=()))}
