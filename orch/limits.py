"""What anybody may ask for, but only so often: a window that slides, the same for all processes."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass

from orch.errors import TooManyTries
from orch.line import Line
from orch.store import tries


@dataclass(frozen=True)
class Limit:
    """So many within so many seconds, for each key."""

    kind: str
    most: int
    seconds: float

    def take(self, line: Line, key: str) -> None:
        """Count one more for this key. Raises TooManyTries, which counts nothing."""
        bucket = tries.bucket(self.kind, key)
        missing = math.ceil(tries.take(line.store, bucket, self.most, self.seconds, line.now()))
        if missing:
            raise TooManyTries(
                f"That was tried too often; it can be tried again in {missing} seconds.",
                retry_after=missing,
            )

    def forget(self, line: Line, key: str) -> None:
        """Let this key begin anew."""
        bucket = tries.bucket(self.kind, key)
        line.store.write(lambda conn: tries.forget(conn, bucket))


def neighbourhood(address: str) -> str:
    """The address by which somebody is counted: of IPv6 the network that one customer gets."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
