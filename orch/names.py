"""The grammar of every name and text that comes from outside, checked before it goes anywhere.

Names reach git, paths and queues only after passing here; texts are data and are merely bounded.
The grammars that have a name are written in what Python and JSON Schema read alike: openapi.json
shows callers the very patterns by which they are judged.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from orch.errors import BadInput, DoesNotFit

WORK_ITEM: Final = r"(?!.*\.\.)(?!.*\.(?:[lL][oO][cC][kK])?$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_RESERVED: Final = r"(?!(?:.*/)?(?:[cC][oO][nN]|[pP][rR][nN]|[aA][uU][xX]|[nN][uU][lL])(?:/|$))"
_ODD_END: Final = r"(?!.*\.(?:[gG][iI][tT]|[lL][oO][cC][kK])?(?:/|$))"
_PART: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"
REPO: Final = rf"(?!.*\.\.){_RESERVED}{_ODD_END}{_PART}(?:/{_PART})?"
REPO_OR_GLOB: Final = rf"(?:{REPO}|(?!.*\.\.)(?=.*[*?])[A-Za-z0-9._*?/-]+)"
WORK_ITEM_LIMIT: Final = 64
REPO_LIMIT: Final = 200
# Everything that could break a line of a log or change how a terminal shows it; a line may end as
# Windows ends it.
_CONTROLS: Final = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029"
_BLANKS: Final = r"\t\n \xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
TEXT: Final = rf"(?:[^{_CONTROLS}]|\r\n)*"
LINE: Final = rf"[^\n{_CONTROLS}]*"
WORDS: Final = rf"(?:[{_BLANKS}]|\r\n)*[^{_BLANKS}{_CONTROLS}]{TEXT}"
"""A text that says something."""
AFTER: Final = r"\+[0-9]{1,6}[smhd]"
BEFORE: Final = r"-[0-9]{1,6}[smhdw]"
# RFC 3339, as JSON Schema's `date-time`; the seconds may be left out.
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_SHA: Final = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_BRANCH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*\Z")
# https://host/path, ssh://user@host/path, user@host:path, file:///path, /path; never a password.
_REMOTE: Final = re.compile(
    r"(?:https?://[A-Za-z0-9.:\[\]-]+/|ssh://(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9\[][A-Za-z0-9.:\[\]-]*/"
    r"|[A-Za-z0-9_][\w.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:(?!:)|file:///|/)[^\x00-\x20\x7f]*\Z",
    re.ASCII,
)
_WEB: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:[/?#][!-~]*)?\Z")
_PERSON: Final = re.compile(r"[a-z0-9][a-z0-9._+@-]{0,79}\Z")
_NOT_PEOPLE: Final = frozenset({"orch", "local", "anybody"})
_AGENT: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")
# Text that git refuses in a ref, or that means something to it.
_ODD: Final = re.compile(r"\.\.|\.$|\.lock$", re.IGNORECASE)
_CONTROL: Final = re.compile(f"[{_CONTROLS}]")
# What makes a text read in another order than it is written.
_TURNING: Final = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069]")

EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

REASON_LIMIT: Final = 500
TITLE_LIMIT: Final = 255
NOTE_LIMIT: Final = 4000
TEXT_LIMIT: Final = 100_000


def shown(value: object) -> str:
    """A value as it may stand in a message: short, and on one line."""
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value)).replace("\n", " ")
    return text if len(text) <= 80 else text[:77] + "..."


def cleaned(value: str, limit: int = TITLE_LIMIT) -> str:
    """A text of anybody's as one bounded line without control characters."""
    return " ".join(_TURNING.sub("", _CONTROL.sub(" ", value)).split())[:limit].rstrip()


def scrubbed(value: str, limit: int = TEXT_LIMIT) -> str:
    """A text of anybody's, bounded, its lines as they are, without control characters."""
    unix = value.replace("\r\n", "\n").encode("utf-8", "replace").decode()
    return _TURNING.sub("", _CONTROL.sub(" ", unix))[:limit]


