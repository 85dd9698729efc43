"""What is to be tried: controls, slots, switches and durations, read from a person's words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from orch import controls, names, stages
from orch.controls import Order
from orch.errors import BadInput
from orch.serial_gate import Layers

SWITCHES: Final = {
    "gate": "serial_gate_enabled",
    "pause": "serial_gate_pause_enabled",
    "freeze": "serial_gate_freeze_enabled",
    "yield": "serial_gate_yield_enabled",
    "entry-only": "serial_gate_entry_only",
    "dependencies": "task_deps_enabled",
    "repos": "serial_gate_repos",
}
"""The switches of the gate by short names; their own names are taken as well."""
WORDS: Final = {"on": True, "true": True, "off": False, "false": False}
OPTIONS: Final = ("until", "allow", "on", "reason")
MOST_SLOTS: Final = 10_000
LONGEST: Final = 30 * 24 * 3600.0
MOST_ORDERS: Final = 100
ACTOR: Final = "simulation"


@dataclass(frozen=True)
class Plan:
    """One what-if. The empty plan is the line as it is."""

    repos: tuple[str, ...] = ()
    """Only these are shown, and in a line that is too long only these are played; empty is all."""
    orders: tuple[Order, ...] = ()
    """Controls that are carried out first, one after the other."""
    slots: tuple[tuple[str, int], ...] = ()
    """Slots of an agent, instead of those its live workers have."""
    switches: tuple[tuple[str, Any], ...] = ()
    """Switches of the gate by their names in `Layers`, instead of those in force."""
    durations: tuple[tuple[str, float], ...] = ()
    """Seconds of a stage, instead of what was recorded."""
    seed: int | None = None
    """None takes medians; a number draws from what was recorded, and the same number the same."""

    def layers(self, layers: Layers) -> Layers:
        """The switches in force under this plan."""
        return replace(layers, **dict(self.switches))


@dataclass(frozen=True)
class Words:
    """A plan as a person writes it; each value one option of the command line."""

    repos: Sequence[str] = ()
    orders: Sequence[str] = ()
    slots: Sequence[str] = ()
    switches: Sequence[str] = ()
    durations: Sequence[str] = ()
    seed: int | None = None


def read(words: Words, now: datetime) -> Plan:
    """The plan behind the words. Raises BadInput for the first that cannot be used."""
    if len(words.orders) > MOST_ORDERS:
        raise BadInput(
            f"{len(words.orders)} controls are too many; {MOST_ORDERS} are tried at most."
        )
    return Plan(
        repos=tuple(dict.fromkeys(names.repo(name) for name in words.repos)),
        orders=tuple(order(each, now) for each in words.orders),
        slots=_pairs(words.slots, "slots", _agent, _count),
        switches=_switches(words.switches),
        durations=_pairs(words.durations, "duration", _stage, _seconds),
        seed=words.seed,
    )


def order(text: str, now: datetime) -> Order:
    """One control, as it is said to `orch`: `pause ORCH-1`, `freeze 'team/*' --until +2h`.

    Raises BadInput. Nothing is run: the words are only taken apart.
    """
    said = names.line(text, "with", 1000)
    try:
        verb, target, *more = shlex.split(said)
    except ValueError:
        raise _unclear(said, "it needs a verb and what it is about") from None
    if verb not in controls.VERBS:
        known = ", ".join(sorted(controls.VERBS))
        raise _unclear(said, f"“{names.shown(verb)}” is no control; known: {known}")
    given = _options(said, more)
    needed = {"depend": "on", "undepend": "on"}.get(verb)
    if needed is not None and needed not in given:
        raise _unclear(said, f"{verb} needs --{needed}")
    until = names.moment(given.pop("until", None), "until", now)
    given.setdefault("reason", "what if")
    asked = Order(verb, target, ACTOR, until=until, **given)
    controls.check(asked)
    return asked


def _options(said: str, words: Sequence[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    left = iter(words)
    for word in left:
        name = word.removeprefix("--")
        value = True if name == "now" else next(left, None)
        if (name != "now" and name not in OPTIONS) or value is None or name in given:
            raise _unclear(said, f"“{names.shown(word)}” is not understood there")
        given[name] = value
    return given


def _unclear(said: str, why: str) -> BadInput:
    return BadInput(
        f"“{names.shown(said)}” cannot be tried: {why}.",
        suggested_fix='Write it as to orch: --with "pause ORCH-1", --with "depend A-2 --on B-1".',
        field="with",
    )


def _pairs(
    given: Sequence[str],
    field: str,
    name: Callable[[str], str],
    value: Callable[[str, str], Any],
) -> tuple[tuple[str, Any], ...]:
    found: dict[str, Any] = {}
    for each in given:
        key, sign, text = each.partition("=")
        if not sign:
            raise _not_a_pair(each, field)
        known = name(key.strip())
        if known in found:
            raise BadInput(f"{field} of {known} is given twice.", field=field)
        found[known] = value(known, text.strip())
    return tuple(sorted(found.items()))


def _not_a_pair(each: str, field: str) -> BadInput:
    example = {"slots": "developer=3", "duration": "development=20m", "switch": "yield=off"}[field]
    return BadInput(
        f"“{names.shown(each)}” is no {field}.",
        suggested_fix=f"Write it as {example}.",
        field=field,
    )


def _agent(text: str) -> str:
    known = names.agent(text)
    if known not in stages.AGENTS:
        raise BadInput(
            f"No agent is called {known}; known: {', '.join(stages.AGENTS)}.", field="slots"
        )
    return known


def _count(agent: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or int(text) > MOST_SLOTS:
        raise BadInput(
            f"“{names.shown(text)}” is no number of slots of {agent} up to {MOST_SLOTS}.",
            field="slots",
        )
    return int(text)


def _stage(text: str) -> str:
    if text not in stages.TRACKS["full"]:
        known = ", ".join(stages.TRACKS["full"])
        raise BadInput(
            f"“{names.shown(text)}” is no stage with an agent; known: {known}.", field="duration"
        )
    return text


def _seconds(stage: str, text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)([smhd])", text, re.ASCII)
    seconds = float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]] if found else 0
    if not 0 < seconds <= LONGEST:
        raise BadInput(
            f"“{names.shown(text)}” is no length of a turn at {stage}.",
            suggested_fix="Use 45s, 20m, 3h or 1d; thirty days at most.",
            field="duration",
        )
    return seconds


def _switches(given: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    return _pairs(given, "switch", _switch, _position)


def _switch(text: str) -> str:
    name = SWITCHES.get(text, text)
    if name not in Layers.__dataclass_fields__:
        raise BadInput(
            f"“{names.shown(text)}” is no switch of the gate; known: {', '.join(SWITCHES)}.",
            field="switch",
        )
    return name


def _position(switch: str, text: str) -> Any:
    if switch == "serial_gate_repos":
        return tuple(names.repo_or_glob(each.strip()) for each in text.split(",") if each.strip())
    if text.lower() not in WORDS:
        raise BadInput(f"A switch is on or off, not “{names.shown(text)}”.", field="switch")
    return WORDS[text.lower()]
