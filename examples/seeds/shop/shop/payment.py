"""Which payments are taken."""


def accepts(cents: int) -> bool:
    """Whether an amount can be paid by card."""
    return cents > 0 and cents % 10 == 0