def work_item(value: object) -> str:
    """A work item id. Raises BadInput."""
    if isinstance(value, str) and re.fullmatch(WORK_ITEM, value):
        return value
    raise BadInput(
        f"“{shown(value)}” is not a work item id.",
        suggested_fix="Use up to 64 letters, digits, dots, dashes, underscores: ORCH-123.",
        field="work_item",
    )


def _is_repo(value: object, grammar: str) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= REPO_LIMIT
        and re.fullmatch(grammar, value) is not None
    )


def repo(value: object) -> str:
    """A repo name, `name` or `owner/name`. Raises BadInput."""
    if _is_repo(value, REPO):
        return str(value)
    raise BadInput(
        f"“{shown(value)}” is not a repo name.",
        suggested_fix="Use name or owner/name of letters, digits, dots, dashes and underscores.",
        field="repo",
    )


def repo_or_glob(value: object) -> str:
    """A repo name, or a glob of repos with * and ?. Raises BadInput."""
    if isinstance(value, str) and ("*" in value or "?" in value):
        if _is_repo(value, REPO_OR_GLOB):
            return value
        raise BadInput(
            f"“{shown(value)}” is not a glob of repos.",
            suggested_fix="Use a repo name in which * stands for any text and ? for one character.",
            field="repo",
        )
    return repo(value)


def covers(glob: str, wanted: str) -> bool:
    """Whether a glob fits every repo that `wanted`, a name or a glob itself, may stand for.

    It errs towards no: globs that only together cover another one do not.
    """
    at = read = 0
    star, tried = -1, 0
    # By hand: as a regular expression, many stars take longer than anybody waits.
    while read < len(wanted):
        sign = glob[at] if at < len(glob) else ""
        if sign == "*":
            star, tried, at = at, read, at + 1
        elif sign == wanted[read] or (sign == "?" and wanted[read] != "*"):
            at, read = at + 1, read + 1
        elif star >= 0:  # its last star stands for one character more
            tried += 1
            at, read = star + 1, tried
        else:
            return False
    return not glob[at:].strip("*")


def person(value: object) -> str:
    """A person's name, in lower case: Ann and ann are one. Raises BadInput."""
    name = value.strip().lower() if isinstance(value, str) else ""
    if _PERSON.match(name) and name not in _NOT_PEOPLE:
        return name
    raise BadInput(
        f"“{shown(value)}” is not a person's name.",
        suggested_fix="Use up to 80 letters, digits and . _ + @ -, as in an account or e-mail.",
        field="name",
    )


def agent(value: object) -> str:
    """An agent's name. Raises BadInput."""
    if isinstance(value, str) and _AGENT.match(value):
        return value
    raise BadInput(f"“{shown(value)}” is not an agent's name.", field="agent")


def sha(value: object) -> str:
    """The full name of a commit: 40 or 64 hexadecimal digits, in lower case. Raises BadInput."""
    if isinstance(value, str) and _SHA.match(value):
        return value
    raise BadInput(f"“{shown(value)}” is not the full name of a commit.", field="sha")


def branch(value: object) -> str:
    """A branch without `refs/heads/`. Raises BadInput."""
    if isinstance(value, str) and len(value) <= 200 and _BRANCH.match(value):
        parts = value.split("/")
        if value != "HEAD" and parts[0] != "refs" and not any(_ODD.search(part) for part in parts):
            return value
    raise BadInput(
        f"“{shown(value)}” is not the name of a branch.",
        suggested_fix="Use letters, digits, dots, dashes and slashes: main, release/2.",
        field="branch",
    )


def remote_url(value: object) -> str:
    """Where a repo's remote is: an https, ssh or file URL, `user@host:path`, or an absolute path.

    It holds no password: those go into settings that are never shown. Raises BadInput.
    """
    if isinstance(value, str) and len(value) <= 500 and _REMOTE.match(value):
        return value
    raise BadInput(
        f"“{shown(_without_login(value))}” is not the address of a git remote.",
        suggested_fix="Use https://host/path, ssh://git@host/path or an absolute path, "
        "without a password.",
        field="remote",
    )


def web_url(value: object) -> str:
    """The address of a page for people: http or https, and no password. Raises BadInput."""
    if isinstance(value, str) and len(value) <= 500 and _WEB.match(value):
        return value
    raise BadInput(
        f"“{shown(_without_login(value))}” is not the address of a page.",
        suggested_fix="Use https://host/path, without a password.",
    )


