import unittest
from decimal import Decimal

from rates.money import converted, rounded


class MoneyTest(unittest.TestCase):
    def test_an_amount_is_converted(self) -> None:
        self.assertEqual(converted(1000, "USD"), 1100)

    def test_less_than_half_a_cent_is_dropped(self) -> None:
        self.assertEqual(rounded(Decimal("10.4")), 10)
