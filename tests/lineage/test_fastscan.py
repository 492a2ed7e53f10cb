"""The fast path finds what stock Presidio finds: type, span, score, recogniser and order. And the comparison can fail."""

from __future__ import annotations

import random
import re
from functools import cache, partial
from importlib import metadata
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage import fastcontext, fastpatterns, fastphone, fastscan, fasttokens, presidio
from lineage.fastscan import FastAnalyzer
from lineage.policy import load_policy
from tests.support.scan_texts import CONTEXT, EMOTICONS, GLUE, MARKS, SPACES, adversarial, clean, mixed, ordinary

DEFAULT = load_policy("default")
EVERY_REGION = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR", "AR", "JE", "AU", "ZZ")
POLICIES = {
    "default": DEFAULT,
    "strict": load_policy("strict"),
    "everything": DEFAULT.model_copy(
        update={
            "disabled_recognizers": (),
            "min_score": 0.0,
            "phone": DEFAULT.phone.model_copy(
                update={"regions": EVERY_REGION, "context": ("phone", "anr\u03c5f\u03c2", "Call")}
            ),
        }
    ),
}
POLICIES |= {f"european-{code}": load_policy("european").in_language(code) for code in ("de", "fr", "es")}
CHUNKS, CHUNK_RECORDS = 25, 500


@cache
def pair(name):
    """Two engines that share no recogniser object: stock, and the one that the fast path runs."""
    presidio.silence(*presidio.LOGGERS)
    policy = POLICIES[name]
    return presidio.stock_engine(policy), fast(policy)


def fast(policy):
    return FastAnalyzer(presidio.stock_engine(policy), policy.language, policy.min_score)


def outcome(find):
    try:
        return find()
    except (ValueError, UnicodeError):
        return "failed"


def stock_findings(engine, text, policy=DEFAULT):
    results = engine.analyze(text, policy.language, score_threshold=policy.min_score)
    return [(r.entity_type, r.start, r.end, r.score, r.recognition_metadata["recognizer_name"]) for r in results]


def fast_findings(analyzer, text):
    return [tuple(finding[:5]) for finding in analyzer.findings(text)]


def differs(text, name="default"):
    """Both sides where they differ, else None."""
    engine, analyzer = pair(name)
    ours = outcome(lambda: fast_findings(analyzer, text))
    stock = outcome(lambda: stock_findings(engine, text, POLICIES[name]))
    return None if ours == stock else (text, stock, ours)


def differences(seeds, name="default", make=mixed):
    return [found for seed in seeds if (found := differs(make(random.Random(seed)), name))]


def test_the_pinned_presidio_is_the_one_installed():
    assert metadata.version("presidio-analyzer") == fastscan.PINNED_PRESIDIO == "2.2.366"


@pytest.mark.parametrize("name", POLICIES)
def test_no_recogniser_of_the_shipped_english_policies_runs_stock(name):
    path = pair(name)[1].path
    assert path == "fast/1" if not name.startswith("european") else path.startswith("fast/1 "), path


@pytest.mark.parametrize("name", POLICIES)
def test_a_sample_has_no_differences(name):
    assert differences(range(200), name) == []


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_twelve_thousand_records_have_no_differences(chunk):
    """25 x 500 records, half adversarial, seeds that no other test uses; every fifth chunk with everything switched on."""
    seeds = range(10_000 + chunk * CHUNK_RECORDS, 10_000 + (chunk + 1) * CHUNK_RECORDS)
    assert differences(seeds, "everything" if chunk % 5 == 0 else "default") == []


pieces = st.one_of(
    st.sampled_from(
        [
            *CONTEXT,
            *EMOTICONS,
            *GLUE,
            *MARKS,
            *SPACES,
            "4111111111111111",
            "+44 20 7946 0958",
            "1::2",
            "12/03/24",
            "a@b.com",
        ]
    ),
    st.text(alphabet="0123456789-. /:+()", max_size=20),
    st.text(max_size=6),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=20).map("".join))
