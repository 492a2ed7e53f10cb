"""What a person sees of a long run: a bar with rate and estimate in a terminal, a line a minute in a log."""

from __future__ import annotations

import io
import sys
import time

import pytest

from pipelines.progress import LINE_EVERY_S, Lines, bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_rate_and_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    with bar("Scanning tickets", 300, unit="rows") as progress:
        for _ in range(4):
            progress.advance(64)
            time.sleep(0.05)
    said = terminal.getvalue()
    assert "Scanning tickets" in said
    assert "256/300" in said
    assert "rows/s" in said
    assert "0:00:0" in said


def test_a_log_gets_a_line_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    lines = Lines("Scanning tickets", 100_000, unit="rows", clock=lambda: now)
    for _ in range(3 * LINE_EVERY_S - 1):
        now += 1
        lines.advance(64)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "Scanning tickets: 3,840 rows, 64.0 rows/s, about 25 min left of about 100,000",
        "Scanning tickets: 7,680 rows, 64.0 rows/s, about 24 min left of about 100,000",
    ]


def test_an_unknown_or_exceeded_total_gives_no_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    for total in (None, 10):
        now = 0.0
        lines = Lines("Scanning", total, unit="rows", clock=lambda: now)  # noqa: B023 - called in this round
        now = LINE_EVERY_S
        lines.advance(120)
        assert capsys.readouterr().err == "Scanning: 120 rows, 2.0 rows/s\n"


def test_a_short_run_without_a_terminal_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("Scanning", 10, unit="rows") as progress:
        progress.advance(10)
    assert capsys.readouterr().err == ""
