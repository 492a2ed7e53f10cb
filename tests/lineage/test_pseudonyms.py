"""Stable pseudonyms: one a person and type, invisible to every recogniser, found again by a request for the person."""

from __future__ import annotations

import random
import re
import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.admit import Gate, examine
from lineage.canaries import CANARIES
from lineage.closure import supplied_forms
from lineage.keyring import Keyring
from lineage.policy import PSEUDONYMOUS, load_policy
from lineage.pseudonyms import DIGITS, WRITTEN, forms_of, written
from lineage.records import Chat, Message, PlainText
from lineage.redaction import speaks_of, without_person
from lineage.register import RegisterForm, RegisterIndex
from lineage.scan import Scanner
from lineage.subjects import KINDS
from lineage.suppression import SuppressionList

STRICT, DEFAULT = load_policy("strict"), load_policy("default")
SCANNER = Scanner(STRICT)
KEYRING, ELSEWHERE = Keyring(b"w" * 32, b"v" * 32), Keyring(b"x" * 32, b"v" * 32)
ANN = (
    RegisterForm("ann", "name", "Anneliese Quistgaard"),
    RegisterForm("ann", "name", "Annie Q"),
    RegisterForm("ann", "email", "anneliese@quistgaard.example"),
    RegisterForm("ann", "email", "annie.q@quistgaard.example"),
    RegisterForm("ann", "phone", "+44 20 7946 0958"),
    RegisterForm("ann", "account", "AC-1234-5678"),
)
BOB = (
    RegisterForm("bob", "name", "Bertram Ostrander"),
    RegisterForm("bob", "name", "Berti"),
    RegisterForm("bob", "email", "bertram@ostrander.example"),
    RegisterForm("bob", "phone", "+44 20 7946 0731"),
    RegisterForm("bob", "account", "ACC-7741-2290"),
)
SPELLINGS = {
    "PERSON": ("Anneliese Quistgaard", "ANNELIESE  QUISTGAARD", "anneliese quistgaard", "Annie Q", "annie q",
               "\uff21nneliese Quistgaard"),
    "EMAIL_ADDRESS": ("anneliese@quistgaard.example", "Anneliese@Quistgaard.Example", "annie.q@quistgaard.example"),
    "PHONE_NUMBER": ("+44 20 7946 0958", "020 7946 0958", "(020) 7946-0958", "+442079460958", "0044 20 7946 0958"),
    "ACCOUNT": ("AC-1234-5678", "ac 1234 5678", "AC12345678"),
}  # fmt: skip


def gate(*forms: RegisterForm, keyring: Keyring = KEYRING, suppressed=(), policy=STRICT) -> Gate:
    hidden = {keyring.form(f.kind, f.value.lower()) for f in suppressed}
    return Gate(
        SCANNER,
        RegisterIndex(forms),
        SuppressionList(hidden, hmac=keyring.form),
        policy,
        STRICT,
        pseudonym=keyring.pseudonym,
    )


def kept(text: str, *declared: str, keyring: Keyring = KEYRING, **changes) -> str:
    decision = examine(replace(gate(*ANN, *BOB, keyring=keyring), **changes), PlainText(text), declared=declared)
    assert decision.verdict in ("allow", "redact"), decision.reason
    return decision.content.text


def called(kind: str, who: str = "ann", keyring: Keyring = KEYRING) -> str:
    return written(STRICT.constant(kind), keyring.pseudonym(kind, who))


@pytest.mark.parametrize(("kind", "spelling"), [(k, s) for k, many in SPELLINGS.items() for s in many])
def test_every_way_of_writing_a_person_becomes_the_same_pseudonym(kind: str, spelling: str) -> None:
    assert kept(f"Please ask {spelling}, thank you.", "ann") == f"Please ask {called(kind)}, thank you."


