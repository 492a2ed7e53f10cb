"""Where in a text a pinned pattern has to be tried at all.

Presidio runs each of its patterns over the whole text. A pattern listed here is run over pieces of it, with the same compiled
expression, flags and timeout, and finds the same, because of two facts that can be read off its text:

* *In chunks*: it matches no ASCII whitespace, and a chunk's edge is to its `\\b` and lookarounds what a space is. So each
  match lies in one chunk between whitespace. A chunk is tried only if it holds what every match holds (`_Test`): a literal,
  a count of separators, a least length. Tests ask for less than the pattern does, never for more: letters are compared by
  nobody, since without regard to case "s" is also "ſ" and "k" is also the Kelvin sign.
* *In digit runs*: each match is digits with at most one space, hyphen or dot between two of them, and begins and ends with a
  digit. So it lies in one maximal run of that kind; the run is tried with one character of the text on both sides, which
  is as far as `\\b` and `(?!\\d)` look, if it has as many digits as every match has.

IBANs hold spaces and are no digit runs: their pattern is tried at every place in a chunk where two letters and two digits
follow each other, which is how each match begins, on a window longer than the longest match (43 characters).

A pattern is known by the SHA-256 of its text; one that is not listed runs stock. The expressions that cut a text into chunks
and runs are linear in it. A timeout holds for a pattern on one piece; Presidio's for a pattern on the whole text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["IBAN_SHA256", "InChunks", "InRuns", "Pieces", "iban_starts", "iban_window", "place_of", "sha256_of"]

_Test: TypeAlias = Callable[[str], bool]

_PINNED_FLAGS = re.DOTALL | re.MULTILINE | re.IGNORECASE  # numerically those of the regex module
# Presidio's patterns are the regex module's, which knows newer digits than Python does. All of them lie beyond the basic
# plane, so whatever lies there counts as a digit (tests/lineage/test_fastpatterns.py looks at every character).
_ANY_DIGIT = r"\d\U00010000-\U0001ffff"
_TRIGGERED = re.compile(rf"(?<![^ \t\n\r\f\v])[^ \t\n\r\f\v{_ANY_DIGIT}@.:/\-]*+[{_ANY_DIGIT}@.:/\-][^ \t\n\r\f\v]*+")
_RUN = re.compile(rf"[{_ANY_DIGIT}](?:[- .]?[{_ANY_DIGIT}]){{5,}}+")
_DIGIT = re.compile(rf"[{_ANY_DIGIT}]")
_DOT_LETTERS = re.compile(r"\.[^\W\d_]{2}")
_THREE_LETTERS = re.compile(r"[^\W\d_]{3}")
_IBAN_START = re.compile(r"[A-Z](?=[A-Z][0-9]{2})", re.IGNORECASE)
_IBAN_WINDOW = 50


@dataclass(frozen=True, slots=True)
class InChunks:
    """Try the pattern in the chunks that pass a test; patterns of one test share its answer."""

    test: _Test


@dataclass(frozen=True, slots=True)
class InRuns:
    """Try the pattern in the runs of at least so many digits and separators."""

    digits: int
    separators: int = 0


@dataclass(frozen=True, slots=True)
class Pieces:
    """A text's chunks with a digit or one of `@.:/-`, and its runs of six digits or more: start and text of each."""

    chunks: tuple[tuple[int, str], ...]
    runs: tuple[tuple[int, str, int, int], ...]

    @classmethod
    def of(cls, text: str) -> Pieces:
        """The pieces of one text; a run comes with its neighbours and its counts of digits and separators."""
        return cls(tuple((m.start(), m.group()) for m in _TRIGGERED.finditer(text)), tuple(_runs(text)))


def _runs(text: str) -> Iterator[tuple[int, str, int, int]]:
    for found in _RUN.finditer(text):
        start, end = found.span()
        first = max(start - 1, 0)
        digits = len(_DIGIT.findall(found.group()))
        yield first, text[first : end + 1], digits, end - start - digits


