"""Parties are told by real HTTP: what counts as told, what does not, and what a crash between request and answer leaves."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import lethe_here
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from dagster import DagsterInstance, RunRequest, SkipReason, build_sensor_context
from road import hire
from webhook_server import ACKNOWLEDGE, REFUSE, Reply, listening

from lineage import desk, inventory
from lineage.access import Actor, Role
from lineage.case import CaseFile
from lineage.closing import Telling, go_on, retry_notice, tell_person, waive_notice
from lineage.endpoints import parse_endpoint, seal_endpoint
from lineage.evidence import add_evidence
from lineage.keys import load_private_key, load_public_key, private_path, public_path
from lineage.letters import Kind
from lineage.notices import MAX_TRIES, Notice, State, acknowledgements, notices
from lineage.stages import Stage
from lineage.workspace import Workspace, create_workspace, open_workspace
from pipelines.notifying import notice_sensor, send_due
from pipelines.resources import WorkspaceResource
from pipelines.webhook import deliver, signed_headers

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
INES, DANA, MAX = Actor("ines", Role.INTAKE), Actor("dana", Role.DPO), Actor("max", Role.ML)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("office") / "ws"
    create_workspace(folder, controller="Test GmbH")
    hire(folder)
    return folder


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Workspace:
    from shutil import copytree

    return open_workspace(copytree(template, tmp_path / "ws"))


class Clock:
    """Time that a test moves; the process may die when it asks for the time once more."""

    def __init__(self, now: datetime = NOW, *, dies_at: int = 0) -> None:
        self.now, self.dies_at, self.asked = now, dies_at, 0

    def __call__(self) -> datetime:
        self.asked += 1
        if self.asked == self.dies_at:
            raise KeyboardInterrupt
        return self.now


def signed_case(workspace: Workspace, url: str, *, name: str = "shop", person: str = "C-1") -> str:
    """A certified case whose person was told and whose one party has a webhook."""
    endpoint = seal_endpoint(workspace, name, url)
    intake = desk.Intake([person], "b", "portal", NOW.date())
    case_id = desk.file_case(workspace, intake, actor=INES, now=NOW).id
    with workspace.database.transaction() as session:
        party = inventory.Party(name, "recipient", "Example Shop Ltd")
        inventory.put_party(session, party, actor=DANA, now=NOW, endpoint=endpoint)
        body = {"records": [], "parties_to_be_told": [{"name": name, "kind": "recipient", "whom": "Example Shop Ltd"}]}
        add_evidence(session, case_id, "contract", body, now=NOW)
        case = CaseFile(session, case_id)
        case.preview_ready("p", now=NOW)
        case.approve(actor=DANA, digest="p", now=NOW)
        for step in (Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING):
            case.advance(step, now=NOW)
        case.evidence_ready("e", now=NOW)
        case.approve_purge(actor=DANA, digest="e", now=NOW)
        case.purged(now=NOW)
        case.signed_off(actor=DANA, now=NOW)
        go_on(session, case_id, workspace.settings, now=NOW)
    tell_person(workspace, case_id, Telling(Kind.GRANTED, NOW.date(), own=True), actor=DANA, now=NOW)
    return case_id


def only(workspace: Workspace, case_id: str) -> Notice:
    with workspace.database.reader() as session:
        (notice,) = notices(session, case_id)
        return notice


def stage(workspace: Workspace, case_id: str) -> Stage:
    with workspace.database.transaction() as session:
        return CaseFile(session, case_id).view.stage


def try_until_given_up(workspace: Workspace, case_id: str) -> None:
    clock = Clock()
    while (notice := only(workspace, case_id)).next_try_at:
        clock.now = max(clock.now, notice.next_try_at)
        send_due(workspace, clock=clock)


# --- other people's failure -------------------------------------------------------------------------------------------------


def test_http_200_with_ok_false_taken_as_success(workspace: Workspace) -> None:
    """A party that answers 200 and refuses has not been told, however often: the case stays open until it says ok."""
    with listening(REFUSE) as party:
        case_id = signed_case(workspace, party.url)
        try_until_given_up(workspace, case_id)
        notice = only(workspace, case_id)
        assert (notice.state, notice.tries, notice.problem) == (State.DEAD, MAX_TRIES, "HTTP 200 without ok: true")
        assert len(party.received) == MAX_TRIES
        assert {got.id for got in party.received} == {notice.id}
        assert stage(workspace, case_id) == Stage.NOTIFYING
        party.script[:] = [ACKNOWLEDGE]
        assert send_due(workspace, clock=Clock(NOW + timedelta(days=30))) == {}, "a dead letter waits for a person"
        retry_notice(workspace, notice.id, actor=MAX, now=NOW)
        assert send_due(workspace, clock=Clock()) == {"acknowledged": 1}
    assert stage(workspace, case_id) == Stage.CLOSED
    with workspace.database.reader() as session:
        (told,) = acknowledgements(session, case_id)
    assert (told.party, told.id, told.sent, told.acknowledged) == ("shop", notice.id, NOW, NOW)


ANSWERS: dict[str, Reply] = {
    "HTTP 500 instead of 200": Reply(500),
    "HTTP 202 instead of 200": Reply(202),
    "HTTP 200 without JSON": Reply(body=lambda got: b"<html>OK</html>"),
    "HTTP 200 without a JSON object": Reply(body=lambda got: b"true"),
    "HTTP 200 with another id": Reply(body=lambda got: json.dumps({"id": got.id + "0", "ok": True}).encode()),
    "an answer that is too long": Reply(
        body=lambda got: json.dumps({"id": got.id, "ok": True}).encode() + b" " * 70_000
    ),
}


@pytest.mark.parametrize("problem", ANSWERS)
def test_any_other_answer_is_a_failed_try_and_says_why(workspace: Workspace, problem: str) -> None:
    with listening(ANSWERS[problem], ACKNOWLEDGE) as party:
        case_id = signed_case(workspace, party.url)
        assert send_due(workspace, clock=Clock()) == {"pending": 1}
        failed = only(workspace, case_id)
        assert (failed.problem, failed.next_try_at) == (problem, NOW + timedelta(minutes=1))
        assert send_due(workspace, clock=Clock()) == {}, "not before its time"
        assert send_due(workspace, clock=Clock(NOW + timedelta(minutes=1))) == {"acknowledged": 1}
    assert stage(workspace, case_id) == Stage.CLOSED


def test_a_redirect_is_not_followed(workspace: Workspace) -> None:
    with listening() as somebody_else:
        moved = Reply(302, headers=(("Location", somebody_else.url),))
        with listening(moved) as party:
            case_id = signed_case(workspace, party.url)
            send_due(workspace, clock=Clock())
        assert only(workspace, case_id).problem == "HTTP 302 instead of 200"
        assert somebody_else.received == []


def test_nobody_listens(workspace: Workspace) -> None:
    with listening() as party:
        case_id = signed_case(workspace, party.url)
    assert send_due(workspace, clock=Clock()) == {"pending": 1}
    assert only(workspace, case_id).problem == "no answer (ConnectionRefusedError)"


@pytest.mark.parametrize("drip_s", [0.05, 60.0])
def test_an_answer_that_does_not_end_is_cut_off(workspace: Workspace, drip_s: float) -> None:
    """A byte now and then keeps an ordinary timeout from ever passing."""
    with listening(Reply(drip_s=drip_s)) as party:
        case_id = signed_case(workspace, party.url)
        started = datetime.now(UTC)
        problem = deliver(
            parse_endpoint(party.url), only(workspace, case_id), key=key_of(workspace), at=NOW, timeout_s=0.4
        )
        assert datetime.now(UTC) - started < timedelta(seconds=5)
    assert problem == "no whole answer within 0.4 s"


def test_https_is_spoken_to_whom_a_known_authority_vouches_for_and_to_nobody_else(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = self_signed(tmp_path / "party.pem")
    with listening(ACKNOWLEDGE, Reply(drip_s=0.05), tls=pem) as party:
        case_id = signed_case(workspace, party.url)
        send_due(workspace, clock=Clock())
        notice = only(workspace, case_id)
        assert notice.problem == "no answer (SSLCertVerificationError)"
        assert party.received == []
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert send_due(workspace, clock=Clock(NOW + timedelta(minutes=1))) == {"acknowledged": 1}
        told = deliver(parse_endpoint(party.url), notice, key=key_of(workspace), at=NOW, timeout_s=1.0)
        assert told == "no whole answer within 1 s", "it is cut off under TLS, too"


def self_signed(path: Path) -> Path:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)

.add_extension(x509.SubjectAlternativeName([x509.DNSName('localhost')]), critical=False).not_valid_before(today - timedelta(days=1)).not_valid_after(today + timedelta(days=1)).sign(key, None)
    )  # fmt: skip
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    path.write_bytes(pem)
    return path


# --- the signature --------------------------------------------------------------------------------------------------------


def key_of(workspace: Workspace) -> Ed25519PrivateKey:
    return load_private_key(private_path(workspace.home / "secrets", "pipeline"))


def test_a_party_can_check_who_told_it_what_and_when(workspace: Workspace) -> None:
    """As Standard Webhooks has it: Ed25519 over `id.timestamp.body`, `v1a,` and base64."""
    with listening() as party:
        case_id = signed_case(workspace, party.url)
        send_due(workspace, clock=Clock())
    (got,) = party.received
    notice = only(workspace, case_id)
    assert (got.path, got.headers["Content-Type"]) == ("/hooks/erasure?token=s3cret", "application/json")
    assert (got.headers["webhook-id"], got.headers["webhook-timestamp"]) == (notice.id, str(int(NOW.timestamp())))
    assert got.body.decode() == notice.body
    version, _, signature = got.headers["webhook-signature"].partition(",")
    assert version == "v1a"
    public, signed = load_public_key(public_path(workspace.home / "secrets", "pipeline")), base64.b64decode(signature)
    public.verify(signed, f"{notice.id}.{int(NOW.timestamp())}.{notice.body}".encode())
    for other in (f"{notice.id}.{int(NOW.timestamp()) + 1}.{notice.body}", f"{notice.id}.{int(NOW.timestamp())}.{{}}"):
        with pytest.raises(InvalidSignature):
            public.verify(signed, other.encode())
    assert (
        signed_headers(notice, key=key_of(workspace), at=NOW)["webhook-signature"] == got.headers["webhook-signature"]
    )


# --- crashes and races ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", range(1, 6))
def test_a_sender_that_dies_anywhere_tells_the_party_all_the_same_under_one_id(
    workspace: Workspace, boundary: int
) -> None:
    """Boundary 5 lies between the party's answer and our note of it: the repeat has the same id, so the party knows it."""
    with listening() as party:
        case_id = signed_case(workspace, party.url)
        with pytest.raises(KeyboardInterrupt):
            send_due(workspace, clock=Clock(dies_at=boundary))
        assert only(workspace, case_id).state in (State.PENDING, State.SENT), (
            "nothing is taken for told that is not noted"
        )
        assert stage(workspace, case_id) == Stage.NOTIFYING
        assert send_due(workspace, clock=Clock(NOW + timedelta(minutes=1))) == {"acknowledged": 1}
        assert [got.id for got in party.received] == [only(workspace, case_id).id] * (2 if boundary == 5 else 1)
    assert stage(workspace, case_id) == Stage.CLOSED


