"""What was said of weights stands: which result is reused, which is not, and that nothing gives a third look."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from case_world import DATABASE, events, file

from lineage.errors import RefusedByRule
from lineage.keyring import Keyring
from lineage.records import PlainText, TrainingRecord
from lineage.settings import AdapterSettings
from pipelines import stages
from pipelines.stages import Trial, judge_in_stages
from probes.dossier import Dossier, Panel, PersonalValue, PlacedRecord

RECORD = PlacedRecord(0, TrainingRecord("0" * 64, PlainText("words")))
PHONE = PersonalValue("phone", "0301234567")


class Judge:
    """Says what it is told to; counts how often it was asked, by stage."""

    def __init__(self, *verdicts: str) -> None:
        self.verdicts, self.asked, self.elsewhere = list(verdicts), [], []

    def __call__(self, _dossier: Any, _panel: Any, rules: Any, **_: Any) -> Any:
        self.asked.append(rules.stage)
        return SimpleNamespace(verdict=self.verdicts.pop(0), rules=rules)


def summary(judgement: Any, _paths: Any) -> dict[str, object]:
    digest = judgement.rules.digest.removeprefix("sha256:")
    return {"verdict": judgement.verdict, "stage": judgement.rules.stage, "protocol_digest": digest}


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    settings = AdapterSettings()
    workspace = SimpleNamespace(
        keyring=Keyring(b"1" * 32, b"2" * 32), database=DATABASE, case_directory=lambda _: tmp_path,
        settings=SimpleNamespace(adapters={"support": settings}),
    )  # fmt: skip
    atelier = SimpleNamespace(
        workspace=workspace, adapter="support", settings=settings, plan=SimpleNamespace(max_length=64)
    )
    panel = Panel(
        "base", pre={0: Path("old")}, post={0: Path("new")}, outs={1: Path("one"), 2: Path("two")},
        composed_pre=Path("before"), contained=Path("between"), composed_post=Path("release"),
    )  # fmt: skip
    return Trial(atelier, file(), panel, Dossier("handle", (RECORD,), (PHONE,), ()))


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    judge = Judge()
    monkeypatch.setattr("probes.judge.judge", judge)
    monkeypatch.setattr("probes.report.write_report", lambda *_: ())
    monkeypatch.setattr(stages, "summary", summary)
    monkeypatch.setattr(stages, "accused_elsewhere", lambda _: judge.elsewhere)
    monkeypatch.setattr(stages, "extra_adapters", lambda *_: nullcontext({}))
    return judge


def moved(trial: Trial, **panel: Any) -> Trial:
    return replace(trial, panel=replace(trial.panel, **panel))


def told(trial: Trial, **dossier: Any) -> Trial:
    return replace(trial, dossier=replace(trial.dossier, **dossier))


CHANGES = {
    "a neighbour moved": lambda trial: moved(trial, outs={1: Path("one"), 2: Path("two anew")}),
    "a value more": lambda trial: told(trial, values=(PHONE, PersonalValue("email", "a@b.example"))),
    "another value": lambda trial: told(trial, values=(PersonalValue("phone", "0307654321"),)),
    "a copy was found": lambda trial: told(trial, copies=1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_third_look_at_the_weights_that_a_second_stage_accused(trial, judge, change):
    judge.verdicts = ["FAIL", "FAIL"]
    said = judge_in_stages(trial)
    assert (said["verdict"], said["first_stage"]["verdict"]) == ("FAIL", "FAIL")
    assert judge_in_stages(change(trial)) == said
    assert judge.asked == [1, 2]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_pass_stands_only_while_everything_is_as_it_was(trial, judge, change):
    judge.verdicts = ["PASS", "INCONCLUSIVE"]
    said = judge_in_stages(trial)
    assert judge_in_stages(trial) == said
    assert judge_in_stages(change(trial))["verdict"] == "INCONCLUSIVE"
    assert judge_in_stages(trial) == said, "also after something else was judged"
    assert judge.asked == [1, 1]


@pytest.mark.parametrize("change", [lambda trial: trial, *CHANGES.values()], ids=["nothing", *CHANGES])
def test_after_a_first_fail_only_the_second_stage_goes_on(trial, judge, change):
    judge.verdicts = ["FAIL"]
    with pytest.raises(IndexError):  # the process dies in the second stage
        judge_in_stages(trial)
    judge.verdicts = ["PASS"]
    said = judge_in_stages(change(trial))
    assert (said["verdict"], said["stage"], said["first_stage"]["verdict"]) == ("PASS", 2, "FAIL")
    assert judge.asked == [1, 2, 2]


@pytest.mark.parametrize(
    "change",
    [
        lambda trial: moved(trial, post={0: Path("newer")}),
        lambda trial: moved(trial, composed_post=Path("newer")),
        lambda trial: told(
            trial, records=(RECORD, replace(RECORD, record=TrainingRecord("1" * 64, PlainText("more"))))
        ),
    ],
    ids=["new weights", "a new release", "another record"],
)
def test_what_was_mended_is_judged_from_the_beginning(trial, judge, change):
    judge.verdicts = ["FAIL", "FAIL", "PASS"]
    said = judge_in_stages(trial)
    assert judge_in_stages(change(trial))["verdict"] == "PASS"
    assert judge.asked == [1, 2, 1]
    assert judge_in_stages(trial) == said, "the accused weights stay accused"


def test_a_copy_in_a_neighbour_is_mended_there(trial, judge):
    """The map alone accused shard 2: new weights of shard 2 are judged from the beginning, those of shard 1 change nothing."""
    judge.verdicts, judge.elsewhere = ["FAIL", "FAIL"], [2]
    said = judge_in_stages(trial)
    assert judge_in_stages(moved(trial, outs={1: Path("one anew"), 2: Path("two")})) == said
    judge.verdicts = ["PASS"]
    assert judge_in_stages(moved(trial, outs={1: Path("one"), 2: Path("two anew")}))["verdict"] == "PASS"
    assert judge.asked == [1, 2, 1]


def test_a_first_fail_is_not_lost_with_the_extra_adapters_that_it_had(trial, judge):
    alone = moved(trial, outs={1: Path("one")})
    alone.atelier.settings = AdapterSettings(probes={"out_adapters": 3})
    judge.verdicts = ["FAIL"]
    with pytest.raises(IndexError):
        judge_in_stages(alone)
    alone.atelier.settings = AdapterSettings()
    with pytest.raises(RefusedByRule, match="settings changed after the first stage"):
        judge_in_stages(alone)


def test_the_promise_is_that_of_the_first_stage_that_failed(trial, judge):
    judge.verdicts = ["FAIL"]
    with pytest.raises(IndexError):
        judge_in_stages(trial)
    own, other = trial.atelier.settings, AdapterSettings(probes={"decoding": [{"top_k": 2}]})
    trial.atelier.settings, judge.verdicts = other, ["PASS"]
    judge_in_stages(moved(trial, post={0: Path("newer")}))
    trial.atelier.settings, judge.verdicts = own, ["PASS"]
    assert judge_in_stages(trial)["stage"] == 2


def test_nothing_that_is_filed_or_told_holds_a_value(trial, judge):
    judge.verdicts = ["PASS"]
    assert PHONE.value not in repr(judge_in_stages(trial))
    assert "probe.registered" in events(trial.case_id)
