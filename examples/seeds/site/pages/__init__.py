"""The shop's pages."""

import pkgutil
from collections.abc import Mapping
from importlib import import_module

from pages import content
from pages.layout import laid_out


def build(settings: Mapping[str, str]) -> dict[str, str]:
    """Every page by its name."""
    names = [module.name for module in pkgutil.iter_modules(content.__path__)]
    modules = {name: import_module(f"pages.content.{name}") for name in names}
    return {name: laid_out(page.TITLE, page.body(settings)) for name, page in modules.items()}