def test_a_second_sender_does_not_send_what_is_on_its_way(workspace: Workspace) -> None:
    with listening() as party:
        case_id = signed_case(workspace, party.url)
        party.script[:] = [Reply(body=meanwhile(lambda: send_due(workspace, clock=Clock())))]
        assert send_due(workspace, clock=Clock()) == {"acknowledged": 1}
    assert len(party.received) == 1
    assert stage(workspace, case_id) == Stage.CLOSED


def test_a_sender_does_not_send_from_an_old_list(workspace: Workspace) -> None:
    """While it tells the first party, another sender has tried the second in vain; that one is not due again yet."""
    with listening() as party:
        first, second = signed_case(workspace, party.url), signed_case(workspace, party.url, name="crm", person="C-2")
        another = Reply(body=meanwhile(lambda: send_due(workspace, clock=Clock())))
        party.script[:] = [another, REFUSE, ACKNOWLEDGE]
        assert send_due(workspace, clock=Clock()) == {"acknowledged": 1}
        assert len({got.id for got in party.received}) == len(party.received) == 2
    assert {stage(workspace, first), stage(workspace, second)} == {Stage.CLOSED, Stage.NOTIFYING}


def test_a_notice_that_was_waived_while_it_was_on_its_way_stays_waived(workspace: Workspace) -> None:
    with listening() as party:
        case_id = signed_case(workspace, party.url)
        notice_id = only(workspace, case_id).id
        waive = meanwhile(lambda: waive_notice(workspace, notice_id, actor=DANA, reason="Dissolved.", now=NOW))
        party.script[:] = [Reply(body=waive)]
        assert send_due(workspace, clock=Clock()) == {"waived": 1}
    assert stage(workspace, case_id) == Stage.CLOSED


