"""`python -m bench`: every measurement beside its reference, as ratios against the bars."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

from bench import lines, moves, pages, report, ticks
from bench.measuring import Ratio
from orch.clock import utc_now

MEASURES: dict[str, tuple[str, Callable[[bool], Iterator[Ratio]]]] = {
    "a": ("idle tick", ticks.idle),
    "b": ("tick that claims a hundred", ticks.few_of_many),
    "c": ("claim rate over a backlog", ticks.whole),
    "d": ("enqueue to start", lines.latency),
    "e": ("drain", lines.drain),
    "f": ("overview and page", pages.measure),
    "g": ("start and end of a job", moves.measure),
    "h": ("the longest page of the line", pages.as_html),
}


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    asked.add_argument("--quick", action="store_true", help="small sizes, under a minute")
    asked.add_argument("--only", default=",".join(MEASURES), help="such as a,b")
    asked.add_argument("--markdown", action="store_true", help="write bench/RESULTS.md")
    options = asked.parse_args()
    found: list[Ratio] = []
    for key in options.only.split(","):
        title, measure = MEASURES[key]
        print(f"== {key}) {title}", flush=True)
        for ratio in measure(options.quick):
            show(ratio)
            found.append(ratio)
    if options.markdown:
        given = " ".join(["python -m bench", *sys.argv[1:]])
        report.write(found, utc_now(), given)
    return 1 if any(ratio.verdict == "FAIL" for ratio in found) else 0


def show(ratio: Ratio) -> None:
    print(
        f"   {ratio.what}: {ratio.ours:,.2f} {ratio.unit}, {ratio.beside}: "
        f"{ratio.reference:,.2f} {ratio.unit} = {ratio.value:.2f}× {ratio.bar} {ratio.verdict}",
        flush=True,
    )


sys.exit(main())
