"""The text of a certificate: facts as an in-toto Statement v1 in canonical JSON (`lineage.in_toto`), and back.

Law: `read_statement(build_statement(facts, files)) == (facts, files)`, and neither accepts what the other would refuse.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal

from lineage import in_toto
from lineage.errors import NotAcceptable, RefusedByRule, WrongUsage
from lineage.facts import CertificateFacts
from lineage.in_toto import STATEMENT_TYPE
from lineage.soundness import contradictions

__all__ = ["PREDICATE_TYPE", "STATEMENT_TYPE", "build_statement", "measured", "read_statement"]

PREDICATE_TYPE = "https://lethe.dev/erasure/v1"


def build_statement(
    facts: CertificateFacts, subject_files: Mapping[str, str], *, forbidden: Collection[str] = ()
) -> bytes:
    """The canonical bytes to be signed.

    `subject_files` maps file names of the new adapter to the SHA-256 of their bytes, lower-case hex. Several adapters are
    told apart by a folder, and so are shards that are served apart: `support/s00/adapter_config.json`. `forbidden` holds
    the identifiers of the person that the case still has in memory: none may occur in the statement, in any letter case.
    They are compared, not kept.

    Raises:
        WrongUsage: a fact is malformed, two facts contradict each other, or there is no subject file.
        RefusedByRule: a forbidden identifier occurs in the statement. The message does not repeat it.
    """
    canonical = in_toto.write(PREDICATE_TYPE, facts, subject_files)
    try:
        read_statement(canonical)
    except NotAcceptable as refusal:
        raise WrongUsage(str(refusal), hint="Correct the facts; nothing was signed.") from None
    text = canonical.decode().casefold()
    if any(spelling in text for spelling in _spellings(forbidden)):
        raise RefusedByRule("The certificate would contain an identifier of the person.", hint="Reword its sentences.")
    return canonical


def read_statement(statement: bytes) -> tuple[CertificateFacts, dict[str, str]]:
    """The facts and subject files of a statement; the inverse of `build_statement`.

    Raises:
        NotAcceptable: not canonical, not an in-toto Statement v1 of our predicate type, or its facts do not hold together.
    """
    facts, files = in_toto.read(statement, PREDICATE_TYPE, CertificateFacts)
    for contradiction in contradictions(facts):
        raise NotAcceptable(contradiction)
    return facts, files


def measured(value: float, *, significant: int = 6) -> Decimal:
    """A measured number as a certificate can carry it: rounded to so many significant digits.

    Raises:
        WrongUsage: not a finite number; a probe that could not measure abstains with a reason instead.
    """
    number = Decimal(f"{value:.{significant}g}")
    if not number.is_finite():
        raise WrongUsage("A certificate carries finite numbers only.", hint="Leave the field out and give the reason.")
    return number


def _spellings(forbidden: Collection[str]) -> Iterator[str]:
    """How an identifier would look inside canonical JSON, without regard to letter case."""
    for value in forbidden:
        if value.strip():
            yield json.dumps(value.strip(), ensure_ascii=False)[1:-1].casefold()
