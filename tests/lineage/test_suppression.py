"""The suppression list finds what asking for every run of words would find, with cues or without."""

from __future__ import annotations

import pickle
import random
import sys
import unicodedata

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_suppression import plain_links

from lineage import cues
from lineage.cues import Cues, cues_of, glance
from lineage.errors import WrongUsage
from lineage.folding import fold
from lineage.forms import DEFAULT_REGIONS, normal_forms, phone_readings
from lineage.keyring import Keyring
from lineage.suppression import SuppressionList

KEYRING = Keyring(b"w" * 32, b"v" * 32)
MAC, CUE_MAC = KEYRING.form_mac(), KEYRING.cue_mac()
VALUES = {
    "name": ("Ann Lee", "Ann", "Maria Schmidt", "Schmidt, Maria", "Zoë Müller-Lüdenscheid", "José Ñandú", "Straße Weiß",
             "Ａｎｎ Ｌｅｅ", "李 明", "Λευτέρης Ξ", "İpek Su", "O'Neil Jr.", "(Bo) Derek", "'t Hooft", "a b c d e", "Jean de la Tour"),
    "email": ("ann.lee@example.com", "zoë@exämple.de", "a@b.c"),
    "phone": ("+44 20 7946 0958", "0117 496 0711", "(212) 555-0199", "+672 3 22222", "+49 301234", "+290 22222", "+390612345678"),
    "account": ("AC-1234-5678", "DE 44 999 1", "9999-0000", "12-AB", "K 1", "№ 77 88", "abcd", "٣٤٥٦", "A1B2C3D4E5F6"),
}  # fmt: skip
PAIRS = [(kind, value) for kind, values in VALUES.items() for value in values]
GLUE = (" ", "  ", "\n", ", ", "", "-", "/", "\u00a0", "\u200b", "\x1c", " (", "\u0301", " \u0345")
ODD = " \n\t\r\x1c  abcXYZ0123456789-+()./@_'\u0301\u0345\u00a0\u00ad\u200b\u2003éßÄſK①Ⅷ٣４²½+＋ﬁ´¨İŉ한ﾞがカ\u3099"


def forms_of(kind: str, value: str) -> frozenset[str]:
    try:
        return normal_forms(kind, value)
    except WrongUsage:
        return frozenset()


def listed(pairs, *, with_cues: bool = True) -> tuple[SuppressionList, set[str]]:
    """The list of these values, and the digests it holds."""
    forms = {(kind, form) for kind, value in pairs for form in forms_of(kind, value)}
    tags = {cue for kind, form in forms for cue in cues_of(kind, form, CUE_MAC)}
    hmacs = {MAC(*form) for form in forms}
    return SuppressionList(hmacs, hmac=MAC, cues=Cues(tags, mac=CUE_MAC) if with_cues else None), hmacs


def spelt(pair: tuple[str, str]) -> st.SearchStrategy[str]:
    """A value as people write it, and as copying and keyboards make of it."""
    kind, value = pair
    ways = [value, value.upper(), value.replace(" ", "  "), value.replace("-", " "), value.replace(" ", "\n"),
            unicodedata.normalize("NFD", value), value.replace(" ", "\u00a0"), "\u200b".join(value), " ".join(value),
            "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value), ", ".join(reversed(value.split()))]  # fmt: skip
    if kind == "phone" and pair in PAIRS:
        number = phonenumbers.parse(value, "GB")
        ways += [
            phonenumbers.format_number(number, style).replace("+", p)
            for style in (0, 1, 2)
            for p in ("+", "00", "011 ")
        ]
    return st.sampled_from(ways)


values = st.sampled_from(PAIRS)
drawn_values = st.lists(
    st.one_of(values, st.tuples(st.sampled_from(list(VALUES)), st.text(alphabet=ODD, min_size=2, max_size=12))),
    min_size=1, max_size=8,
)  # fmt: skip
noise = st.text(alphabet=st.one_of(st.sampled_from(ODD), st.characters(codec="utf-8")), max_size=30)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[tuple[str, str]], str]:
    """Values of erased people, and a text that holds some of them, near ones and other things."""
    gone = draw(drawn_values)
    part = st.one_of(st.sampled_from(gone).flatmap(spelt), values.flatmap(spelt), noise)
    text = "".join(p + draw(st.sampled_from(GLUE)) for p in draw(st.lists(part, max_size=8)))
    return gone, text


@settings(max_examples=600, deadline=None)
@given(worlds())
@example(([("account", "№ 77 88")], "No 77 88")).via("a sign that folds to letters")
@example(([("account", "9999-0000")], "a ２９９９９ 9999²")).via("full-width digits")
@example(([("account", "1ι23")], "1 \u0345 23")).via("a mark after a space that folds to a letter")
@example(([("phone", "+672 3 22222")], "+672 22222")).via("a national prefix that is put in")
@example(([("name", "a b")], "xa b, a b a b")).via("a word that is the end of another")
@example(([("name", "ann"), ("name", "ann lee")], "Ann ann\u200b lee Ann-Lee ann\x1clee")).via("one within another")
def test_links_are_those_of_asking_for_everything(world):
    gone, text = world
    fast, hmacs = listed(gone)
    plain, _ = listed(gone, with_cues=False)
    expected = plain_links(hmacs, MAC, text)
    assert fast.link(text) == fast.link(text) == plain.link(text) == expected
    assert pickle.loads(pickle.dumps(fast)).link(text) == expected  # noqa: S301 - our own


