"""A supplement belongs to one certificate, is signed by the same two keys, and says who acknowledged what; nothing else passes."""

from __future__ import annotations

import base64
import json
import random
import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import rfc8785
from certificate_world import DPO, FACTS, PIPELINE, STRANGER, SUBJECT_FILES, write_keys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from lineage import certificate, envelope, supplement
from lineage.__main__ import main
from lineage.attested_supplement import supplement_lines
from lineage.authentic import NotProvenError
from lineage.errors import NotAcceptable, RefusedByRule, WrongUsage
from lineage.keys import key_id
from lineage.supplement import SUPPLEMENT_TYPE, Acknowledged, Supplement, build_supplement, read_supplement
from lineage.trusted import TrustedKeys
from lineage.verify import Verification, verify_bytes

TRUSTED = TrustedKeys(PIPELINE.public_key(), DPO.public_key())
CERTIFICATE = certificate.sign(certificate.build_statement(FACTS, SUBJECT_FILES), PIPELINE, DPO)
SENT = datetime(2026, 2, 21, 9, tzinfo=UTC)
NOTICES = tuple(
    Acknowledged(notice=f"notice-{n}", party=party, sent=SENT, acknowledged=SENT + timedelta(hours=n))
    for n, party in enumerate(("shop-app", "ticket-export"), start=1)
)
GIVEN = Supplement(certificate="cert-01", case="case-7f3a", issued=SENT + timedelta(days=2), notices=NOTICES)


def signed(statement: bytes, first: Ed25519PrivateKey = PIPELINE, second: Ed25519PrivateKey = DPO) -> bytes:
    """Signed as our signer would, sound or not."""
    return envelope.add_second(envelope.seal_first(statement, first), second, pipeline_public=first.public_key())


STATEMENT = build_supplement(GIVEN, certificate=CERTIFICATE)
SUPPLEMENT = signed(STATEMENT)


def verified(raw: bytes, *, of: bytes = CERTIFICATE) -> Verification:
    return verify_bytes(of, trusted=TRUSTED, supplement=raw)


def refused(raw: bytes) -> str:
    """Why; the check that says no is the supplement's, and nothing of it is told."""
    result = verified(raw)
    assert not result.ok
    assert result.checks[-1].name == "supplement"
    assert not any("shop-app" in line for line in result.summary)
    return result.checks[-1].sentence


def test_reading_is_the_inverse_of_building() -> None:
    assert read_supplement(STATEMENT) == (GIVEN, sha256(CERTIFICATE).hexdigest())


def test_a_supplement_is_accepted_and_tells_who_acknowledged_when() -> None:
    result = verified(SUPPLEMENT)
    assert result.ok, result.checks
    assert result.checks[-1].sentence.endswith("acknowledged notices: 2.")
    assert result.summary[-2:] == (
        "Told: shop-app, sent 2026-02-21T09:00:00.000000Z, acknowledged 2026-02-21T10:00:00.000000Z (notice notice-1)",
        "Told: ticket-export, sent 2026-02-21T09:00:00.000000Z, acknowledged 2026-02-21T11:00:00.000000Z (notice notice-2)",
    )


def test_two_steps_give_the_same_bytes_every_time() -> None:
    half = supplement.sign_first(STATEMENT, PIPELINE)
    assert supplement.countersign(half, DPO, pipeline_public=PIPELINE.public_key()) == SUPPLEMENT


def test_the_reference_libraries_accept_it() -> None:
    content = json.loads(STATEMENT)
    subjects = [ResourceDescriptor(name=s["name"], digest=s["digest"]).pb for s in content["subject"]]
    Statement(subjects, content["predicateType"], content["predicate"]).validate()
    keys = [SSlibKey.from_crypto(k.public_key(), keyid=key_id(k.public_key())) for k in (PIPELINE, DPO)]
    assert len(Envelope.from_dict(json.loads(SUPPLEMENT)).verify(keys, threshold=2)) == 2


FALSE = {
    "no notice": replace(GIVEN, notices=()),
    "a notice twice": replace(GIVEN, notices=(NOTICES[0], NOTICES[0])),
    "out of order": replace(GIVEN, notices=NOTICES[::-1]),
    "acknowledged before it was sent": replace(GIVEN, notices=(replace(NOTICES[0], sent=SENT + timedelta(days=1)),)),
    "acknowledged after it was made": replace(GIVEN, issued=SENT),
}


@pytest.mark.parametrize("false", FALSE.values(), ids=FALSE)
def test_what_cannot_be_true_is_neither_written_nor_accepted(false: Supplement) -> None:
    from lineage import in_toto

    with pytest.raises(WrongUsage):
        build_supplement(false, certificate=CERTIFICATE)
    forced = in_toto.write(SUPPLEMENT_TYPE, false, {"certificate.json": sha256(CERTIFICATE).hexdigest()})
    assert "cannot be true together" in refused(signed(forced))


def edited(edit: object) -> bytes:
    content = json.loads(STATEMENT)
    edit(content)  # type: ignore[operator]
    return rfc8785.dumps(content)


