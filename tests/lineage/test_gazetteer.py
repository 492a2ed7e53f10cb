"""The tripwire on name lists: what it stops, what it does not, and that it is off."""

from __future__ import annotations

import pytest

from lineage.admit import Gate, examine
from lineage.errors import WrongUsage
from lineage.gazetteer import FULL_NAME_SCORE, SINGLE_NAME_SCORE, Gazetteer
from lineage.policy import SHIPPED, Policy, load_policy
from lineage.records import PlainText
from lineage.register import RegisterForm, RegisterIndex
from lineage.scan import Scanner
from lineage.tiers import GazetteerRule

DEFAULT = load_policy("default")


def on(policy: Policy = DEFAULT, **rule: bool) -> Policy:
    return policy.model_copy(update={"gazetteer": GazetteerRule(enabled=True, **rule)})


def hits(text: str, **rule: bool) -> list[tuple[str, float]]:
    return [(text[start:end], score) for (start, end), score in Gazetteer.of(on(**rule)).names(text)]


def test_it_is_off_in_every_shipped_policy():
    """benchmarks/names.py says why."""
    assert not any(load_policy(name).gazetteer.enabled for name in SHIPPED)
    assert list(Gazetteer.of(DEFAULT).names("Ask Douglas Parker")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ask Douglas Parker about it", ["Douglas Parker"]),
        ("Ask Mary J. Smith, or Douglas\nParker", ["Mary J. Smith"]),
        ("Ask douglas parker or DOUGLAS PARKER", []),
        ("Douglas is a town. Parker makes pens.", []),
        ("Will May Mark it?", ["May Mark"] if "May" in Gazetteer.of(on()).first else []),
        ("Maelis Quillfeather and Oluwaseun Adeyemi", []),
    ],
)
def test_a_listed_first_name_with_a_listed_last_name_is_a_hit(text, expected):
    assert [found for found, _ in hits(text)] == expected


def test_single_names_stop_too_if_so_wished_with_a_lower_score():
    assert hits("Douglas met Mary Smith.", single=True) == [
        ("Douglas", SINGLE_NAME_SCORE),
        ("Mary Smith", FULL_NAME_SCORE),
    ]


def test_a_hit_is_a_person_who_may_be_known():
    policy = on()
    register = RegisterIndex([RegisterForm("k" * 8, "name", "Mary Smith")])
    gate = Gate(Scanner(policy), register, RegisterIndex([]), policy, load_policy("strict"))
    known, stranger = (
        examine(gate, PlainText(f"Ask {name}."), declared=[]) for name in ("Mary Smith", "Douglas Parker")
    )
    assert (known.verdict, known.content) == ("redact", PlainText("Ask [PERSON]."))
    assert (stranger.verdict, stranger.reason) == ("quarantine", "unknown_person")
    assert [f.recognizer for f in stranger.findings] == ["Gazetteer"]


def test_the_lists_are_in_the_tier_and_the_fingerprint():
    plain, pairs, single = Scanner(DEFAULT), Scanner(on()), Scanner(on(single=True))
    assert pairs.tier == "patterns+register+gazetteer"
    assert len({scanner.fingerprint.digest for scanner in (plain, pairs, single)}) == 3


def test_there_is_a_list_for_each_shipped_language_and_no_other():
    for language in ("en", "de", "fr", "es"):
        assert len(Gazetteer.of(on(DEFAULT.model_copy(update={"language": language}))).first) > 200
    with pytest.raises(WrongUsage, match="'nl'"):
        Gazetteer.of(on(DEFAULT.model_copy(update={"language": "nl"})))