def test_whatever_is_written_there_are_no_differences(text):
    assert differs(text) is None
    assert differs(text, "everything") is None


@pytest.mark.parametrize("make", [ordinary, clean])
def test_a_long_record_has_no_differences(make):
    assert differs(make(random.Random(3), 30_000)) is None


@pytest.mark.slow
def test_a_record_of_a_megabyte_has_no_differences():
    assert differs(ordinary(random.Random(4), 1_000_000)) is None


@pytest.mark.parametrize("unit", ["1 - -", "1/ ", "12. ", "(1 ", "2024-01-02 08:99 ", "1234567 "])
def test_the_phone_search_stops_at_the_same_place(unit):
    """After 65,535 tries phonenumbers gives up in silence; a number behind that place is found by neither or by both."""
    import phonenumbers

    def tries_left(matcher):
        spans = [(match.start, match.end) for match in matcher]
        return spans, max(matcher._max_tries, 0)

    for count in (2_000, 30_000):
        text = unit * count + " +44 20 7946 0958"
        candidates = fastphone._Candidates(text, hopeless_below=fastphone._reach("GB").fewest)
        stock = tries_left(phonenumbers.PhoneNumberMatcher(text, "GB"))
        assert tries_left(fastphone._SharedMatcher(text, "GB", candidates)) == stock


def test_another_version_of_presidio_runs_stock(monkeypatch):
    monkeypatch.setattr(
        fastscan, "version", lambda name: "2.2.367" if name == "presidio-analyzer" else metadata.version(name)
    )
    analyzer = fast(DEFAULT)
    assert analyzer.path == "stock"
    text = ordinary(random.Random(1))
    assert fast_findings(analyzer, text) == stock_findings(pair("default")[0], text)


def test_another_phonenumbers_runs_its_recogniser_stock(monkeypatch):
    monkeypatch.setitem(fastphone._PINNED, fastphone.matching, "0" * 64)
    assert fast(DEFAULT).path == "fast/1 PhoneRecognizer"


def modified(recognizer, change):
    match change:
        case "text":
            from presidio_analyzer import Pattern

            recognizer.patterns = [Pattern(p.name, p.regex + "(?!x)", p.score) for p in recognizer.patterns]
        case "flags":
            recognizer.global_regex_flags = re.DOTALL
        case "analyze":
            recognizer.analyze = partial(recognizer.analyze)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("DateRecognizer", "text"),
        ("DateRecognizer", "flags"),
        ("DateRecognizer", "analyze"),
        ("UsSsnRecognizer", "flags"),
        ("IbanRecognizer", "text"),
        ("IbanRecognizer", "analyze"),
    ],
)
def test_a_recogniser_that_is_not_as_pinned_runs_stock_in_the_fast_path(name, change):
    engine = presidio.stock_engine(DEFAULT)
    modified(next(r for r in engine.registry.recognizers if r.name == name), change)
    analyzer = FastAnalyzer(engine, "en", DEFAULT.min_score)
    assert analyzer.path == f"fast/1 {name}"
    for seed in range(30):
        text = ordinary(random.Random(seed))
        assert fast_findings(analyzer, text) == stock_findings(engine, text)


def test_a_recogniser_that_raises_its_own_scores_makes_everything_stock():
    engine = presidio.stock_engine(DEFAULT)
    recognizer = engine.registry.recognizers[0]
    recognizer.enhance_using_context = lambda raw_recognizer_results, **_: raw_recognizer_results
    assert FastAnalyzer(engine, "en", DEFAULT.min_score).path == "stock"


def broken_trigger(monkeypatch):
    # "s" is also the long s: a trigger for months in ASCII letters is no necessary condition.
    monkeypatch.setattr(fastpatterns, "_THREE_LETTERS", re.compile("[A-Za-z]{3}"))


