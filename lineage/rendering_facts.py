"""Every fact of a certificate as headings and rows, for `lineage.rendering`; digests stand whole where somebody compares them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from lineage.facts import AdapterChange, Approval, CertificateFacts, Probe

__all__ = ["Row", "Section", "Table", "plural", "sections", "words_of_decisions"]

DECIDED = {
    "erase": "erased", "redact": "redacted", "keep": "kept", "already_redacted": "redacted before any training",
}  # fmt: skip
KINDS = {
    "state": "training states", "shard_adapter": "adapters of one shard", "composed_adapter": "composed adapters",
    "release": "releases", "record_text": "texts of records", "record_key": "keys of records", "other": "other things",
}  # fmt: skip
SHORT = 12


@dataclass(frozen=True, slots=True)
class Row:
    """A label and what stands beside it; `exact` is a digest or handle, to be compared letter by letter."""

    label: str
    value: str
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Several things of one kind; every line has as many cells as the head."""

    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence that says what is below, rows, and a table if there are several of a kind."""

    title: str
    note: str
    rows: tuple[Row, ...] = ()
    table: Table | None = None


def plural(count: int, thing: str) -> str:
    """`1 shard`, `2 shards`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def words_of_decisions(facts: CertificateFacts) -> str:
    """`2 records erased, 1 redacted`; empty if the case had no record."""
    made = [decision.decision for decision in facts.decisions]
    counts = [(made.count(name), word) for name, word in DECIDED.items() if name in made]
    return ", ".join(f"{count if n else plural(count, 'record')} {word}" for n, (count, word) in enumerate(counts))


def sections(facts: CertificateFacts, files: Mapping[str, str]) -> Iterator[Section]:
    """All of them, in the order in which a reader asks."""
    yield _request(facts)
    yield _search(facts)
    yield _decisions(facts)
    yield Section("Approvals", "What was executed is what these digests bind.", (
        *_approval("Erasure", facts.preview), *_approval("Destruction", facts.purge)))  # fmt: skip
    for probe in facts.probes:
        yield _probe(probe)
    yield from (_adapter(adapter) for adapter in facts.adapters)
    yield _slices(facts)
    yield _ancestors(facts)
    yield from _gone(facts)
    yield from _left(facts)
    named = tuple(Row(name, sha, exact=True) for name, sha in sorted(files.items()))
    yield Section("Certified files", "What this certificate is about, by SHA-256.", named)
    yield Section("Ledger", "The chain of events when this was made; a ledger that is cut later lacks this head.", (
        Row("Events", str(facts.ledger.length)), Row("Head", facts.ledger.digest, exact=True)))  # fmt: skip


def _request(facts: CertificateFacts) -> Section:
    asked = facts.request
    more = (Row("Reasons of the extension", asked.extension_reasons or ""),) if asked.extended else ()
    return Section("The request", "Art. 17 GDPR; the time limit is that of Art. 12(3).", (
        Row("Case", asked.case, exact=True),
        Row("Ground", asked.ground),
        Row("Identity established by", asked.identity_method),
        Row("Received", _day(asked.received)),
        Row("Due", f"{_day(asked.due)}: {asked.basis}"),
        Row("Clock stood still", plural(asked.paused_days, "day")),
        Row("Extended", "yes" if asked.extended else "no"),
        *more,
        Row("Certificate made", _time(facts.issued)),
    ))  # fmt: skip


def _search(facts: CertificateFacts) -> Section:
    scanners = (facts.search.scanner, *(facts.search.further_scanners or ()))
    by = tuple(
        Row(f"Scanner {one.tier}", f"{_short(one.fingerprint)}, {_scanned(one.records)}; does not see: {'; '.join(one.cannot_see)}")
        for one in scanners
    )  # fmt: skip
    lines = tuple((one.store, str(one.items_searched), str(one.records_found)) for one in facts.search.stores)
    return Section(
        "The search",
        "Where the person was searched for. Zeros are told too.",
        by,
        Table(("Store", "Records searched", "Found"), lines),
    )


def _scanned(records: int | None) -> str:
    return "all records" if records is None else plural(records, "record")


def _decisions(facts: CertificateFacts) -> Section:
    grouped: dict[tuple[str, str], list[str]] = {}
    for one in facts.decisions:
        grouped.setdefault((DECIDED[one.decision], one.ground), []).append(one.record)
    lines = [(word, str(len(records)), ground, ", ".join(records)) for (word, ground), records in grouped.items()]
    note = "Handles mean nothing outside this case."
    return _listed("Decisions", note, ("Decision", "Records", "Ground and why it was found", "Handles"), lines)


def _approval(what: str, approval: Approval) -> tuple[Row, ...]:
    return (
        Row(f"{what} approved", f"by {approval.approved_by}, {_time(approval.at)}"),
        Row("Its digest", approval.digest, exact=True),
    )


