"""The parts of the supervisor that need no process below it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orch.adapters import supervisor
from orch.adapters.streams import CHUNK, TAIL, CappedFile, Stream
from orch.adapters.supervised import SUPERVISOR
from orch.adapters.supervisor import Pulse, descendants


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The reading and the writing end."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def capped(path: Path, limit: int) -> CappedFile:
    return CappedFile(os.fsencode(path), limit)


def test_start_imports_nothing_of_orch_but_the_streams_and_nothing_heavy() -> None:
    code, folder, _ = SUPERVISOR
    done = subprocess.run(
        [sys.executable, "-ISc", code.replace("supervisor.main()", "print(*sys.modules)"), folder],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    loaded = set(done.stdout.split())
    assert {"streams", "supervisor"} <= loaded
    assert {name for name in loaded if name.startswith("orch")} == {"orch.adapters.streams"}
    assert not loaded & {"typing", "enum", "json", "re", "pathlib", "subprocess", "warnings"}


def test_capped_file_says_in_its_last_line_what_is_missing(tmp_path: Path) -> None:
    file = capped(tmp_path / "log", 5)
    for data in (b"abc", b"defg", b"h"):
        file.write(data)
    file.close()
    text = (tmp_path / "log").read_text()
    assert text == "abcde\n[orch] 3 bytes of output were dropped: the limit is 5 bytes.\n"
    assert file.size == len(text)


def test_capped_file_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        capped(tmp_path / "log", 5)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_full_disk_drops_output_and_raises_nothing() -> None:
    file = capped(Path("/dev/full"), 100)
    file.write(b"abc")
    file.write(b"def")
    file.close()
    assert (file.size, file.dropped, file.fault) == (0, 6, "No space left on device")


def test_secret_split_over_two_reads_is_masked(tmp_path: Path, pipe: tuple[int, int]) -> None:
    stream = Stream(pipe[0], [b"token-12345"], [capped(tmp_path / "log", 1000)])
    for part in (b"it is tok", b"en-12345, ", b"token-1", b"2345\nend tok"):
        os.write(pipe[1], part)
        stream.read()
    stream.flush()
    assert (tmp_path / "log").read_text() == "it is [masked], [masked]\nend tok"


def test_secret_split_in_a_line_too_long_to_hold_is_masked(
    tmp_path: Path, pipe: tuple[int, int]
) -> None:
    secret = b"token-12345"
    for cut in range(1, len(secret)):
        stream = Stream(pipe[0], [secret], [capped(tmp_path / "log", 10**6)])
        padding = b"x" * (CHUNK - cut)
        for part in (padding, secret[:cut], b"", secret[cut:] + b"y"):
            os.write(pipe[1], part)
            if part:
                stream.read()
        stream.flush()
        assert (tmp_path / "log").read_bytes() == padding + b"[masked]y"


def test_line_is_written_when_it_is_whole(tmp_path: Path, pipe: tuple[int, int]) -> None:
    stream = Stream(pipe[0], [], [capped(tmp_path / "log", 1000)])
    os.write(pipe[1], b"one\ntw")
    assert stream.read()
    assert (tmp_path / "log").read_text() == "one\n"
    os.write(pipe[1], b"o\n")
    stream.read()
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_tail_is_the_end_of_the_stream(pipe: tuple[int, int]) -> None:
    stream = Stream(pipe[0], [], [])
    os.write(pipe[1], b"x" * TAIL + b"\nend\n")
    stream.read()
    assert len(stream.tail) == TAIL
    assert stream.tail.endswith(b"x\nend\n")


def test_pulse_stops_after_its_patience_without_a_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "descendants", dict)
    pulse = Pulse(8.0, now=100.0)
    pulse.stopped(101.9)
    pulse.stopped(102.0)  # takes the CPU time this test process had used before, be it much or none
    pulse.seen = 102.0
    assert not pulse.stopped(109.9)
    pulse.seen = 109.0
    assert not pulse.stopped(112.0)
    assert pulse.stopped(117.0)


def test_pulse_counts_cpu_growth_but_not_the_idling_of_an_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = 0.0
    monkeypatch.setattr(supervisor, "descendants", lambda: {1: (1, ticks)})
    per_second = os.sysconf("SC_CLK_TCK")
    pulse = Pulse(8.0, now=100.0)
    pulse.stopped(102.0)
    seen = pulse.seen
    ticks += 0.005 * 2 * per_second
    pulse.stopped(104.0)
    assert pulse.seen == seen
    ticks += 0.02 * 2 * per_second
    pulse.stopped(106.0)
    assert pulse.seen == 106.0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_descendants_are_found_over_generations_and_sessions() -> None:
    script = "setsid sh -c 'echo $$; exec sleep 60' & echo $$; wait"
    argv = ["sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        pids = {int(child.stdout.readline()), int(child.stdout.readline())}
        found = descendants()
        for pid in pids:
            os.kill(pid, 9)
    assert pids <= found.keys()
    assert len({found[pid][0] for pid in pids}) == 2