UNSOUND = {
    "another predicate type": edited(lambda c: c.update(predicateType="https://lethe.dev/erasure/v1")),
    "another statement type": edited(lambda c: c.update(_type="https://in-toto.io/Statement/v0.1")),
    "a field too many": edited(lambda c: c["predicate"].update(note="x")),
    "a field too few": edited(lambda c: c["predicate"].pop("issued")),
    "another certificate's handle": edited(lambda c: c["predicate"].update(certificate="cert-02")),
    "another case": edited(lambda c: c["predicate"].update(case="case-0000")),
    "another certificate": edited(lambda c: c["subject"][0]["digest"].update(sha256="0" * 64)),
    "a second subject": edited(lambda c: c["subject"].append({"name": "x", "digest": {"sha256": "0" * 64}})),
    "a local time": edited(lambda c: c["predicate"]["notices"][0].update(sent="2026-02-21T09:00:00+00:00")),
    "an address for a party": edited(lambda c: c["predicate"]["notices"][0].update(party="jo@example.org")),
    "no list": edited(lambda c: c["predicate"].update(notices={})),
    "a notice with more to say": edited(lambda c: c["predicate"]["notices"][0].update(ok=True)),
    "not canonical": STATEMENT + b" ",
    "not JSON": b"[" * 5000,
}


@pytest.mark.parametrize("payload", UNSOUND.values(), ids=UNSOUND)
def test_signed_by_both_and_still_no_supplement_of_this_certificate(payload: bytes) -> None:
    assert refused(signed(payload))


ATTACKS = {
    "a stranger for the DPO": signed(STATEMENT, PIPELINE, STRANGER),
    "a stranger for the pipeline": signed(STATEMENT, STRANGER, DPO),
    "the keys exchanged": signed(STATEMENT, DPO, PIPELINE),
    "half-signed": supplement.sign_first(STATEMENT, PIPELINE),
    "the certificate itself": CERTIFICATE,
    "twice": SUPPLEMENT + SUPPLEMENT,
    "pretty printed": json.dumps(json.loads(SUPPLEMENT), indent=1).encode(),
    "empty": b"",
}


@pytest.mark.parametrize("raw", ATTACKS.values(), ids=ATTACKS)
def test_attack_on_the_envelope(raw: bytes) -> None:
    assert refused(raw)


def test_a_supplement_is_no_certificate() -> None:
    assert not verify_bytes(SUPPLEMENT, trusted=TRUSTED).ok


def test_a_supplement_of_another_certificate_is_refused() -> None:
    other = certificate.sign(
        certificate.build_statement(replace(FACTS, neighbours_unchanged=7), SUBJECT_FILES), PIPELINE, DPO
    )
    assert "belongs to another certificate" in verified(SUPPLEMENT, of=other).checks[-1].sentence


def test_no_changed_missing_or_added_byte_is_accepted() -> None:
    """Every place of the file: another byte there, none there, one more there."""
    draw, predicate = random.Random(7), {"certificate": "cert-01", "request": {"case": "case-7f3a"}}

    def accepted(raw: bytes) -> bool:
        try:
            return bool(supplement_lines(raw, trusted=TRUSTED, certificate=CERTIFICATE, predicate=predicate))
        except NotProvenError:
            return False

    assert accepted(SUPPLEMENT)
    for place in range(len(SUPPLEMENT)):
        before, after = SUPPLEMENT[:place], SUPPLEMENT[place + 1 :]
        other = draw.choice([byte for byte in b'Aa0+/="{},: \n' if byte != SUPPLEMENT[place]])
        changed = (
            before + bytes([other]) + after,
            before + after,
            before + bytes([other]) + SUPPLEMENT[place:],
            before,
        )
        assert not any(accepted(raw) for raw in changed), place


def test_only_what_both_keys_should_sign_is_signed() -> None:
    half = supplement.sign_first(STATEMENT, PIPELINE)
    public = PIPELINE.public_key()
    for bad in (supplement.sign_first(STATEMENT, STRANGER), SUPPLEMENT, b"", half + b"\n"):
        with pytest.raises(NotAcceptable):
            supplement.countersign(bad, DPO, pipeline_public=public)
    with pytest.raises(RefusedByRule):
        supplement.countersign(half, PIPELINE, pipeline_public=public)
    with pytest.raises(NotAcceptable):
        certificate.countersign(half, DPO, pipeline_public=public)


def test_the_command_checks_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = str(write_keys(tmp_path))
    (tmp_path / "c.json").write_bytes(CERTIFICATE)
    (tmp_path / "s.json").write_bytes(SUPPLEMENT)
    (tmp_path / "bad.json").write_bytes(ATTACKS["a stranger for the DPO"])
    verify = ["verify", str(tmp_path / "c.json"), "--keys", keys, "--supplement"]
    assert main([*verify, str(tmp_path / "s.json")]) == 0
    assert "Told: shop-app" in capsys.readouterr().out
    assert main([*verify, str(tmp_path / "bad.json")]) == 1
    assert "Of the supplement: The second signature" in capsys.readouterr().out
    assert main([*verify, str(tmp_path / "missing.json")]) == 2


def test_the_document_explains_every_field() -> None:
    document = (Path(__file__).parents[2] / "docs" / "certificate-format.md").read_text()
    part = document.split("## The supplement")[1].split("\n## ")[0]
    names = {field.name for kind in (Supplement, Acknowledged) for field in fields(kind)}
    assert {name for name in names if f"`{name}`" not in part} == set()


def test_it_holds_no_more_than_handles_and_times() -> None:
    payload = base64.b64decode(json.loads(SUPPLEMENT)["payload"])
    words = set(re.findall(r"[A-Za-z][A-Za-z0-9-]+", json.dumps(json.loads(payload)["predicate"])))
    assert words <= {"acknowledged", "case", "case-7f3a", "cert-01", "certificate", "issued", "notice", "notice-1", "notice-2",
                     "notices", "party", "sent", "shop-app", "ticket-export", "T09", "T10", "T11"}  # fmt: skip
