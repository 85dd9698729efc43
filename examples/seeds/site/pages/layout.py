"""What all pages have in common."""

LOGO_HEIGHT = 96


def laid_out(title: str, body: str) -> str:
    """A whole page."""
    logo = f'<img src="logo.svg" height="{LOGO_HEIGHT}" alt="">'
    return f"<!doctype html><title>{title}</title>{logo}<h1>{title}</h1>{body}"
