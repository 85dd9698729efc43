"""The first page."""

from collections.abc import Mapping

TITLE = "Tea"


def body(settings: Mapping[str, str]) -> str:
    return f"<p>Welcome to {settings['shop_name']}.</p>"