def place_of(pattern: str, flags: int) -> InChunks | InRuns | None:
    """Where the pattern of this text and these flags has to be tried; None if it is not a pinned one."""
    return _PLACES.get(sha256_of(pattern)) if flags == _PINNED_FLAGS else None


def iban_starts(pieces: Pieces) -> Iterator[int]:
    """Where a match of the IBAN pattern may begin, in order."""
    for start, chunk in pieces.chunks:
        for found in _IBAN_START.finditer(chunk):
            yield start + found.start()


def iban_window(text: str, start: int) -> tuple[int, str]:
    """The text around a place that the IBAN pattern can look at when it is tried there, and where that begins."""
    first = max(start - 1, 0)
    return first, text[first : start + _IBAN_WINDOW]


def sha256_of(pattern: str) -> str:
    """SHA-256 (hex) of a pattern's text."""
    return hashlib.sha256(pattern.encode()).hexdigest()


def _has_digit(chunk: str) -> bool:
    return _DIGIT.search(chunk) is not None


def _is_long(chunk: str) -> bool:
    return len(chunk) >= 26


def _has_at(chunk: str) -> bool:
    return "@" in chunk


def _has_slash(chunk: str) -> bool:
    return "/" in chunk and _has_digit(chunk)


def _has_slashes(chunk: str) -> bool:
    return chunk.count("/") >= 2 and _has_digit(chunk)


def _has_hyphens(chunk: str) -> bool:
    return chunk.count("-") >= 2 and _has_digit(chunk)


def _has_hyphen_and_name(chunk: str) -> bool:
    return "-" in chunk and _has_digit(chunk) and _THREE_LETTERS.search(chunk) is not None


def _has_instant(chunk: str) -> bool:
    return ":" in chunk and chunk.count("-") >= 2 and len(chunk) >= 17


def _has_dots(chunk: str) -> bool:
    return chunk.count(".") >= 2 and _has_digit(chunk)


def _has_three_dots(chunk: str) -> bool:
    return chunk.count(".") >= 3 and _has_digit(chunk)


def _has_colons(chunk: str) -> bool:
    return "::" in chunk or chunk.count(":") >= 6


def _has_separators(chunk: str) -> bool:
    return chunk.count(":") >= 5 or chunk.count("-") >= 5


def _has_two_dots(chunk: str) -> bool:
    return len(chunk) >= 14 and chunk.count(".") >= 2


def _has_groups(chunk: str) -> bool:
    return len(chunk) >= 36 and chunk.count("-") >= 4


def _has_suffix(chunk: str) -> bool:
    return _DOT_LETTERS.search(chunk) is not None


def _has_scheme(chunk: str) -> bool:
    return "://" in chunk and _has_suffix(chunk)


def _has_quoted_scheme(chunk: str) -> bool:
    return "://" in chunk and _has_quoted_suffix(chunk)


def _has_quoted_suffix(chunk: str) -> bool:
    return ("'" in chunk or '"' in chunk) and _has_suffix(chunk)


IBAN_SHA256 = "1f98697e78e08d679ce1109ea41d0ec9be085a81f048829c521f4ed31442a692"

