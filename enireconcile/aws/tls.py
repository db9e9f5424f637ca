"""One TLS context for all clients of a process that trust the same certificates.

botocore makes a context for each client, and urllib3 loads the CA bundle into it again for each connection: about
20 ms of CPU each time.
"""

from __future__ import annotations

import functools
import ssl
from pathlib import Path
from typing import Any

from botocore.httpsession import create_urllib3_context, get_cert_path


def share_context(client: Any) -> None:
    """Let the connections of a botocore client use the process's context.

    A client that verifies nothing or has a certificate of its own keeps its context, for what urllib3 sets on it
    must not reach other clients. So does one whose bundle cannot be loaded: its first call tells why. Connections
    through a proxy are not shared.
    """
    if not client.meta.endpoint_url.startswith("https:"):
        return
    session = client._endpoint.http_session
    if not session._verify or session._cert_file is not None:
        return
    try:
        bundle = Path(str(get_cert_path(session._verify)))
        context = _context(bundle, bundle.stat().st_mtime_ns)
    except OSError:
        return
    session._manager.connection_pool_kw["ssl_context"] = context


@functools.cache
def _context(bundle: Path, _changed: int) -> ssl.SSLContext:
    """The context that trusts a bundle, until the bundle changes."""
    context: ssl.SSLContext = create_urllib3_context()
    context.load_verify_locations(bundle)
    # urllib3 would load the bundle again for each connection.
    context.load_verify_locations = _loaded  # type: ignore[method-assign]
    return context


def _loaded(*args: Any, **kwargs: Any) -> None:
    """The bundle is there."""
