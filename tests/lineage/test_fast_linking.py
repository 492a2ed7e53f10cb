"""What makes linking cheap changes no link: compared with folding, windows and regions in their plainest form."""

from __future__ import annotations

import hashlib
import hmac
import pickle
from contextlib import contextmanager
from unittest.mock import patch

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_forms import (
    every_region,
    places_of,
    plain_fold,
    plain_joined,
    plain_phone_windows,
    plain_squeeze,
    whole_text,
)
from plain_suppression import plain_links

from lineage import phonebook, register
from lineage.folding import fold, squeeze
from lineage.forms import DEFAULT_REGIONS, normal_forms, phone_readings, phone_windows, regions_that_may_read
from lineage.keyring import Keyring
from lineage.register import RegisterForm, RegisterIndex
from lineage.suppression import SuppressionList

KEYRING = Keyring(b"w" * 32, b"v" * 32)
PHONES = ("+44 20 7946 0958", "+1 212 555 0100", "+49 30 901820", "+33 1 42 68 53 00", "+972 3 123 4567", "+91 22 1234 5678",
          "+55 11 91234 5678", "0117 496 0711", "(212) 555-0199", "+390612345678")  # fmt: skip
NAMES = ("Ann Lee", "Zoë Müller", "José Ñandú", "Straße Weiß", "Ann")
ACCOUNTS = ("AC-1234-5678", "DE 44 999", "9999-0000", "2079460958")
EMAILS = ("ann.lee@example.com", "zoë@exämple.de")
VALUES = [(kind, v) for kind, values in (("phone", PHONES), ("name", NAMES), ("account", ACCOUNTS), ("email", EMAILS))
          for v in values]  # fmt: skip
ODD = " \n\t\r\x1c  abcXYZ0123456789-+()./@\u0301\u00a0\u200b\u2003éßÄſK①Ⅷ٣４+＋ﬁ´¨"

# Without lone surrogates: they have no UTF-8, so no digest, and a record with one is quarantined.
odd_text = st.text(alphabet=st.one_of(st.sampled_from(ODD), st.characters(codec="utf-8")), max_size=60)
forms = st.lists(
    st.builds(lambda who, value: RegisterForm(who, *value), st.sampled_from("abc"), st.sampled_from(VALUES)),
    min_size=1, max_size=12,
)  # fmt: skip


@st.composite
def spelt(draw: st.DrawFn) -> str:
    """A value as people write it: phones in national and international ways, from any of the regions."""
    kind, value = draw(st.sampled_from(VALUES))
    if kind != "phone":
        return draw(st.sampled_from([value, value.upper(), value.replace(" ", "  "), value.replace("-", " ")]))
    number = phonenumbers.parse(value, "GB")
    written = phonenumbers.format_number(number, draw(st.sampled_from([0, 1, 2])))
    prefix = draw(st.sampled_from(["+", "00", "00 ", "011 ", ""]))
    return written.replace("+", prefix).replace(" ", draw(st.sampled_from([" ", "-", "/", "."])))


text = st.lists(st.one_of(spelt(), odd_text), max_size=8).flatmap(
    lambda parts: st.sampled_from([" ", "  ", "\n", ", ", ""]).map(lambda glue: glue.join(parts))
)


@contextmanager
def plainly():
    """Linking without its shortcuts."""
    with (
        patch.multiple(
            register, fold=plain_fold, squeeze=plain_squeeze, _joined=plain_joined,
            _overlap=lambda _: True, _EDGES=frozenset(),
        ),
        patch.multiple(
            phonebook, phone_runs=whole_text, run_windows=plain_phone_windows, regions_that_may_read=every_region,
            _has_ending=lambda *_: True,
        ),
    ):  # fmt: skip
        yield


@settings(max_examples=600)
@given(odd_text)
def test_folding_and_windows(given_text):
    for fast, plain in ((fold, plain_fold), (squeeze, plain_squeeze)):
        found, expected = fast(given_text), plain(given_text)
        assert (found.text, places_of(found)) == (expected.text, places_of(expected))
        ends = range(1, len(found.text) + 1)
        assert [found.original_span(0, end) for end in ends] == [expected.original_span(0, end) for end in ends]
    assert list(phone_windows(given_text)) == list(plain_phone_windows(given_text))


@settings(max_examples=400, deadline=None)
@given(forms, text)
def test_links_of_the_register(known, given_text):
    index = RegisterIndex(known)
    with plainly():
        expected = RegisterIndex(known).link(given_text)
    assert index.link(given_text) == expected
    assert pickle.loads(pickle.dumps(index)).link(given_text) == expected  # noqa: S301 - our own


