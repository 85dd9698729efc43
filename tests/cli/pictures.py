"""The pictures of the README and the docs: what the commands really print, on a clock that stands.

`python -m tests.cli.pictures` draws them anew; a test holds the committed ones against the code.
"""

from __future__ import annotations

import re
import tempfile
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType

from orch.cli import tables
from orch.store import revisions
from orch.store.session import Store
from tests.factories import Rig

IMAGES = Path(__file__).parents[2] / "docs" / "img"
# As rich draws it, but for the fonts it would fetch from elsewhere.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
WIDTH = 104


def pictures() -> dict[str, str]:
    """File name → picture."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/orch.db")
        revisions.upgrade(store)
        rig = scene(Rig(store))
        drawn = {
            "queue.svg": _drawn("orch queue", tables.queue_view(rig.shown(), WIDTH)),
            "why.svg": _drawn("orch why ORCH-130", tables.why_view(rig.why("ORCH-130"))),
        }
        store.dispose()
    return drawn


def scene(rig: Rig) -> Rig:
    """Three repos: one at work, one frozen with a task that three things hold, one parked."""
    rig.workers(slots=2)
    rig.task("LIB-7", stage="development", repo="lib", title="New wire format")
    rig.task("LIB-8", repo="lib", title="Faster parser")
    rig.task("ORCH-116", stage="development", repo="shop", title="Rework the cache")
    rig.task("ORCH-130", repo="shop", title="Show prices with tax")
    rig.task("SITE-3", stage="review", repo="site", title="Dark mode", job="running")
    rig.task("SITE-4", repo="site", title="Smaller pictures")
    rig.clock.advance(600)
    rig.order("depend", "ORCH-130", on="LIB-7")
    rig.order("pause", "LIB-7", "waits for the vendor")
    rig.clock.advance(900)
    rig.order("freeze", "shop", "main is red")
    rig.clock.advance(240)
    rig.workers(slots=2)
    return rig


def _drawn(title: str, view: RenderableType) -> str:
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(view)
    return console.export_svg(title=title, code_format=FORMAT, unique_id="orch")


def main() -> None:
    """Draw them anew."""
    for name, picture in pictures().items():
        (IMAGES / name).write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
