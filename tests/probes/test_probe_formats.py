"""Formats: the true value is one draw like its candidates, whatever its kind."""

from __future__ import annotations

import datetime
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from lineage.errors import WrongUsage
from probes.dates import dates_like, squashed_writings
from probes.dossier import PersonalValue
from probes.exposure import calibrated, rank
from probes.formats import candidates, format_of, iban_check_digits, peer_pattern

PHONES = [f"reach me at +44 20 {d}{d}{d}{d}90{d}1, thanks" for d in range(2, 9)]
VALUES = [
    PersonalValue("phone", "+44 20 12345678"),
    PersonalValue("account", "AC-1234-5678"),
    PersonalValue("iban", "GB82 WEST 1234 5698 7654 32"),
    PersonalValue("account", "DE89370400440532013000"),
    PersonalValue("email", "ada.birch83@example.org"),
    PersonalValue("email", "u048213@example.org"),
    PersonalValue("email", "kettle1984@example.org"),
    PersonalValue("date", "1984-03-02"),
    PersonalValue("date", "03/04/1984"),
    PersonalValue("date", "13/11/1984"),
    PersonalValue("birthdate", "3 March 1984"),
    PersonalValue("birthdate", "May 12, 1984"),
    PersonalValue("date", "29. Februar 1984"),
    PersonalValue("date", "3 de marzo de 1984"),
    PersonalValue("plate", "AB-123-cd", "??-###-??"),
]


def drawn(value, *, count=60, texts=()):
    return candidates(format_of(value, texts), value.value, count=count, seed=3)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.value)
def test_every_candidate_would_have_had_the_same_candidates(value):
    form = format_of(value)
    assert form.size > 1
    assert form.value(form.number(value.value)) == value.value
    for other in drawn(value, count=12):
        assert format_of(PersonalValue(value.kind, other, value.pattern)) == form


def test_so_would_it_beside_other_peoples_values():
    """Also where all others happen to share a digit that the true value does not have."""
    dates = ["born 25/12/1961, moved 31/01/1999"]
    for value, texts in ((VALUES[0], PHONES), (PersonalValue("phone", "+44 20 12349029"), PHONES), (VALUES[8], dates)):
        form = format_of(value, texts)
        assert form.size > 5
        for other in candidates(form, value.value, count=25, seed=1):
            assert format_of(PersonalValue(value.kind, other), texts) == form


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.value)
def test_candidates_are_distinct_the_same_again_and_never_true(value):
    found = drawn(value)
    assert len(set(found)) == len(found) == min(60, format_of(value).size - 1)
    assert value.value not in found
    assert found == drawn(value)
    assert value.kind == "date" or found != candidates(format_of(value), value.value, count=60, seed=4)


@given(st.integers(0, 10**9), st.integers(0, 5))
@settings(max_examples=40)
def test_iban_candidates_keep_country_and_length_and_pass_mod_97(account, seed):
    body = f"37040044{account:010d}"
    iban = f"DE{iban_check_digits('DE00' + body)}{body}"
    for other in candidates(format_of(PersonalValue("account", iban)), iban, count=20, seed=seed):
        assert (other[:2], len(other), other[4:12]) == ("DE", len(iban), "37040044")
        # ISO 7064: country and check digits behind the rest, letters as 10 to 35, leave 1
        assert int("".join(str(int(c, 36)) for c in other[4:] + other[:4])) % 97 == 1


@pytest.mark.parametrize(
    "iban",
    ["GB82 WEST 1234 5698 7654 32", "DE89 3704 0044 0532 0130 00", "NO9386011117947", "FR1420041010050500013M02606",
     "CH9300762011623852957", "MT84MALT011000012345MTLCAST001S", "SE4550000000058398257466"],
)  # fmt: skip
def test_check_digits_of_published_examples(iban):
    assert iban_check_digits(iban) == iban[2:4]


def test_an_iban_with_wrong_check_digits_is_only_a_number():
    assert not format_of(PersonalValue("account", "DE00370400440532013000")).iban
    assert format_of(PersonalValue("account", "DE89370400440532013000")).random_digits == pytest.approx(5.0)


