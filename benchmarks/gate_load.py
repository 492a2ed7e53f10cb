"""The gate under load, the second half of `python benchmarks/scan.py`.

*Overhead*: what the gate does to a 1,000-character record beyond its scan (linking it against a register of 10,000 people,
the policy's decision with redaction, the digests), over the scan's time. Processor time, unseen records, medians of
rounds; also over the time of stock Presidio's scan. Bar: 15% of the scan, on conversations in which every turn holds
identifiers (*dense*, about 14 findings a record). Beside it the same on *usual* ones: an opening turn with a name, and talk
without identifiers after it (3 to 5 findings).
*Rates*: real ingests of the same records with 1 process and with 2 scan workers, on the clock.
*Memory*: an ingest of 100,000 short records with 2 workers; the peak of all its processes together up to a quarter of the
rows and up to the end. Resident memory is added up, so what processes share counts twice. Bar: 1.5 GB, and flat.
"""

from __future__ import annotations

import gc
import logging
import random
import resource
import sqlite3
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from gate_texts import WRITERS, crowd_of, long_texts, usual_texts

from lineage.admit import Decision, decide, finding_digests
from lineage.cues import Cues, cues_of
from lineage.findings import Evidence
from lineage.forms import FormKind
from lineage.keyring import Keyring, PairMac
from lineage.policy import load_policy
from lineage.presidio import stock_engine
from lineage.records import PlainText, canonical_bytes
from lineage.register import RegisterIndex, normal_forms
from lineage.scan import Scanner
from lineage.subjects import SubjectEntry, add_forms
from lineage.suppression import SuppressionList
from lineage.workspace import Workspace, create_workspace, open_workspace
from pipelines.demo_rows import KINDS, DemoRow, Mention, Turn, write_jsonl
from pipelines.demo_writer import Writer, draw_people
from pipelines.ingest import IngestReport, request_ingest, run_ingest

BAR_OVERHEAD, BAR_MEMORY_MB, FLAT = 0.15, 1500, 1.15
"""Flat: the peak of the whole is at most this many times the peak of the first quarter."""
KEYRING = Keyring(bytes(range(32)), bytes(range(32, 64)))
DEFAULT, STRICT = load_policy("default"), load_policy("strict")


def suppression_of(forms: Iterable[tuple[FormKind, str]]) -> SuppressionList:
    """The list that a purge writes of these canonical forms."""
    tags = {cue for kind, form in forms for cue in cues_of(kind, form, KEYRING.cue_mac())}
    hmacs = [KEYRING.form(kind, form) for kind, form in forms]
    return SuppressionList(hmacs, hmac=KEYRING.form_mac(), cues=Cues(tags, mac=KEYRING.cue_mac()))


def digests(subject: str, content: PlainText, decision: Decision, findings: PairMac) -> None:
    """Every digest that an ingest makes of a record; that of findings is made ready once a batch."""
    given = KEYRING.content(canonical_bytes(content))
    KEYRING.record_id("bench", given, KEYRING.subject_key(subject))
    KEYRING.mac("given-id", "bench", given)
    if decision.content != content:
        KEYRING.content(canonical_bytes(decision.content))
    finding_digests(content, decision.findings, findings)


_Texts = Callable[[random.Random, int], list[tuple[str, str]]]


