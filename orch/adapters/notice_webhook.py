"""Notices as webhooks, signed per Standard Webhooks.

Only the status of an answer counts: its body is neither read nor kept, and nobody is sent on to
another address. No message names more of the address than its host, for the path may be a secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from orch.channels import Notice
from orch.errors import ChannelRefused, ChannelUnavailable

LATER: Final = frozenset({408, 409, 425, 429})
"""Refusals that pass by themselves; so does everything from 500 on."""
LONGEST_WAIT: Final = 3600


class WebhookChannel:
    """One address and its signing keys; every key signs, so that a receiver may change to a new one
    at its own time."""

    def __init__(self, url: str, keys: Sequence[bytes], timeout: float = 10.0) -> None:
        parts = urlsplit(url)
        self._is_safe = parts.scheme == "https"
        self._host = str(parts.hostname)
        self._port = parts.port or (443 if self._is_safe else 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._keys = tuple(keys)
        self._timeout = timeout

    @property
    def name(self) -> str:
        """What the outbox calls it."""
        return "webhook"

    def send(self, notice: Notice, now: datetime) -> None:
        """Post the notice. Raises ChannelUnavailable, ChannelRefused."""
        body = _body(notice)
        status, wait = self._post(body, self._headers(notice.uid, now, body))
        if 200 <= status < 300:
            return
        said = f"{self._host} answered {status}"
        if status in LATER or status >= 500:
            raise ChannelUnavailable(f"{said}.", wait=wait)
        if 300 <= status < 400:
            said += ", which leads elsewhere and is not followed"
        raise ChannelRefused(f"{said}.")

    def _headers(self, uid: str, now: datetime, body: bytes) -> dict[str, str]:
        stamp = str(int(now.timestamp()))
        signed = b".".join((uid.encode(), stamp.encode(), body))
        marks = [hmac.new(key, signed, hashlib.sha256).digest() for key in self._keys]
        return {
            "Content-Type": "application/json",
            "User-Agent": "orch",
            "Connection": "close",
            "webhook-id": uid,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(
                f"v1,{base64.b64encode(mark).decode()}" for mark in marks
            ),
        }

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, int]:
        """The status, and for how many seconds the receiver wants to be left alone."""
        connection = self._connection()
        try:
            connection.request("POST", self._target, body, headers)
            answer = connection.getresponse()
            return answer.status, _seconds(answer.headers.get("Retry-After"))
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message or "it cannot be verified"
            raise ChannelRefused(f"The certificate of {self._host} is no good: {why}.") from error
        except (OSError, http.client.HTTPException) as error:
            what = type(error).__name__
            raise ChannelUnavailable(f"{self._host} does not answer: {what}.") from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if not self._is_safe:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout, context=context
        )


def _body(notice: Notice) -> bytes:
    told = {
        "type": f"notice.{notice.kind}",
        "timestamp": notice.happened_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": {
            **notice.data,
            "kind": notice.kind,
            "title": notice.title,
            "text": notice.text,
            "link": notice.link,
        },
    }
    return json.dumps(told, separators=(",", ":")).encode()


def _seconds(value: str | None) -> int:
    """Of `Retry-After` only the form that says how many seconds."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 9:
        return 0
    return min(int(value), LONGEST_WAIT)
