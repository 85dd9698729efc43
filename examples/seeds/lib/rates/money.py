"""Amounts of money, in whole cents."""

from decimal import ROUND_HALF_UP, Decimal

from rates.table import rate


def rounded(cents: Decimal) -> int:
    """Whole cents."""
    return int(cents.quantize(Decimal(1), ROUND_HALF_UP))


def converted(cents: int, currency: str) -> int:
    """An amount in euro cents, in cents of another currency."""
    return rounded(cents * rate(currency))
