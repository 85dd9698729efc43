"""A client of the web app, as another program would write it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

PATIENCE = 30.0
LISTENING = re.compile(r"Listening at: http://([\d.]+):(\d+)")


@dataclass(frozen=True)
class Front:
    """The web app at an address, entered with a token."""

    host: str
    port: int
    token: str

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def post(self, path: str, **body: Any) -> Any:
        return self._ask("POST", path, json.dumps(body))

    def _ask(self, method: str, path: str, body: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = HTTPConnection(self.host, self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            said = answer.read().decode()
        finally:
            connection.close()
        assert answer.status < 300, f"{method} {path}: {answer.status} {said}"
        return json.loads(said)


def found(log: str, token: str) -> Front | None:
    """The web app whose log this is, once it listens."""
    said = LISTENING.search(log)
    return None if said is None else Front(said[1], int(said[2]), token)
