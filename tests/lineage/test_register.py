"""Linking text to known people: canonical forms, edges, independence of other people, suppression."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_forms import places_of

from lineage.errors import WrongUsage
from lineage.folding import fold, squeeze
from lineage.register import (
    RegisterForm,
    RegisterIndex,
    canonical_identifier,
    form_of_identifier,
    normal_forms,
    normalise,
)
from lineage.suppression import SuppressionList

ANN = (
    RegisterForm("ann", "name", "Ann Lee"),
    RegisterForm("ann", "email", "ann.lee@example.com"),
    RegisterForm("ann", "phone", "+44 20 7946 0958"),
    RegisterForm("ann", "account", "AC-1234-5678"),
)
BOB = (
    RegisterForm("bob", "name", "Ann Lee Stone"),
    RegisterForm("bob", "name", "Bob Stone"),
    RegisterForm("bob", "phone", "020 7946 0018"),
)
KEY = b"k" * 32
WORDS = st.sampled_from(
    [
        "Ann",
        "Lee",
        "Stone",
        "Bob",
        "AC-1234-5678",
        "+44 20 7946 0958",
        "02079460018",
        "ann.lee@example.com",
        ".",
        "x",
        "İ",
        "ﬁ",
    ]
)


def found(index, text):
    return {(text[link.start : link.end_exclusive], link.kind, link.subject_keys) for link in index.link(text)}


@pytest.mark.parametrize(
    "text",
    [
        "Ann Lee called",
        "ANN  LEE called",
        "ann\nlee",
        "Ａｎｎ Ｌｅｅ",
        "A\u200bnn L\u00adee",
        "(Ann\u00a0Lee)",
        "Ann Lee's phone",
    ],
)
def test_a_name_is_found_however_it_is_folded(text):
    assert {keys for _, kind, keys in found(RegisterIndex(ANN), text) if kind == "name"} == {frozenset({"ann"})}


@pytest.mark.parametrize("registered", ["Ann Maria van Lee", "van Lee, Ann Maria"])
@pytest.mark.parametrize("text", ["Ann Maria van Lee", "VAN  LEE, Ann Maria", "(van Lee,\u00a0Ann Maria)"])
def test_a_name_is_found_turned_round(registered, text):
    index = RegisterIndex([RegisterForm("ann", "name", registered)])
    assert [link.subject_keys for link in index.link(f"To {text}; as agreed")] == [{"ann"}]
    assert suppress(RegisterForm("ann", "name", registered)).link(f"To {text}; as agreed")


@pytest.mark.parametrize(
    "text",
    ["Joann Lee", "Ann Leeds", "Ann, Lee", "AnnLee", "Ann1 Lee", "ann.lee@example.com.au", "mary-ann.lee@example.com"],
)
def test_a_form_inside_another_word_is_nobody(text):
    assert not RegisterIndex(ANN).link(text)


def test_decomposed_accents_match_composed_ones():
    index = RegisterIndex([RegisterForm("jo", "name", "Jose\u0301 Nu\u00f1ez")])
    assert found(index, "with Jos\u00e9 Nun\u0303ez.") == {("Jos\u00e9 Nun\u0303ez", "name", frozenset({"jo"}))}


@pytest.mark.parametrize(
    "text", ["+44 20 7946 0958", "020 7946 0958", "+44 (0)20 7946-0958", "0044 20 7946 0958", "(020) 79460958"]
)
def test_phones_are_compared_as_e164(text):
    links = RegisterIndex(ANN).link(f"Call {text} now")
    assert [(link.kind, link.subject_keys) for link in links] == [("phone", frozenset({"ann"}))]


def test_a_phone_beside_other_digits_is_still_found():
    assert ("020 7946 0958", "phone", frozenset({"ann"})) in found(
        RegisterIndex(ANN), "order 48213 020 7946 0958 12:30"
    )


@pytest.mark.parametrize("text", ["AC-1234-5678", "ac 1234 5678", "AC12345678", "Ac‑1234‑5678"])
def test_accounts_ignore_grouping(text):
    assert [link.kind for link in RegisterIndex(ANN).link(f"account {text}.")] == ["account"]


def test_account_inside_longer_digits_is_not_it():
    assert not RegisterIndex(ANN).link("AC-1234-56789 and MAC-1234-5678")


def test_a_shared_name_links_to_all_and_is_ambiguous():
    index = RegisterIndex([*ANN, RegisterForm("eve", "name", "ann lee")])
    (link,) = index.link("Ann Lee wrote")
    assert link.subject_keys == {"ann", "eve"}
    assert link.ambiguous


@given(st.lists(WORDS, max_size=8).map(" ".join))
def test_what_is_said_of_one_subject_does_not_depend_on_the_others(text):
    def of(subject, index):
        return {
            (link.start, link.end_exclusive, link.kind) for link in index.link(text) if subject in link.subject_keys
        }

    together = RegisterIndex([*ANN, *BOB])
    assert of("ann", together) == of("ann", RegisterIndex(ANN))
    assert of("bob", together) == of("bob", RegisterIndex(BOB))


def test_longer_form_of_the_same_subject_wins():
    index = RegisterIndex([RegisterForm("a", "name", "Ann"), RegisterForm("a", "name", "Ann Lee")])
    assert found(index, "Ann Lee") == {("Ann Lee", "name", frozenset({"a"}))}


@given(st.text(max_size=40))
def test_folding_maps_back_into_the_text(text):
    for view in (fold, squeeze):
        places = places_of(view(text))
        assert all(0 <= start < end <= len(text) for start, end in places)
        assert places == sorted(places)


@given(st.text(max_size=40))
def test_canonical_identifier_is_idempotent(text):
    once = canonical_identifier(text)
    assert canonical_identifier(once) == once


def test_canonical_identifiers_of_one_person_are_equal():
    assert canonical_identifier(" Ann.Lee@Example.COM ") == canonical_identifier("ann.lee@example.com")
    assert canonical_identifier("+44 20 7946 0958") == canonical_identifier("+442079460958") == "+442079460958"
    assert canonical_identifier("0048213") == "0048213"


@pytest.mark.parametrize(
    ("kind", "value"), [("email", "ann"), ("phone", "hello"), ("phone", "12"), ("account", "-1-"), ("name", "x")]
)
def test_impossible_forms_are_refused_without_their_value(kind, value):
    with pytest.raises(WrongUsage) as caught:
        normalise(kind, value)
    assert value not in str(caught.value).split()


def test_digest_is_keyed_and_ignores_order():
    a, b = RegisterIndex([*ANN, *BOB]), RegisterIndex([*BOB, *ANN])
    assert a.digest(KEY) == b.digest(KEY)
    assert a.digest(KEY) != a.digest(b"x" * 32)
    assert a.digest(KEY) != RegisterIndex(ANN).digest(KEY)


def test_form_of_identifier_knows_the_kind():
    kinds = {
        i: getattr(form_of_identifier("k", i), "kind", None)
        for i in ("a@b.example", "+442079460958", "C-4821", "Ann Lee", "u")
    }
    assert kinds == {
        "a@b.example": "email",
        "+442079460958": "phone",
        "C-4821": "account",
        "Ann Lee": "name",
        "u": None,
    }


def test_reprs_hold_no_value():
    index = RegisterIndex(ANN)
    shown = repr(ANN) + repr(index) + repr(index.link("Ann Lee")) + repr(fold("Ann Lee"))
    assert "Ann" not in shown.replace("ann", "")
    assert "Lee" not in shown


def keyed(kind, form):
    return hmac.new(KEY, f"{kind}\0{form}".encode(), hashlib.sha256).hexdigest()


def suppress(*forms):
    return SuppressionList({keyed(f.kind, n) for f in forms for n in normal_forms(f.kind, f.value)}, hmac=keyed)


def test_the_suppression_list_finds_what_the_register_found():
    text = "Ann  Lee, ANN.LEE@example.com; 020 7946 0958 or ac 1234 5678. Order 48213."
    erased = {(text[link.start : link.end_exclusive], link.kind) for link in suppress(*ANN).link(text)}
    assert erased == {(value, kind) for value, kind, _ in found(RegisterIndex(ANN), text)}
    assert all(not link.subject_keys and not link.ambiguous for link in suppress(*ANN).link(text))


def test_an_empty_suppression_list_computes_nothing():
    def never(kind, form):
        raise AssertionError

    assert SuppressionList(hmac=never).link("Ann Lee") == ()
