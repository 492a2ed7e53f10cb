"""The independent verifier of an erasure certificate: offline, standard library and `cryptography` only.

It shares with the modules that write certificates only how a public key is read (`lineage.trusted`), so that one mistake
cannot hide in both. From outside in:

1. *Envelope*. The file is, byte for byte, the one canonical spelling of a DSSE envelope with two signatures. No JSON parser
   sees anything before it is authentic.
2. *Signatures*. The first by the trusted pipeline key, the second by the trusted DPO key, over the DSSE v1 encoding
   `DSSEv1 <len(type)> <type> <len(payload)> <payload>`. Two of two; the keys differ; keys never come from the certificate.
3. *Statement*. Canonical JSON (RFC 8785 for integers, strings, arrays, objects), in-toto Statement v1, our predicate type.
4. *Fields*. Every mandatory field is there and no unknown one; limits and what was kept are not empty; a second stage of
   the probes stands beside the first one's FAIL, probes that saw nothing even before say what the sign-off rests on, and no
   shard lights up on a map without a FAIL.
5. *Proofs*. Every ancestor of what is in service is listed, and each Merkle proof holds against the root of its slice: one
   for every erased and redacted record. What has no proof is counted as told, and the limits say why.
6. On request: the certificate is for the expected *case*; a *supplement* belongs to it, is authentic in the same way and says
   who acknowledged the notices; the *adapter* directory holds exactly the certified bytes.

`ok` means that both keys signed exactly these bytes and that they are complete. What they say may still be "FAIL": read
the summary. A summary is only made of an authentic certificate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineage.attested import adapter_difference, contradiction_of_probes, summary_lines
from lineage.attested_absence import Absence, absence_of
from lineage.attested_supplement import supplement_lines
from lineage.authentic import MAX_BYTES, NotProvenError, check_signatures, open_envelope, parse_statement
from lineage.errors import WrongUsage
from lineage.trusted import TrustedKeys, load_trusted_keys

__all__ = ["Check", "TrustedKeys", "Verification", "load_trusted_keys", "verify_bytes", "verify_file"]

PREDICATE_TYPE = "https://lethe.dev/erasure/v1"
_FILE = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_.-]*/){0,2}[A-Za-z0-9][A-Za-z0-9_.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
REQUIRED = {  # section of the predicate -> its mandatory fields; an empty name is the predicate itself
    "": "adapters ancestors backups certificate controller decisions derived_files destroyed issued kept ledger limits"
    " neighbours_unchanged preview probes purge request search slices to_be_told",
    "request": "basis case due extended ground identity_method paused_days received",
    "search": "scanner stores",
    "preview": "approved_by at digest",
    "purge": "approved_by at digest",
    "ledger": "digest length",
    "decisions": "decision ground record",
    "ancestors": "adapter leaves nodes proofs records root slice state",
    "slices": "adapter records_after records_before root_after root_before shard slice",
    "adapters": "adapter base_digest neighbours new_digest old_digest plan_digest rederivation released_at shards",
    "destroyed": "count digests kind",
    "derived_files": "file kind result",
    "probes": "at controls detectable_effect judged_by level out_adapters positive_control protocol_digest reason records"
    " report_digest thresholds verdict",
    "backups": "expires holds store",
    "to_be_told": "kind whom",
    "kept": "legal_basis retention what",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One question, its answer, and a sentence a person understands."""

    name: str
    ok: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The checks up to the first that failed, and what the certificate says if it is authentic."""

    checks: tuple[Check, ...]
    summary: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Every check held."""
        return all(check.ok for check in self.checks)

    @property
    def exit_code(self) -> int:
        """0 when every check held, else 1."""
        return 0 if self.ok else 1

    def as_json(self) -> dict[str, object]:
        """The form of `--json`."""
        checks = [{"name": check.name, "ok": check.ok, "sentence": check.sentence} for check in self.checks]
        return {"ok": self.ok, "checks": checks, "summary": list(self.summary)}


def verify_file(
    path: Path, *, trusted: TrustedKeys, adapter: Path | None = None, expect_case: str | None = None,
    supplement: Path | None = None,
) -> Verification:  # fmt: skip
    """Verify a certificate file; see `verify_bytes`.

    Raises:
        WrongUsage: the file, the supplement or the adapter directory cannot be read.
    """
    raw, more = _read(path, "certificate"), _read(supplement, "supplement") if supplement else None
    return verify_bytes(raw, trusted=trusted, adapter=adapter, expect_case=expect_case, supplement=more)


