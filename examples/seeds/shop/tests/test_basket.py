import unittest

from shop.basket import Basket


class BasketTest(unittest.TestCase):
    def test_total_is_the_sum_of_the_pieces(self) -> None:
        basket = Basket()
        basket.put("black tea")
        basket.put("pot")
        self.assertEqual(basket.total(), 2310)

    def test_what_is_not_sold_does_not_get_in(self) -> None:
        with self.assertRaises(KeyError):
            Basket().put("coffee")

    def test_summary_counts_the_pieces(self) -> None:
        self.assertEqual(Basket().summary(), "0 in the basket")
