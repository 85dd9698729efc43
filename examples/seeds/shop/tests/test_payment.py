import unittest

from shop.payment import accepts


class PaymentTest(unittest.TestCase):
    def test_nothing_cannot_be_paid(self) -> None:
        self.assertFalse(accepts(0))

    def test_a_pot_can_be_paid(self) -> None:
        self.assertTrue(accepts(1990))