@given(st.dates(datetime.date(1930, 1, 1), datetime.date(2049, 12, 31)), st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d.%m.%y"]))  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_date_candidates_are_real_days_of_the_year_in_the_same_form(day, form):
    written = day.strftime(form)
    others = dates_like(written)
    assert written in others
    for other in others:
        assert len(other) == len(written)
        assert _parsed(other, form).year == day.year or form == "%d.%m.%y" or "/" in form
    assert len(others) >= 3


def _parsed(text, form):
    try:
        return datetime.datetime.strptime(text, form).date()  # noqa: DTZ007 - a date has no zone
    except ValueError:  # written the other way round: the value leaves that open
        return datetime.datetime.strptime(text, form.replace("%d", "%x").replace("%m", "%d").replace("%x", "%m")).date()  # noqa: DTZ007 - a date has no zone


def test_other_peoples_dates_settle_what_a_date_leaves_open():
    open_, settled = dates_like("03/04/1984"), dates_like("03/04/1984", ["born 25/12/1961, moved 31/01/1999"])
    assert len(open_) < len(settled) == 366
    assert "29/02/1984" in settled
    assert not [date for date in settled if date.endswith("1961")]
    assert len(dates_like("1985-07-01", ["since 1961-07-30 and 1999-01-01"])) == 365


def test_a_date_in_an_unknown_form_has_no_format_rather_than_a_false_one():
    for text in ("the 3rd of March", "1984-02-30", "2026W14"):
        assert format_of(PersonalValue("birthdate", text)).size == 1
    assert dates_like("12345678") == ()


def test_the_same_day_in_other_words_is_the_same_value():
    assert {"3april1984", "march41984", "19840403", "19840304"} < squashed_writings("03/04/1984")
    assert "march31984" in squashed_writings("1984-03-03")
    assert squashed_writings("1234-5678") == frozenset()


def test_a_format_learns_the_shared_digits_from_control_records():
    value = PersonalValue("phone", "+44 20 12345678")
    assert format_of(value, PHONES).pattern == "+44 20 ########"
    # Area codes differ and come from a short list; only what follows the shared exchange is random.
    drama = [f"call +44 1{area} 496 0{area}9 today" for area in (13, 14, 16, 17, 21, 31)]
    assert format_of(PersonalValue("phone", "+44 141 496 0237"), drama).pattern == "+44 141 496 0###"
    assert format_of(value).pattern == "+44 20 1#######"
    assert format_of(PersonalValue("phone", "12-34", "12-##"), PHONES).pattern == "12-##"


def test_the_true_value_does_not_choose_what_is_shared():
    peers = [f"dial 0{d}5 {d}{d}1{d}" for d in range(1, 9)]  # everybody else's third digit is 5
    forms = {format_of(PersonalValue("phone", f"07{digit} 2210"), peers).pattern for digit in range(10)}
    assert {form[4:] for form in forms} == {"221#"}  # the shared "1" decides, whatever the person's own digits are


def test_of_an_email_only_digits_are_random():
    def pattern(text, *others):
        return format_of(PersonalValue("email", text), others=others).pattern

    assert pattern("ada.birch@example.org") == "ada.birch@example.org"
    assert pattern("ada.birch483@web24.example") == "ada.birch###@web24.example"
    assert pattern("ada1984@example.org") == "ada19##@example.org"
    born = PersonalValue("birthdate", "2 May 1984")
    assert pattern("ada1984@example.org", born) == pattern("ada84@example.org", born)[:3] + "1984@example.org"
    found = drawn(PersonalValue("email", "ada483@example.org"), count=500)
    assert not [other for other in found if other.startswith("ada0")]


def test_letters_of_a_pattern_keep_their_case():
    value = PersonalValue("plate", "AB-123-cd", "??-###-?d")
    assert format_of(value).size == 26**2 * 10**3 * 26
    for other in drawn(value):
        assert (other[:2].isupper(), other[3:6].isdecimal(), other[7:].islower(), other[8]) == (True, True, True, "d")


@pytest.mark.parametrize("pattern", ["##-###-??", "??-###", "AX-###-??"])
def test_a_pattern_that_does_not_fit_is_refused_without_the_value(pattern):
    with pytest.raises(WrongUsage) as refused:
        format_of(PersonalValue("plate", "AB-123-cd", pattern))
    assert "AB-123" not in str(refused.value)


def test_formats_of_more_values_than_a_machine_counts():
    value = PersonalValue("token", "1" * 40, "#" * 40)
    assert len(set(drawn(value, count=200))) == 200


@given(st.text("0123456789- ", min_size=1, max_size=12), st.integers(1, 300), st.integers(0, 5))
def test_no_candidate_is_lost_doubled_or_true(value, count, seed):
    pattern = "".join("#" if c.isdigit() else c for c in value)
    found = candidates(format_of(PersonalValue("code", value, pattern)), value, count=count, seed=seed)
    assert len(set(found)) == len(found) == min(count, 10 ** pattern.count("#") - 1)
    assert value not in found
    assert all(len(other) == len(value) for other in found)


def test_every_value_of_a_format_is_drawn_alike():
    value = PersonalValue("code", "12-3", "12-#")
    counts = dict.fromkeys((f"12-{d}" for d in range(10)), 0)
    for seed in range(2000):
        for other in candidates(format_of(value), value.value, count=3, seed=seed):
            counts[other] += 1
    assert counts.pop("12-3") == 0
    assert reference.chisquare(list(counts.values())).pvalue > 0.01


@pytest.mark.parametrize("value", VALUES[:12], ids=lambda value: value.value)
def test_a_strangers_value_of_the_same_kind_is_recognised(value):
    text = f"it says {drawn(value)[0]}, as far as I know"
    assert peer_pattern(value).search(text)


def test_exposure_p_is_uniform_for_every_format():
    """Five models with strong, shared and own likes for characters, on true values drawn from the format at random."""
    found = {value.value: [_null_p(format_of(value), i) for i in range(200)] for value in VALUES[:-1]}
    assert all(reference.kstest(ps, "uniform").pvalue > 0.05 / len(VALUES) for ps in found.values())
    assert reference.kstest(np.concatenate(list(found.values())), "uniform").pvalue > 0.05


def _null_p(form, number):
    """A randomised p-value: a rank's share of (0, 1], uniform to the last digit where ranks are few."""
    rng = random.Random(number)
    true = form.value(rng.randrange(form.size))
    lines = [true, *candidates(form, true, count=99, seed=number)]
    scores = {name: LIKINGS[name](lines) for name in LIKINGS}
    found = rank(calibrated(scores, ["new"], [name for name in LIKINGS if name != "new"]))
    return found.p - rng.random() / (found.candidates + 1)


def _liking(model):
    """A sum of whims about neighbouring characters, some common to all models; longer texts cost more."""
    whims = 2 * np.random.default_rng(0).normal(size=(256, 256)) + np.random.default_rng(model).normal(size=(256, 256))

    def scores(lines):
        width = max(map(len, lines))
        codes = np.array([list(line.encode("latin-1").ljust(width, b"\0")) for line in lines])
        return np.where(codes[:, 1:] > 0, whims[codes[:, :-1], codes[:, 1:]] - 0.5, 0.0).sum(axis=1)

    return scores


LIKINGS = {name: _liking(i) for i, name in enumerate(("new", "o1", "o2", "o3", "o4"), start=1)}
