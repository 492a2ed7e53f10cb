"""The command line's contract: exit codes 0 to 3, one sentence and a hint, and no value of a person in either."""

from __future__ import annotations

import base64
import json
from datetime import date, timedelta

import pytest
from command_line import lethe_here, one_sentence
from road import case_of, hire, sign, to_approved
from small_world import ADAPTER, CORPUS, PLANTED, SECOND, copy_workspace, values_of

from lineage.policy import shipped_text
from pipelines.cli import COMMANDS

ROW = {"id": "r-1", "text": "A lamp burns for 900 hours.", "subjects": []}


@pytest.fixture
def empty(tmp_path, here):
    """A new workspace with staff and nothing else."""
    folder = tmp_path / "ws"
    lethe_here("init", folder)
    hire(folder)
    lethe_here("staff", "add", "axel", "--role", "auditor", "--as", "root", workspace=folder)
    return folder


def write(folder, name, *rows):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def file_case(folder, person, *, who="ines", code=0):
    arguments = ("erase", "file", "--as", who, "--identity", "portal", "--json")
    return lethe_here(*arguments, workspace=folder, given=person + "\n", code=code)


# --- the frame ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_page(command, here):
    said = lethe_here(command, "--help")
    assert "Usage: lethe" in said.out
    assert not said.err


def test_the_doctor_composes_adapters_to_see_that_it_works(empty):
    said = lethe_here("doctor", "--json", workspace=empty).json()
    assert [finding["standing"] for finding in said if finding["subject"] == "composition"] == ["ok"]


def test_a_command_without_a_workspace(tmp_path, here):
    here.chdir(tmp_path)
    one_sentence(lethe_here("erase", "list", code=None), 2, "lethe.toml", "lethe init")


def test_an_unknown_command_is_wrong_usage(here):
    assert lethe_here("forget", code=None).code == 2


def test_init_never_overwrites(empty):
    secrets = empty / ".lethe" / "secrets"
    before = {path.name: path.read_bytes() for path in secrets.iterdir()} | {
        "toml": (empty / "lethe.toml").read_bytes()
    }
    lethe_here("init", empty)
    after = {path.name: path.read_bytes() for path in secrets.iterdir()} | {"toml": (empty / "lethe.toml").read_bytes()}
    assert after == before
    assert {
        path.name: oct(path.stat().st_mode & 0o777) for path in secrets.iterdir() if path.suffix != ".pub"
    } == dict.fromkeys(("workspace.key", "vault.key", "pipeline.pem", "dpo.pem"), "0o600")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("shard = 3", ("shard",)),  # in the training table
        ("[consle]\nport = 1", ("consle (line", "unknown key; did you mean console?")),
        ("[console]\nport = 1\nprot = 2", ("console.prot (line", "did you mean port?")),
        ("[banana]\nport = 1", ("banana (line", "unknown key; known are adapters, ")),
        ("[console]\nport = 'many'", ("console.port",)),
        ("= 3", ("not valid TOML",)),
    ],
)
def test_a_wrong_line_in_the_configuration(empty, line, words):
    with (empty / "lethe.toml").open("a") as settings:
        settings.write(line + "\n")
    one_sentence(lethe_here("plan", ADAPTER, workspace=empty, code=None), 2, *words)


def test_an_unknown_adapter(empty):
    one_sentence(lethe_here("train", "sales", workspace=empty, code=None), 2, "sales", "support")


@pytest.mark.parametrize("command", [("erase", "show"), ("erase", "preview"), ("erase", "run"), ("erase", "purge")])
def test_an_unknown_case(empty, command):
    one_sentence(lethe_here(*command, "case-00000000", workspace=empty, code=None), 2, "lethe erase list")


@pytest.mark.parametrize("command", [("lineage", "subject"), ("probe", ADAPTER, "--subject")], ids=["lineage", "probe"])
@pytest.mark.parametrize("given", [PLANTED.name, PLANTED.customer_id, "0a1b2c"])
def test_who_is_no_subject_key_is_wrong_usage_and_not_a_person_without_records(empty, command, given):
    said = lethe_here(*command, given, workspace=empty, code=None)
    one_sentence(said, 2, "subject key")
    assert given not in said.err


def test_training_before_an_ingest_is_a_closed_gate(empty):
    one_sentence(lethe_here("train", ADAPTER, workspace=empty, code=None), 1, "no record was admitted", "lethe ingest")


