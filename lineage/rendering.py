"""A certificate for people: what was erased, what was checked, what that does not prove, then every fact in sections.

::

    raw ----read_sheet----> Sheet ----to_text, to_html----> lineage.rendering_pages
                                  ----to_pdf--------------> lineage.rendering_pdf

A sheet is only made of a certificate whose two signatures were verified here and now against trusted keys; of a half-signed
one, which the DPO reads before signing, the pipeline's was, and `Sheet.standing` and every page say that it is no certificate.
A page proves nothing by itself: it names the SHA-256 of the file that does. The facts are in `lineage.rendering_facts`.

Law: equal files give equal sheets, and equal sheets equal bytes; no page knows the time at which it was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from lineage.attested_absence import absence_of
from lineage.authentic import is_half_signed, open_envelope
from lineage.errors import NotAcceptable
from lineage.facts import CertificateFacts, Probe
from lineage.rendering_facts import Section, plural, sections, words_of_decisions
from lineage.trusted import TrustedKeys, key_id
from lineage.verify import verify_bytes

__all__ = ["Sheet", "read_sheet", "signed_statement"]

Standing = Literal["signed", "half-signed"]
Tone = Literal["PASS", "FAIL", "INCONCLUSIVE"]
VERDICTS = {
    "PASS": "The probes saw no trace of the size that they can see.",
    "FAIL": "The probes still see the person in the new adapter.",
    "INCONCLUSIVE": "The probes cannot tell whether a trace is left.",
}
UNPROBED = "No probe judged the result."
STANDINGS = {
    "signed": "Both signatures were verified when this was written. What you read here proves nothing by itself: the file does.",
    "half-signed": "NOT A CERTIFICATE. Only the pipeline has signed. A data protection officer reads this and signs it, or does not.",
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A certificate in words. `digest` is the SHA-256 of the file; `tone` is the verdict of the probes that decides.

    `limits` are those of the certificate, word for word, and are never empty.
    """

    title: str
    controller: str
    standing: Standing
    standing_words: str
    tone: Tone
    headline: str
    verdict: str
    erased: tuple[str, ...]
    checked: tuple[str, ...]
    limits: tuple[str, ...]
    sections: tuple[Section, ...]
    digest: str
    keys: tuple[tuple[str, str], ...]


def signed_statement(raw: bytes, *, trusted: TrustedKeys) -> bytes:
    """The statement of a certificate, after both signatures and every proof were verified.

    Raises:
        NotAcceptable: one of them does not hold, or it is no certificate of erasure, or half of one.
    """
    result = verify_bytes(raw, trusted=trusted)
    if not result.ok:
        raise NotAcceptable(result.checks[-1].sentence, hint="Nothing of it is shown. See every check: lethe verify")
    return open_envelope(raw)[0]


def read_sheet(raw: bytes, *, trusted: TrustedKeys) -> Sheet:
    """The sheet of a certificate, or of one that still waits for the DPO.

    Raises:
        NotAcceptable: as `signed_statement`, or the pipeline has not signed half of one; nothing of it is shown then.
    """
    from lineage.certificate import read_half_signed, read_statement

    standing: Standing = "half-signed" if is_half_signed(raw) else "signed"
    if standing == "signed":
        statement = signed_statement(raw, trusted=trusted)
    else:
        statement = read_half_signed(raw, pipeline_public=trusted.pipeline)
    facts, files = read_statement(statement)
    absence = absence_of(json.loads(statement)["predicate"])
    if absence.wrong:
        raise NotAcceptable(absence.wrong)
    keys = (("pipeline", key_id(trusted.pipeline)), ("data protection officer", key_id(trusted.dpo)))
    return Sheet(
        title=f"Erasure certificate {facts.certificate}",
        controller=facts.controller,
        standing=standing,
        standing_words=STANDINGS[standing],
        tone=_tone(facts.probes),
        headline=_headline(facts),
        verdict=VERDICTS[_tone(facts.probes)] if facts.probes else UNPROBED,
        erased=tuple(_erased(facts)),
        checked=tuple(_checked(facts, absence.sentence)),
        limits=facts.limits,
        sections=tuple(sections(facts, files)),
        digest=sha256(raw).hexdigest(),
        keys=keys if standing == "signed" else keys[:1],
    )


def _tone(probes: Sequence[Probe]) -> Tone:
    """The worst verdict among those that decide: a first stage does not, its second does."""
    found = {probe.verdict for probe in probes if probe.stage != 1}
    return "FAIL" if "FAIL" in found else "PASS" if found == {"PASS"} else "INCONCLUSIVE"


def _headline(facts: CertificateFacts) -> str:
    decided = words_of_decisions(facts)
    retrained = f"; {plural(len(facts.adapters), 'adapter')} retrained" if facts.adapters else ""
    return f"{decided[0].upper()}{decided[1:]}{retrained}" if decided else "No record was changed"


def _erased(facts: CertificateFacts) -> Iterator[str]:
    yield f"{words_of_decisions(facts) or 'No record'}."
    if facts.adapters:
        shards = sum(len(adapter.shards) for adapter in facts.adapters)
        slices = sum(shard.slices_rebuilt for adapter in facts.adapters for shard in adapter.shards)
        yield f"Retrained: {plural(len(facts.adapters), 'adapter')}, in {plural(shards, 'shard')}, {plural(slices, 'slice')}."
    weights = sum(one.count for one in facts.destroyed if one.digests)
    texts = {one.kind: one.count for one in facts.destroyed if one.kind in ("record_text", "record_key")}
    yield (
        f"Destroyed: {plural(weights, 'set')} of old weights, {plural(texts.get('record_text', 0), 'text')} and "
        f"{plural(texts.get('record_key', 0), 'key')} of records."
    )
    left = sum(one.result == "not_reached" for one in facts.derived_files)
    if facts.derived_files:
        reached = len(facts.derived_files) - left
        yield f"Files made from old adapters or records: {reached} gone or withdrawn, {left} not reached."


def _checked(facts: CertificateFacts, absence: str) -> Iterator[str]:
    searched = sum(store.items_searched for store in facts.search.stores)
    found = sum(store.records_found for store in facts.search.stores)
    yield f"Searched: {plural(searched, 'record')} in {plural(len(facts.search.stores), 'store')}; {found} found."
    yield f"Never learnt by what is in service: {absence}"
    for adapter in facts.adapters:
        derived = adapter.rederivation
        again = f"{derived.states_equal} of {plural(derived.states_compared, 'state')} equal, byte for byte"
        told = f"derived a second time, {again}" if derived.states_compared else "not derived a second time"
        yield f"Retraining of {adapter.adapter}: {told} (grade {derived.grade})."
    for probe in facts.probes:
        stage = {1: ", first stage", 2: ", second stage, which decides"}.get(probe.stage or 0, "")
        yield f"Probes of {probe.level}{stage}: {probe.verdict}: {probe.reason}"
    yield f"Records of other people compared and unchanged: {facts.neighbours_unchanged}."
