"""One case over HTTP from filing to certificate, with the test playing the jobs; and what must never be on a page."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import PASSPHRASE, lethe_here, one_sentence
from desk_world import CONTRACT, EVIDENCE, NOW, OTHER, PERSON, SHARD_MAP, Desk, World, certificate_facts, digest

from lineage import dossier, ledger, signing, sought
from lineage.certificate import build_statement, sign_first
from lineage.chain import Intact
from lineage.keys import create_key_pair, load_private_key
from lineage.stages import Stage
from lineage.verify import load_trusted_keys, verify_bytes


def test_a_case_walks_from_filing_to_a_verifying_certificate(world: World) -> None:
    intake, dpo = world.browser("ines"), world.browser("dana")
    case_id = intake.filed(*PERSON)
    assert "Searching" in dpo.get(f"/cases/{case_id}").text
    assert 'http-equiv="refresh"' in dpo.get(f"/cases/{case_id}").text

    world.play_preview(case_id)
    page = dpo.get(f"/cases/{case_id}").text
    assert "<strong>5</strong> to erase" in page
    assert "<strong>2</strong> already redacted" in page
    assert "shard 5" in page
    assert 'href="http://127.0.0.1:3321/runs/1f0e-preview"' in page
    assert dpo.post(f"/cases/{case_id}/approve", digest=dpo.hidden_digest(case_id)).status_code == 303

    world.play_erasure(case_id)
    page = dpo.get(f"/cases/{case_id}").text
    assert "PASS" in page
    assert "the same bytes for 3 states" in page
    for label, before, after in (
        ("P-value, membership", "&lt; 0.0001", "0.41"),
        ("Account exposure rank, shard 2", "1", "311"),
    ):
        assert f'{label}</th><td class="num">{before}</td><td class="num">{after}' in page
    assert dpo.post(f"/cases/{case_id}/approve_purge", digest=dpo.hidden_digest(case_id)).status_code == 303

    world.play_purge(case_id)
    assert "24 forms of the person searched in 183 files: 0 found" in dpo.get(f"/cases/{case_id}").text
    assert (
        dpo.post(f"/cases/{case_id}/sign", digest=dpo.hidden_digest(case_id), passphrase=PASSPHRASE).status_code == 303
    )

    certificate = dpo.get(f"/cases/{case_id}/certificate")
    assert "attachment" in certificate.headers["content-disposition"]
    keys = load_trusted_keys(keys=world.workspace.home / "secrets")
    assert verify_bytes(certificate.content, trusted=keys, expect_case=case_id).ok
    with world.workspace.database.reader() as session:
        assert isinstance(ledger.verify(session), Intact)
        signed = ledger.events_of_case(session, case_id)[-1]
    assert signed.payload["certificate"] == hashlib.sha256(certificate.content).hexdigest()


def test_no_page_shows_an_identifier_after_filing(world: World) -> None:
    intake, dpo = world.browser("ines"), world.browser("dana")
    case_id = intake.filed(*PERSON)
    seen = [intake.get("/file")]

    def look() -> None:
        paths = ("/", f"/cases/{case_id}", "/api/cases", f"/api/cases/{case_id}", "/verify")
        seen.extend(dpo.get(path) for path in paths)

    look()
    world.play_preview(case_id)
    look()
    dpo.post(f"/cases/{case_id}/approve", digest=dpo.hidden_digest(case_id))
    world.play_erasure(case_id)
    look()
    for page in seen:
        assert page.status_code == 200
        text = page.text.casefold()
        assert not [value for value in (*PERSON, "quendolin") if value.casefold() in text]


def test_the_supplied_identifiers_are_sealed_until_the_purge_and_open_for_the_search(world: World) -> None:
    case_id = world.browser("ines").filed(*PERSON)
    assert sought.open_supplied(world.workspace, case_id) == list(PERSON)
    for path in world.workspace.home.glob("*.db*"):
        assert not [value for value in PERSON if value.encode() in path.read_bytes()]


def test_that_nothing_is_held_of_an_unknown_person_is_decided_by_a_dpo_on_the_report(world: World) -> None:
    intake, dpo, unknown = world.browser("ines"), world.browser("dana"), ("Nobody Atall", "nobody@atall.example")
    case_id = intake.filed(*unknown)
    assert "Searching" in intake.get(f"/cases/{case_id}").text
    world.play_search(case_id)
    page = dpo.get(f"/cases/{case_id}").text
    assert "Nothing found" in page
    assert "What this search cannot see" in page or "nothing is admitted" in page
    assert "10 days left" in page  # the person must still be answered in time
    assert not [value for value in unknown if value in page]
    assert "This waits for the role" in intake.get(f"/cases/{case_id}").text
    report = dpo.hidden_digest(case_id)
    assert intake.post(f"/cases/{case_id}/not_found", digest=report).status_code == 403
    assert dpo.post(f"/cases/{case_id}/not_found", digest="0" * 64).status_code == 409
    assert dpo.post(f"/cases/{case_id}/not_found", digest=report).status_code == 303
    page = dpo.get(f"/cases/{case_id}").text
    assert "a finding and not an erasure" in page
    assert "Search report" in page
    assert "Decide on the search" not in page


def test_identifiers_of_two_people_are_refused_and_a_shared_name_does_not_decide(world: World) -> None:
    intake = world.browser("ines")
    mixed = intake.file(PERSON[1], OTHER[1])
    assert mixed.status_code == 400
    assert "belong to 2 people" in mixed.text
    assert intake.file(OTHER[0]).status_code == 400  # the name alone means two people
    assert intake.file(*OTHER).status_code == 303  # the address settles it


def test_a_second_request_of_the_same_person_names_the_open_case(world: World) -> None:
    intake = world.browser("ines")
    first = intake.filed(PERSON[1])
    again = intake.file(PERSON[2])
    assert again.status_code == 409
    assert first in again.text


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("identifiers", " \n ", "At least one identifier"),
        ("received_on", "yesterday", "missing or malformed"),
        ("received_on", "2026-02-25", "lies in the future"),
        ("ground", "z", "letters a to f"),
        ("identity_method", "phoned wilma@quendolin.example", "repeats an identifier"),
        ("identity_method", "", "The identity method is needed"),
    ],
)
def test_a_bad_filing_keeps_what_was_typed_and_says_why(world: World, field: str, value: str, sentence: str) -> None:
    form = {"identifiers": PERSON[1], field: value}
    response = world.browser("ines").file(form.pop("identifiers"), **form)
    assert response.status_code == 400
    assert sentence in response.text
    assert not dossier.inbox(world.workspace, now=NOW)


def test_reasons_hold_and_extension_show_on_the_page(world: World) -> None:
    case_id, dpo = world.browser("ines").filed(*PERSON), world.browser("dana")
    assert "Two further months" in dpo.get(f"/cases/{case_id}/extend").text
    assert dpo.post(f"/cases/{case_id}/extend", reason="Many systems to search").status_code == 303
    assert dpo.post(f"/cases/{case_id}/hold", reason="Court case 12/26").status_code == 303
    page = dpo.get(f"/cases/{case_id}").text
    assert "30 April 2026" in page
    assert "Court case 12/26" in page
    assert 'http-equiv="refresh"' not in page
    assert "Lift the legal hold" in dpo.get(f"/cases/{case_id}/hold").text
    assert dpo.post(f"/cases/{case_id}/hold", reason="").status_code == 303
    assert dpo.post(f"/cases/{case_id}/refuse", reason=f"We know {PERSON[0]}").status_code == 400
    assert dpo.post(f"/cases/{case_id}/refuse", reason="Needed for a legal claim").status_code == 303
    assert "Needed for a legal claim" in dpo.get(f"/cases/{case_id}").text


@pytest.mark.parametrize(("after", "missed"), [([], []), ([6], [6])], ids=["nobody now", "a copy"])
def test_the_verdict_stands_beside_a_map_of_all_shards(
    world: World, monkeypatch: pytest.MonkeyPatch, after: list[int], missed: list[int]
) -> None:
    drawn = {**SHARD_MAP, "after": after, "missed": missed}
    monkeypatch.setitem(EVIDENCE["probe"], "adapters", {"support": {"shard_map": drawn}})
    case_id, dpo = world.browser("ines").filed(*PERSON), world.browser("dana")
    world.play_preview(case_id)
    dpo.post(f"/cases/{case_id}/approve", digest=dpo.hidden_digest(case_id))
    world.play_erasure(case_id)
    page = dpo.get(f"/cases/{case_id}").text
    shards = page.split('<table class="shards">')[1].split("</table>")[0]
    before, now = shards.split("<tbody>")[1].split("</tr>")[:2]
    assert [(row.count("●"), row.count("○")) for row in (before, now)] == [(2, 6), (len(after), 8 - len(after))]
    assert (shards.count("known to lineage"), now.count("strange")) == (2, len(missed))
    assert page.index("verdict-word") < page.index("Where is this person?") < page.index("Does it still remember?")
    assert " ".join(SHARD_MAP["sentences"]) in page


def test_a_hold_placed_after_the_evidence_stops_the_purge(world: World) -> None:
    case_id, dpo = world.browser("ines").filed(*PERSON), world.browser("dana")
    world.play_preview(case_id)
    dpo.post(f"/cases/{case_id}/approve", digest=dpo.hidden_digest(case_id))
    world.play_erasure(case_id)
    bound = dpo.hidden_digest(case_id)
    dpo.post(f"/cases/{case_id}/hold", reason="Court case 12/26")
    refused = dpo.post(f"/cases/{case_id}/approve_purge", digest=bound)
    assert refused.status_code == 409
    assert "legal hold" in refused.text


def test_a_failed_job_shows_its_problem_and_can_be_retried(world: World) -> None:
    case_id, dpo = world.browser("ines").filed(*PERSON), world.browser("dana")
    world.play_preview(case_id)
    dpo.post(f"/cases/{case_id}/approve", digest=dpo.hidden_digest(case_id))
    world.play_erasure(case_id, until=Stage.EXECUTING)
    with world.case_file(case_id) as (_, case):
        case.fail("The disk is full.", now=NOW)
    page = dpo.get(f"/cases/{case_id}").text
    assert "The disk is full." in page
    assert 'class="stop failed"' in page
    assert world.browser("milo").post(f"/cases/{case_id}/retry").status_code == 303
    assert "Rebuilding" in dpo.get(f"/cases/{case_id}").text


def test_a_changed_preview_makes_the_read_digest_stale(world: World) -> None:
    case_id, dpo = world.browser("ines").filed(*PERSON), world.browser("dana")
    world.play_preview(case_id)
    read = dpo.hidden_digest(case_id)
    world.play_preview(case_id, {**CONTRACT, "plans": {"support": digest("another plan")}})
    stale = dpo.post(f"/cases/{case_id}/approve", digest=read)
    assert stale.status_code == 409
    assert "changed since it was read" in stale.text
    assert dpo.post(f"/cases/{case_id}/approve", digest=dpo.hidden_digest(case_id)).status_code == 303


def to_sign(world: World) -> tuple[str, Desk]:
    """A purged case, and the browser of the DPO who is to sign it."""
    case_id, dpo = world.browser("ines").filed(*PERSON), world.browser("dana")
    world.play_preview(case_id)
    dpo.post(f"/cases/{case_id}/approve", digest=dpo.hidden_digest(case_id))
    world.play_erasure(case_id)
    dpo.post(f"/cases/{case_id}/approve_purge", digest=dpo.hidden_digest(case_id))
    world.play_purge(case_id)
    return case_id, dpo


def test_the_page_shows_the_certificate_that_the_signature_binds(world: World) -> None:
    case_id, dpo = to_sign(world)
    half_signed = (world.workspace.case_directory(case_id) / "certificate.half.json").read_bytes()
    assert dpo.hidden_digest(case_id) == hashlib.sha256(half_signed).hexdigest()
    page = dpo.get(f"/cases/{case_id}").text
    assert "What this does not prove" in page
    assert "Says nothing about copies outside the listed stores." in page
    whole = dpo.get(f"/cases/{case_id}/certificate.html")
    assert "NOT A CERTIFICATE" in whole.text
    assert "sandbox" in whole.headers["content-security-policy"]
    dpo.post(f"/cases/{case_id}/sign", digest=dpo.hidden_digest(case_id), passphrase=PASSPHRASE)
    assert "NOT A CERTIFICATE" not in dpo.get(f"/cases/{case_id}/certificate.html").text
    assert dpo.get(f"/cases/{case_id}/certificate.pdf").content.startswith(b"%PDF-")
    with world.workspace.database.reader() as session:
        signed = ledger.events_of_case(session, case_id)[-1]
    assert signed.payload["read"] == hashlib.sha256(half_signed).hexdigest()


def test_a_certificate_that_was_made_anew_is_not_signed_as_read(world: World) -> None:
    case_id, dpo = to_sign(world)
    read, path = dpo.hidden_digest(case_id), world.workspace.case_directory(case_id) / "certificate.half.json"
    key = load_private_key(world.workspace.home / "secrets" / "pipeline.pem")
    facts = replace(certificate_facts(case_id), neighbours_unchanged=7)
    path.write_bytes(sign_first(build_statement(facts, {"adapter_model.safetensors": "0" * 64}), key))
    for stale in (read, ""):
        refused = dpo.post(f"/cases/{case_id}/sign", digest=stale, passphrase=PASSPHRASE)
        assert refused.status_code == 409
        assert "is not the one that was read" in refused.text
    assert not path.with_name("certificate.json").exists()
    assert (
        dpo.post(f"/cases/{case_id}/sign", digest=dpo.hidden_digest(case_id), passphrase=PASSPHRASE).status_code == 303
    )


def test_a_certificate_that_cannot_be_shown_cannot_be_signed_from_the_page(world: World) -> None:
    case_id, dpo = to_sign(world)
    path = world.workspace.case_directory(case_id) / "certificate.half.json"
    path.write_bytes(b"{}")
    assert "It cannot be shown, and so not be signed" in dpo.get(f"/cases/{case_id}").text
    path.unlink()
    assert "The purge has left no certificate." in dpo.get(f"/cases/{case_id}").text
    assert dpo.get(f"/cases/{case_id}/certificate.html").status_code == 404


def test_signing_again_after_a_crash_gives_the_same_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id, dpo = to_sign(world)
    path = world.workspace.case_directory(case_id) / "certificate.json"
    write = signing.write_whole

    def write_and_die(*given: object) -> None:
        write(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(signing, "write_whole", write_and_die)
        from desk_world import STAFF

        from lineage.access import Actor

        read = dpo.hidden_digest(case_id)
        with pytest.raises(KeyboardInterrupt):
            signing.sign(
                world.workspace,
                case_id,
                digest=read,
                actor=Actor("dana", STAFF["dana"]),
                now=NOW,
                passphrase=PASSPHRASE,
            )
    first = path.read_bytes()
    assert "Purged" in dpo.get(f"/cases/{case_id}").text
    assert dpo.get(f"/cases/{case_id}/certificate").status_code == 404
    assert dpo.post(f"/cases/{case_id}/sign", digest=read, passphrase=PASSPHRASE).status_code == 303
    assert path.read_bytes() == first
    assert (
        dpo.post(f"/cases/{case_id}/sign", digest=read, passphrase=PASSPHRASE).status_code == 303
    )  # and again, without a second event


def test_a_half_signed_certificate_of_another_case_is_not_signed(world: World) -> None:
    intake, dpo = world.browser("ines"), world.browser("dana")
    case_id, other = intake.filed(*PERSON), intake.filed(OTHER[1])
    for one in (case_id, other):
        world.play_preview(one)
        dpo.post(f"/cases/{one}/approve", digest=dpo.hidden_digest(one))
        world.play_erasure(one)
        dpo.post(f"/cases/{one}/approve_purge", digest=dpo.hidden_digest(one))
        world.play_purge(one)
    folder = world.workspace.case_directory
    swapped = (folder(other) / "certificate.half.json").read_bytes()
    (folder(case_id) / "certificate.half.json").write_bytes(swapped)
    refused = dpo.post(f"/cases/{case_id}/sign", digest=dpo.hidden_digest(case_id), passphrase=PASSPHRASE)
    assert refused.status_code == 400
    assert "another case" in refused.text
    assert not (folder(case_id) / "certificate.json").exists()


def test_the_verify_page_tells_a_good_file_from_a_bad_one(world: World) -> None:
    dpo = world.browser("dana")
    bad = dpo.client.post("/verify", data={"form_token": _token(dpo)}, files={"certificate": ("c.json", b"{}")})
    assert bad.status_code == 200
    assert "Not valid" in bad.text
    assert dpo.post("/verify").status_code == 400


def test_json_tells_what_the_page_tells(world: World) -> None:
    case_id, dpo = world.browser("ines").filed(*PERSON), world.browser("dana")
    listed = dpo.get("/api/cases").json()["cases"]
    assert [(c["id"], c["stage"], c["due_on"], c["days_left"]) for c in listed] == [
        (case_id, "ASSESSMENT", "2026-03-02", 10)
    ]
    body = json.loads(dpo.get(f"/api/cases/{case_id}").text)
    assert body["standing"]["case"]["id"] == case_id
    assert body["certificate"] is None
    assert dpo.get("/api/cases/case-00000000").json()["error"] == "There is no such case."


def _token(browser: Desk) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', browser.get("/").text)
    assert found
    return found.group(1)


# --- the DPO's passphrase ----------------------------------------------------------------------------------------------------


def test_a_signature_asks_for_the_passphrase_each_time(world: World) -> None:
    case_id, dpo = to_sign(world)
    read = dpo.hidden_digest(case_id)
    page = dpo.get(f"/cases/{case_id}").text
    assert 'name="passphrase" type="password" required autocomplete="off"' in page
    for wrong in ("", "not the passphrase of anybody"):
        refused = dpo.post(f"/cases/{case_id}/sign", digest=read, passphrase=wrong)
        assert refused.status_code in (400, 409)
        assert "passphrase" in refused.text
        assert wrong not in refused.text or not wrong
    assert "Purged" in dpo.get(f"/cases/{case_id}").text
    assert not (world.workspace.case_directory(case_id) / "certificate.json").exists()
    assert dpo.post(f"/cases/{case_id}/sign", digest=read, passphrase=PASSPHRASE).status_code == 303
    assert PASSPHRASE not in dpo.get(f"/cases/{case_id}").text


def test_without_a_key_or_with_a_plain_one_the_page_says_what_to_do_and_offers_no_button(world: World) -> None:
    case_id, dpo = to_sign(world)
    secrets, read = world.workspace.home / "secrets", dpo.hidden_digest(case_id)
    for name in ("dpo.pem", "dpo.pub"):
        (secrets / name).unlink()
    assert dpo.get("/keys/dpo.pub").status_code == 404
    for words in ("There is no DPO key yet", "without a passphrase"):
        page = dpo.get(f"/cases/{case_id}").text
        assert words in page
        assert "lethe keys dpo" in page
        assert f'action="/cases/{case_id}/sign"' not in page
        assert dpo.post(f"/cases/{case_id}/sign", digest=read, passphrase=PASSPHRASE).status_code in (400, 409)
        if not (secrets / "dpo.pem").exists():
            create_key_pair(secrets, "dpo")
    assert not (world.workspace.case_directory(case_id) / "certificate.json").exists()


def test_the_command_line_asks_for_the_same(world: World, tmp_path: Path) -> None:
    case_id, dpo = to_sign(world)
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("not the passphrase of anybody\n")
    sign = ("erase", "sign", case_id, "--digest", dpo.hidden_digest(case_id), "--as")
    said = lethe_here(*sign, "dana", "--passphrase-file", wrong, workspace=world.folder, code=None)
    one_sentence(said, 2, "does not open")
    one_sentence(lethe_here(*sign, "milo", workspace=world.folder, code=None), 3, "Only the role dpo")
    assert not (world.workspace.case_directory(case_id) / "certificate.json").exists()
    said = lethe_here(*sign, "dana", workspace=world.folder)
    assert PASSPHRASE not in said.out + said.err
    assert (world.workspace.case_directory(case_id) / "certificate.json").exists()
