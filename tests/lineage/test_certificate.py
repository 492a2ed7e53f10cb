"""The certificate states exactly its facts, in one spelling, and the two reference libraries agree."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
import rfc8785
from certificate_world import (
    CHANGE,
    DPO,
    FACTS,
    PIPELINE,
    PROBE,
    REQUEST,
    SHARD_MAP,
    STRANGER,
    SUBJECT_FILES,
    digest,
    write_adapter,
    write_keys,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from lineage import facts as f
from lineage.certificate import (
    build_statement,
    countersign,
    measured,
    read_half_signed,
    read_statement,
    sign,
    sign_first,
)
from lineage.errors import NotAcceptable, RefusedByRule, WrongUsage
from lineage.keys import key_id
from lineage.verify import REQUIRED

STATEMENT = build_statement(FACTS, SUBJECT_FILES)


def test_reading_is_the_inverse_of_building() -> None:
    assert read_statement(STATEMENT) == (FACTS, SUBJECT_FILES)


SENTENCES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40).filter(str.strip)


@settings(deadline=None)
@given(
    sentence=SENTENCES,
    count=st.integers(0, 2**53 - 1),
    p_value=st.none() | st.decimals("0", "1", places=12),
    seconds=st.floats(0, 3600),
)
def test_round_trip_of_any_facts(sentence: str, count: int, p_value: Decimal | None, seconds: float) -> None:
    probe = replace(
        PROBE, reason=sentence, controls=count, p_value=p_value, at=FACTS.preview.at + timedelta(seconds=seconds)
    )
    facts = replace(
        FACTS, controller=sentence, neighbours_unchanged=count, probes=(probe,), limits=(sentence, sentence)
    )
    assert read_statement(build_statement(facts, SUBJECT_FILES))[0] == facts


def test_the_statement_is_canonical_and_in_toto_accepts_it() -> None:
    content = json.loads(STATEMENT)
    assert rfc8785.dumps(content) == STATEMENT
    subjects = [ResourceDescriptor(name=s["name"], digest=s["digest"]).pb for s in content["subject"]]
    Statement(subjects, content["predicateType"], content["predicate"]).validate()


def test_securesystemslib_verifies_the_certificate() -> None:
    envelope = Envelope.from_dict(json.loads(sign(STATEMENT, PIPELINE, DPO)))
    keys = [SSlibKey.from_crypto(k.public_key(), keyid=key_id(k.public_key())) for k in (PIPELINE, DPO)]
    assert len(envelope.verify(keys, threshold=2)) == 2


def test_two_steps_give_the_same_bytes_as_one() -> None:
    half = sign_first(STATEMENT, PIPELINE)
    assert read_half_signed(half, pipeline_public=PIPELINE.public_key()) == STATEMENT
    assert countersign(half, DPO, pipeline_public=PIPELINE.public_key()) == sign(STATEMENT, PIPELINE, DPO)


def test_the_dpo_signs_only_what_the_trusted_pipeline_signed() -> None:
    public = PIPELINE.public_key()
    half = sign_first(STATEMENT, PIPELINE)
    for bad in (sign_first(STATEMENT, STRANGER), sign(STATEMENT, PIPELINE, DPO), half + b"\n", half[:-1], b"", b"[]"):
        with pytest.raises(NotAcceptable):
            countersign(bad, DPO, pipeline_public=public)
    with pytest.raises(RefusedByRule):
        countersign(half, PIPELINE, pipeline_public=public)


def test_nothing_unsound_is_signed() -> None:
    for bad in (b"{}", b"null", STATEMENT + b" ", STATEMENT.replace(b'"length":42', b'"length":42.0')):
        with pytest.raises(NotAcceptable):
            sign_first(bad, PIPELINE)


FIRST = replace(PROBE, stage=1, verdict="FAIL", report_digest=digest("first report"))
SECOND = replace(PROBE, stage=2, out_adapters=26, extra_out_adapters=19)


def test_two_stages_of_a_probe_are_written_and_read() -> None:
    facts = replace(FACTS, probes=(FIRST, SECOND, replace(PROBE, level="shard 4")))
    assert read_statement(build_statement(facts, SUBJECT_FILES))[0] == facts


SILENT = replace(
    PROBE, verdict="INCONCLUSIVE",
    reason="NO_PRE_SIGNAL: nothing was seen before either; the sign-off rests on lineage and re-derivation.",
)  # fmt: skip


def mapped(verdict: str = "PASS", **change: object) -> f.CertificateFacts:
    return replace(FACTS, probes=(replace(PROBE, verdict=verdict, shard_map=replace(SHARD_MAP, **change)),))  # type: ignore[arg-type]


def test_a_map_that_could_not_be_drawn_and_a_probe_without_one_are_written_and_read() -> None:
    no_map = f.ShardMap(known=(3,), lit_before=(), lit_after=(), result="No shard map could be drawn: 3 shards.")
    for facts in (
        replace(FACTS, probes=(replace(PROBE, shard_map=no_map),)), replace(FACTS, probes=(replace(PROBE, shard_map=None),)),
        mapped(rank=None, rank_of=None), mapped("FAIL", lit_after=(5,)),
    ):  # fmt: skip
        assert read_statement(build_statement(facts, SUBJECT_FILES))[0] == facts


CONTRADICTIONS = {
    "a shard lights up and nothing failed": mapped(lit_after=(5,)),
    "a shard lights up, and nobody can tell": mapped("INCONCLUSIVE", lit_after=(3,)),
    "a shard lit up on no map": mapped(p_before=None),
    "a shard lights up on no map": mapped("FAIL", lit_after=(5,), p_after=None, rank=None, rank_of=None),
    "a rank on no map": mapped(p_after=None),
    "a rank of nobody": mapped(rank_of=None),
    "a rank beyond the last": mapped(rank=42),
    "rank nought": mapped(rank=0),
    "second stage without the first": replace(FACTS, probes=(SECOND,)),
    "first stage without the second": replace(FACTS, probes=(FIRST,)),
    "first stage that did not fail": replace(FACTS, probes=(replace(FIRST, verdict="PASS"), SECOND)),
    "stages in the wrong order": replace(FACTS, probes=(SECOND, FIRST)),
    "stages of two levels": replace(FACTS, probes=(FIRST, replace(SECOND, level="shard 4"))),
    "a third stage": replace(FACTS, probes=(FIRST, SECOND, replace(SECOND, stage=3))),
    "a stage beside one that names none": replace(FACTS, probes=(FIRST, replace(SECOND, stage=None))),
    "more extra models than models": replace(FACTS, probes=(replace(PROBE, extra_out_adapters=8),)),
    "no limits": replace(FACTS, limits=()),
    "nothing kept": replace(FACTS, kept=()),
    "due before receipt": replace(FACTS, request=replace(REQUEST, due=date(2026, 1, 30))),
    "extended without reasons": replace(FACTS, request=replace(REQUEST, extended=True)),
    "issued before the purge": replace(FACTS, issued=FACTS.purge.at - timedelta(seconds=1)),
    "record decided twice": replace(FACTS, decisions=FACTS.decisions + FACTS.decisions[:1]),
    "digests do not match the count": replace(FACTS, destroyed=(f.Destroyed(kind="state", count=2, digests=(digest("x"),)),)),
    "grade A without equality": replace(
        FACTS, adapters=(replace(CHANGE, rederivation=replace(CHANGE.rederivation, states_equal=0)),)
    ),
    "nothing seen before, and not said what it rests on": replace(
        FACTS, probes=(replace(PROBE, verdict="INCONCLUSIVE", reason="NO_PRE_SIGNAL: nothing was seen"),)
    ),
    "nothing seen before, and passed": replace(FACTS, probes=(replace(SILENT, verdict="PASS"),)),
    "it rests on a re-derivation that differed": replace(
        FACTS, probes=(SILENT,),
        adapters=(replace(CHANGE, rederivation=replace(CHANGE.rederivation, grade="B", states_equal=0)),),
    ),
    "adapter did not change": replace(FACTS, adapters=(replace(CHANGE, new_digest=CHANGE.old_digest),)),
}  # fmt: skip
MALFORMED = {
    "empty sentence": replace(FACTS, controller=" "),
    "line break": replace(FACTS, controller="a\nb"),
    "handle with a space": replace(FACTS, certificate="cert 1"),
    "handle that is an address": replace(FACTS, request=replace(REQUEST, case="jo@example.org")),
    "digest in capitals": replace(FACTS, ledger=f.LedgerHead(digest="A" * 64, length=1)),
    "negative count": replace(FACTS, neighbours_unchanged=-1),
    "truth value as a count": replace(FACTS, neighbours_unchanged=True),
    "fraction": replace(FACTS, probes=(replace(PROBE, p_value=0.5),)),  # type: ignore[arg-type]
    "not a number": replace(FACTS, probes=(replace(PROBE, p_value=Decimal("NaN")),)),
    "count too large for JSON": replace(FACTS, neighbours_unchanged=2**53),
    "unknown verdict": replace(FACTS, probes=(replace(PROBE, verdict="OK"),)),  # type: ignore[arg-type]
    "local time": replace(FACTS, issued=datetime(2026, 2, 21, tzinfo=timezone(timedelta(hours=1)))),
    "naive time": replace(FACTS, issued=datetime(2026, 2, 21)),  # noqa: DTZ001 - the point of the case
}


@pytest.mark.parametrize("facts", [*CONTRADICTIONS.values(), *MALFORMED.values()], ids=[*CONTRADICTIONS, *MALFORMED])
def test_contradictory_or_malformed_facts_are_not_written(facts: f.CertificateFacts) -> None:
    with pytest.raises(WrongUsage):
        build_statement(facts, SUBJECT_FILES)


def test_a_silent_probe_that_says_what_the_sign_off_rests_on_is_written() -> None:
    facts = replace(FACTS, probes=(SILENT,))
    assert read_statement(build_statement(facts, SUBJECT_FILES)) == (facts, SUBJECT_FILES)


@pytest.mark.parametrize("files", [{}, {"../x": "0" * 64}, {"/x": "0" * 64}, {"a/b/c/d": "0" * 64}, {"x": "abc"}])
def test_malformed_subject_files_are_not_written(files: dict[str, str]) -> None:
    with pytest.raises(WrongUsage):
        build_statement(FACTS, files)


def test_an_identifier_of_the_person_stops_the_certificate() -> None:
    facts = replace(FACTS, limits=('The copy kept for ZOË "Z" Quill was not reached.',))
    with pytest.raises(RefusedByRule) as refusal:
        build_statement(facts, SUBJECT_FILES, forbidden=("someone else", 'zoë "z" quill '))
    assert "quill" not in str(refusal.value).casefold()
    assert build_statement(facts, SUBJECT_FILES, forbidden=("someone else", ""))


def test_any_other_spelling_of_a_value_is_refused() -> None:
    content = json.loads(STATEMENT)
    content["predicate"]["issued"] = "2026-02-20T15:30:00Z"
    with pytest.raises(NotAcceptable, match="one allowed way"):
        read_statement(rfc8785.dumps(content))
    del content["predicate"]["limits"]
    with pytest.raises(NotAcceptable, match="lacks a field"):
        read_statement(rfc8785.dumps(content))


def test_measured_numbers_are_short_and_finite() -> None:
    assert measured(0.1 + 0.2) == Decimal("0.3")
    assert measured(1e-30) == Decimal("1E-30")
    for bad in (float("nan"), float("inf")):
        with pytest.raises(WrongUsage):
            measured(bad)


def every_field(cls: type) -> set[str]:
    names: set[str] = set()
    for kind in [cls, *(k for k in vars(f).values() if is_dataclass(k))]:
        names |= {field.name for field in fields(kind)}
    return names


def test_the_document_explains_every_field() -> None:
    document = (Path(__file__).parents[2] / "docs" / "certificate-format.md").read_text()
    assert [name for name in sorted(every_field(f.CertificateFacts)) if f"`{name}`" not in document] == []


def test_the_verifier_demands_what_the_writer_always_writes() -> None:
    predicate = json.loads(STATEMENT)["predicate"]
    for section, names in REQUIRED.items():
        content = predicate[section] if section else predicate
        entry = content[0] if isinstance(content, list) else content
        optional = {"p_value", "interval", "contained_at", "extension_reasons", "further_scanners", "shard_map"}
        assert set(names.split()) == set(entry) - optional, section


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_document_s_check_without_our_code_works_as_printed(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "certificate-format.md").read_text()
    script = document.split("python3 - case.cert", 1)[1].split("\n```", 1)[0]
    (tmp_path / "case.cert").write_bytes(sign(STATEMENT, PIPELINE, DPO))
    write_keys(tmp_path)
    write_adapter(tmp_path / "ADAPTER_DIR")
    command = f"set -e; python3() {{ '{sys.executable}' \"$@\"; }}\npython3 - case.cert{script}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Signature Verified Successfully") == 2
    assert "2 signatures; canonical" in done.stdout
    assert key_id(DPO.public_key()) in done.stdout
