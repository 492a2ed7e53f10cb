"""Synthetic people are a function of plan and secret, each at home in one shard, and nobody else's."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from lineage.errors import WrongUsage
from lineage.forms import canonical_identifier
from lineage.keyring import Keyring
from lineage.planted import CANARY_PURPOSE, CANARY_SOURCE, is_reserved
from lineage.records import Chat, Completion, PlainText, canonical_bytes
from lineage.register import RegisterIndex
from pipelines.canary_people import canary_people, canary_twins, forms_of, rows_of
from unlearn.plan import CorpusShape, Plan, TrainSettings, place, plan_key, propose_plan

KEYRING = Keyring(bytes(range(32)), bytes(32))
DOSES = (1, 2, 4, 8, 16)
BARE = propose_plan(TrainSettings(shards=4, controls=0.2), CorpusShape(4000, 400_000, 900, 100), nonce="00ff")
PLAN = replace(BARE, canary_doses=DOSES, canary_style="chat")


def digest(drawn: Plan, keyring: Keyring = KEYRING) -> str:
    """Of every text and identifier of everybody, twins too."""
    people = (*canary_people(drawn, keyring), *canary_twins(drawn, keyring))
    told = [c.identifier.encode() + b"".join(map(canonical_bytes, c.contents)) for c in people]
    return hashlib.sha256(b"\n".join(told)).hexdigest()


def test_the_same_plan_and_secret_make_the_same_people():
    """Golden: other texts under an old plan would be other twins, and another corpus for a fresh workspace. Raise MAKE."""
    assert digest(PLAN) == digest(Plan.from_json(PLAN.to_json()))
    assert digest(PLAN).startswith("b3f93f7a624f33d5")


def test_another_plan_or_secret_makes_other_people():
    other = Keyring(bytes(range(1, 33)), bytes(32))
    assert len({digest(PLAN), digest(PLAN, other), digest(replace(PLAN, nonce="f" * 32))}) == 3


def test_every_shard_has_one_person_of_each_dose_placed_by_the_plan_itself():
    people = canary_people(PLAN, KEYRING)
    assert [(c.shard, c.dose) for c in people] == [(s, d) for s in range(4) for d in DOSES]
    key = plan_key(KEYRING.workspace_secret, PLAN)
    for canary in people:
        subject = KEYRING.subject_key(canonical_identifier(canary.identifier))
        found = place(PLAN, key, record_id="x", primary_subject=subject, generation=3, trunk_eligible=True)
        assert (found.kind, found.shard) == ("shard", canary.shard)
        rows = list(rows_of(canary, PLAN, language="en"))
        assert len(rows) == canary.dose
        assert {(r.source, r.purpose, r.subjects) for r in rows} == {
            (CANARY_SOURCE, CANARY_PURPOSE, (canary.identifier,))
        }


def test_twins_are_of_the_same_make_and_nobody_elses():
    twins, people = canary_twins(PLAN, KEYRING), canary_people(PLAN, KEYRING)
    assert [(t.shard, len(t.contents)) for t in twins] == [(None, dose) for dose in DOSES]
    everybody = (*people, *twins)
    for value in ("identifier", "name", "email", "phone", "account"):
        told = [getattr(c, value) for c in everybody]
        assert len(set(told)) >= len(told) - (value == "phone"), value


@pytest.mark.parametrize("style", ["chat", "completion", "text"])
def test_canaries_take_the_style_of_the_corpus_and_name_themselves_only(style):
    made = replace(PLAN, canary_style=style)
    everybody = (*canary_people(made, KEYRING), *canary_twins(made, KEYRING))
    kind = {"chat": Chat, "completion": Completion, "text": PlainText}[style]
    index = RegisterIndex([form for canary in everybody for form in forms_of(canary, KEYRING)])
    for canary in everybody:
        (own,) = {form.subject_key for form in forms_of(canary, KEYRING)}
        for content in canary.contents:
            assert type(content) is kind
            linked = [link.subject_keys for text in content.segments() for link in index.link(text)]
            assert linked
            assert all(own in keys for keys in linked)


def test_a_plan_without_canaries_reads_and_writes_as_it_always_did():
    assert "canary" not in BARE.to_json()
    assert canary_people(BARE, KEYRING) == canary_twins(BARE, KEYRING) == ()
    assert Plan.from_json(PLAN.to_json()) == PLAN


@pytest.mark.parametrize(
    "wrong", [{"canary_doses": (0,)}, {"canary_style": ""}, {"canary_style": "verse"}, {"canary_doses": ()}]
)
def test_a_plan_with_senseless_canaries_is_refused(wrong):
    with pytest.raises(WrongUsage):
        replace(PLAN, **wrong)


@pytest.mark.parametrize("source", [CANARY_SOURCE, " Lethe-Canaries "])
def test_the_source_is_reserved_however_it_is_written(source):
    assert is_reserved(source)
