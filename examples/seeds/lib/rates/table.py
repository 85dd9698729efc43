"""The rates in force: how much of a currency one euro buys."""

from decimal import Decimal

RATES = {"CHF": Decimal("0.95"), "GBP": Decimal("0.85"), "USD": Decimal("1.10")}


def rate(currency: str) -> Decimal:
    """The rate of one currency. Raises KeyError for one that is not quoted."""
    return RATES[currency]
