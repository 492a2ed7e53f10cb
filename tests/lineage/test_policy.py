"""The policy file: typed, versioned by a digest, and never lax by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.errors import WrongUsage
from lineage.policy import load_policy, worst

SMALL = """
name = "small"
[phone]
regions = ["GB"]
context = ["phone"]
[entities.EMAIL_ADDRESS]
action = "redact"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_shipped_policies_load_and_differ_only_in_the_declared_subject():
    default, strict = load_policy("default"), load_policy("strict")
    own = {"EMAIL_ADDRESS", "PHONE_NUMBER", "PERSON", "ACCOUNT"}
    assert {default.entities[t].declared_subject for t in own} == {"allow"}
    assert {strict.entities[t].declared_subject for t in own} == {"redact"}
    assert {t for t, rule in default.entities.items() if rule.operator == "pseudonym"} == set()
    assert {t for t, rule in strict.entities.items() if rule.operator == "pseudonym"} == own
    alike = {"declared_subject": None, "operator": "constant"}
    relaxed = {t: rule.model_copy(update=alike) for t, rule in default.entities.items()}
    assert relaxed == {t: rule.model_copy(update=alike) for t, rule in strict.entities.items()}
    assert default.model_dump(exclude={"name", "entities"}) == strict.model_dump(exclude={"name", "entities"})


def test_only_what_the_register_links_to_a_person_can_have_a_pseudonym(tmp_path):
    with pytest.raises(WrongUsage) as refusal:
        load_policy(write(tmp_path, SMALL + '[entities.IP_ADDRESS]\naction = "redact"\noperator = "pseudonym"\n'))
    assert "only these types can have pseudonyms" in refusal.value.hint


def test_a_policy_without_pseudonyms_has_the_digest_it_had_before_there_were_any(tmp_path):
    """An upgrade alone must not close the gate for what is admitted."""
    quiet = "[art9]\nenabled = false\n"
    before = load_policy(write(tmp_path, SMALL + quiet)).digest
    assert before == "b99c49169bac213119983ba49b06ebde16b2feca48df5b8e4cc9b48e32b03bf1"
    assert load_policy(write(tmp_path, SMALL + 'operator = "pseudonym"\n' + quiet)).digest != before


def test_digest_is_stable_and_covers_every_field(tmp_path):
    policy = load_policy(write(tmp_path, SMALL))
    assert policy.digest == load_policy(write(tmp_path, SMALL + "\n# a comment\n")).digest
    for change in ({"min_score": 0.4}, {"default": "block"}, {"max_chars": 10}, {"language": "de"}):
        assert policy.model_copy(update=change).digest != policy.digest
    fewer_words = policy.art9.model_copy(update={"words": policy.art9.words[1:]})
    assert policy.model_copy(update={"art9": fewer_words}).digest != policy.digest


@pytest.mark.parametrize(
    "text",
    [
        "min_scor = 0.4\n" + SMALL,
        "min_score = 1.4\n" + SMALL,
        'on_error = "allow"\n' + SMALL,
        'default = "allow"\n' + SMALL,
        "max_chars = 70000\n" + SMALL,
        SMALL + 'constant = "a@b.example"\n',
        SMALL + "[art9]\nlexicon = '../../etc/passwd'\n",
        SMALL + "[art9]\nlexicon = 'not_there'\n",
        "name = ",
    ],
)
def test_what_is_not_a_policy_is_refused(tmp_path, text):
    with pytest.raises(WrongUsage):
        load_policy(write(tmp_path, text))


def test_refusal_names_the_key_and_not_the_value(tmp_path):
    with pytest.raises(WrongUsage) as caught:
        load_policy(write(tmp_path, 'language = "jane.doe@example.com"\n' + SMALL))
    assert "language" in caught.value.hint
    assert "jane" not in str(caught.value) + caught.value.hint


def test_missing_file_is_wrong_usage(tmp_path):
    with pytest.raises(WrongUsage):
        load_policy(tmp_path / "nothing.toml")


def test_worst_is_the_maximum():
    assert worst() == "allow"
    assert worst("redact", "allow") == "redact"
    assert worst("quarantine", "block", "redact") == "block"
