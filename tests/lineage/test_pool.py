"""Worker processes: the same decisions in the same order for any number of them, and never a record admitted unread."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rough_scanners import CLOSING, DEADLY, ENDLESS, ChangedScanner, RoughScanner, TellingScanner, UnstartableScanner

from lineage import pool
from lineage.admit import Decision, Gate
from lineage.errors import Fault, GateClosed
from lineage.keyring import Keyring
from lineage.policy import load_policy
from lineage.pool import Question, Workers, in_order
from lineage.records import PlainText
from lineage.register import RegisterForm, RegisterIndex
from lineage.scan import Scanner
from lineage.steady import SteadyScanner
from lineage.suppression import SuppressionList

DEFAULT, STRICT = load_policy("default"), load_policy("strict")
KEYRING = Keyring(b"workspace secret, 32 bytes long.", b"the key of the vault, 32 bytes..")
FORMS = (
    RegisterForm("ann", "name", "Ann Lee"),
    RegisterForm("ann", "phone", "+44 20 7946 0958"),
    RegisterForm("bob", "name", "Bob Stone"),
    RegisterForm("bob", "email", "bob@example.org"),
)
ERASED = "Eve Gone"
PIECES = (
    "Ann Lee",
    "Bob Stone",
    "bob@example.org",
    "020 7946 0958",
    ERASED,
    "4111 1111 1111 1111",
    "café",
    " ",
    "\n",
    ".",
)
STANDING: set[int] = set()  # the worker that several tests share


def gate(scanner: object) -> Gate:
    suppression = SuppressionList([KEYRING.form("name", ERASED.lower())], hmac=KEYRING.form_mac())
    return Gate(scanner=scanner, register=RegisterIndex(FORMS), suppression=suppression, policy=DEFAULT, strict=STRICT)


def questions(texts: Sequence[str], *declared: str) -> list[Question]:
    return [Question(PlainText(text), declared, "en") for text in texts]


def here(scanner: object, asked: Sequence[Question]) -> list[Decision]:
    return [question.put_to(gate(scanner)) for question in asked]


@contextmanager
def workers(scanner: object, *, count: int = 2, limit_s: float = 60) -> Iterator[Workers]:
    with Workers(gate(scanner), count=count, record_limit_s=limit_s) as running:
        yield running
    assert not children(), "a worker was left behind"


def children() -> list[psutil.Process]:
    found = (c for c in psutil.Process().children() if c.pid not in STANDING)
    return [c for c in found if any("lineage.worker" in part for part in c.cmdline())]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scanners of this test must be found where they are unpickled."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support"), prepend=os.pathsep)


@pytest.fixture(scope="module")
def real() -> Scanner:
    return Scanner(DEFAULT)


@pytest.fixture(scope="module")
def running(real) -> Iterator[Workers]:
    with workers(SteadyScanner(real), count=1) as one:
        one.ask(questions(["x"])).result()
        STANDING.update(child.pid for child in children())
        yield one
    STANDING.clear()


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map(" ".join), min_size=1, max_size=6))
def test_a_worker_decides_what_this_process_decides(running, real, texts):
    asked = [*questions(texts, "ann"), *questions(texts)]
    assert running.ask(asked).result() == here(real, asked)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("ahead", [True, False])
def test_any_number_of_workers_gives_the_same_decisions_in_the_order_of_the_rows(count, ahead):
    scanner = RoughScanner()
    texts = [f"row {number} {'@' * (number % 4)}" for number in range(600)]
    batches = [(number, questions(texts[at : at + 50])) for number, at in enumerate(range(0, 600, 50))]
    with workers(scanner, count=count) as some:
        found = list(in_order(batches, gate=gate(scanner), workers=some, ahead=ahead))
        assert len(children()) == count if ahead else 1 <= len(children()) <= count
    assert found == [(number, here(scanner, asked)) for number, asked in batches]


def test_a_small_file_starts_no_worker():
    scanner = RoughScanner()
    asked = questions([f"row {number}" for number in range(pool.FIRST_HERE)])
    with workers(scanner) as some:
        assert list(in_order([(0, asked)], gate=gate(scanner), workers=some)) == [(0, here(scanner, asked))]
        assert not children()


def test_without_ahead_a_batch_is_taken_only_after_the_one_before_was_handed_out():
    taken: list[int] = []

    def source() -> Iterator[tuple[int, list[Question]]]:
        for number in range(12):
            taken.append(number)
            yield number, questions(["x"] * 50)

    with workers(RoughScanner()) as some:
        for number, _ in in_order(source(), gate=gate(RoughScanner()), workers=some, ahead=False):
            assert taken[-1] == number


def test_workers_are_killed_and_nothing_is_lost():
    scanner = RoughScanner()
    asked = questions([f"row {number} @" for number in range(3000)])
    with workers(scanner, count=2) as some:
        some.ask(asked[:1]).result()
        for sign in (signal.SIGKILL, signal.SIGTERM):
            answer = some.ask(asked)
            time.sleep(0.05)
            for child in children():
                child.send_signal(sign)
            assert answer.result() == here(scanner, asked)


def test_workers_that_died_while_they_waited_cost_no_record():
    scanner = RoughScanner()
    asked = [questions([f"row {number} @ {part}" for number in range(1000)]) for part in range(2)]
    with workers(scanner, count=2) as some:
        answers = [some.ask(part) for part in asked]
        assert [answer.result() for answer in answers] == [here(scanner, part) for part in asked]
        idle = children()
        assert len(idle) == 2
        for child in idle:
            child.kill()
        psutil.wait_procs(idle, timeout=10)
        assert some.ask(asked[0]).result() == here(scanner, asked[0])


def test_a_stopped_worker_is_replaced():
    scanner = RoughScanner()
    asked = questions([f"row {number} @" for number in range(10)])
    with workers(scanner, count=1, limit_s=1) as one:
        one.ask(asked[:1]).result()
        children()[0].send_signal(signal.SIGSTOP)
        assert one.ask(asked).result() == here(scanner, asked)


@pytest.mark.parametrize(("word", "reason"), [(DEADLY, "scan_failed"), (ENDLESS, "scan_timeout")])
def test_a_record_that_costs_two_workers_is_quarantined_unread_and_its_neighbours_are_judged(word, reason):
    scanner = RoughScanner()
    texts = ["before @", f"{word} @", "between", f"{word} again", "after @"]
    with workers(scanner, limit_s=1) as some:
        found = some.ask(questions(texts)).result()
    bad = [decision for decision in found if decision.reason == reason]
    assert [decision.content.text for decision in bad] == [texts[1], texts[3]]
    assert {(decision.verdict, decision.findings) for decision in bad} == {("quarantine", ())}
    assert [found[at] for at in (0, 2, 4)] == here(scanner, questions([texts[at] for at in (0, 2, 4)]))


def test_a_closed_gate_in_a_worker_closes_the_gate():
    with workers(RoughScanner()) as some, pytest.raises(GateClosed, match="self-test") as raised:
        some.ask(questions(["open", CLOSING, "never reached"])).result()
    assert raised.value.hint == "Repair the installation."


@pytest.mark.parametrize(
    ("scanner", "words"), [(UnstartableScanner(), "did not start"), (ChangedScanner(), "another scanner")]
)
def test_a_worker_that_cannot_be_trusted_stops_the_work(scanner, words):
    with workers(scanner) as some, pytest.raises(Fault, match=words):
        some.ask(questions(["a secret sentence"])).result()


def test_workers_are_recycled(monkeypatch, real):
    monkeypatch.setattr(pool, "RECYCLE_AFTER", 3)
    scanner = TellingScanner(RoughScanner())
    with workers(scanner, count=1) as one:
        pids = [found_by(one.ask(questions(["a", "b"])).result()[0])[0] for _ in range(4)]
    assert len(set(pids)) == 2


def found_by(decision: Decision) -> list[str]:
    return next(f.recognizer for f in decision.findings if f.entity_type == "URL").split(":")


def test_a_worker_loads_nothing_heavy_and_says_nothing_of_the_records(real):
    with workers(TellingScanner(real), count=1) as one:
        asked = questions(["Ann Lee wrote to bob@example.org"])
        pid, loaded = found_by(one.ask(asked).result()[0])
        process = psutil.Process(int(pid))
        said = " ".join([process.name(), *process.cmdline(), *process.environ().values()])
    assert loaded == ""
    assert "Ann" not in said
    assert "bob@" not in said


def test_what_travels_to_a_worker_holds_no_secret_of_the_workspace(real):
    travelling = pickle.dumps(gate(SteadyScanner(real)))
    assert KEYRING.derive("form") in travelling
    assert KEYRING.workspace_secret not in travelling
    assert KEYRING.vault_key not in travelling