def overhead(*, people: int, records: int, rounds: int, texts_of: _Texts = long_texts) -> dict[str, object]:
    """Milliseconds a record of every step, and the shares."""
    forms = crowd_of(random.Random(1), people)
    register, scanner = RegisterIndex(forms), Scanner(DEFAULT)
    gone = {(f.kind, n) for f in forms[-4 * (people // 4) :] for n in normal_forms(f.kind, f.value)}
    suppression = suppression_of(gone)
    stock = stock_engine(DEFAULT)
    scanner.scan("the first use builds it")
    register.link("and loads the phone tables +44 20 7946 0958")
    gc.collect()
    gc.freeze()  # as a scan worker does
    times: dict[str, list[float]] = {}
    found, mac = 0, KEYRING.finding_mac()
    for number in range(rounds):
        some = texts_of(random.Random(100 + number), records)
        texts = [text for _, text in some]
        contents = [(subject, PlainText(text)) for subject, text in some]
        spans = _timed(times, "scan", texts, scanner.scan)
        _timed(times, "stock scan", texts, lambda text: stock.analyze(text, "en", score_threshold=DEFAULT.min_score))
        links = _timed(times, "link", texts, register.link)
        _timed(times, "suppression list", texts, suppression.link)
        seen = [(s, c, (Evidence(a, b),)) for (s, c), a, b in zip(contents, spans, links, strict=True)]
        decisions = _timed(times, "decide and redact", seen, _decided)
        found += sum(len(decision.findings) for decision in decisions)
        judged = [(*content, decision, mac) for content, decision in zip(contents, decisions, strict=True)]
        _timed(times, "digests", judged, lambda one: digests(*one))
    gc.unfreeze()
    per_record = {name: statistics.median(spent) / records * 1000 for name, spent in times.items()}
    ours = per_record["link"] + per_record["decide and redact"] + per_record["digests"]
    return {
        "people": people, "records": records, "findings_per_record": round(found / rounds / records, 1),
        "ms_per_record": {k: round(v, 3) for k, v in per_record.items()},
        "overhead": round(ours / per_record["scan"], 3), "overhead_of_stock_scan": round(ours / per_record["stock scan"], 3),
        "erased_people": people // 4, "suppressed_forms": len(gone),
        "overhead_with_suppression": round((ours + per_record["suppression list"]) / per_record["scan"], 3),
    }  # fmt: skip


def _decided(seen: tuple[str, PlainText, tuple[Evidence, ...]]) -> Decision:
    subject, content, evidence = seen
    return decide(content, declared=[subject], evidence=evidence, policy=DEFAULT, strict=STRICT)


def _timed(times: dict[str, list[float]], name: str, inputs: Sequence[object], work: Callable[..., object]) -> list:
    start = time.process_time()
    results = [work(given) for given in inputs]
    times.setdefault(name, []).append(time.process_time() - start)
    return results


def chats(count: int) -> Iterable[DemoRow]:
    """Demo conversations, about 330 characters each."""
    rng = random.Random(2)
    people = draw_people(rng, count=WRITERS)
    writer = Writer(rng)
    return (writer.records(rng.choice(people), people, people, dose=1)[0] for _ in range(count))


def short_rows(count: int) -> Iterable[DemoRow]:
    """One short exchange each, hardly two alike."""
    rng = random.Random(3)
    people = draw_people(random.Random(2), count=WRITERS)
    for number in range(count):
        person = rng.choice(people)
        name = Mention(person.customer_id, "name", person.value("name"))
        asked = Turn("user", ("Where is order ", f"{rng.randrange(10**6):x}", "? ", name))
        yield DemoRow(
            f"s{number}", (asked, Turn("assistant", (f"On its way: {rng.getrandbits(40):x}.",))), (person.customer_id,)
        )


def make_workspace(folder: Path, workers: int) -> Workspace:
    """An empty workspace that knows the writers."""
    create_workspace(folder, controller="Benchmark")
    with (folder / "lethe.toml").open("a", encoding="utf-8") as toml:
        toml.write(f"\n[gate]\nworkers = {workers}\n")
    workspace = open_workspace(folder)
    entries = [
        SubjectEntry(p.customer_id, kind, p.value(kind))
        for p in draw_people(random.Random(2), count=WRITERS)
        for kind in KINDS
    ]
    with workspace.database.transaction() as session:
        add_forms(session, entries, keyring=workspace.keyring, keystore=workspace.keystore, now=datetime.now(UTC))
    return workspace


def ingested(rows: Iterable[DemoRow], workers: int) -> tuple[IngestReport, dict[str, float], Watch]:
    """A real ingest of the rows: its report, its times, and what was watched meanwhile."""
    with tempfile.TemporaryDirectory() as place:
        workspace = make_workspace(Path(place) / "ws", workers)
        path = Path(place) / "rows.jsonl"
        write_jsonl(rows, path)
        request = request_ingest(workspace, path, source="bench")
        start, before = time.perf_counter(), _cpu_s()
        with Watch(workspace.home / "lethe.db") as watch:
            report = run_ingest(workspace, request)
        return report, {"wall_s": time.perf_counter() - start, "processor_s": _cpu_s() - before}, watch


def _cpu_s() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


@dataclass
class Watch:
    """Looks twice a second how many rows are stored and how much memory this process and its children hold."""

    database: Path
    samples: list[tuple[float, int, float]] = field(default_factory=list)  # seconds, rows, MB

    def __enter__(self) -> Watch:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        start = time.perf_counter()
        while not self._end.wait(0.5):
            with suppress(sqlite3.Error):
                self.samples.append((time.perf_counter() - start, self._rows(), _resident_mb()))

    def _rows(self) -> int:
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=1)
        try:
            return int(connection.execute("SELECT max(rowid) FROM record").fetchone()[0] or 0)
        finally:
            connection.close()

    def peak_mb(self, rows: int) -> float:
        """The most memory until so many rows were stored."""
        return max((mb for _, stored, mb in self.samples if stored <= rows), default=0.0)


def _resident_mb() -> float:
    me = psutil.Process()
    total = 0
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 2**20


def rates(count: int) -> dict[str, Mapping[str, float]]:
    """Records a second by number of scan processes; starting up is part of it."""
    found = {}
    for workers in (1, 2):
        report, spent, _ = ingested(chats(count), workers)
        found[str(workers)] = {
            "records": report.rows, "records_per_s": round(report.rows / spent["wall_s"], 1),
            "processor_ms_per_record": round(spent["processor_s"] / report.rows * 1000, 2),
        }  # fmt: skip
    return found


def memory(count: int) -> dict[str, float]:
    """Peaks of an ingest with two workers, in MB, and its rate in the first and the last quarter."""
    report, spent, watch = ingested(short_rows(count), 2)
    quarter = next((at for at, stored, _ in watch.samples if stored >= count // 4), spent["wall_s"])
    last = next((at for at, stored, _ in watch.samples if stored >= count * 3 // 4), spent["wall_s"])
    return {
        "records": report.rows, "peak_mb_first_quarter": round(watch.peak_mb(count // 4)), "peak_mb": round(watch.peak_mb(count)),
        "records_per_s": round(report.rows / spent["wall_s"], 1), "first_quarter_s": round(quarter, 1),
        "last_quarter_s": round(spent["wall_s"] - last, 1),
        "processor_ms_per_record": round(spent["processor_s"] / report.rows * 1000, 2),
    }  # fmt: skip


def measure(*, quick: bool) -> dict[str, object]:
    """Print and return the three parts, with the bars that are met."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    size = {"people": 600, "records": 20, "rounds": 1} if quick else {"people": 10_000, "records": 200, "rounds": 5}
    beyond, usual = overhead(**size), overhead(**size, texts_of=usual_texts)
    for name, part in (("dense", beyond), ("usual", usual)):
        print(f"beyond the scan {part['overhead']:.1%} of it, {part['overhead_of_stock_scan']:.1%} of stock Presidio's "
              f"({name}: {part['findings_per_record']} findings a record; {part['people']} people); with "
              f"{part['erased_people']} erased people {part['overhead_with_suppression']:.1%}: {part['ms_per_record']}",
              flush=True)  # fmt: skip
    found = rates(400 if quick else 5_000)
    for workers, figures in found.items():
        print(f"{workers} scan process(es): {figures}", flush=True)
    load = memory(2_000 if quick else 100_000)
    print(f"{load['records']} records: {load}")
    met = {
        f"overhead <= {BAR_OVERHEAD:.0%}": beyond["overhead"] <= BAR_OVERHEAD,
        f"memory < {BAR_MEMORY_MB} MB": load["peak_mb"] < BAR_MEMORY_MB,
        f"memory flat (x {FLAT})": load["peak_mb"] <= FLAT * load["peak_mb_first_quarter"],
    }
    print("; ".join(f"bar {name}: {'met' if good else 'NOT met'}" for name, good in met.items()))
    return {"bars": met, "overhead": beyond, "overhead_usual": usual, "rates": found, "memory": load}
