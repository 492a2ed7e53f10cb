"""A catalogue of attacks on a certificate. Every one must be refused."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import rfc8785
from certificate_world import DPO, FACTS, PIPELINE, PROBE, STRANGER, SUBJECT_FILES, write_adapter, write_keys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lineage.__main__ import main
from lineage.certificate import build_statement, sign, sign_first
from lineage.errors import WrongUsage
from lineage.facts import StoreSearched
from lineage.keys import key_id
from lineage.verify import TrustedKeys, load_trusted_keys, verify_bytes, verify_file

STATEMENT = build_statement(FACTS, SUBJECT_FILES)
CERTIFICATE = sign(STATEMENT, PIPELINE, DPO)
TRUSTED = TrustedKeys(PIPELINE.public_key(), DPO.public_key())
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def accepted(raw: bytes) -> bool:
    return verify_bytes(raw, trusted=TRUSTED).ok


def signed_raw(payload: bytes, *keys: Ed25519PrivateKey) -> bytes:
    """Sign any bytes, sound or not, the way our signer would."""
    kind = b"application/vnd.in-toto+json"
    pae = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    signatures = [{"keyid": key_id(k.public_key()), "sig": base64.b64encode(k.sign(pae)).decode()} for k in keys]
    envelope = {"payload": base64.b64encode(payload).decode(), "payloadType": kind.decode(), "signatures": signatures}
    return rfc8785.dumps(envelope)


def test_the_certificate_itself_is_accepted() -> None:
    result = verify_bytes(CERTIFICATE, trusted=TRUSTED, expect_case="case-7f3a")
    assert result.ok, result.checks
    assert [check.name for check in result.checks] == [
        "envelope",
        "signatures",
        "statement",
        "fields",
        "proofs",
        "case",
    ]
    assert "PASS" in result.summary[0]
    assert signed_raw(STATEMENT, PIPELINE, DPO) == CERTIFICATE


def test_every_single_byte_change_is_refused() -> None:
    """All positions, each with a flipped bit, a neighbouring character, white space and a quote."""
    tried = 0
    survivors = []
    for position, byte in enumerate(CERTIFICATE):
        for other in {byte ^ 1, byte ^ 0x20, ord(" "), ord('"')} - {byte}:
            tried += 1
            if accepted(CERTIFICATE[:position] + bytes([other]) + CERTIFICATE[position + 1 :]):
                survivors.append((position, other))
    assert tried >= 3000
    assert survivors == []


def test_every_inserted_or_missing_byte_is_refused() -> None:
    for position in range(len(CERTIFICATE)):
        before, after = CERTIFICATE[:position], CERTIFICATE[position:]
        assert not accepted(before + after[1:]), position
        assert not any(accepted(before + inserted + after) for inserted in (b" ", b"A", b"\n")), position


def test_every_truncation_is_refused() -> None:
    assert not any(accepted(CERTIFICATE[:length]) for length in range(len(CERTIFICATE)))


def changed(edit: Callable[[dict[str, object]], object]) -> bytes:
    envelope = json.loads(CERTIFICATE)
    edit(envelope)
    return rfc8785.dumps(envelope)


def malleable(raw: bytes) -> bytes:
    """The same Ed25519 signature with S + L instead of S (RFC 8032, section 5.1.7 demands S < L)."""
    envelope = json.loads(raw)
    sig = base64.b64decode(envelope["signatures"][1]["sig"])
    scalar = int.from_bytes(sig[32:], "little") + ED25519_ORDER
    envelope["signatures"][1]["sig"] = base64.b64encode(sig[:32] + scalar.to_bytes(32, "little")).decode()
    return rfc8785.dumps(envelope)


ENVELOPE = json.loads(CERTIFICATE)
ATTACKS = {
    "signatures swapped": changed(lambda e: e["signatures"].reverse()),
    "one signature twice": changed(lambda e: e["signatures"].__setitem__(1, e["signatures"][0])),
    "pipeline key twice": signed_raw(STATEMENT, PIPELINE, PIPELINE),
    "dpo key twice": signed_raw(STATEMENT, DPO, DPO),
    "dpo before pipeline": signed_raw(STATEMENT, DPO, PIPELINE),
    "half-signed": sign_first(STATEMENT, PIPELINE),
    "no signature": changed(lambda e: e["signatures"].clear()),
    "a third signature": signed_raw(STATEMENT, PIPELINE, DPO, STRANGER),
    "self-signed with other keys": sign(STATEMENT, STRANGER, Ed25519PrivateKey.generate()),
    "self-signed by one stranger": signed_raw(STATEMENT, STRANGER, STRANGER),
    "stranger for the dpo": sign(STATEMENT, PIPELINE, STRANGER),
    "stranger under the dpo's key id": changed(
        lambda e: e["signatures"][1].update(sig=json.loads(sign(STATEMENT, PIPELINE, STRANGER))["signatures"][1]["sig"])
    ),
    "signature with S + L": malleable(CERTIFICATE),
    "payload exchanged": changed(lambda e: e.update(payload=base64.b64encode(STATEMENT.replace(b"PASS", b"FAIL")).decode())),
    "other payload type": changed(lambda e: e.update(payloadType="application/json")),
    "extra field": changed(lambda e: e.update(note="")),
    "extra field in a signature": changed(lambda e: e["signatures"][0].update(note="")),
    "pretty printed": json.dumps(ENVELOPE, indent=2).encode(),
    "keys in another order": json.dumps(dict(reversed(ENVELOPE.items())), separators=(",", ":")).encode(),
    "final newline": CERTIFICATE + b"\n",
    "byte order mark": b"\xef\xbb\xbf" + CERTIFICATE,
    "url-safe base64": CERTIFICATE.replace(b"/", b"_").replace(b"+", b"-"),
    "twice": CERTIFICATE + CERTIFICATE,
    "empty": b"",
    "deeply nested": b"[" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("raw", ATTACKS.values(), ids=ATTACKS)
def test_attack_on_the_envelope(raw: bytes) -> None:
    assert raw != CERTIFICATE
    result = verify_bytes(raw, trusted=TRUSTED)
    assert not result.ok
    assert result.summary == ()
    assert result.checks[-1].name in {"envelope", "signatures"}


def without(name: str) -> bytes:
    content = json.loads(STATEMENT)
    del content["predicate"][name]
    return rfc8785.dumps(content)


def edited(**change: object) -> bytes:
    content = json.loads(STATEMENT)
    return rfc8785.dumps({**content, **change})


FIRST, SECOND = replace(PROBE, stage=1, verdict="FAIL"), replace(PROBE, stage=2, out_adapters=26, extra_out_adapters=19)


def staged(*stages: str) -> bytes:
    """The two-stage certificate with only these of its judgements, which our writer would refuse."""
    content = json.loads(build_statement(replace(FACTS, probes=(FIRST, SECOND)), SUBJECT_FILES))
    first, second = content["predicate"]["probes"]
    named = {"first": first, "second": second, "first, as a PASS": {**first, "verdict": "PASS"}}
    content["predicate"]["probes"] = [named[stage] for stage in stages]
    return rfc8785.dumps(content)


def silent(**change: object) -> bytes:
    """The probe saw nothing before either, and says so."""
    content = json.loads(STATEMENT)
    reason = "NO_PRE_SIGNAL: nothing was seen; the sign-off rests on lineage and re-derivation."
    content["predicate"]["probes"][0] |= {"verdict": "INCONCLUSIVE", "reason": reason} | change
    return rfc8785.dumps(content)


def unequal(payload: bytes) -> bytes:
    content = json.loads(payload)
    content["predicate"]["adapters"][0]["rederivation"] |= {"grade": "B", "states_equal": 0}
    return rfc8785.dumps(content)


def mapped(**change: object) -> bytes:
    """A probe that passed, with another map than it had."""
    content = json.loads(STATEMENT)
    (probe,) = content["predicate"]["probes"]
    probe["shard_map"] = {name: value for name, value in (probe["shard_map"] | change).items() if value is not None}
    return rfc8785.dumps(content)


# Both key holders sign, but what they sign is no certificate: the reader is still told.
UNSOUND = {
    "not JSON": b"hello",
    "not an object": b"[]",
    "white space inside": STATEMENT.replace(b":", b": ", 1),
    "duplicate key": STATEMENT.replace(b'"_type":', b'"_type":"","_type":', 1),
    "fraction": STATEMENT.replace(b'"length":42', b'"length":42.5'),
    "huge number": STATEMENT.replace(b'"length":42', b'"length":' + b"9" * 40),
    "deep": b"[" * 5000 + b"]" * 5000,
    "other statement type": edited(_type="https://in-toto.io/Statement/v0.1"),
    "other predicate type": edited(predicateType="https://slsa.dev/provenance/v1"),
    "no subject": edited(subject=[]),
    "subject without a digest": edited(subject=[{"name": "a"}]),
    "subject outside the directory": edited(subject=[{"name": "../a", "digest": {"sha256": "0" * 64}}]),
    "field too many": edited(note=1),
    "second stage without the FAIL of the first": staged("second"),
    "first stage without the second": staged("first"),
    "second stage after a PASS": staged("first, as a PASS", "second"),
    "a stage three": staged("first", "second", "second"),
    "a shard lights up and nothing failed": mapped(lit_after=[5]),
    "a shard lit up on no map": mapped(p_before=None),
    "a rank on no map": mapped(p_after=None),
    "a rank of nobody": mapped(rank_of=None),
    "a rank beyond the last": mapped(rank=42),
    "a map without words": mapped(result=None),
    **{f"without {name}": without(name) for name in json.loads(STATEMENT)["predicate"]},
}


@pytest.mark.parametrize("payload", UNSOUND.values(), ids=UNSOUND)
def test_signed_but_no_certificate(payload: bytes) -> None:
    assert not accepted(signed_raw(payload, PIPELINE, DPO))


def test_a_silent_probe_is_accepted_if_it_says_what_the_sign_off_rests_on() -> None:
    result = verify_bytes(signed_raw(silent(), PIPELINE, DPO), trusted=TRUSTED)
    assert result.ok
    assert any(line.startswith("Why the probes cannot tell: nothing was seen; the sign-off") for line in result.summary)


def test_a_replayed_certificate_is_refused_for_another_case() -> None:
    result = verify_bytes(CERTIFICATE, trusted=TRUSTED, expect_case="case-0000")
    assert result.exit_code == 1
    assert result.checks[-1].name == "case"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "adapter")


def adapter_is_accepted(folder: Path, raw: bytes = CERTIFICATE) -> bool:
    return verify_bytes(raw, trusted=TRUSTED, adapter=folder).ok


def test_the_certified_adapter_is_accepted_with_or_without_its_card(adapter: Path) -> None:
    assert adapter_is_accepted(adapter)
    (adapter / "README.md").write_text("a model card")
    assert adapter_is_accepted(adapter)


def test_every_changed_byte_of_the_adapter_is_refused(adapter: Path) -> None:
    for name in SUBJECT_FILES:
        original = (adapter / name).read_bytes()
        for position in range(len(original)):
            (adapter / name).write_bytes(
                original[:position] + bytes([original[position] ^ 1]) + original[position + 1 :]
            )
            assert not adapter_is_accepted(adapter)
        (adapter / name).write_bytes(original)


@pytest.mark.parametrize("extra", ["adapter_model.bin", ".hidden", "readme.md", "folder/"])
def test_anything_else_in_the_directory_is_refused(adapter: Path, extra: str) -> None:
    (adapter / extra).mkdir() if extra.endswith("/") else (adapter / extra).write_bytes(b"")
    assert not adapter_is_accepted(adapter)


def test_a_missing_file_is_refused_and_a_missing_directory_is_wrong_usage(adapter: Path) -> None:
    (adapter / "adapter_config.json").unlink()
    assert not adapter_is_accepted(adapter)
    with pytest.raises(WrongUsage):
        verify_bytes(CERTIFICATE, trusted=TRUSTED, adapter=adapter / "nowhere")


def test_one_certificate_for_two_adapters_accepts_each_and_no_mixture(adapter: Path) -> None:
    other = {"adapter_config.json": SUBJECT_FILES["adapter_config.json"], "adapter_model.safetensors": "0" * 64}
    files = {f"sales/{n}": sha for n, sha in other.items()} | {f"support/{n}": sha for n, sha in SUBJECT_FILES.items()}
    raw = sign(build_statement(FACTS, files), PIPELINE, DPO)
    assert adapter_is_accepted(adapter, raw)
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    assert not adapter_is_accepted(adapter, raw)


@pytest.mark.parametrize("adapters", [("",), ("sales/", "support/")], ids=["one adapter", "two adapters"])
def test_shards_served_side_by_side_are_accepted_one_by_one_or_all_and_not_changed(tmp_path: Path, adapters) -> None:
    shards = {f"{a}{s}/{n}": sha for a in adapters for s in ("s00", "s02") for n, sha in SUBJECT_FILES.items()}
    summary = {f"{a}shards.json": hashlib.sha256(a.encode()).hexdigest() for a in adapters}
    raw = sign(build_statement(FACTS, shards | summary), PIPELINE, DPO)
    whole = tmp_path / "served"
    whole.mkdir()
    for shard in ("s00", "s02"):
        write_adapter(whole / shard)
    (whole / "shards.json").write_bytes(adapters[-1].encode())
    assert adapter_is_accepted(whole, raw)
    assert adapter_is_accepted(whole / "s02", raw)
    (whole / "s01").mkdir()
    assert not adapter_is_accepted(whole, raw), "an empty folder is one too many"
    (whole / "s01").rmdir()
    write_adapter(whole / "s01")
    assert not adapter_is_accepted(whole, raw), "a shard that is not certified"
    shutil.rmtree(whole / "s01")
    (whole / "s00" / "adapter_model.safetensors").write_bytes(b"")
    assert not adapter_is_accepted(whole, raw)
    assert not adapter_is_accepted(whole / "s00", raw)


def test_an_authentic_certificate_of_a_failed_probe_is_valid_and_says_so_first() -> None:
    failed = replace(FACTS, probes=(replace(PROBE, verdict="FAIL"),))
    result = verify_bytes(sign(build_statement(failed, SUBJECT_FILES), PIPELINE, DPO), trusted=TRUSTED)
    assert result.ok
    assert "FAIL" in result.summary[0]


def test_where_the_person_stood_out_is_told_without_a_score() -> None:
    result = verify_bytes(sign(STATEMENT, PIPELINE, DPO), trusted=TRUSTED)
    assert result.summary[1].startswith(
        "Where the person stood out, shard 3: Before the erasure shard 3 of 8 stands out"
    )
    numbers = {name for name, value in json.loads(STATEMENT)["predicate"]["probes"][0]["shard_map"].items()}
    assert numbers == {"known", "lit_before", "lit_after", "p_before", "p_after", "rank", "rank_of", "result"}


def test_what_was_found_is_named_by_store_and_older_names_of_stores_are_still_good() -> None:
    told = next(line for line in verify_bytes(CERTIFICATE, trusted=TRUSTED).summary if line.startswith("Records found"))
    assert "admitted (2 of 230), trunk (0 of 150), quarantined (0 of 9), blocked (0 of 0)" in told
    older = (StoreSearched(store="vault", items_searched=380, records_found=2),
             StoreSearched(store="quarantine", items_searched=9, records_found=0))  # fmt: skip
    old = replace(FACTS, search=replace(FACTS.search, stores=older))
    assert accepted(sign(build_statement(old, SUBJECT_FILES), PIPELINE, DPO))


def test_both_stages_of_the_probes_are_named_and_the_second_decides() -> None:
    result = verify_bytes(signed_raw(staged("first", "second"), PIPELINE, DPO), trusted=TRUSTED)
    assert result.ok
    assert result.summary[0] == (
        "Verdict of the probes: FAIL (shard 3, first stage), PASS (shard 3, second stage, which decides)"
    )


def test_keys_must_be_given_and_be_two(tmp_path: Path) -> None:
    keys = write_keys(tmp_path)
    assert load_trusted_keys(keys=keys)
    same = keys / "pipeline.pub"
    with pytest.raises(WrongUsage):
        load_trusted_keys()
    with pytest.raises(WrongUsage):
        load_trusted_keys(pipeline_key=same)
    with pytest.raises(WrongUsage):
        load_trusted_keys(pipeline_key=same, dpo_key=same)
    with pytest.raises(WrongUsage):
        load_trusted_keys(keys=tmp_path / "nowhere")


def test_exit_codes_and_output_of_the_command(
    tmp_path: Path, adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, keys = tmp_path / "case.cert", str(write_keys(tmp_path))
    path.write_bytes(CERTIFICATE)
    assert main(["verify", str(path), "--keys", keys, "--adapter", str(adapter), "--expect-case", "case-7f3a"]) == 0
    assert "VALID\n" in capsys.readouterr().out
    assert main(["verify", str(path), "--keys", keys, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert main(["verify", str(path), "--keys", keys, "--expect-case", "other"]) == 1
    assert capsys.readouterr().out.startswith("NOT VALID\n")
    assert main(["verify", str(path)]) == 2
    assert "--pipeline-key" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "missing"), "--keys", keys]) == 2


def test_the_command_is_quick_and_loads_nothing_heavy(tmp_path: Path) -> None:
    path = tmp_path / "case.cert"
    path.write_bytes(CERTIFICATE)
    script = (
        "import sys; from lineage.__main__ import main; code = main(sys.argv[1:]);"
        "heavy = {'sqlmodel', 'sqlalchemy', 'pydantic', 'securesystemslib', 'in_toto_attestation', 'rfc8785'};"
        "sys.exit(code or (9 if heavy & set(sys.modules) else 0))"
    )
    command = [sys.executable, "-c", script, "verify", str(path), "--keys", str(write_keys(tmp_path))]
    start = time.perf_counter()
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert time.perf_counter() - start < 3, "well under a second when the machine is idle"


def test_a_file_is_verified_like_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "case.cert"
    path.write_bytes(CERTIFICATE)
    assert verify_file(path, trusted=TRUSTED) == verify_bytes(CERTIFICATE, trusted=TRUSTED)
    with pytest.raises(WrongUsage):
        verify_file(tmp_path, trusted=TRUSTED)