# --- what comes in ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(empty):
    one_sentence(
        lethe_here("ingest", empty / "no.jsonl", "--source", "s", workspace=empty, code=None), 2, "does not exist"
    )


def test_a_file_that_cannot_be_read(empty, tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and then nothing")
    said = lethe_here("ingest", tmp_path / "bad.parquet", "--source", "s", workspace=empty, code=None)
    one_sentence(said, 2, "cannot be read")


def test_an_empty_file(empty, tmp_path):
    (tmp_path / "none.jsonl").touch()
    one_sentence(lethe_here("ingest", tmp_path / "none.jsonl", "--source", "s", workspace=empty, code=None), 2, "empty")


def test_an_unknown_column(empty, tmp_path):
    path = write(tmp_path, "rows.jsonl", {**ROW, "customer": "x"})
    one_sentence(
        lethe_here("ingest", path, "--source", "s", workspace=empty, code=None), 2, '"customer"', "Known columns"
    )


def test_a_refused_file_leaves_the_gate_as_it_was(empty, tmp_path):
    """Nothing half done: a refused file is no unfinished ingest that would keep the gate closed."""
    lethe_here("ingest", write(tmp_path, "good.jsonl", ROW), "--source", "s", workspace=empty)
    bad = write(tmp_path, "bad.jsonl", {**ROW, "customer": "x"})
    lethe_here("ingest", bad, "--source", "s", workspace=empty, code=2)
    lethe_here("train", ADAPTER, "--json", workspace=empty, code=None)
    (empty / "lethe.toml").write_text((empty / "lethe.toml").read_text())
    assert "gate is closed" not in lethe_here("plan", ADAPTER, workspace=empty).err


@pytest.mark.parametrize(
    ("policy", "code", "words"),
    [
        ("min_scoer = 0.4\n{}", 2, "did you mean min_score?"),
        ('require_ner = true\n{}\n[ner]\nengine = "spacy"\nmodels.en = "no_such_model"\n', 1, "no_such_model"),
    ],
)
def test_an_ingest_that_a_policy_stops_before_its_first_row_leaves_the_gate_open(empty, tmp_path, policy, code, words):
    """The policy is put back, the file was a mistake: nobody has to ingest it to train on what is held."""
    lethe_here("ingest", write(tmp_path, "good.jsonl", ROW), "--source", "s", workspace=empty)
    settings = (empty / "lethe.toml").read_text()
    (empty / "own.toml").write_text(policy.format(shipped_text("default").replace("require_ner = false", "")))
    (empty / "lethe.toml").write_text(settings.replace('policy = "default"', 'policy = "own.toml"'))
    other = write(tmp_path, "other.jsonl", {**ROW, "id": "r-2"})
    one_sentence(lethe_here("ingest", other, "--source", "t", workspace=empty, code=None), code, words)
    (empty / "lethe.toml").write_text(settings)
    assert "gate is closed" not in lethe_here("doctor", workspace=empty).out
    assert lethe_here("ingest", other, "--source", "t", "--json", workspace=empty).json()[0]["rows"] == 1


def test_two_files_are_told_apart_by_their_number_and_each_has_its_report(empty, tmp_path):
    files = [write(tmp_path, f"{name}.jsonl", {**ROW, "id": name, "language": "tlh"}) for name in ("ann", "ben")]
    said = lethe_here("ingest", *files, "--source", "s", workspace=empty).out
    assert "File 1 of 2:" in said
    assert "File 2 of 2:" in said
    assert said.count("Scan report:") == 2
    assert said.count("The policy does not name their language.") == 2
    assert "ann.jsonl" not in said


def test_a_misspelt_shipped_policy_is_recognised(empty):
    one_sentence(lethe_here("gate", "show", "--policy", "strcit", code=None), 2, "Did you mean strict?")


def test_a_report_before_any_ingest_says_so(empty):
    one_sentence(lethe_here("gate", "report", workspace=empty, code=None), 2, "No ingest has finished", "--source NAME")


def test_rows_without_a_subject_and_an_id_with_two_contents_are_refused_by_line(empty, tmp_path):
    path = write(
        tmp_path, "rows.jsonl", ROW, {"id": "r-2", "text": "Who is this about?"}, {**ROW, "text": "Something else."},
        {"id": "r-3", "text": "The good rows go on.", "subjects": []}, ROW,
    )  # fmt: skip
    (report,) = lethe_here("ingest", path, "--source", "s", "--json", workspace=empty).json()
    assert {name: report["counts"].get(name, 0) for name in ("rows", "allow", "rejected", "held")} == {
        "rows": 5, "allow": 2, "rejected": 2, "held": 1,
    }  # fmt: skip
    rejects = [json.loads(line) for line in open(report["rejects_file"], encoding="utf-8")]  # noqa: PTH123, SIM115 - one line
    assert [(r["line"], set(r)) for r in rejects] == [(2, {"line", "reason"}), (3, {"line", "reason"})]
    assert "another content" in rejects[1]["reason"]


# --- who may do what ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def case(trained, tmp_path_factory):
    """A trained workspace with a case at PREVIEW_READY; tests here only try what is refused."""
    folder = copy_workspace(trained.folder, tmp_path_factory.mktemp("case") / "ws")
    lethe_here("staff", "add", "axel", "--role", "auditor", "--as", "root", workspace=folder)
    case_id = file_case(folder, PLANTED.email).json()["id"]
    lethe_here("erase", "preview", case_id, workspace=folder)
    return folder, case_id


def test_a_second_case_for_the_same_person(case):
    folder, case_id = case
    said = file_case(folder, PLANTED.account, code=None)
    one_sentence(said, 3, case_id)
    assert not [value for value in values_of([PLANTED]) if value in said.err]


@pytest.mark.parametrize("who", ["dana", "max", "axel"])
def test_only_intake_and_admin_file(case, who):
    one_sentence(file_case(case[0], SECOND.customer_id, who=who, code=None), 3)


def test_somebody_who_is_not_on_the_staff(case):
    one_sentence(file_case(case[0], SECOND.customer_id, who="mallory", code=None), 3)


@pytest.mark.parametrize("who", ["ines", "max", "axel"])
def test_only_a_dpo_approves(case, who):
    folder, case_id = case
    digest = case_of(folder, case_id)["preview_digest"]
    said = lethe_here("erase", "approve", case_id, "--as", who, "--digest", digest, workspace=folder, code=None)
    one_sentence(said, 3)
    assert case_of(folder, case_id)["stage"] == "PREVIEW_READY"


def test_a_stale_digest_is_refused(case):
    folder, case_id = case
    said = lethe_here("erase", "approve", case_id, "--as", "dana", "--digest", "0" * 64, workspace=folder, code=None)
    one_sentence(said, 3, "changed since it was read")


@pytest.mark.parametrize(
    "command",
    [
        ("run",),
        ("purge",),
        ("sign", "--as", "dana", "--digest", "0" * 64),
        ("approve", "--purge", "--as", "dana", "--digest", "0" * 64),
    ],
)
def test_steps_out_of_order(case, command):
    folder, case_id = case
    said = lethe_here("erase", command[0], case_id, *command[1:], workspace=folder, code=None)
    one_sentence(said, 3, "PREVIEW_READY")
    assert case_of(folder, case_id)["stage"] == "PREVIEW_READY", "a refusal does not move a case"


def test_whoever_filed_may_not_approve(trained, tmp_path, here):
    """Four eyes even if the role changed in between: the case remembers who filed it."""
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    lethe_here("staff", "add", "pia", "--role", "intake", "--as", "root", workspace=folder)
    case_id = file_case(folder, PLANTED.email, who="pia").json()["id"]
    digest = lethe_here("erase", "preview", case_id, "--json", workspace=folder).json()["digest"]
    _promote(folder, "pia")
    said = lethe_here("erase", "approve", case_id, "--as", "pia", "--digest", digest, workspace=folder, code=None)
    one_sentence(said, 3, "Whoever filed a request may not decide on it")


def _promote(folder, name):
    from lineage.tables import UserRow
    from lineage.workspace import open_workspace

    with open_workspace(folder).database.transaction() as session:
        session.get_one(UserRow, name).role = "dpo"


def test_a_legal_hold_stops_the_purge_until_it_is_lifted(erased, tmp_path, here):
    folder = copy_workspace(erased.folder, tmp_path / "ws")
    digest = case_of(folder, erased.case_id)["evidence_digest"]
    approve = ("erase", "approve", erased.case_id, "--as", "dana", "--purge", "--digest", digest)
    hold = ("erase", "hold", erased.case_id, "--as", "dana")
    lethe_here(*hold, "--reason", "litigation 12/26", workspace=folder)
    one_sentence(lethe_here(*approve, workspace=folder, code=None), 3, "legal hold")
    lethe_here(*hold, "--lift", workspace=folder)
    lethe_here(*approve, workspace=folder)
    lethe_here(*hold, "--reason", "litigation 13/26", workspace=folder)
    one_sentence(lethe_here("erase", "purge", erased.case_id, workspace=folder, code=None), 3, "legal hold")
    lethe_here(*hold, "--lift", workspace=folder)
    assert "PURGED" in lethe_here("erase", "purge", erased.case_id, workspace=folder).out


def test_a_preview_that_is_no_longer_true_is_not_executed(trained, tmp_path, here):
    """A record that came in between preview and execution: refused, a new preview is made, nobody is contained."""
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    case_id = to_approved(folder, PLANTED)
    old = case_of(folder, case_id)["approved_digest"]
    late = write(tmp_path, "late.jsonl", {"id": "late", "text": "A late note.", "subjects": [PLANTED.customer_id]})
    lethe_here("ingest", late, "--source", "tickets", workspace=folder)
    one_sentence(lethe_here("erase", "run", case_id, workspace=folder, code=None), 3, "no longer true")
    now = case_of(folder, case_id)
    assert (now["stage"], now["approved_digest"]) == ("PREVIEW_READY", "")
    assert now["preview_digest"] != old


def test_a_reason_may_not_name_the_person(case):
    """Neither by what the request said (an e-mail address) nor by what the register knows (a name)."""
    folder, case_id = case
    said = lethe_here(
        "erase",
        "refuse",
        case_id,
        "--as",
        "dana",
        "--reason",
        f"{PLANTED.name} owes us money",
        workspace=folder,
        code=None,
    )
    one_sentence(said, 2, "repeats an identifier")
    assert PLANTED.name not in said.err


def test_a_date_of_receipt_in_the_future(case):
    tomorrow = (date.today() + timedelta(days=3)).isoformat()  # noqa: DTZ011 - a day, as in the office
    said = lethe_here(
        "erase", "file", "--as", "ines", "--identity", "portal", "--received", tomorrow,
        workspace=case[0], given=SECOND.customer_id, code=None,
    )  # fmt: skip
    one_sentence(said, 2, "future")


def test_two_people_in_one_request(case):
    said = lethe_here(
        "erase", "file", "--as", "ines", "--identity", "portal", workspace=case[0],
        given=f"{SECOND.customer_id}\n{CORPUS.people[3].customer_id}\n", code=None,
    )  # fmt: skip
    one_sentence(said, 1, "2 people")


# --- proof ------------------------------------------------------------------------------------------------------------------------


def test_the_ledger_notices_a_changed_event(trained, tmp_path, here):
    from sqlmodel import col, update

    from lineage.tables import LedgerRow
    from lineage.workspace import open_workspace

    folder = copy_workspace(trained.folder, tmp_path / "ws")
    assert lethe_here("ledger", "verify", "--json", workspace=folder).json()["intact"] is True
    with open_workspace(folder).database.transaction() as session:
        session.exec(update(LedgerRow).where(col(LedgerRow.seq) == 2).values(payload="{}"))
    said = lethe_here("ledger", "verify", "--json", workspace=folder, code=1)
    assert said.json()["intact"] is False


def test_the_certificate_of_the_road(purged, tmp_path, here):
    """Signed, verified; then one byte of it and one byte of the adapter are changed, and the answer is no."""
    folder = copy_workspace(purged.folder, tmp_path / "ws")
    sign(folder, purged.case_id)
    certificate = folder / ".lethe" / "cases" / purged.case_id / "certificate.json"
    body = lethe_here("train", ADAPTER, "--json", workspace=folder).json()[ADAPTER]
    verify = ("verify", certificate, "--adapter", body["directory"])
    assert lethe_here(*verify, workspace=folder).code == 0
    assert not [value for value in values_of([PLANTED]) if value in certificate.read_text()]
    statement = json.loads(base64.b64decode(json.loads(certificate.read_text())["payload"]))
    (change,) = statement["predicate"]["adapters"]
    told = change["shards"] + change["neighbours"]
    assert sorted(shard["shard"] for shard in told) == [0, 1, 2]
    assert {len(shard["environment_fingerprint"]) for shard in told} == {64}
    weights = folder / ".lethe" / "store" / "adapters" / body["release"] / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert lethe_here(*verify, workspace=folder, code=None).code == 1
    weights.write_bytes(whole)
    content = bytearray(certificate.read_bytes())
    content[len(content) // 2] ^= 1
    certificate.write_bytes(content)
    assert lethe_here("verify", certificate, workspace=folder, code=None).code == 1
