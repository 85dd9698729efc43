"""The toy agent of every stage: it writes what its stage delivers, commits it and says how it went.

What it does about a work item stands in `../solutions`, mishaps included. In the place of a program
that thinks, it only looks things up; everything around that is as with a real one: the prompt comes
on standard input, the work happens in the current folder, the word goes to $ORCH_RESULT_FILE.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

ITEM, STAGE = os.environ["ORCH_WORK_ITEM"], os.environ["ORCH_STAGE"]
SOLUTIONS = Path(__file__).resolve().parents[1] / "solutions"
FOLDER = Path("docs/work-items") / ITEM
TURNS = Path("../turns.log")
"""Beside the workspaces of one repo: shows that no two turns of a repo ever overlapped."""
THINKING = float(os.environ.get("TOY_SECONDS", "0.2"))
"""Seconds in which the audience may see who is at work."""
TESTS = [sys.executable, "-B", "-m", "unittest", "-q"]
WORDS_OF_REWORK = "what is to be reworked"
WORDS_OF_ANSWER = "answer"


class Said(NamedTuple):
    """How a turn went."""

    verdict: str
    summary: str
    question: str = ""


def block(prompt: str, label: str) -> str:
    """A text of others in the prompt: it stands between two lines with the same key."""
    found = re.search(
        rf"^\[data (\w+) begins: {re.escape(label)};[^\n]*\n(.*?)\n\[data \1 ends\]$",
        prompt,
        re.DOTALL | re.MULTILINE,
    )
    return found[2] if found else ""


# --- documents


def paper(title: str, sections: dict[str, str], said: Said | None = None) -> str:
    head = ""
    if said is not None:
        head = f"---\nverdict: {said.verdict}\nsummary: {json.dumps(said.summary)}\n---\n"
    body = "".join(f"\n## {name}\n\n{text}\n" for name, text in sections.items())
    return f"{head}# {title}\n{body}"


def test_plan(known: dict[str, Any]) -> str:
    tests = [edit["path"] for edit in known["edits"] if edit["path"].startswith("tests/")]
    cases = "".join(f"  - name: {path}\n    covers: [AC-1]\n" for path in tests)
    return f"cases:\n{cases}"


def analysis(known: dict[str, Any], title: str) -> dict[str, str]:
    goal = known["goal"]
    return {
        "01-brief.md": paper(title, {"Goal": goal, "Scope": "This, and nothing beside it."}),
        "02-requirements.md": paper(title, {"Requirements": f"1. {goal}"}),
        "03-acceptance-criteria.md": paper(title, {"Acceptance criteria": f"AC-1: {goal}"}),
        "04-test-plan.yaml": test_plan(known),
    }


def architecture(known: dict[str, Any], title: str) -> dict[str, str]:
    files = ", ".join(f"`{edit['path']}`" for edit in known["edits"])
    decision = {
        "Context": known["goal"],
        "Decision": known.get("decision", "The least that will do."),
        "Consequences": "Nothing that is there has to change with it.",
    }
    return {
        "06-adr/ADR-001-the-least-that-will-do.md": paper(title, decision),
        "07-design.md": paper(title, {"Design": f"These files change: {files}."}),
    }


def papers(known: dict[str, Any], title: str, said: Said) -> dict[str, str]:
    """The documents of this stage, by name."""
    match STAGE:
        case "analysis":
            return analysis(known, title)
        case "architecture":
            return architecture(known, title)
        case "review":
            return {"12-review.md": paper(title, {"Findings": said.summary}, said)}
        case "testing":
            return {"13-test-report.md": paper(title, {"Results": said.summary}, said)}
        case "deploy-staging":
            return {"14-staging-log.md": paper(title, {"Log": said.summary}, said)}
        case "deploy":
            return {"15-deploy-log.md": paper(title, {"Log": said.summary}, said)}
        case _:
            return {}


# --- code


def is_in_place(edit: dict[str, str]) -> bool:
    path = Path(edit["path"])
    return path.is_file() and edit["new"] in path.read_text("utf-8")


def put(edit: dict[str, str]) -> bool:
    """Make one edit; whether it is as it should be. A first attempt makes what is `wrong`."""
    path = Path(edit["path"])
    if is_in_place(edit):
        return True
    text = path.read_text("utf-8") if path.is_file() else ""
    old = edit.get("old")
    if old is None:
        new, right = edit["new"], True
    elif "wrong" in edit and edit["wrong"] not in text:
        new, right = text.replace(old, edit["wrong"], 1), False
    else:
        new, right = text.replace(edit.get("wrong", old), edit["new"], 1), True
    if new == text:
        raise SystemExit(f"{path} is not as {ITEM} expects it")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(new, "utf-8")
    return right


def develop(known: dict[str, Any], prompt: str) -> Said:
    edits = list(known["edits"])
    wish = known.get("asks")
    if wish and wish in block(prompt, WORDS_OF_REWORK):
        print(f"the review asked: {wish}")
        edits += known["asked"]
    if not all([put(edit) for edit in edits]):
        return Said("pass", "written in a hurry; the tests were not run")
    if subprocess.run(TESTS, check=False).returncode:
        return Said("fail", "the tests are red")
    return Said("pass", f"{len(edits)} edits, and the tests pass")


def review(known: dict[str, Any]) -> Said:
    if "asks" in known and not all(is_in_place(edit) for edit in known["asked"]):
        return Said("rework", known["asks"])
    return Said("pass", "The change does what it says, and its tests would notice if not.")


def commit(message: str) -> None:
    """Commit everything, as somebody whom no configuration knows."""
    role = STAGE.replace("-", " ")
    env = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", f"user.name=Toy of {role}", "-c", "user.email=toy@example.org"]
    subprocess.run(["git", "add", "--all"], env=env, check=True)
    if subprocess.run(["git", "diff", "--cached", "--quiet"], env=env, check=False).returncode:
        argv = ["git", *who, "commit", "--quiet", "--no-verify", "--message", message]
        subprocess.run(argv, env=env, check=True)


# --- a turn


def work(prompt: str) -> Said:
    known = solution()
    if known is None:
        return Said("needs_input", "", f"What is to be done about {ITEM}? No solution names it.")
    question = known.get("question", "")
    if STAGE == "analysis" and question and not block(prompt, WORDS_OF_ANSWER):
        return Said("needs_input", "", question)
    if STAGE == "development":
        said = develop(known, prompt)
    elif STAGE == "review":
        said = review(known)
    else:
        said = Said("pass", f"{STAGE} of {ITEM} is done: {known['goal']}")
    for name, text in papers(known, block(prompt, "title") or ITEM, said).items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print(f"wrote {path}")
    what = known["goal"] if STAGE == "development" else f"Write the documents of {STAGE}"
    commit(f"{ITEM}: {what}")
    return said


def solution() -> dict[str, Any] | None:
    for path in sorted(SOLUTIONS.glob("*.toml")):
        known = tomllib.loads(path.read_text("utf-8"))
        if ITEM in known:
            found: dict[str, Any] = known[ITEM]
            return found
    return None


def turn(word: str) -> None:
    with TURNS.open("a") as log:
        log.write(f"{word} {ITEM} {STAGE} {os.environ['ORCH_JOB']}\n")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    turn("start")
    try:
        prompt = sys.stdin.read()
        print(f"attempt {os.environ['ORCH_ATTEMPT']} at {STAGE} of {ITEM}", flush=True)
        time.sleep(THINKING)
        said = work(prompt)
        word = {"verdict": said.verdict, "summary": said.summary, "question": said.question}
        Path(os.environ["ORCH_RESULT_FILE"]).write_text(json.dumps(word), "utf-8")
    finally:
        turn("stop")


if __name__ == "__main__":
    main()
