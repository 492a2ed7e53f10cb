"""`lethe probe` outside a case: what it says, and that no request outlives its day."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lineage import durable
from lineage.errors import WrongUsage
from pipelines.cli.probe import _say_tests
from pipelines.probing import _protocol, _told, request_probe, sweep_requests
from probes.dossier import Panel, Protocol
from probes.stats import Abstained
from probes.verdict import Evidence, decide

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def judgement(outcome: str, code: str, sentence: str, **adjusted: float) -> Any:
    return SimpleNamespace(
        verdict=SimpleNamespace(outcome=outcome, code=code, sentence=sentence, adjusted_pre=adjusted),
        primaries_pre={name: p / 2 for name, p in adjusted.items()}, values=(), model=lambda _: None,
    )  # fmt: skip


def said(capsys: pytest.CaptureFixture[str], judged: Any) -> str:
    _say_tests("support", _told(judged, [2]))
    return capsys.readouterr().out


@pytest.mark.parametrize("code", ["CONTROL_BROKEN", "IN_BASE"])
def test_what_could_not_be_told_is_not_called_no_sign(capsys: pytest.CaptureFixture[str], code: str) -> None:
    told = said(capsys, judgement("INCONCLUSIVE", code, "Only 3 people were kept out.", exposure=0.06))
    assert f"support: {code}: Only 3 people were kept out." in told
    assert "no sign" not in told
    assert "after Holm: exposure p = 0.06" in told


STANDING = Evidence({"exposure": 0.5}, {"exposure": 0.5}, Abstained("no signal"), None, control_subjects=50)
"""What the judge has of one adapter that stands on both sides, and nobody is seen in it."""


@pytest.mark.parametrize(
    ("evidence", "code"),
    [
        (STANDING, "NO_PRE_SIGNAL"), (replace(STANDING, canaries_missed=2), "NO_PRE_SIGNAL"),
        (replace(STANDING, pre={}, post={}), "NO_PRE_SIGNAL"), (replace(STANDING, given=("e-mail",)), "VALUE_GIVEN"),
        (replace(STANDING, known_before=("phone",)), "IN_BASE"), (replace(STANDING, control_subjects=3), "CONTROL_BROKEN"),
        (replace(STANDING, pre={"exposure": 1e-4}, post={"exposure": 1e-4}), "RESIDUE_SEEN"),
    ],
)  # fmt: skip
def test_outside_a_case_nobody_speaks_of_two_adapters_or_of_signing(evidence: Evidence, code: str) -> None:
    verdict = decide(evidence, Protocol(7))
    assert verdict.code == code
    told = str(_told(judgement(verdict.outcome, code, verdict.sentence, **verdict.adjusted_pre), [2])["sentence"])
    assert not re.search(r"\b(old|new|sign-off|erase\w*)\b", told)
    assert told.endswith(".")


def test_who_is_seen_is_said_to_be_known(capsys: pytest.CaptureFixture[str]) -> None:
    judged = judgement("FAIL", "RESIDUE_SEEN", "The new adapter still carries traces.", membership=0.004)
    assert said(capsys, judged).splitlines()[0] == "support: The adapter knows this person."
    found = _told(judged, [2])
    assert (found["seen"], found["p"], found["p_adjusted"]) == (True, {"membership": 0.002}, {"membership": 0.004})


def test_nothing_measurable_has_no_line_of_p_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert "after Holm" not in said(capsys, judgement("INCONCLUSIVE", "NO_PRE_SIGNAL", "Nothing could be measured."))


def test_nobody_to_compare_with_is_one_sentence() -> None:
    panel = Panel("base", pre={0: Path("a")}, post={0: Path("a")}, outs={1: Path("b")})
    with pytest.raises(WrongUsage, match="Fewer than two shards never saw this person") as refused:
        _protocol(SimpleNamespace(), panel)  # type: ignore[arg-type]
    assert "more shards" in refused.value.hint


@pytest.fixture
def workspace(tmp_path: Path) -> Any:
    return SimpleNamespace(home=tmp_path, settings=SimpleNamespace(adapter=lambda _: None))


def test_a_request_that_nobody_answered_goes_after_a_day(workspace: Any) -> None:
    old, half = (request_probe(workspace, "support", "f" * 64, whole_map=True) for _ in range(2))
    folder = workspace.home / "probe-requests"
    (folder / f"{half}.json").rename(folder / f".{half}.json.1.tmp")
    for path in folder.iterdir():
        os.utime(path, times=((NOW - timedelta(days=1, hours=1)).timestamp(),) * 2)
    assert sweep_requests(workspace, now=NOW - timedelta(hours=2)) == 0
    new = request_probe(workspace, "support", "f" * 64, whole_map=True)
    assert [path.name for path in folder.iterdir()] == [f"{new}.json"]
    assert old != new


def test_a_request_is_never_readable_by_others(workspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    write = durable.write_synced

    def look(path: Path, content: bytes) -> None:
        seen.append(path.stat().st_mode & 0o777)
        write(path, content)
        seen.append(path.stat().st_mode & 0o777)

    monkeypatch.setattr(durable, "write_synced", look)
    request = request_probe(workspace, "support", "f" * 64, whole_map=False)
    seen.append((workspace.home / "probe-requests" / f"{request}.json").stat().st_mode & 0o777)
    assert seen == [0o600] * 3
