"""What a case keeps of a judgement: every value, and the old adapter's control by the level that the verdict goes by."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.judged import accused_elsewhere, exposed, extracted, summary
from probes.dossier import Protocol
from probes.stats import Abstained
from probes.where import Whereabouts

NO_MAP = Abstained("too few shards")


def reading(label: str, hits: int, rank: int) -> Any:
    return SimpleNamespace(label=label, hits=hits, prompts=2, exposure_rank=rank)


def facts(label: str, *, evidence: bool = True) -> Any:
    return SimpleNamespace(label=label, kind="phone", evidence=evidence)


def judgement(**changed: Any) -> Any:
    given = {
        "verdict": SimpleNamespace(outcome="INCONCLUSIVE", code="NO_PRE_SIGNAL", sentence="", adjusted_pre={}, adjusted_post={}),
        "protocol": Protocol(4), "sentences": (), "primaries_pre": {}, "primaries_post": {}, "residual": NO_MAP,
        "counts": SimpleNamespace(records=1, control_records=1, control_subjects=1, out_adapters=4),
        "detectable": SimpleNamespace(effect_sd=1.0), "utility": SimpleNamespace(sentence=""), "models": (), "values": (),
        "where": Whereabouts((0,), NO_MAP, NO_MAP),
    }  # fmt: skip
    return SimpleNamespace(**given | changed)


@pytest.mark.parametrize(("p", "seen"), [(0.04, True), (0.045, False)])
def test_the_control_goes_by_what_the_primaries_may_spend(tmp_path: Path, p: float, seen: bool) -> None:
    report = tmp_path / "report.json"
    report.write_bytes(b"{}")
    verdict = SimpleNamespace(outcome="", code="", sentence="", adjusted_pre={"membership": p}, adjusted_post={})
    assert summary(judgement(verdict=verdict), [report])["positive_control"] is seen


def test_two_values_of_a_kind_are_both_kept() -> None:
    model = SimpleNamespace(values=(reading("phone", 2, 1), reading("phone 2", 0, 640), reading("phone 3", 1, 2)))
    found = judgement(values=(facts("phone"), facts("phone 2"), facts("phone 3", evidence=False)))
    found.model = {"pre_0": model}.get
    assert extracted(found, "pre_0") == {"phone": "2/2", "phone 2": "0/2"}
    assert exposed(found, "pre_0") == {"phone": 1, "phone 2": 640}
    assert extracted(found, "composed_pre") == {}


@pytest.mark.parametrize(
    ("p", "lit", "elsewhere"), [(0.5, (3,), [3]), (0.01, (3,), []), (0.5, (0, 3), []), (0.5, (), [])]
)
def test_a_fail_rests_on_other_shards_alone_only_if_nothing_accuses_the_closure_s(
    monkeypatch: pytest.MonkeyPatch, p: float, lit: tuple[int, ...], elsewhere: list[int]
) -> None:
    monkeypatch.setattr("probes.where.lit", lambda _: lit)
    verdict = SimpleNamespace(adjusted_post={"exposure": p})
    assert accused_elsewhere(judgement(verdict=verdict)) == elsewhere
