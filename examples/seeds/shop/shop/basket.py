"""What somebody is about to buy."""

from shop.prices import price


class Basket:
    def __init__(self) -> None:
        self.pieces: list[str] = []

    def put(self, name: str) -> None:
        price(name)  # what is not sold does not get in
        self.pieces.append(name)

    def total(self) -> int:
        """Cents for everything in it."""
        return sum(price(name) for name in self.pieces)

    def summary(self) -> str:
        """One line for the top of the page."""
        return f"{len(self.pieces)} in the basket"
