"""The NER tier, with a real spaCy model trained here and a real transformers one that knows nothing; nothing is fetched."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ner_world import UNSEEN_FIRST, UNSEEN_LAST, policy_text, random_transformer, train_spacy

from lineage.admit import Decision, Gate, examine, mentions
from lineage.errors import GateClosed
from lineage.languages import Scanners
from lineage.ner import model_engine
from lineage.policy import Policy, load_policy, shipped_text
from lineage.records import PlainText
from lineage.register import RegisterForm, RegisterIndex
from lineage.scan import Scanner

STRICT = load_policy("strict")
STRANGER = f"{UNSEEN_FIRST[3]} {UNSEEN_LAST[4]}"
KNOWN = f"{UNSEEN_FIRST[5]} {UNSEEN_LAST[6]}"
NOBODY = "The Corvex kettle makes a loud noise since Monday."


@pytest.fixture(scope="session")
def spacy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_spacy(tmp_path_factory.mktemp("models") / "support_names")


@pytest.fixture(scope="session")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_transformer(tmp_path_factory.mktemp("models") / "tiny_bert")


def with_model(model: Path, folder: Path, *, engine: str = "spacy", more: str = "") -> Policy:
    path = folder / "policy.toml"
    path.write_text(policy_text(shipped_text("default"), engine=engine, model=str(model), more=more), encoding="utf-8")
    return load_policy(path)


@pytest.fixture(scope="module")
def policy(spacy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return with_model(spacy_model, tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def scanner(policy: Policy) -> Scanner:
    return Scanner(policy)


def judged(scanner: Scanner, policy: Policy, text: str, *declared: str) -> Decision:
    register = RegisterIndex([RegisterForm("k" * 8, "name", KNOWN)])
    gate = Gate(scanner, register, RegisterIndex([]), policy, STRICT)
    return examine(gate, PlainText(text), declared=declared, language="en")


# --- through the gate -----------------------------------------------------------------------------------------------------


def test_a_person_whom_nobody_registered_waits_for_a_human(scanner, policy):
    decision = judged(scanner, policy, f"I spoke with {STRANGER} yesterday.")
    assert (decision.verdict, decision.reason) == ("quarantine", "unknown_person")
    (found,) = decision.findings
    assert found.recognizer == "SpacyRecognizer"
    assert found.score == pytest.approx(0.85)


def test_without_the_model_the_same_person_is_not_seen(policy):
    plain = load_policy("default")
    assert judged(Scanner(plain), plain, f"I spoke with {STRANGER} yesterday.").verdict == "allow"


def test_a_registered_person_is_linked_and_redacted_and_the_redacted_text_settles(scanner, policy):
    decision = judged(scanner, policy, f"I spoke with {KNOWN} yesterday, write to x.y@example.com.")
    assert (decision.verdict, decision.reason) == ("redact", "identifiers_redacted")
    assert mentions(decision) == {"k" * 8}
    assert decision.content == PlainText("I spoke with [PERSON] yesterday, write to [EMAIL].")


def test_the_declared_person_keeps_their_name(scanner, policy):
    decision = judged(scanner, policy, f"Hello, my name is {KNOWN} and my kettle is broken.", "k" * 8)
    assert (decision.verdict, {f.declared for f in decision.findings}) == ("allow", {True})


def test_a_record_about_nobody_is_clean(scanner, policy):
    assert judged(scanner, policy, NOBODY).reason == "clean"


def test_a_constant_is_no_person_whatever_the_model_says(scanner):
    engine = scanner._proven.engine.nlp_engine
    doc = engine.nlp["en"]("[PERSON]")
    doc.ents = [doc.char_span(0, 8, label="PERSON")]
    assert engine._get_updated_entities(doc.ents, [0.9]) == ([], [])
    named = engine.nlp["en"]("[PERSON] Smith")
    named.ents = [named.char_span(0, 14, label="PERSON")]
    assert len(engine._get_updated_entities(named.ents, [0.9])[0]) == 1


def test_what_the_model_is_not_sure_of_does_not_count(policy, spacy_model, tmp_path):
    """spaCy gives no scores; Presidio says 0.85 of each."""
    sure = with_model(spacy_model, tmp_path, more="min_score = 0.9\n")
    with pytest.raises(GateClosed, match="PERSON"):
        Scanner(sure).self_test()


# --- what is there, and what is not ----------------------------------------------------------------------------------------


def test_the_tier_and_its_blind_spots_are_said(scanner, policy):
    assert scanner.tier == "patterns+register+spacy"
    assert "named-entity model" in scanner.blind_spots
    assert scanner.fingerprint.tier == scanner.tier
    (model,) = scanner.fingerprint.models
    assert model.startswith("en support_names sha256:")
    assert (
        Scanners(policy).fingerprint.digest
        == scanner.fingerprint.digest
        != Scanner(load_policy("default")).fingerprint.digest
    )


def test_another_byte_in_the_model_is_another_scanner(policy, scanner, spacy_model, tmp_path):
    copy = shutil.copytree(spacy_model, tmp_path / "support_names")
    same = with_model(copy, tmp_path)
    assert same.digest == policy.digest
    assert Scanner(same).fingerprint.models == scanner.fingerprint.models
    (copy / "meta.json").write_text((copy / "meta.json").read_text() + " ")
    assert Scanner(same).fingerprint.models != scanner.fingerprint.models


def test_a_model_beside_the_policy_file_is_found_by_its_name(spacy_model, tmp_path):
    shutil.copytree(spacy_model, tmp_path / "names")
    (tmp_path / "policy.toml").write_text(policy_text(shipped_text("default"), engine="spacy", model="names"))
    Scanner(load_policy(tmp_path / "policy.toml")).self_test()


@pytest.mark.parametrize("engine", ["spacy", "transformers"])
def test_a_model_that_is_not_there_closes_the_gate_and_nothing_is_fetched(engine, tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    absent = with_model(Path("no_such_model"), tmp_path, engine=engine)
    with pytest.raises(GateClosed, match="not there: no_such_model") as caught:
        model_engine(absent)
    assert caught.value.hint


def test_a_folder_that_is_no_model_closes_the_gate(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(GateClosed, match="cannot be loaded: empty"):
        Scanner(with_model(tmp_path / "empty", tmp_path)).self_test()


def test_a_model_without_a_label_for_a_person_closes_the_gate(spacy_model, tmp_path):
    blind = with_model(spacy_model, tmp_path, more='labels = { GPE = "LOCATION" }\n')
    with pytest.raises(GateClosed, match="no label for a person") as caught:
        Scanner(blind).self_test()
    assert "PERSON" in caught.value.hint


def test_a_model_that_misses_the_canary_closes_the_gate(spacy_model, tmp_path):
    deaf = with_model(spacy_model, tmp_path, more=f'canaries.en = "{NOBODY}"\n')
    with pytest.raises(GateClosed, match="missed PERSON"):
        Scanner(deaf).self_test()


def test_a_policy_may_require_the_tier(policy, scanner):
    Scanner(policy.model_copy(update={"require_ner": True})).self_test()
    only_english = load_policy("european").model_copy(update={"require_ner": True, "ner": policy.ner})
    with pytest.raises(GateClosed, match=r"requires the NER tier.*'de'"):
        Scanners(only_english).self_test()


def test_a_pipeline_that_lemmatises_nothing_still_hears_context_words(scanner):
    (found,) = (s for s in scanner.scan("phone +44 20 7946 0958") if s.entity_type == "PHONE_NUMBER")
    assert found.score == pytest.approx(0.75)


# --- processes of their own: what is imported ------------------------------------------------------------------------------

ALONE = """
import json, socket, sys
from pathlib import Path
from lineage.errors import LetheError
from lineage.policy import load_policy
from lineage.scan import ScanFailed, Scanner