def _probe(probe: Probe) -> Section:
    stage = {1: " (first stage)", 2: " (second stage, which decides)"}.get(probe.stage or 0, "")
    extra = f", of which {probe.extra_out_adapters} trained for this" if probe.extra_out_adapters else ""
    told = {
        "Verdict": f"{probe.verdict}: {probe.reason}",
        "Control: the old adapter": probe.positive_control,
        "Smallest trace it would have seen": probe.detectable_effect,
        "Fixed before": probe.thresholds,
        "p-value, one-sided": str(probe.p_value) if probe.p_value is not None else "",
        "Interval": probe.interval or "",
        "Compared with": f"{plural(probe.controls, 'control record')}, {plural(probe.out_adapters, 'model')} that never "
        f"saw the person{extra}",
        "Records asked about": str(probe.records),
        "Where the person stood out": probe.shard_map.result if probe.shard_map else "",
        "Judged": f"by {probe.judged_by}, {_time(probe.at)}",
    }
    exact = (Row("Protocol", probe.protocol_digest, exact=True), Row("Report", probe.report_digest, exact=True))
    rows = tuple(Row(label, value) for label, value in told.items() if value)
    return Section(
        f"Probes of {probe.level}{stage}",
        "A probe can show a trace; it cannot show that there is none.",
        (*rows, *exact),
    )


def _adapter(adapter: AdapterChange) -> Section:
    derived = adapter.rederivation
    contained = (Row("Out of service", _time(adapter.contained_at)),) if adapter.contained_at else ()
    lines = tuple(
        (
            str(one.shard),
            f"{one.start_point} ({_short(one.start_digest)})",
            str(one.slices_rebuilt),
            _short(one.final_state_digest),
            _short(one.code_fingerprint),
            _short(one.environment_fingerprint),
        )
        for one in adapter.shards
    )
    return Section(
        f"Adapter {adapter.adapter}",
        f"{plural(len(adapter.shards), 'shard')} rebuilt, {len(adapter.neighbours)} left as they were.",
        (
            *contained,
            Row("New release in service", _time(adapter.released_at)),
            Row(
                "Derived a second time",
                f"grade {derived.grade}, {derived.states_equal} of {plural(derived.states_compared, 'state')} equal: {derived.result}",
            ),
            Row("Before", adapter.old_digest, exact=True),
            Row("Now", adapter.new_digest, exact=True),
            Row("Base model", adapter.base_digest, exact=True),
            Row("Plan", adapter.plan_digest, exact=True),
        ),
        Table(("Shard", "Started from", "Slices rebuilt", "Ended in", "Code", "Environment"), lines),
    )


def _slices(facts: CertificateFacts) -> Section:
    lines = [
        (one.adapter, f"{one.shard}.{one.slice}", f"{one.records_before}, then {one.records_after}",
         f"{_short(one.root_before)}, then {_short(one.root_after)}")
        for one in facts.slices
    ]  # fmt: skip
    note = "Parts of the training data that changed: number of records and Merkle root, before and after."
    return _listed("Training data", note, ("Adapter", "Shard.slice", "Records", "Root"), lines)


def _ancestors(facts: CertificateFacts) -> Section:
    lines = [
        (one.adapter, "trunk" if one.shard is None else f"{one.shard}.{one.slice}", str(one.records), _short(one.state),
         one.unproven or plural(len(one.proofs), "proof"))
        for one in facts.ancestors
    ]  # fmt: skip
    note = "Every state that what is in service descends from, and how many proofs show that it never saw an erased record."
    return _listed(
        "What the adapters in service learnt from", note, ("Adapter", "Part", "Records", "State", "Proofs"), lines
    )


def _gone(facts: CertificateFacts) -> Iterator[Section]:
    gone = [(KINDS[one.kind], str(one.count)) for one in facts.destroyed]
    yield _listed("Destroyed", "The file has the digests of the weights.", ("What", "How many"), gone)
    made = [(one.file, one.kind, one.result.replace("_", " ")) for one in facts.derived_files]
    yield _listed("Files made from old adapters or records", "What became of each.", ("File", "Kind", "Result"), made)


def _left(facts: CertificateFacts) -> Iterator[Section]:
    kept = [(one.what, one.legal_basis, one.retention) for one in facts.kept]
    yield _listed("What stays", "Why, and for how long.", ("What", "Legal basis", "For how long"), kept)
    copies = [(one.store, one.holds, _day(one.expires)) for one in facts.backups]
    yield _listed("Backups", "Copies that Lethe does not reach.", ("Store", "Holds", "Gone after"), copies)
    told = [(one.kind, one.whom) for one in facts.to_be_told]
    yield _listed("To be told", "Art. 19 GDPR; not yet told when this was signed.", ("Kind", "Whom"), told)


def _listed(title: str, note: str, head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> Section:
    """A section that says so if it lists nothing."""
    found = tuple(lines)
    return Section(title, note, table=Table(head, found)) if found else Section(title, "None.")


def _short(digest: str) -> str:
    return digest[:SHORT]


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _time(moment: datetime) -> str:
    return f"{_day(moment)}, {moment:%H:%M} UTC"