def test_it_is_the_same_in_every_record_and_run_and_another_in_another_workspace() -> None:
    text = "Annie Q wrote to Anneliese Quistgaard."
    assert kept(text, "ann") == kept(text, "ann") == f"{called('PERSON')} wrote to {called('PERSON')}."
    assert kept(text, "ann", keyring=ELSEWHERE) == text.replace("Annie Q", called("PERSON", keyring=ELSEWHERE)).replace(
        "Anneliese Quistgaard", called("PERSON", keyring=ELSEWHERE)
    )
    names = {
        called(kind, who, ring) for kind in PSEUDONYMOUS for who in ("ann", "bob") for ring in (KEYRING, ELSEWHERE)
    }
    assert len(names) == 16


def test_other_people_are_constants_and_several_declared_ones_keep_apart() -> None:
    text = "Annie Q told Berti that bertram@ostrander.example is gone."
    assert kept(text, "ann") == f"{called('PERSON')} told [PERSON] that [EMAIL] is gone."
    own = f"{called('PERSON')} told {called('PERSON', 'bob')} that {called('EMAIL_ADDRESS', 'bob')} is gone."
    assert kept(text, "ann", "bob") == kept(text, "bob", "ann") == own


def test_what_two_declared_people_share_is_nobodys_in_particular() -> None:
    shared = [RegisterForm(who, "phone", "+44 20 7946 0018") for who in ("ann", "bob")]
    text = "Call +44 20 7946 0018 today."
    assert kept(text, "ann", "bob", register=RegisterIndex(shared)) == "Call [PHONE] today."
    assert kept(text, "ann", register=RegisterIndex(shared)) == f"Call {called('PHONE_NUMBER')} today."


def test_by_default_nobody_gets_one() -> None:
    assert not WRITTEN.search(kept("Annie Q told Berti.", "bob", policy=DEFAULT))