def broken_digits(monkeypatch):
    monkeypatch.setattr(fastpatterns, "_RUN", re.compile(r"[0-9](?:[- .]?[0-9]){5,}+"))


def broken_window(monkeypatch):
    monkeypatch.setattr(fastpatterns, "_IBAN_WINDOW", 20)


def broken_keywords(monkeypatch):
    monkeypatch.setattr(fastcontext, "KEYWORDS", 5)


def broken_made_keywords(monkeypatch):
    monkeypatch.setattr(fastcontext.Surroundings, "_made_keywords", lambda self: iter(()))


def broken_duplicates(monkeypatch):
    monkeypatch.setattr(fastscan, "_without_duplicates", list)


def broken_phone_lengths(monkeypatch):
    monkeypatch.setattr(fastphone._Reach, "allows", lambda self, candidate: len(candidate) > 12)


def broken_order(monkeypatch):
    monkeypatch.setattr(fastscan, "_in_order", lambda found: sorted(found, key=lambda f: f.start))


BROKEN = [
    broken_trigger,
    broken_digits,
    broken_window,
    broken_keywords,
    broken_made_keywords,
    broken_duplicates,
    broken_phone_lengths,
    broken_order,
]


@pytest.mark.parametrize("broken", BROKEN)
def test_the_comparison_catches_a_broken_shortcut(monkeypatch, broken):
    broken(monkeypatch)
    # "the:1" makes every "the" a keyword, and a card may be written in full-width digits: too rare to wait for.
    rare = [
        "phone " + "the " * 6 + "+44 20 7946 0958 the:1",
        "card " + "4111111111111111".translate({48 + i: 0xFF10 + i for i in range(10)}),
    ]
    drawn = (make(random.Random(seed)) for seed in range(1_500) for make in (mixed, adversarial))
    assert any(differs(text, "everything") for text in chain(rare, drawn))


def test_words_that_a_colon_makes_keywords_count_as_in_presidio():
    for text in (
        "phone " + "the " * count + "+44 20 7946 0958" + end for count in range(9) for end in ("", " the:1", " 1:the")
    ):
        assert differs(text) is None


def test_the_word_after_a_finding_counts_where_the_finding_is_no_keyword():
    assert differs("see https://example.com/path url") is None
    assert fast_findings(pair("default")[1], "see https://example.com/path url")[0][3] == pytest.approx(0.95)


def test_a_part_of_a_text_cut_in_one_go_has_the_tokens_of_the_whole():
    tokens = fasttokens.Tokens("en")
    for seed in range(150):
        rng = random.Random(seed)
        text = " ".join("".join(rng.choices((*EMOTICONS, *CONTEXT, *GLUE), k=rng.randint(1, 3))) for _ in range(400))
        first = fastcontext._chunk_start(text, rng.randrange(len(text)))
        end = fastcontext.chunk_end(text, min(first + 600, len(text)))
        part = fastcontext.Surroundings(tokens, text)._wide_table(first, end)
        cut = [(first + token_end, token.lower) for token_end, token in zip(part.ends, part.tokens, strict=True)]
        whole = [(token.end, token.lower) for token in tokens.whole(text)]
        assert cut == [token for token in whole if cut[0][0] <= token[0] <= cut[-1][0]] if cut else True


def test_what_is_remembered_is_bounded_and_can_be_dropped(monkeypatch):
    monkeypatch.setattr(fasttokens, "MEMORY", 50)
    analyzer = fast(DEFAULT)
    for seed in range(40):
        analyzer.findings("phone card date website " + ordinary(random.Random(seed)))
        assert len(analyzer._tokens._pieces) <= 50
    assert analyzer._tokens._pieces
    analyzer._tokens.forget()
    assert not analyzer._tokens._pieces
    planted = "zq7pv9.planted@example.com"
    assert analyzer.findings(f"email {planted}")
    assert planted in analyzer._tokens._nlp.vocab.strings
    analyzer._tokens.forget()
    assert planted not in analyzer._tokens._nlp.vocab.strings