def meanwhile(act: Callable[[], object]) -> Callable[[object], bytes]:
    """A reply that acknowledges, after something else has happened."""

    def body(got) -> bytes:
        act()
        return json.dumps({"id": got.id, "ok": True}).encode()

    return body


# --- by itself, and by command --------------------------------------------------------------------------------------------


def asked(workspace: Workspace) -> object:
    resource = WorkspaceResource(folder=str(workspace.settings.workspace))
    with (
        DagsterInstance.ephemeral() as instance,
        build_sensor_context(instance=instance, resources={"workspace": resource}) as context,
    ):
        return notice_sensor(context)


def test_the_sensor_asks_for_a_run_while_something_is_due(workspace: Workspace) -> None:
    assert isinstance(asked(workspace), SkipReason)
    with listening() as party:
        signed_case(workspace, party.url)
        assert isinstance(asked(workspace), RunRequest)
        send_due(workspace)
        assert isinstance(asked(workspace), SkipReason)


def test_by_command_a_party_is_named_told_waived_and_listed(workspace: Workspace, here: pytest.MonkeyPatch) -> None:
    folder = workspace.settings.workspace
    party_words = ("inventory", "party", "crm", "--kind", "upstream", "--whom", "The CRM", "--as", "dana")
    assert (
        "only" in lethe_here(*party_words, "--webhook", "-", given="http://crm.example/x", workspace=folder, code=2).err
    )
    with listening() as party:
        case_id = signed_case(workspace, party.url)
        lethe_here(*party_words, "--webhook", "-", given=party.url, workspace=folder)
        said = lethe_here("notice", "send", workspace=folder)
        assert said.out.strip() == "acknowledged 1"
    assert "No notice is due." in lethe_here("notice", "send", workspace=folder).out
    listed = lethe_here("notice", "list", "--case", case_id, "--json", workspace=folder).json()
    assert [(n["party"], n["state"]) for n in listed] == [("shop", "acknowledged")]
    assert "s3cret" not in json.dumps(listed) + lethe_here("inventory", "list", "--json", workspace=folder).out
    notice = listed[0]["id"]
    for words in (("ack", notice), ("retry", notice), ("waive", notice, "--reason", "Dissolved.")):
        lethe_here("notice", *words, "--as", "dana", workspace=folder, code=3)
    with workspace.database.reader() as session:
        assert stage(workspace, case_id) == Stage.CLOSED
        assert len(notices(session)) == 1
