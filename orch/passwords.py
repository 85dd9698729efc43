"""Passwords of people: hashed with Argon2id, verified in constant work, never shown."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from orch.errors import BadInput, TooManyTries

SHORTEST, LONGEST = 10, 200
AT_ONCE: Final = 2
"""Hashes computed at a time in one process: each takes 64 MiB, and anybody may ask for one."""
PATIENCE: Final = 5
"""Seconds to wait for that, holding a thread that could serve others."""


@dataclass(frozen=True)
class Passwords:
    """One way of hashing. The default is RFC 9106's for machines short of memory."""

    hasher: PasswordHasher = field(default_factory=PasswordHasher)
    _places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(AT_ONCE))

    @contextmanager
    def _room(self) -> Iterator[None]:
        """A place among those who hash. Raises TooManyTries when none comes free in time."""
        if not self._places.acquire(timeout=PATIENCE):
            raise TooManyTries("Too many sign in at this moment.", retry_after=PATIENCE)
        try:
            yield
        finally:
            self._places.release()

    def hash(self, password: str) -> str:
        """What is stored of a new password. Raises BadInput for one that is too short or long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise BadInput(
                f"A password has {SHORTEST} to {LONGEST} characters.",
                suggested_fix="Take a few words in a row: easy to keep, hard to guess.",
                field="password",
            )
        with self._room():
            return self.hasher.hash(_plain(password))

    def verify(self, stored: str, password: str) -> bool:
        """Whether this is the password behind the hash."""
        with self._room():
            try:
                self.hasher.verify(stored, _plain(password[:LONGEST]))
            except (VerificationError, InvalidHashError):
                return False
        return len(password) <= LONGEST

    def renewed(self, stored: str, password: str) -> str | None:
        """A new hash of this password where the stored one was made with other parameters."""
        if not self.hasher.check_needs_rehash(stored):
            return None
        with self._room():
            return self.hasher.hash(_plain(password))

    @cached_property
    def nobodys(self) -> str:
        """A hash to verify against where there is none, so that both take the same work."""
        with self._room():
            return self.hasher.hash("nobody has this password")


def _plain(password: str) -> bytes:
    """One text for what looks the same, however a keyboard composed it."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