def _without_login(value: object) -> str:
    return re.sub(r"//[^/@]*@", "//***@", str(value))


def text(value: object, field: str, limit: int = TEXT_LIMIT) -> str:
    """A bounded text without control characters but tab and line break. Raises BadInput."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(f"{field} must be a text.", field=field)
    if len(value) > limit:
        raise BadInput(f"{field} has {len(value)} characters; {limit} are allowed.", field=field)
    if _CONTROL.search(value.replace("\r\n", "\n")):
        raise BadInput(f"{field} holds a control character.", field=field)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput(f"{field} is not valid Unicode.", field=field) from None
    return value.replace("\r\n", "\n")


def line(value: object, field: str, limit: int = TITLE_LIMIT) -> str:
    """A text on one line. Raises BadInput."""
    checked = text(value, field, limit)
    if "\n" in checked:
        raise BadInput(f"{field} must be on one line.", field=field)
    return checked.strip()


def reason(value: object, *, required: bool = False) -> str:
    """Why somebody does something. Raises BadInput when it is required and empty."""
    checked = text(value, "reason", REASON_LIMIT).strip()
    if required and not checked:
        raise BadInput(
            "A reason is required.",
            suggested_fix="Say why in a few words: others will read it.",
            field="reason",
        )
    return checked


def note(value: object, field: str = "note") -> str:
    """What a person says to an agent: required, and longer than a reason. Raises BadInput."""
    checked = text(value, field, NOTE_LIMIT).strip()
    if not checked:
        raise BadInput(
            f"The {field} is empty.",
            suggested_fix="Say what is to be done: the agent will read it.",
            field=field,
        )
    return checked


def moment(value: object, field: str, now: datetime) -> datetime | None:
    """A time in the future, ISO 8601 with a zone, or `+90m`, `+2h`, `+1d`. Raises BadInput."""
    if value in (None, ""):
        return None
    if isinstance(value, str):
        parsed = now + _span(value) if re.fullmatch(AFTER, value) else absolute(value)
        if parsed is not None:
            if parsed <= now:
                raise DoesNotFit(f"{field} is in the past: {shown(value)}.", field=field)
            return parsed
    raise BadInput(
        f"“{shown(value)}” is not a time for {field}.",
        suggested_fix="Use 2026-12-24T18:00:00Z, or +90m, +2h, +1d from now.",
        field=field,
    )


def past(value: object, field: str, now: datetime) -> datetime | None:
    """A time in the past, ISO 8601 with a zone, or `-90m`, `-2h`, `-7d`, `-4w`. Raises BadInput."""
    if value in (None, ""):
        return None
    if isinstance(value, str):
        parsed = now - _span(value) if re.fullmatch(BEFORE, value) else absolute(value)
        if parsed is not None:
            if parsed >= now:
                raise DoesNotFit(f"{field} is not in the past: {shown(value)}.", field=field)
            return parsed
    raise BadInput(
        f"“{shown(value)}” is not a time for {field}.",
        suggested_fix="Use 2026-12-24T18:00:00Z, or -2h, -7d, -4w from now.",
        field=field,
    )


_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def _span(value: str) -> timedelta:
    """How long `+90m` or `-2h` is; never more than ten years."""
    return timedelta(seconds=min(int(value[1:-1]) * _SECONDS[value[-1]], 10 * 365 * 86400))


def absolute(value: str) -> datetime | None:
    """A time as ISO 8601 with a zone writes it, in UTC; None for anything else."""
    try:
        parsed = datetime.fromisoformat(value) if _MOMENT.fullmatch(value) else None
    except ValueError:
        return None
    try:
        return None if parsed is None else parsed.astimezone(UTC)
    except OverflowError:  # the first hours of the year 1 and the last of 9999 have no UTC
        return EARLIEST if value.startswith("0001") else LATEST


def ended(sentence: str) -> str:
    """A sentence with its full stop, unless the words of others at its end bring a mark."""
    return sentence if sentence.endswith((".", "?", "!", "…")) else f"{sentence}."