def refuse(*args, **kwargs):
    raise AssertionError("network")

socket.socket.connect = socket.getaddrinfo = refuse
policy = load_policy(Path(sys.argv[1]))
said = {}
if "--plain-first" in sys.argv:
    Scanner(load_policy("default")).self_test()
scanner = Scanner(policy)
try:
    scanner.self_test()
    said["found"] = [[s.entity_type, s.start, s.end_exclusive, s.recognizer] for s in scanner.scan("I met Ann Smith")]
    said["models"], said["tier"] = list(scanner.fingerprint.models), scanner.tier
    if "--break" in sys.argv:
        from presidio_analyzer.nlp_engine.huggingface_token_pipe import FACTORY_NAME
        pipe = scanner._proven.engine.nlp_engine.nlp["en"].get_pipe(FACTORY_NAME)
        pipe.pipeline = lambda text: 1 / 0
        try:
            scanner.scan("I met Ann Smith")
            said["broken"] = "passed"
        except ScanFailed as failed:
            said["broken"] = failed.reason
except LetheError as error:
    said["error"] = [str(error), error.hint]
said["torch"] = sys.modules.get("torch") is not None
print(json.dumps(said))
"""


def alone(path: Path, *flags: str) -> dict:
    command = [sys.executable, "-W", "ignore", "-c", ALONE, str(path), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_worker_with_a_spacy_model_does_not_load_torch(spacy_model, tmp_path):
    with_model(spacy_model, tmp_path)
    said = alone(tmp_path / "policy.toml")
    assert ["PERSON", 6, 15, "SpacyRecognizer"] in said["found"]
    assert not said["torch"]


def test_a_transformers_model_runs_and_loads_torch_and_its_failure_fails_the_scan(transformer, tmp_path):
    """Presidio logs that inference failed and goes on with no findings: it fails open."""
    with_model(transformer, tmp_path, engine="transformers")
    said = alone(tmp_path / "policy.toml", "--break")
    assert said["torch"]
    assert said["tier"] == "patterns+register+transformers"
    assert {(kind, recognizer) for kind, *_, recognizer in said["found"]} == {("PERSON", "TransformersRecognizer")}
    assert said["models"][0].startswith("en tiny_bert torch ")
    assert said["broken"] == "scan_failed"


def test_a_process_that_scanned_without_torch_says_that_it_cannot_run_a_transformers_model(transformer, tmp_path):
    with_model(transformer, tmp_path, engine="transformers")
    sentence, hint = alone(tmp_path / "policy.toml", "--plain-first")["error"]
    assert "scanned without torch" in sentence
    assert "process of its own" in hint
