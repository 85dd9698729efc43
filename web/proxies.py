"""Reverse proxies: what they say is believed of those that were named, else it is dropped."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any, Final

from werkzeug.middleware.proxy_fix import ProxyFix

from orch.config import Settings
from orch.tokens import PASSED_ON

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]
BELIEVED: Final = "orch.proxy"
"""In a request's environment: it came through a proxy that is believed."""
FORWARDED: Final = "orch.forwarded"
"""In a request's environment: somebody claims to have passed it on."""
_FROM: Final = tuple(f"HTTP_{name.upper().replace('-', '_')}" for name in PASSED_ON)
_SAID: Final = (
    *_FROM,
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PREFIX",
)


class Proxies:
    """WSGI middleware: address, scheme and host as the client knows them, by a known one's word."""

    def __init__(self, app: Wsgi, settings: Settings) -> None:
        self._app = app
        self._known = [ipaddress.ip_network(each) for each in settings.web_proxy_addresses]
        hops = settings.web_proxy_hops
        self._fixed = ProxyFix(app, x_for=hops, x_proto=hops, x_host=hops)
        name = settings.web_proxy_user_header.upper().replace("-", "_")
        self._user = f"HTTP_{name}" if name else ""

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        environ[FORWARDED] = any(name in environ for name in _FROM)
        if self._is_known(environ.get("REMOTE_ADDR", "")):
            environ[BELIEVED] = True
            return self._fixed(environ, start_response)
        for name in (*_SAID, self._user):
            environ.pop(name, None)
        return self._app(environ, start_response)

    def _is_known(self, address: str) -> bool:
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(peer in network for network in self._known)
