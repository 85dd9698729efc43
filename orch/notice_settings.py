"""What the settings say of notices: addresses and secrets, checked where they are read.

No message here repeats a value: each of them may hold a password.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, get_args
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, SecretStr

Kind = Literal[
    "frozen",
    "unfrozen",
    "parked",
    "approval",
    "needs_input",
    "head_watch",
    "degraded",
    "no_worker",
]
"""What somebody may be told of."""
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Security = Literal["plain", "starttls", "tls"]
PORTS: Final[Mapping[str, tuple[Security, int]]] = {
    "smtp": ("plain", 25),
    "smtp+starttls": ("starttls", 587),
    "smtps": ("tls", 465),
}
"""Schemes of a mail server's URL: how the way there is protected, and the usual port."""

SHORTEST_KEY, LONGEST_KEY = 24, 64
"""Bytes of a signing key, as Standard Webhooks has it."""
_MAILBOX: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*)\Z")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+\Z")


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in, and as whom."""

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = ""


def _split(value: str, what: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError(f"{what} cannot be read") from None
    if not _PRINTABLE.match(value) or not parts.hostname:
        raise ValueError(f"{what} needs a host and no spaces")
    return parts


def _web_url(value: str) -> str:
    if value:
        parts = _split(value, "the address")
        if parts.scheme not in ("http", "https") or parts.username is not None:
            raise ValueError("the address must begin with http:// or https:// and hold no login")
        if parts.query or parts.fragment:
            raise ValueError("the address must end before any ? or #")
    return value.rstrip("/")


def _webhook_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text:
        parts = _split(text, "the address")
        if parts.scheme not in ("http", "https") or parts.username is not None:
            raise ValueError("the address must begin with http:// or https:// and hold no login")
        if parts.fragment:
            raise ValueError("the address must end before any #")
    return value


def keys(secret: str) -> list[bytes]:
    """The signing keys in a setting, the present one first. Raises ValueError."""
    found = []
    for word in secret.replace(",", " ").split():
        encoded = word.removeprefix("whsec_")
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("a signing secret is whsec_ and base64 after it") from None
        if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
            raise ValueError(f"a signing secret has {SHORTEST_KEY} to {LONGEST_KEY} bytes")
        found.append(key)
    return found


def _secret(value: SecretStr) -> SecretStr:
    keys(value.get_secret_value())
    return value


def mail_server(url: str) -> MailServer:
    """The server behind a URL such as smtp+starttls://user:password@host. Raises ValueError."""
    parts = _split(url, "the mail server's URL")
    if parts.scheme not in PORTS or parts.path.strip("/") or parts.query or parts.fragment:
        known = ", ".join(f"{scheme}://" for scheme in PORTS)
        raise ValueError(f"the mail server's URL is one of {known}, a host and at most a port")
    security, usual = PORTS[parts.scheme]
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise ValueError("the mail server's URL holds half a login: user and password go together")
    if user and security == "plain":
        raise ValueError("a password is only sent over smtp+starttls:// or smtps://")
    return MailServer(str(parts.hostname), parts.port or usual, security, user, password)


def _smtp_url(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
        mail_server(value.get_secret_value())
    return value


def _mailbox(value: str) -> str:
    if value and (len(value) > 254 or not _MAILBOX.match(value)):
        raise ValueError("a mail address is name@host, in plain letters and without a name")
    return value


def _kinds(value: tuple[str, ...]) -> tuple[str, ...]:
    unknown = sorted(set(value) - set(KINDS))
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is no kind of notice; known: {', '.join(KINDS)}")
    return value


WebUrl = Annotated[str, AfterValidator(_web_url)]
WebhookUrl = Annotated[SecretStr, AfterValidator(_webhook_url)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_secret)]
SmtpUrl = Annotated[SecretStr, AfterValidator(_smtp_url)]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
Kinds = Annotated[tuple[str, ...], AfterValidator(_kinds)]


def require_whole(
    url: str, secret: str, smtp: str, sender: str, receivers: tuple[str, ...]
) -> None:
    """Raise ValueError for a channel of which a part is missing."""
    if bool(url) != bool(keys(secret)):
        raise ValueError("notify_webhook_url and notify_webhook_secret go together")
    if len({bool(smtp), bool(sender), bool(receivers)}) > 1:
        raise ValueError("notify_smtp_url, notify_mail_from and notify_mail_to go together")
