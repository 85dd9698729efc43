import unittest

from pages import build


class PagesTest(unittest.TestCase):
    def test_home_names_the_shop(self) -> None:
        self.assertIn(
            "The Tea Shop", build({"shop_name": "The Tea Shop", "press_contact": "Jo"})["home"]
        )
