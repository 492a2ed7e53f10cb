"""A register of 100,000 people: `python benchmarks/register.py [--quick]`.

Four identifiers each: a name, an e-mail address, a telephone (half of them written with their country, half as at home)
and an account number. A child process imports the file through the function that `lethe register add` calls; another one
opens it as every ingest and every preview with a mention does: load (decrypt all of it), build the index, then link
records of 1,000 characters, one in ten of which names somebody registered. Seconds are wall time with the processor time
in brackets; memory is the peak of each process.
Bars: 1 GB of memory for each process, 1 ms for a record. The time to open is reported, not barred.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

PEOPLE, QUICK_PEOPLE = 100_000, 500
RECORDS, RECORD_CHARS = 2_000, 1_000
BAR_MIB, BAR_MS = 1024, 1.0
FIRST = ("Anna", "Bertram", "Cleo", "Dörte", "Emil", "Frédéric", "Greta", "Hamid", "Ines", "José", "Karolína", "Liv")
WORDS = [
    "the",
    "lamp",
    "went",
    "out",
    "after",
    "two",
    "evenings",
    "and",
    "now",
    "I",
    "wait",
    "for",
    "order",
    "48213",
    "since",
    "last",
    "week",
    "please",
    "write",
    "back",
    "soon",
    "the",
    "invoice",
    "says",
    "2026-01-31",
    "but",
    "nothing",
    "came",
    "thanks",
    "a",
    "lot",
    "for",
    "your",
    "help",
    "with",
    "it",
    "Kind",
    "regards",
]


def people(count: int) -> Iterator[tuple[str, str, str, str, str]]:
    """Invented people: subject, name, e-mail, telephone, account."""
    rng = random.Random(7)
    for number in range(count):
        surname = "".join(rng.choice("bdfgklmnprst") + rng.choice("aeiouö") for _ in range(4)).capitalize()
        name = f"{rng.choice(FIRST)} {surname}"
        phone = f"+44 7{number % 1000:03} {100_000 + number}" if number % 2 else f"030 {10_000_000 + number}"
        yield f"C-{number}", name, f"p{number}@{surname.lower()}.example", phone, f"AC-{number:08}"


def records(count: int) -> Iterator[str]:
    """Texts of 1,000 characters; every tenth names one of the people in each of four ways."""
    rng = random.Random(8)
    known = list(people(1000))
    for number in range(min(RECORDS, count)):
        named = "; ".join(rng.choice(known)[1:]) if number % 10 == 0 else ""
        text = named
        while len(text) < RECORD_CHARS:
            text += " " + rng.choice(WORDS)
        yield text[:RECORD_CHARS]


def write_people(path: Path, count: int) -> None:
    """The wide form of a register file."""
    with path.open("w", encoding="utf-8") as file:
        file.write("subject,name,email,phone,account\n")
        file.writelines(",".join(person) + "\n" for person in people(count))


def import_file(folder: str, count: int) -> dict[str, float]:
    """What `lethe register add` does, twice: everybody is new, then nobody is."""
    from lineage.access import Actor, Role
    from lineage.workspace import create_workspace, open_workspace
    from pipelines.registering import import_register

    path = Path(folder) / "people.csv"
    write_people(path, count)
    create_workspace(Path(folder) / "ws", controller="bench")
    workspace = open_workspace(Path(folder) / "ws")
    found: dict[str, float] = {}
    for step in ("import", "import again"):
        with path.open("rb") as stream, timed(found, step):
            done = import_register(workspace, stream, actor=Actor("ines", Role.INTAKE), total_lines=count)
        found[f"{step}, new"] = done.new
    return found


def open_register(folder: str, count: int) -> dict[str, float]:
    """What `open_gate` does, and then the linking of records."""
    from lineage.register import RegisterIndex
    from lineage.subjects import load_forms
    from lineage.workspace import open_workspace

    workspace = open_workspace(Path(folder) / "ws")
    found: dict[str, float] = {}
    with workspace.database.reader() as session, timed(found, "load"):
        forms = load_forms(session, workspace.keystore)
    with timed(found, "index"):
        index = RegisterIndex(forms)
    found["identifiers"] = len(forms)
    found["ms a record"] = round(1000 * statistics.median(_link_seconds(index.link, count)), 4)
    return found


def _link_seconds(link: Callable[[str], object], count: int) -> Iterator[float]:
    for text in records(count):
        start = time.process_time()
        link(text)
        yield time.process_time() - start


@contextmanager
def timed(found: dict[str, float], step: str) -> Iterator[None]:
    """Seconds of a block, wall and processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    found[f"{step}, s"] = round(time.perf_counter() - wall, 2)
    found[f"{step}, processor s"] = round(time.process_time() - cpu, 2)


def in_a_process(step: Callable[[str, int], dict[str, float]], folder: str, count: int) -> dict[str, float]:
    """A step in a fresh process, with its peak memory."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:  # says so if the process dies, where a `Pool` waits for ever
        found, peak = pool.submit(_with_peak, step, folder, count).result()
    return {**found, f"{step.__name__}, peak MiB": peak}


def _with_peak(step: Callable[[str, int], dict[str, float]], folder: str, count: int) -> tuple[dict[str, float], float]:
    found = step(folder, count)
    return found, round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def main() -> int:
    """Print the figures and keep them; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few hundred people, for a test that it runs")
    quick = parser.parse_args().quick
    count = QUICK_PEOPLE if quick else PEOPLE
    with tempfile.TemporaryDirectory() as folder:
        found: Mapping[str, float] = {
            **in_a_process(import_file, folder, count), **in_a_process(open_register, folder, count),
        }  # fmt: skip
    print(json.dumps(found, indent=1))
    peak = max(value for name, value in found.items() if name.endswith("MiB"))
    met = peak <= BAR_MIB and found["ms a record"] <= BAR_MS
    print(f"{count} people; bar {BAR_MIB} MiB and {BAR_MS} ms a record: {'met' if met else 'NOT met'}")
    if not quick:
        from measuring import write_result  # not above: it brings torch, and the children's memory is measured

        write_result("register", {"people": count, "bar_mib": BAR_MIB, "bar_ms": BAR_MS, **found})
    return 0 if met or quick else 1


if __name__ == "__main__":
    sys.exit(main())