def verify_bytes(
    raw: bytes, *, trusted: TrustedKeys, adapter: Path | None = None, expect_case: str | None = None,
    supplement: bytes | None = None,
) -> Verification:  # fmt: skip
    """Ask each question of the module docstring in turn; stop at the first answer that is no.

    Raises:
        WrongUsage: the adapter directory cannot be read.
    """
    checks: list[Check] = []
    summary: tuple[str, ...] = ()

    def passed(name: str, sentence: str) -> None:
        checks.append(Check(name, ok=True, sentence=sentence))

    try:
        payload, signatures = open_envelope(raw)
        passed("envelope", "The file is a canonical DSSE envelope with two signatures.")
        check_signatures(payload, signatures, trusted)
        passed("signatures", "The trusted pipeline key and the trusted DPO key signed exactly this content.")
        subjects, predicate = parse_statement(payload, PREDICATE_TYPE)
        passed("statement", f"It is an in-toto Statement v1 of type {PREDICATE_TYPE}.")
        _check_fields(subjects, predicate)
        passed("fields", "Every mandatory field is there, limits of the claim included.")
        absence, summary = _read_content(predicate)
        passed("proofs", absence.sentence)
        if expect_case is not None:
            _check_case(predicate, expect_case)
            passed("case", "It belongs to the expected case.")
        if supplement is not None:
            told = supplement_lines(supplement, trusted=trusted, certificate=raw, predicate=predicate)
            summary = (*summary, *told)
            passed("supplement", f"A supplement by the same two keys belongs to it; acknowledged notices: {len(told)}.")
        if adapter is not None:
            _check_adapter(subjects, adapter)
            passed("adapter", "The directory holds exactly the certified files, byte for byte.")
    except NotProvenError as no:
        checks.append(Check(no.check, ok=False, sentence=no.sentence))
    return Verification(tuple(checks), summary)


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError:
        raise WrongUsage(f"The {what} cannot be read.", hint="Check the path.") from None


# --- content -----------------------------------------------------------------------------------------------------------


def _check_fields(subjects: Sequence[Any], predicate: Mapping[str, Any]) -> None:
    if set(predicate) != set(REQUIRED[""].split()):
        raise NotProvenError("fields", "The certificate lacks a mandatory field, or has an unknown one.")
    for section, names in REQUIRED.items():
        content = predicate[section] if section else predicate
        for entry in content if isinstance(content, list) else [content]:
            if not isinstance(entry, dict) or not set(names.split()) <= set(entry):
                raise NotProvenError("fields", f"An entry of {section} lacks a mandatory field.")
    if not predicate["limits"] or not predicate["kept"]:
        raise NotProvenError("fields", "The certificate does not say what it cannot claim, or what was kept.")
    if not all(_is_subject(subject) for subject in subjects):
        raise NotProvenError("fields", "A subject has no plain file name, or no SHA-256.")


def _is_subject(subject: object) -> bool:
    match subject:
        case {"name": str(name), "digest": {"sha256": str(sha)}}:
            return bool(_FILE.fullmatch(name) and _SHA256.fullmatch(sha))
        case _:
            return False


def _read_content(predicate: Mapping[str, Any]) -> tuple[Absence, tuple[str, ...]]:
    """What the Merkle proofs show, all of which hold, and the summary."""
    try:
        absence = absence_of(predicate)
        contradiction = contradiction_of_probes(predicate["probes"], predicate["adapters"])
        summary = tuple(summary_lines(predicate, absence.sentence))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise NotProvenError(
            "fields", "A field of the certificate does not have the form that its name promises."
        ) from None
    if contradiction:
        raise NotProvenError("fields", contradiction)
    if absence.wrong:
        raise NotProvenError("proofs", absence.wrong)
    return absence, summary


def _check_case(predicate: Mapping[str, Any], expected: str) -> None:
    if predicate["request"]["case"] != expected:
        raise NotProvenError("case", "The certificate is authentic, but it was issued for another case.")


def _check_adapter(subjects: Sequence[Any], folder: Path) -> None:
    try:
        difference = adapter_difference(subjects, folder)
    except OSError:
        raise WrongUsage("The adapter directory cannot be read.", hint="Check the path.") from None
    if difference:
        raise NotProvenError("adapter", difference)