@settings(max_examples=200, deadline=None)
@given(forms, text)
def test_links_of_the_suppression_list(gone, given_text):
    hmacs = {KEYRING.form(f.kind, form) for f in gone for form in normal_forms(f.kind, f.value)}
    fast = SuppressionList(hmacs, hmac=KEYRING.form_mac())
    expected = plain_links(hmacs, KEYRING.form, given_text)
    assert fast.link(given_text) == fast.link(given_text) == expected
    assert pickle.loads(pickle.dumps(fast)).link(given_text) == expected  # noqa: S301 - our own


def test_the_comparison_can_fail():
    """A shortcut that leaves out the regions of a number with an international prefix is seen."""
    known = [RegisterForm("a", "phone", "+44 20 7946 0958")]
    assert RegisterIndex(known).link("call 0044 20 7946 0958")
    with patch.object(phonebook, "regions_that_may_read", lambda *_: ("US",)):
        assert not RegisterIndex(known).link("call 0044 20 7946 0958")


def test_of_numbers_that_begin_alike_the_longer_stands():
    """In Germany one may be the beginning of another; a shared one stands for all whose it is."""
    known = [RegisterForm(who, "phone", f"+49 30 901820{end}") for who, end in (("a", ""), ("a", "15"), ("b", "15"))]
    index, shared = RegisterIndex(known), RegisterIndex([*known, RegisterForm("b", "phone", "+49 30 901820")])
    for given_text in ("+49 30 901820 15", "call 030 901820 15 now", "AC 030 901820 15 030 901820"):
        with plainly():
            expected = RegisterIndex(known).link(given_text), shared.link(given_text)
        assert (index.link(given_text), shared.link(given_text)) == expected
        assert {"a", "b"} <= set().union(*(link.subject_keys for link in expected[0]))


def test_the_rest_of_a_number_may_be_somebody_elses():
    known = [RegisterForm("a", "phone", "+44 7700 900123"), RegisterForm("b", "phone", "+1 770 090 0123")]
    links = RegisterIndex(known).link("call +44 7700 900123")
    assert [(link.place, link.subject_keys) for link in links] == [((5, 20), {"a"}), ((9, 20), {"b"})]


@pytest.mark.parametrize("region", DEFAULT_REGIONS)
def test_an_international_prefix_is_known_in_every_region(region):
    index = RegisterIndex([RegisterForm("a", "phone", "+33 1 42 68 53 00")], regions=(region,))
    with plainly():
        plain = [index.link(f"call {prefix} 33 142685300") for prefix in ("00", "011", "0014", "0021")]
    assert [index.link(f"call {prefix} 33 142685300") for prefix in ("00", "011", "0014", "0021")] == plain
    assert any(plain)


@given(st.text(max_size=20), st.text(max_size=20))
def test_digests_are_hmac_sha_256_over_framed_parts(purpose, part):
    framed = len(part.encode()).to_bytes(8, "big") + part.encode()
    assert KEYRING.mac(purpose, part) == hmac.new(KEYRING.derive(purpose), framed, hashlib.sha256).hexdigest()
    assert KEYRING.form_mac()(purpose, part) == KEYRING.form(purpose, part) == KEYRING.mac("form", purpose, part)
    assert "key" not in repr(KEYRING.form_mac())


def test_a_number_in_the_international_format_reads_as_itself():
    """Which is why it is not read: example numbers of every region and type, and some beside each."""
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in range(11):
            example = phonenumbers.example_number_for_type(region, kind)
            for spelling in {phonenumbers.format_number(example, style) for style in (0, 1)} if example else ():
                written = "+" + "".join(filter(str.isdigit, spelling))
                for number in phone_readings(spelling, DEFAULT_REGIONS) & {written}:
                    assert phone_readings(number, DEFAULT_REGIONS) == {number}
                    index = RegisterIndex([RegisterForm("a", "phone", number)])
                    assert [link.place for link in index.link(spelling)] == [(0, len(spelling))]


def test_no_region_reads_fewer_digits_than_the_number_has_unless_it_leaves_some_out():
    """Which is why such spellings are not read: ends of every region's example numbers, with what may stand before them."""
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in range(11):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            e164, digits = phonenumbers.format_number(example, 0), phonenumbers.national_significant_number(example)
            for spelling in {before + digits[cut:] for cut in (1, 2, 3) for before in ("", "0", "1", "8")}:
                if len(spelling) < len(digits) and e164 in phone_readings(spelling, (region,)):
                    assert regions_that_may_read(spelling, (region,), (e164,)) == (region,)