# SHA-256 of a pattern's text in Presidio 2.2.366, and its place.
_PLACES: dict[str, InChunks | InRuns] = {
    # CREDIT_CARD: All Credit Cards (weak)
    "f619fa242c932c37a86272c6fdadf7c9d98d55a3fce6e67c5eefbc9cbcf33ba1": InRuns(13),
    # US_BANK_NUMBER: Bank Account (weak)
    "77ff5492baf672074003d52a35a22f6684d6232d8b61cadb6f5a70d6fde174f7": InRuns(8),
    # US_DRIVER_LICENSE: Driver License - Alphanumeric (weak)
    "ab1eb0b240f24580398c85e7215e1324d3aa545c803c3b3c34e31ece2f29d08b": InChunks(_has_digit),
    # US_DRIVER_LICENSE: Driver License - Digits (very weak)
    "03317c267dbb76a24f612f304ee2c013f3e9d41e6305815120f3dab962f6b045": InRuns(6),
    # US_ITIN: Itin (very weak)
    "724a6775f6d92716e995d54584accc04002a575a5656e29ef674cabd0e5168ff": InRuns(9),
    # US_ITIN: Itin (weak)
    "1dfa186e9a6100e454f3a6c75a48580a421ea9589ab51a97c6eb98f6ff304f75": InRuns(9),
    # US_ITIN: Itin (medium)
    "aca6bdbc8bcbfacf4ca2ea4d200b6b125f27bb2c264ddc7e898f4fb6bd637830": InRuns(9),
    # US_PASSPORT: Passport (very weak)
    "31cb23903d5651344e09f7af74f00b83d6aab7695d6d3746a82f74e4dc81db5b": InRuns(9),
    # US_PASSPORT: Passport Next Generation (very weak)
    "a4aad820a6663d667bbbd115cdb12de97e5c3e1642ee7f2d6508004772ad7bef": InChunks(_has_digit),
    # US_SSN: SSN1 (very weak)
    "17f1d935dc2f3eff609f25588ecf780079b27af525d94753b321970e6d3cf768": InRuns(9, 1),
    # US_SSN: SSN2 (very weak)
    "75527eba59550d4d2ae263e621abea122e7a9a38de21f4909d38445a1a1a1e41": InRuns(9, 1),
    # US_SSN: SSN3 (very weak)
    "213ac080713cf308d3465dd8a62e3557fe86cfb19aa66deb5b794e44bbff9867": InRuns(9, 2),
    # US_SSN: SSN4 (very weak)
    "4e6bd6618bc9dd323421afe89056f087940f6afa495546db0b053cb2891a628c": InRuns(9),
    # US_SSN: SSN5 (medium)
    "f2721d631f6158ff7a4597fece26edfdf2c5f975d5909f85b7dbf1f87d953df1": InRuns(9, 2),
    # UK_NHS: NHS (medium)
    "d813b701023b51882d9d27dac61c3e990bcac57882d92623470124b9cb9fda8d": InRuns(10),
    # CRYPTO: Crypto (Medium)
    "9d9a993fd6aee8943056104f28b07d0ef54978e553bf57a9ef6aeccb18ad84af": InChunks(_is_long),
    # DATE_TIME: Datetime (yyyy-mm-ddThh:mm[:ss[.f]] with timezone)
    "8231e96300900a1933f7894bd2d55d82811d009114fb9853c33b734cc2cfc0bb": InChunks(_has_instant),
    # DATE_TIME: mm/dd/yyyy or mm/dd/yy
    "de849c1681c98a79e57d617168dfc4a0deb85049cc30cb50466cc2972e54a6e8": InChunks(_has_slashes),
    # DATE_TIME: dd/mm/yyyy or dd/mm/yy
    "19ffdc2987b151d9a442700781fcadc338c6c2cbfccfaaf5addf962e5f2bf35d": InChunks(_has_slashes),
    # DATE_TIME: yyyy/mm/dd
    "4ccb5d61a4e1942d27bed361cdc2ed5071620616a0f83096e84cd6974f057bcc": InChunks(_has_slashes),
    # DATE_TIME: mm-dd-yyyy
    "9d1fcea6de93cf884ebe8e380e1213be27af70397b7d84f8596a07de69584849": InChunks(_has_hyphens),
    # DATE_TIME: dd-mm-yyyy
    "cd1cf05f027c5501af93630fd6e2a4c85890cd560b18186be30d464480381701": InChunks(_has_hyphens),
    # DATE_TIME: yyyy-mm-dd
    "79e15fb16d77fdfaf147b62da6353f4416bd73fbb8ccc4ae6ba7255da73a0abb": InChunks(_has_hyphens),
    # DATE_TIME: dd.mm.yyyy or dd.mm.yy
    "ed7ea12896824ef74beff16c8e8fdb51964fbf77d98b97ac428ec716d6dc6cf9": InChunks(_has_dots),
    # DATE_TIME: dd-MMM-yyyy or dd-MMM-yy
    "9cca403b33cf14e4c1a52dd080c96ad6ab5a9322bec41cdb05ff7f13a3c9975b": InChunks(_has_hyphens),
    # DATE_TIME: MMM-yyyy or MMM-yy
    "47b9242593e806a64bab98da8ac6a10827ca89e9c626fa7dbebc94ec73069090": InChunks(_has_hyphen_and_name),
    # DATE_TIME: dd-MMM or dd-MMM
    "94027aaf76935ea5aed57fc365119fd6b98e0185298c9aebabb74217456011b0": InChunks(_has_hyphen_and_name),
    # DATE_TIME: mm/yyyy or m/yyyy
    "52dd574bb25c715094547d7fd784be05fb811d224caad33a087f099a825cf1b0": InChunks(_has_slash),
    # DATE_TIME: mm/yy or m/yy
    "cfd91e15ada32edae38563a162e1718eda3f651bcbe4dbaa78e7b1188a6ee15a": InChunks(_has_slash),
    # EMAIL_ADDRESS: Email (Medium)
    "004723abbb67ff6cd016ee68d2230812dfc8064e5b57517a463b37bb0037395d": InChunks(_has_at),
    # IP_ADDRESS: IPv4_mapped
    "5def597d3b4dac734f0bc1f1bfb007d7eac0987347cb882549c144e6e4967d89": InChunks(_has_colons),
    # IP_ADDRESS: IPv4_embedded
    "66197b1f8e63cd274a8defa9ddec02d92e1b6c1c1f99600d9ab4abaf734ff7ca": InChunks(_has_colons),
    # IP_ADDRESS: IPv4
    "ae1e66dfc54606cfe8ae78046d518957eea722a866aa2ea15052b0b83d0d2089": InChunks(_has_three_dots),
    # IP_ADDRESS: IPv6
    "c4f79b73053cd5f01ec3d23ddaee6758cc6ac273cf56ca29bc0c32a4be0ee9f8": InChunks(_has_colons),
    # IP_ADDRESS: IPv6_unspecified
    "c696285024ae5b47399eee61fb05e29710194b0f81a342a9c03af7543489a7bb": InChunks(_has_colons),
    # MEDICAL_LICENSE: USA DEA Certificate Number (weak)
    "8b00da21c7ca480a33bb13d6dcc7750459a2a5a18a9311e974fd465a5f213cc5": InChunks(_has_digit),
    # MAC_ADDRESS: MAC_COLON_OR_HYPHEN
    "a101077778af2f8848da6e33fd04a3f0a2ef499b50460fc844c5a518f039c41a": InChunks(_has_separators),
    # MAC_ADDRESS: MAC_CISCO_DOT
    "1dbdb084e42f48d211af5982ab50b5628c3320be970ec39208d7acfd958437f1": InChunks(_has_two_dots),
    # UUID: UUID (hyphenated)
    "829f95c95367c9721d3befec46b5c1946c7933edc47915f675e4ca0e00e47e0d": InChunks(_has_groups),
    # URL: Standard Url
    "422b91a465b6177e83eb908ce308fbc3de52432667a3165d12d2a70ba7cf148c": InChunks(_has_scheme),
    # URL: Non schema URL
    "7405c3a8b8c39f4d0850f0598d9e19cdeae0f9f0e1e4a5c425cc7b70ad6d337b": InChunks(_has_suffix),
    # URL: Quoted URL
    "473c5e6b40a312726402cd1f58f430d58d74563bbdc0022b9349a4e3bcd9bdf0": InChunks(_has_quoted_scheme),
    # URL: Quoted Non-schema URL
    "58b5bbbc4796bab1808322896eb62264f5fb8d10842cc14175db9bbbbd7df30b": InChunks(_has_quoted_suffix),
}