PIECES = [s for many in SPELLINGS.values() for s in many] + [f.value for f in BOB] + [
    " ", ", ", "\n", "(", ")", "[", "]", "-", ":", "/", "@", ".", "phone ", "call ", "number ", "1", "44", "é", "x", "PERSON",
    called("PERSON"), called("PHONE_NUMBER", "bob"), "[PERSON]", "https://", "0x", "bc1", "DE",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@settings(max_examples=400, deadline=None)
@given(text=TEXTS, declared=st.sampled_from([("ann",), ("ann", "bob"), ()]))
def test_redacting_a_redacted_text_changes_nothing(text: str, declared: tuple[str, ...]) -> None:
    """Or the gate says so itself, and a human looks: `redaction_unstable`."""
    once = examine(gate(*ANN, *BOB), PlainText(text), declared=declared)
    if once.verdict not in ("allow", "redact"):
        assert once.reason == "redaction_unstable" or once.findings
        return
    twice = examine(gate(*ANN, *BOB), once.content, declared=declared)
    assert (twice.verdict, twice.content) == ("allow", once.content)
    assert not speaks_of(RegisterIndex([*ANN, *BOB]), once.content)


def test_no_recogniser_of_presidio_fires_on_any_of_thousands_in_any_company() -> None:
    """All recognisers, the disabled ones too; context words before, and glued to digits and letters on both sides."""
    everything = STRICT.model_copy(update={"disabled_recognizers": (), "min_score": 0.0, "phone": DEFAULT.phone})
    scanner, rng = Scanner(everything), random.Random(11)
    company = [
        " ".join(CANARIES).lower().replace("_", " "),
        "",
        "1",
        "DE89",
        "+44 20",
        "00:00:5E:",
        "a@",
        "://",
        "passport",
    ]
    for number in range(3000):
        kind = PSEUDONYMOUS[number % len(PSEUDONYMOUS)]
        name = called(kind, str(number))
        before, after = rng.choice(company), rng.choice(company)
        start = len(before) + rng.choice((0, 1))
        text = f"{before.ljust(start)}{name}{after}"
        found = [s for s in scanner.scan(text) if s.start < start + len(name) and start < s.end_exclusive]
        assert found == [], (number, found)


def test_hexadecimal_digits_would_have_been_seen() -> None:
    """The control: written with digits, some of the same pseudonyms are a phone or a licence to Presidio."""
    scanner = Scanner(STRICT.model_copy(update={"disabled_recognizers": (), "min_score": 0.0}))
    seen = [n for n in range(300) if scanner.scan(f"passport [PERSON:{KEYRING.pseudonym('PERSON', str(n))[:12]}]")]
    assert seen


def test_no_spelling_of_the_digits_is_a_word() -> None:
    assert len(set(DIGITS)) == 16
    assert not set(DIGITS) & set("AEIOUY") - set(string.ascii_uppercase)
    assert WRITTEN.fullmatch(called("PERSON"))
    assert not any(set(word.upper()) <= set(DIGITS) for word in STRICT.art9.words)


def test_a_scan_that_finds_more_after_the_redaction_stops_the_record() -> None:
    class SeesPseudonyms:
        def scan(self, text: str):
            found = WRITTEN.search(text)
            return SCANNER.scan(text) if found is None else SCANNER.scan("call 020 7946 0123 now " * 2)

    decision = examine(replace(gate(*ANN), scanner=SeesPseudonyms()), PlainText("Annie Q called."), declared=["ann"])
    assert (decision.verdict, decision.reason) == ("quarantine", "redaction_unstable")


def test_a_mention_by_pseudonym_in_somebody_elses_record_is_found_and_freed() -> None:
    quoted = Chat((Message("user", f"Ticket says {called('EMAIL_ADDRESS')} and {called('PERSON')}."),))
    index = RegisterIndex([*ANN, *forms_of("ann", KEYRING.pseudonym)])
    assert not speaks_of(RegisterIndex(ANN), quoted)
    assert speaks_of(index, quoted)
    assert not speaks_of(RegisterIndex(forms_of("bob", KEYRING.pseudonym)), quoted)
    freed = without_person(gate(*BOB), index, quoted, declared=["bob"], language="en")
    assert freed is not None
    assert freed.given.segments() == ("Ticket says [PERSON] and [PERSON].",)


def test_the_pseudonym_of_an_erased_person_is_kept_out_of_later_files() -> None:
    opened = gate(*BOB, suppressed=forms_of("ann", KEYRING.pseudonym))
    quoted = PlainText(f"As {called('PERSON')} wrote to {called('PERSON', 'bob')}.")
    decision = examine(opened, quoted, declared=["bob"])
    assert decision.content.text == f"As [PERSON] wrote to {called('PERSON', 'bob')}."


def test_a_pseudonym_can_be_given_with_a_request() -> None:
    """A person who read their own redacted record may know no more than that."""
    forms = supplied_forms("ann", [called("PERSON")])
    assert speaks_of(RegisterIndex(forms), PlainText(f"It was {called('PERSON')} again."))


def test_the_kinds_of_the_register_are_the_types_that_can_have_one() -> None:
    assert len(PSEUDONYMOUS) == len(KINDS)


def test_presidio_anonymizer_can_run_the_same_operator() -> None:
    engine_module = pytest.importorskip("presidio_anonymizer", reason="a test dependency")
    from presidio_anonymizer.entities import OperatorConfig, RecognizerResult

    from lineage.anonymizer import pseudonym_operator

    engine = engine_module.AnonymizerEngine()
    engine.add_anonymizer(pseudonym_operator(RegisterIndex([*ANN, *BOB]), KEYRING.pseudonym))
    operators = {k: OperatorConfig("pseudonym", {"constant": STRICT.constant(k)}) for k in PSEUDONYMOUS}
    for text in (
        "Annie Q, Berti: 020 7946 0958 or bertram@ostrander.example.",
        "ANNIE Q and annie.q@quistgaard.example",
    ):
        decision = examine(gate(*ANN, *BOB), PlainText(text), declared=["ann", "bob"])
        found = [
            RecognizerResult(f.entity_type, f.start, f.end_exclusive, f.score)
            for f in decision.findings
            if f.action == "redact"
        ]
        result = engine.anonymize(text, found, operators, merge_entities_with_spaces=False)
        assert result.text == decision.content.text
    assert re.search(WRITTEN, result.text)
