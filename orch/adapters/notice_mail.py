"""Notices by mail, handed to an SMTP server."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

import structlog

from orch import names
from orch.channels import Notice
from orch.errors import ChannelRefused, ChannelUnavailable
from orch.notice_settings import MailServer

log = structlog.get_logger(__name__)
LONGEST_SUBJECT: Final = 200
_SEVEN_BITS: Final = SMTP.clone(cte_type="7bit")
"""What every server takes, whether it says so or not."""


class MailChannel:
    """One server, a sender and its receivers."""

    def __init__(
        self, server: MailServer, sender: str, receivers: Sequence[str], timeout: float = 10.0
    ) -> None:
        self._server = server
        self._sender = sender
        self._receivers = tuple(receivers)
        self._timeout = timeout
        self.trust = ssl.create_default_context()
        """Whose certificates are believed."""

    @property
    def name(self) -> str:
        """What the outbox calls it."""
        return "mail"

    def send(self, notice: Notice, now: datetime) -> None:
        """Hand one message to the server, for all receivers. Raises ChannelUnavailable,
        ChannelRefused when nobody may have it."""
        message = self._message(notice, now)
        try:
            client = self._greeted()
            try:
                # Not `send_message`, which writes `>From` where a line begins with From.
                refused = client.sendmail(self._sender, self._receivers, message.as_bytes())
            finally:
                with suppress(OSError, smtplib.SMTPException):
                    client.quit()
        except (OSError, smtplib.SMTPException) as error:
            raise self._translated(error) from error
        if refused:  # sent to the others: once more would be twice for them
            log.warning("notice.some_refused", receivers=len(refused))

    def _message(self, notice: Notice, now: datetime) -> EmailMessage:
        message = EmailMessage(policy=_SEVEN_BITS)
        message["From"] = self._sender
        message["To"] = ", ".join(self._receivers)
        message["Subject"] = f"[orch] {names.cleaned(notice.title, LONGEST_SUBJECT)}"
        message["Date"] = format_datetime(now)
        message["Message-ID"] = f"<{notice.uid}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Orch-Kind"] = notice.kind
        more = f"\n\n{notice.link}" if notice.link else ""
        message.set_content(f"{notice.text}{more}\n")
        return message

    def _greeted(self) -> smtplib.SMTP:
        """A session with the server, behind TLS and logged in where that is wanted."""
        server = self._server
        own = self._sender.rpartition("@")[2]  # the library would ask the network for our name
        if server.security == "tls":
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, own, timeout=self._timeout, context=self.trust
            )
        else:
            client = smtplib.SMTP(server.host, server.port, own, timeout=self._timeout)
        try:
            if server.security == "starttls":
                client.starttls(context=self.trust)
            if server.user:
                client.login(server.user, server.password)
        except BaseException:
            client.close()
            raise
        return client

    def _translated(self, error: OSError | smtplib.SMTPException) -> Exception:
        """The error in our words: what the server said, never what we said to it."""
        host = self._server.host
        if isinstance(error, ssl.SSLCertVerificationError):
            why = error.verify_message or "it cannot be verified"
            return ChannelRefused(f"The certificate of {host} is no good: {why}.")
        if isinstance(error, smtplib.SMTPNotSupportedError):
            return ChannelRefused(f"{host} does not offer what the settings ask for.")
        answers = _answers(error)
        said = "; ".join(f"{code} {words}" for code, words in answers)
        if answers and all(code >= 500 for code, _ in answers):
            return ChannelRefused(f"{host} refused: {said}.")
        return ChannelUnavailable(f"{host} does not take it now: {said or type(error).__name__}.")


def _answers(error: Exception) -> list[tuple[int, str]]:
    """Code and words of what the server answered; nothing where it did not."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return [(code, _words(words)) for code, words in list(error.recipients.values())[:3]]
    if isinstance(error, smtplib.SMTPResponseException):
        return [(error.smtp_code, _words(error.smtp_error))]
    return []


def _words(said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return names.cleaned(text, 120).rstrip(".")