@settings(max_examples=300, deadline=None)
@given(noise, st.data())
def test_whatever_stands_in_a_text_is_found(text, data):
    """Erase a run of words of the text itself: its cue calls for it."""
    words = text.split()
    first = data.draw(st.integers(0, max(0, len(words) - 1)))
    value = " ".join(words[first : first + data.draw(st.integers(1, 4))])
    fast, hmacs = listed([(kind, value) for kind in VALUES])
    assert fast.link(text) == plain_links(hmacs, MAC, text)


def test_the_comparison_can_fail():
    fast, hmacs = listed([("name", "Ann Lee")])
    blind = SuppressionList(hmacs, hmac=MAC, cues=Cues((), mac=CUE_MAC))
    assert plain_links(hmacs, MAC, "ann lee") == fast.link("ann lee") != blind.link("ann lee")


def test_nothing_is_digested_in_a_text_of_known_words():
    fast, _ = listed(PAIRS)
    text = "The parcel of order 48213 has not come, please write to nobody@example.org or call 01632 960 123."
    fast.link(text)
    asked = []
    fast._is_suppressed = lambda kind, form: asked.append((kind, form)) or False
    fast._cues._mac = lambda kind, piece: asked.append((kind, piece)) or "0" * 64
    assert fast.link(text) == ()
    assert asked == [("email", "nobody@example.org")]


# --- what a glance may leave out -----------------------------------------------------------------------------------------


def plain_characters():
    return [c for c in map(chr, range(sys.maxunicode + 1)) if not cues._ODD.match(c) and not c.isascii()]


def test_characters_that_are_not_odd_fold_by_themselves_and_are_no_digits():
    for c in plain_characters():
        flat = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", c).casefold())
        if c.isspace():
            assert fold(c).text == " "
            assert flat.isspace()
            continue
        assert fold(c).text == flat, hex(ord(c))
        assert not unicodedata.combining(c)
        assert unicodedata.category(c) not in {"Cf", "Cs"}
        assert not any(f.isdecimal() for f in (c, *flat)), hex(ord(c))
        assert "@" not in flat
        assert not any(f.isspace() for f in flat)


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet=st.one_of(st.characters(codec="ascii"), st.sampled_from(plain_characters())), max_size=60))
def test_a_glance_is_the_folded_text_but_for_its_spaces(text):
    assert cues._ODD.search(text) is None
    seen = glance(text)
    assert seen.flat.split() == fold(text).text.split()
    assert seen.words == cues._WORD.findall(fold(text).text)
    digits = "".join(c for c in text if c in "0123456789")
    assert "".join(seen.groups) == "".join(seen.runs or []) == digits


def written_numbers():
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (0, 1, 3, 4, 10):  # fixed, mobile, free, premium, voicemail and such
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                national = phonenumbers.national_significant_number(number)
                yield region, number.country_code, national


@pytest.mark.parametrize("prefix", ["", "0", "1", "00", "8", "0 0", "15"])
def test_the_last_digits_of_a_spelling_are_those_of_its_number(prefix):
    """What a phone's cue rests on, for numbers of every region as written there and here."""
    rng = random.Random(prefix)
    checked = 0
    for region, code, national in written_numbers():
        for digits in {national, national[-5:], national[-6:], national[:3] + "15" + national[3:]}:
            for spelling in (f"{prefix}{digits}", f"+{code} {prefix}{digits}", f"00{code}{prefix}{digits}"):
                for number in phone_readings(spelling, (rng.choice(DEFAULT_REGIONS), region)):
                    checked += 1
                    seen = "".join(c for c in spelling if c.isdecimal())
                    tail = 5 if len(number) >= cues._LONG_E164 else 4
                    assert number[-tail:] == seen[-tail:], (region, prefix)
    assert checked > 1000


# --- what a cue is -------------------------------------------------------------------------------------------------------


def test_a_cue_is_short_and_keyed_and_not_a_piece_of_the_digest():
    for kind, form in (("name", "ann lee"), ("account", "ac12345678"), ("phone", "+442079460958")):
        (cue,) = cues_of(kind, form, CUE_MAC)
        assert len(cue) == 6
        assert cue not in MAC(kind, form)
        assert cue not in cues_of(kind, form, Keyring(b"x" * 32, b"v" * 32).cue_mac())


def test_a_cue_of_a_name_is_its_first_word_and_their_number():
    same = {cues_of("name", form, CUE_MAC) for form in ("ann lee", "ann stone", "ann-b", "ann, bo")}
    assert len(same) == 1
    assert len(same | {cues_of("name", form, CUE_MAC) for form in ("ann", "ann lee stone", "bo lee")}) == 4


def test_a_cue_of_a_number_is_its_last_five_or_first_six_digits():
    london = cues_of("phone", "+442079460958", CUE_MAC)
    assert cues_of("phone", "+33142660958", CUE_MAC) == london != cues_of("phone", "+442079450958", CUE_MAC)
    assert cues_of("phone", "+6830958", CUE_MAC) > london, "so short a number is met after any digit"
    assert cues_of("account", "ac12345678", CUE_MAC) == cues_of("account", "x123456", CUE_MAC)


@pytest.mark.parametrize(
    ("kind", "form"), [("name", "'t hooft"), ("name", "a b c d e"), ("account", "abcd"), ("email", "a@b.example")]
)
def test_what_cannot_be_met_or_is_looked_up_whole_has_no_cue(kind, form):
    assert cues_of(kind, form, CUE_MAC) == frozenset()


def test_words_in_memory_are_bounded(monkeypatch):
    monkeypatch.setattr(cues, "_KEPT", 10)
    few = Cues((), mac=CUE_MAC)
    for number in range(30):
        few.names([f"w{number}"])
    assert len(few._names._silent) <= 10
