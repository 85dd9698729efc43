"""The `command` adapter of AgentRunner, with real programs under a real supervisor."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orch.adapters import supervised
from orch.adapters.agent_command import spellings
from orch.ports import StopReason
from tests.unit.agent_bench import AGENTS, COMMAND, AgentBench

WaitUntil = Callable[..., object]
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="only Linux finds every descendant")


@pytest.fixture
def bench(tmp_path: Path) -> AgentBench:
    """Folders for one agent."""
    return AgentBench(tmp_path)


def test_passing_agent_tells_its_verdict_in_the_result_file(bench: AgentBench) -> None:
    said = {"verdict": "pass", "summary": "Built.", "cost_usd": 0.5}
    result = bench.sh(f"echo '{json.dumps(said)}' > $ORCH_RESULT_FILE")
    assert (result.ending, result.exit_code, result.verdict) == ("exited", 0, "pass")
    assert (result.summary, result.usage, result.detail) == ("Built.", {"cost_usd": 0.5}, "")


def test_rework_names_the_stage_and_a_question_is_handed_on(bench: AgentBench) -> None:
    said = {"verdict": "rework", "question": "Which?", "rework_to": "analysis"}
    result = bench.sh(f"echo '{json.dumps(said)}' > $ORCH_RESULT_FILE")
    assert (result.verdict, result.question, result.rework_to) == ("rework", "Which?", "analysis")


def test_last_line_of_standard_output_is_a_verdict(bench: AgentBench) -> None:
    assert bench.sh("echo done; echo 'ORCH-VERDICT: fail'; echo x >&2").verdict == "fail"


def test_verdict_on_standard_error_does_not_count(bench: AgentBench) -> None:
    assert bench.sh("echo 'ORCH-VERDICT: pass' >&2").verdict is None


def test_exit_code_is_told_and_no_verdict_is_made_up(bench: AgentBench) -> None:
    result = bench.sh("exit 3")
    assert (result.ending, result.exit_code, result.verdict) == ("exited", 3, None)


def test_clean_exit_with_nothing_said_has_no_verdict(bench: AgentBench) -> None:
    result = bench.sh("exit 0")
    assert (result.ending, result.exit_code, result.verdict) == ("exited", 0, None)
    assert (result.detail, result.log_bytes) == ("", 0)


def test_death_by_sigkill_is_137_and_mentions_memory(bench: AgentBench) -> None:
    result = bench.sh("kill -9 $$")
    assert (result.ending, result.exit_code) == ("exited", 137)
    assert "memory" in result.detail


def test_word_of_an_earlier_attempt_does_not_count(bench: AgentBench) -> None:
    (bench.rundir / "result.json").write_text('{"verdict": "pass"}')
    assert bench.sh("exit 0").verdict is None


def test_agent_runs_in_its_folder_with_the_prompt_on_standard_input(bench: AgentBench) -> None:
    work = bench.work("sh", "-c", "pwd; cat; cat $ORCH_PROMPT_FILE", prompt="Büilt\udc80 it.\0\n")
    assert bench.run(work).exit_code == 0
    assert bench.log() == f"{bench.workdir}\n" + "Büilt? it.\0\n" * 2
    assert (bench.rundir / "prompt.md").read_bytes() == "Büilt? it.\0\n".encode()


def test_program_that_never_reads_a_long_prompt_is_not_waited_for(bench: AgentBench) -> None:
    work = bench.work("sh", "-c", "exec <&-; echo fine", prompt="x" * 3_000_000)
    assert (bench.run(work).exit_code, bench.log()) == (0, "fine\n")


def test_environment_is_the_allowed_names_and_nothing_else(
    bench: AgentBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_DATABASE_URL", "canary-of-the-process")
    base = {"PATH": os.defpath, "LC_TIME": "C", "HOME": "/h", "GITEA_TOKEN": "canary-of-the-base"}
    bench.base_env = base
    work = bench.work(sys.executable, "-ISc", "import os; print(*sorted(os.environ.items()))")
    work = replace(work, command=replace(work.command, env={"MODEL": "m", "ORCH_JOB": "forged"}))
    bench.run(work)
    expected = {
        **{"PATH": os.defpath, "LC_TIME": "C", "HOME": "/h", "MODEL": "m"},
        **{"ORCH_WORK_ITEM": "ACME-7", "ORCH_REPO": "acme/shop", "ORCH_STAGE": "development"},
        **{"ORCH_JOB": "7", "ORCH_ATTEMPT": "2", "ORCH_BASE_SHA": "abc123"},
        "ORCH_RESULT_FILE": str(bench.rundir / "result.json"),
        "ORCH_PROMPT_FILE": str(bench.rundir / "prompt.md"),
    }
    log = bench.log().strip()
    # Python's own start adds LC_CTYPE to what it sees when the locale is C.
    log = log.replace("('LC_CTYPE', 'C.UTF-8') ", "")
    assert log == " ".join(str(item) for item in sorted(expected.items()))


@needs_proc
def test_no_neighbour_of_the_agent_shows_it_a_secret(
    bench: AgentBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_BROKER_URL", "canary")
    bench.sh("cat /proc/$PPID/environ /proc/$PPID/cmdline | tr '\\0' '\\n'")
    assert "orch-supervisor" in bench.log()
    assert "canary" not in bench.log()


def test_secrets_are_masked_wherever_the_agent_puts_them(bench: AgentBench) -> None:
    bench.secrets = ("s3cr+t/value", "abc", "first line\nsecond line")
    said = json.dumps({"verdict": "needs_input", "summary": "s3cr+t/value", "question": "abc?"})
    script = f"""echo 's3cr+t/value s3cr%2Bt%2Fvalue abc'; echo 'second line' >&2
        printf 's3cr+t/value' | base64; echo '{said}' > $ORCH_RESULT_FILE"""
    result = bench.sh(script)
    assert sorted(bench.log().splitlines()) == ["[masked]", "[masked]", "[masked] [masked] abc"]
    assert (result.summary, result.question) == ("[masked]", "abc?")
    assert "s3cr" not in (bench.rundir / "stdout").read_text()


def test_spellings_are_tried_longest_first() -> None:
    lengths = [len(spelling) for spelling in spellings(["short", "a much longer value", ""])]
    assert lengths == sorted(lengths, reverse=True)
    assert min(lengths) >= len("short")


def test_output_over_the_limit_is_counted_and_dropped(bench: AgentBench) -> None:
    command = replace(COMMAND, log_limit=1_000_000)
    script = "head -c 6000000 /dev/zero | tr '\\0' '\\n'; echo 'ORCH-VERDICT: pass'"
    result = bench.run(bench.work("sh", "-c", script, command=command))
    dropped = 6_000_000 + len("ORCH-VERDICT: pass\n") - 1_000_000
    assert result.verdict == "pass"
    last = f"[orch] {dropped} bytes of output were dropped: the limit is 1000000 bytes."
    assert bench.log().splitlines()[-1] == last
    assert result.log_bytes == (bench.rundir / "log").stat().st_size == 1_000_002 + len(last)


def test_line_of_ten_megabytes_passes_through(bench: AgentBench) -> None:
    result = bench.run(bench.work("long_line.py"))
    assert result.verdict == "pass"
    assert result.log_bytes == 10_000_000 + len("\nORCH-VERDICT: pass\n")


def test_nul_and_invalid_utf8_are_kept_as_they_came(bench: AgentBench) -> None:
    result = bench.sh(r"printf 'a\000b\377\376\n\033[31mORCH-VERDICT: \377\n'")
    assert (bench.rundir / "log").read_bytes() == b"a\0b\xff\xfe\n\x1b[31mORCH-VERDICT: \xff\n"
    assert (result.exit_code, result.verdict) == (0, None)


def test_both_outputs_are_in_the_log_and_each_in_its_file(bench: AgentBench) -> None:
    result = bench.sh("echo out; echo err >&2")
    assert sorted(bench.log().split()) == ["err", "out"]
    assert (bench.rundir / "stdout").read_text() == "out\n"
    assert (bench.rundir / "stderr").read_text() == "err\n"
    assert result.log_path == bench.rundir / "log"
    assert stat.S_IMODE((bench.rundir / "log").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("make", "why"),
    [
        ("ln -s /etc/passwd $ORCH_RESULT_FILE", "a symbolic link"),
        ("mkdir $ORCH_RESULT_FILE", "not a regular file"),
        ("mkfifo $ORCH_RESULT_FILE", "not a regular file"),
        ("head -c 1048577 /dev/zero > $ORCH_RESULT_FILE", "larger than"),
        ('echo \'{"verdict": "great"}\' > $ORCH_RESULT_FILE', "'great', not one of pass"),
    ],
)
def test_unusable_result_file_is_refused_with_a_sentence(
    bench: AgentBench, make: str, why: str
) -> None:
    result = bench.sh(f"{make}; echo 'ORCH-VERDICT: pass'")
    assert (result.ending, result.verdict) == ("exited", None)
    assert why in result.detail


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        ((), "has no command"),
        (("no-such-program",), "not on the agent's PATH"),
        (("/no/such/program",), "No such file"),
        (("./plain.txt",), "Permission denied"),
        (("./script",), "interpreter its first line names"),
        (("./empty",), "Exec format error"),
        (("/bin/true", "a\0b"), "NUL"),
    ],
)
def test_command_that_cannot_start_is_a_result_with_a_sentence(
    bench: AgentBench, argv: tuple[str, ...], why: str
) -> None:
    for name, content in (("plain.txt", "text"), ("script", "#!/no/sh\n"), ("empty", "")):
        (bench.workdir / name).write_text(content)
        (bench.workdir / name).chmod(0o644 if name == "plain.txt" else 0o755)
    work = bench.work("x")
    result = bench.run(replace(work, command=replace(COMMAND, argv=argv)))
    assert (result.ending, result.exit_code, result.verdict) == ("spawn_failed", None, None)
    assert why in result.detail
    assert result.detail.endswith(".")


def test_folders_that_are_missing_are_made(bench: AgentBench) -> None:
    work = bench.work("/bin/true")
    new = replace(work, workdir=bench.workdir / "new" / "one", rundir=bench.rundir / "new" / "two")
    assert bench.run(new).exit_code == 0


def test_folders_that_cannot_be_made_are_spawn_failures(bench: AgentBench) -> None:
    work = bench.work("/bin/true")
    (bench.workdir / "file").write_text("")
    for place in ({"workdir": bench.workdir / "file"}, {"rundir": bench.workdir / "file" / "x"}):
        result = bench.run(replace(work, **place))
        assert (result.ending, "cannot be made" in result.detail) == ("spawn_failed", True)


def test_command_over_its_time_is_stopped_and_what_it_printed_is_read(bench: AgentBench) -> None:
    command = replace(COMMAND, timeout=0.3)
    work = bench.work("sh", "-c", "echo 'ORCH-VERDICT: pass'; exec sleep 60", command=command)
    result = bench.run(work)
    assert (result.ending, result.exit_code, result.verdict) == ("timeout", 130, "pass")
    assert result.detail == "Stopped at its time limit of 0.3 s."


def test_silent_idle_command_stalls(bench: AgentBench) -> None:
    command = replace(COMMAND, stall_timeout=0.3)
    result = bench.run(bench.work("sleep", "60", command=command))
    assert result.ending == "stalled"
    assert "0.3 s without output" in result.detail


@pytest.mark.parametrize(
    "script",
    [
        "i=0; while [ $i -lt 12 ]; do echo .; sleep 0.1; i=$((i+1)); done",
        f"{sys.executable} -ISc 'import time as t\nwhile t.process_time() < 1: pass'; exit 0",
    ],
    ids=["output", "cpu"],
)
def test_sign_of_life_keeps_a_command_from_stalling(bench: AgentBench, script: str) -> None:
    command = replace(COMMAND, stall_timeout=0.8)
    result = bench.run(bench.work("sh", "-c", script, command=command))
    assert (result.ending, result.exit_code) == ("exited", 0)


@pytest.mark.parametrize("reason", ["paused", "cancelled", "fenced", "shutdown"])
def test_watch_stops_the_command_politely(bench: AgentBench, reason: StopReason) -> None:
    work = bench.work("interrupted.py")
    result = bench.run(work, bench.when("ready", reason), beat=0.02)
    assert (result.ending, result.stop_reason, result.exit_code) == ("stopped", reason, 0)
    assert bench.log() == "stopped by SIGINT\n"


def test_lease_is_renewed_while_the_command_is_stopping(bench: AgentBench) -> None:
    asked: list[StopReason | None] = []

    def watch() -> StopReason | None:
        asked.append("paused" if (bench.workdir / "ready").exists() else None)
        return asked[-1]

    result = bench.run(bench.work("stubborn_family.py"), watch, beat=0.05)
    assert result.stop_reason == "paused"
    assert asked.count("paused") > 2


@needs_proc
def test_nobody_of_a_stubborn_family_survives_a_stop(bench: AgentBench) -> None:
    result = bench.run(bench.work("stubborn_family.py"), bench.when("ready", "paused"), beat=0.02)
    assert (result.ending, result.exit_code) == ("stopped", 137)
    assert bench.alive() == []


@needs_proc
def test_family_left_behind_by_an_agent_that_ended_is_killed(bench: AgentBench) -> None:
    result = bench.run(bench.work("stubborn_family.py", "leave"))
    assert (result.ending, result.exit_code, result.detail) == ("exited", 0, "")
    assert bench.alive() == []


@needs_proc
def test_child_that_keeps_the_pipe_open_does_not_hold_up_the_end(bench: AgentBench) -> None:
    result = bench.sh("(sleep 60; echo late) & setsid sleep 60 & echo 'ORCH-VERDICT: pass'")
    assert (result.ending, result.verdict) == ("exited", "pass")
    assert bench.alive() == []


@needs_proc
def test_killed_worker_leaves_no_process_of_the_agent(
    bench: AgentBench, wait_until: WaitUntil
) -> None:
    family = str(AGENTS / "stubborn_family.py")
    argv = [
        sys.executable,
        str(AGENTS / "caller.py"),
        family,
        str(bench.workdir),
        str(bench.rundir),
    ]
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(argv, env={"PYTHONPATH": root, "PATH": os.defpath}) as caller:
        wait_until((bench.workdir / "ready").exists)
        assert len(bench.alive()) == 3
        caller.kill()
    wait_until(lambda: not bench.alive(), timeout=5)


@needs_proc
def test_killed_supervisor_is_told_and_leaves_nothing(bench: AgentBench) -> None:
    result = bench.sh("setsid sleep 60 & kill -9 $PPID; sleep 60")
    assert (result.ending, result.exit_code, result.verdict) == ("exited", None, None)
    assert "supervisor was killed" in result.detail
    assert bench.alive() == []


@needs_proc
def test_supervisor_that_the_agent_has_stopped_is_overdue_one_day(
    bench: AgentBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "OVERDUE", 0.2)
    command = replace(COMMAND, timeout=0.1, stop_grace=0.1)
    work = bench.work("sh", "-c", "kill -STOP $PPID; sleep 60", command=command)
    result = bench.run(work, beat=0.05)
    assert (result.ending, result.exit_code) == ("timeout", None)
    assert "did not answer" in result.detail
    assert bench.alive() == []


@needs_proc
def test_signal_to_the_supervisor_hands_the_job_back(bench: AgentBench) -> None:
    result = bench.sh("kill -TERM $PPID; sleep 60")
    assert (result.ending, result.stop_reason) == ("stopped", "shutdown")
    assert "from outside" in result.detail


@needs_proc
def test_watch_that_fails_ends_the_agent_before_it_is_raised(bench: AgentBench) -> None:
    def watch() -> None:
        raise ConnectionError("the store is away")

    with pytest.raises(ConnectionError, match="store is away"):
        bench.run(bench.work("stubborn_family.py"), watch, beat=0.1)
    assert bench.alive() == []


def test_worker_deaf_to_sigint_does_not_make_its_agents_deaf(bench: AgentBench) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        command = replace(COMMAND, timeout=0.2)
        result = bench.run(bench.work("sleep", "60", command=command))
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 128 + signal.SIGINT


def test_end_is_noticed_at_once_and_not_at_the_next_beat(bench: AgentBench) -> None:
    beats: list[None] = []
    bench.run(bench.work("/bin/true"), lambda: beats.append(None), beat=30)
    assert beats == []


def test_an_agent_stops_when_its_worker_is_silent_beyond_its_lease(
    bench: AgentBench, wait_until: WaitUntil
) -> None:
    def frozen() -> StopReason:
        wait_until(lambda: not bench.alive(), 10, "the agent outlived its worker's lease")
        return "fenced"

    work = replace(bench.work("sh", "-c", "sleep 60"), silence=0.3)
    result = bench.run(work, frozen, beat=0.05)
    assert (result.ending, result.stop_reason) == ("stopped", "fenced")
    assert bench.alive() == []


def test_an_agent_whose_worker_gives_signs_of_life_is_left_alone(bench: AgentBench) -> None:
    work = replace(bench.work("sh", "-c", "sleep 0.6; echo ORCH-VERDICT: pass"), silence=0.3)
    assert bench.run(work, beat=0.05).verdict == "pass"
