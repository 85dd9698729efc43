"""Writes the pages and drawings that follow from the code, and checks that they still do.

`python -m orch.docs` writes them, `python -m orch.docs --check` names those that are out of step.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from orch import alerts, config, dashboard, jobs, metrics, serial_gate, stages

ROOT: Final = Path(__file__).resolve().parents[1]
NOTE: Final = "<!-- Written by `make docs` from the code. Change the code instead. -->"


def stages_page() -> str:
    """docs/stages.md: stages, what each has to show, tracks, and the states of a job."""
    tracks = [
        [f"`{name}`", " → ".join([*path, stages.DONE])] for name, path in stages.TRACKS.items()
    ]
    moves = [
        [f"`{before}`", event, f"`{after}`"]
        for (before, event), after in sorted(jobs.TRANSITIONS.items())
    ]
    return "\n".join(
        [
            "# Stages and jobs",
            NOTE,
            "",
            "A task moves along these edges and no others; every stage but the last two can also "
            "be cancelled.",
            "",
            "![The stages of a task](img/stages.svg)",
            "",
            *_edges(),
            "",
            "## What a stage has to show",
            "",
            "The documents lie in `docs/work-items/<ID>/`. A stage passes when every one of its "
            "quality checks does: they look at the worktree and at what orch itself ran.",
            "",
            *_dues(),
            "",
            "## Tracks",
            "",
            *_table(["track", "stages"], tracks),
            "",
            "## Jobs",
            "",
            "A job is one attempt of one task at one stage. "
            f"*Live* is {' or '.join(f'`{state}`' for state in jobs.LIVE)}.",
            "",
            *_table(["from", "event", "to"], moves),
            "",
            f"How a failed job is classed: {', '.join(f'`{each}`' for each in jobs.FAILURES)}.",
            "",
            f"What an agent may answer: {', '.join(f'`{each}`' for each in jobs.VERDICTS)}.",
            "",
        ]
    )


def gate_page() -> str:
    """docs/gate.md: the clauses in order, and the switches."""
    clauses = [
        [
            str(place),
            f"`{name}`",
            clause.sentence,
            "closed" if clause.closed else "open",
            "yes" if clause.standing else "",
        ]
        for place, (name, clause) in enumerate(serial_gate.CLAUSES.items(), 1)
    ]
    defaults = serial_gate.Layers()
    switches = [
        [
            f"`{name}`",
            config.default_text(getattr(defaults, name)) or "*(empty)*",
            str(config.Settings.model_fields[name].description),
        ]
        for name in serial_gate.Layers.__dataclass_fields__
    ]
    return "\n".join(
        [
            "# The serial gate",
            NOTE,
            "",
            "A queued job may be claimed when every clause holds. The first that does not is the "
            "reason shown; all that do not are listed beside it.",
            "",
            "![One lane per repo](img/line.svg)",
            "",
            *_table(
                ["", "clause", "fails when", "if it cannot be evaluated", "asked again at start"],
                clauses,
            ),
            "",
            "Contenders of a repo stand in this order: those past the entry stage by the time they "
            "were admitted or resumed, then the others by rank (0 unless promoted) and id. The "
            "first is the *head*, and only the head may pass `active-task`.",
            "",
            "## Switches",
            "",
            *_table(["setting", "default", "meaning"], switches),
            "",
        ]
    )


def stages_drawing() -> str:
    """docs/img/stages.svg: the full track as boxes, rework as arcs below."""
    names = [name for name in stages.STAGES if name != stages.CANCELLED]
    width, gap, top = 124, 24, 30
    left = {name: 10 + place * (width + gap) for place, name in enumerate(names)}
    total = 10 + len(names) * (width + gap)
    shapes = []
    for name in names:
        x, agent = left[name], stages.agent_of(name)
        shapes.append(_box(x, top, width, 46, name, agent or ""))
        if name != names[-1]:
            shapes.append(_arrow(f"M{x + width} {top + 23} h{gap - 6}"))
    for depth, stage in enumerate(each for each in stages.TABLE if each.rework_to):
        start = left[stage.name] + width // 2
        end = left[str(stage.rework_to)] + width // 2 + 10 * depth - 20
        low = top + 70 + 14 * depth
        path = f"M{start} {top + 46} V{low} H{end} V{top + 52}"
        shapes.append(_arrow(path, "rework"))
    return _svg(total, 190, "The stages of a task, with rework leading back", shapes)


def line_drawing() -> str:
    """docs/img/line.svg: three lanes that show what holds and what waits."""
    lanes = [
        ("orch", [("ORCH-123", "developer at work", "live"), ("ORCH-130", "active-task", "wait")]),
        ("web-shop", [("SHOP-7", "frozen: main is red", "frozen"), ("SHOP-9", "freeze", "frozen")]),
        ("lib", [("LIB-2", "dependency: ORCH-123", "wait"), ("LIB-3", "may start", "open")]),
    ]
    shapes = []
    for row, (repo, tasks) in enumerate(lanes):
        y = 14 + row * 66
        shapes.append(f'<text x="10" y="{y + 28}" class="repo">{repo}</text>')
        shapes.append(f'<path d="M90 {y + 23} H790" class="lane"/>')
        for place, (item, why, kind) in enumerate(tasks):
            shapes.append(_box(110 + place * 230, y, 200, 46, item, why, kind))
    shapes.append(_box(570, 14, 200, 46, "ORCH-116", "paused: out of the line", "paused"))
    return _svg(800, 212, "One lane per repo: who holds it, who waits, and why", shapes)


def _edges() -> list[str]:
    rows = [
        [
            f"`{stage.name}`",
            f"`{stage.agent}`" if stage.agent else "–",
            f"`{stages.queue_of(stage.agent)}`" if stage.agent else "–",
            _quoted(_reached(stage.name, "start", "pass")),
            f"`{stage.rework_to}`" if stage.rework_to else "–",
            "yes" if stage.name in stages.TERMINAL else "",
        ]
        for stage in stages.TABLE
    ]
    return _table(["stage", "agent", "queue", "leads to", "rework to", "terminal"], rows)


def _dues() -> list[str]:
    rows = [
        [f"`{stage.name}`", _quoted(stage.delivers), _quoted(stage.checks)]
        for stage in stages.TABLE
        if stage.agent is not None
    ]
    return _table(["stage", "documents", "quality checks"], rows)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


def _reached(stage: str, *moves: stages.Move) -> list[str]:
    edges = stages.STAGE_TRANSITIONS[stage]
    return [to for move in moves for to in edges.get(move, ())]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _box(x: int, y: int, width: int, height: int, title: str, note: str, kind: str = "") -> str:  # noqa: PLR0913 - a box's geometry
    middle = x + width // 2
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" class="box {kind}"/>'
        f'<text x="{middle}" y="{y + 20}" class="title">{title}</text>'
        f'<text x="{middle}" y="{y + 36}" class="note">{note}</text>'
    )


def _arrow(path: str, kind: str = "") -> str:
    return f'<path d="{path}" class="arrow {kind}" marker-end="url(#tip)"/>'


def _svg(width: int, height: int, title: str, shapes: list[str]) -> str:
    style = (
        "text{font-family:system-ui,sans-serif;text-anchor:middle;fill:#1f2933}"
        ".title{font-size:13px;font-weight:600}.note{font-size:11px;fill:#52606d}"
        ".repo{font-size:14px;font-weight:600;text-anchor:start}"
        ".box{fill:#f5f7fa;stroke:#7b8794}.live{fill:#c6f7e2;stroke:#147d64}"
        ".open{fill:#e3f8ff;stroke:#0b69a3}.frozen{fill:#d9e2ec;stroke:#334e68;"
        "stroke-dasharray:4 3}.paused{fill:#fff3c4;stroke:#b44d12}"
        ".lane{stroke:#cbd2d9;stroke-width:2}.arrow{fill:none;stroke:#7b8794;stroke-width:1.5}"
        ".rework{stroke:#ba2525;stroke-dasharray:3 3}"
    )
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#7b8794"/></marker>'
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            f"<title>{title}</title><style>{style}</style><defs>{tip}</defs>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *shapes,
            "</svg>",
            "",
        ]
    )


def metrics_page() -> str:
    """docs/metrics.md: every metric, and what to do about each alert."""
    lines = ["# Metrics", NOTE, "", *_OF_METRICS, ""]
    for title, group in metrics.GROUPS.items():
        lines += [f"## {title}", "", "| metric | type | labels | meaning |", "|---|---|---|---|"]
        for each in group:
            labels = ", ".join(f"`{label}`" for label in each.labels) or "–"
            lines.append(f"| `{each.name}` | {each.kind} | {labels} | {each.says} |")
        lines.append("")
    lines += ["## Alerts", "", *_OF_ALERTS, "", "| alert | says | do |", "|---|---|---|"]
    for alert in alerts.ALERTS:
        cells = [_plain(alert.summary), _plain(alert.action)]
        lines.append(f"| `{alert.name}` ({alert.severity}) | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


_OF_METRICS: Final = (
    "`GET /metrics` answers in Prometheus' words, to a token of the role viewer. It reads anew at",
    "most every five seconds, however many ask, and never for more than a twentieth of its time;",
    "by index, so that it costs what waits and not what has ended.",
    "",
    "- **Counters are sums over all processes**, kept in the store: any web process answers",
    "  the same and none is lost with a process. What is counted *from the ledger* is read from it",
    "  every ten seconds, once it is ten seconds old; after an upgrade the whole past is caught up",
    "  with. What a process counts itself it writes down with the next beat, or after a turn.",
    "- **Series are bounded.** Labels have few values each. Repos have series of their own for the",
    "  `ORCH_METRICS_REPOS` busiest (50), all others together are `other`: sums, and of ages the",
    "  largest (of heads: the largest of the 1,000 busiest).",
    "- **Time waited by reason** is shown for the 1,000 oldest jobs that wait.",
    "",
    "[dashboard.json](observability/dashboard.json) is a Grafana dashboard to import,",
    "[alerts.yaml](observability/alerts.yaml) goes below `rule_files` of Prometheus:",
    "",
    "```yaml",
    "scrape_configs:",
    "  - job_name: orch",
    "    authorization: { credentials_file: /etc/prometheus/orch.token } # orch token add … viewer",
    '    static_configs: [{ targets: ["orch.example.org:8765"] }]',
    "rule_files: [alerts.yaml]",
    "```",
)
_OF_ALERTS: Final = (
    "Each rule says in its annotations what it means (`summary`) and what to do (`action`).",
)


def _plain(words: str) -> str:
    """What an alert says, with its own values left open."""
    return re.sub(r"{{ \$(?:labels\.)?(\w+)[^}]*}}", lambda found: found.group(1).upper(), words)


Pages = Mapping[str, Callable[[], str]]
PAGES: Final[Pages] = {
    "docs/stages.md": stages_page,
    "docs/gate.md": gate_page,
    "docs/img/stages.svg": stages_drawing,
    "docs/img/line.svg": line_drawing,
    "docs/metrics.md": metrics_page,
    "docs/observability/dashboard.json": dashboard.dashboard,
    "docs/observability/alerts.yaml": alerts.rules,
    ".env.example": config.env_example,
}


def out_of_step(pages: Pages = PAGES) -> list[str]:
    """Pages that differ from what the code says now."""
    return [
        name
        for name, page in pages.items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != page()
    ]


def main(arguments: list[str], pages: Pages = PAGES) -> int:
    """Write the pages, or with `--check` say which are out of step; the exit code."""
    stale = out_of_step(pages)
    if "--check" in arguments:
        for name in stale:
            sys.stderr.write(f"{name} is out of step with the code: run `make docs`.\n")
        return 1 if stale else 0
    for name in stale:
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(pages[name](), encoding="utf-8")
        sys.stdout.write(f"wrote {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
