"""The chain: a change anywhere is noticed where it happened."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from lineage.chain import GENESIS, Broken, Event, Intact, Written, follows, link, verify_chain
from lineage.errors import WrongUsage

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
PAYLOADS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), JSON, max_size=3)


def chain_of(payloads: list[dict[str, object]]) -> list[Event]:
    events: list[Event] = []
    for n, payload in enumerate(payloads, start=1):
        events.append(link(events[-1].digest if events else GENESIS, n, START + timedelta(seconds=n), "step", payload))
    return events


@given(st.lists(PAYLOADS, max_size=4))
def test_what_was_linked_is_intact(payloads: list[dict[str, object]]) -> None:
    events = chain_of(payloads)
    expected = Intact(events[-1].digest if events else GENESIS, len(events))
    assert verify_chain(events) == expected
    stored = [replace(event, payload=json.loads(json.dumps(event.payload))) for event in events]
    assert verify_chain(stored) == expected, "a database keeps payloads as JSON text"


@given(PAYLOADS)
def test_the_digest_is_sha256_of_rfc_8785(payload: dict[str, object]) -> None:
    event = link(GENESIS, 1, START, "step", payload)
    fields = {
        "at": "2026-01-31T09:30:00.000000Z",
        "kind": "step",
        "payload": payload,
        "previous": GENESIS,
        "seq": 1,
    }
    assert event.digest == sha256(rfc8785.dumps(fields)).hexdigest()


def written(event: Event) -> Written:
    """As the ledger keeps it."""
    payload = json.dumps(event.payload, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return Written(event.seq, event.at.isoformat(), event.kind, payload, event.previous, event.digest)


@given(st.lists(PAYLOADS, min_size=1, max_size=2), st.text(max_size=6))
def test_kept_texts_are_believed_only_if_they_spell_the_event(payloads: list[dict[str, object]], other: str) -> None:
    event = chain_of(payloads)[-1]
    kept = written(event)
    ascii_only = {"n": 1, "by": "dana", "nested": [True, None, {"a": "b"}]}
    plain = link(event.previous, event.seq, event.at, event.kind, ascii_only)
    assert follows(written(plain), plain.previous, plain.seq), "or every ledger is read the slow way"
    for name, value in (("at", other), ("kind", other), ("payload", other), ("previous", other), ("digest", other)):
        changed = kept._replace(**{name: value})
        assert changed == kept or not follows(changed, event.previous, event.seq), name
    assert not follows(kept, event.previous, event.seq + 1)
    assert not follows(kept, "1" * 64, event.seq)


def test_texts_cannot_be_cut_elsewhere() -> None:
    """The same bytes, read as another time and another kind."""
    event = link(GENESIS, 1, START, "step", {"a": 'x","kind":"y'})
    kept = written(event)
    assert follows(kept, GENESIS, 1)
    whole = f'{kept.at}","kind":"step","payload":{kept.payload}'
    for cut in range(1, len(whole)):
        moved = kept._replace(at=whole[:cut], payload=whole[cut:])
        assert not follows(moved, GENESIS, 1)


TAMPERINGS: dict[str, Callable[[Event], Event]] = {
    "kind": lambda e: replace(e, kind="other"),
    "payload": lambda e: replace(e, payload={"n": 99}),
    "time": lambda e: replace(e, at=e.at + timedelta(microseconds=1)),
    "number": lambda e: replace(e, seq=e.seq + 1),
    "previous": lambda e: replace(e, previous="1" * 64),
    "digest": lambda e: replace(e, digest="1" * 64),
    "local time": lambda e: replace(e, at=e.at.replace(tzinfo=timezone(timedelta(hours=1)))),
    "no time zone": lambda e: replace(e, at=e.at.replace(tzinfo=None)),
    "payload that is no JSON": lambda e: replace(e, payload={"n": {1, 2}}),
    "relinked with a new digest": lambda e: link(e.previous, e.seq, e.at, e.kind, {"n": 99}),
}


@pytest.mark.parametrize("tamper", TAMPERINGS.values(), ids=TAMPERINGS)
@pytest.mark.parametrize("position", [0, 2, 4])
def test_a_changed_event_breaks_the_chain_at_or_right_after_it(position: int, tamper: Callable[[Event], Event]) -> None:
    events = chain_of([{"n": n} for n in range(6)])
    events[position] = tamper(events[position])
    result = verify_chain(events)
    assert isinstance(result, Broken)
    assert result.seq in {position + 1, position + 2}


def test_removed_inserted_and_reordered_events_are_noticed() -> None:
    events = chain_of([{"n": n} for n in range(6)])
    for wrong in (events[1:], events[:2] + events[3:], [events[0], events[0], *events[1:]], events[::-1]):
        assert isinstance(verify_chain(wrong), Broken)


def test_a_gap_in_the_numbers_is_noticed_even_when_the_digests_follow() -> None:
    first = link(GENESIS, 1, START, "step", {})
    assert verify_chain([first, link(first.digest, 3, START, "step", {})]) == Broken(
        2, "number 2 is missing or out of order"
    )


def test_a_cut_end_is_only_visible_from_outside() -> None:
    """Why a certificate carries head and length."""
    events = chain_of([{"n": n} for n in range(6)])
    cut, whole = verify_chain(events[:4]), verify_chain(events)
    assert isinstance(cut, Intact)
    assert cut != whole


def test_verification_goes_on_from_a_known_head() -> None:
    events = chain_of([{"n": n} for n in range(6)])
    middle = verify_chain(events[:3])
    assert isinstance(middle, Intact)
    assert verify_chain(events[3:], after=middle) == verify_chain(events)
    assert isinstance(verify_chain(events[4:], after=middle), Broken)


def test_the_payload_is_a_copy() -> None:
    payload = {"list": [1]}
    event = link(GENESIS, 1, START, "step", payload)
    payload["list"].append(2)
    assert event.payload == {"list": [1]}


@pytest.mark.parametrize(
    ("seq", "at", "payload"),
    [
        (0, START, {}),
        (1, START.replace(tzinfo=None), {}),
        (1, START.astimezone(timezone(timedelta(hours=2))), {}),
        (1, START, {"x": float("nan")}),
        (1, START, {"x": 2**60}),
        (1, START, {"x": 1e16}),
        (1, START, {"x": "\ud800"}),
        (1, START, {"x": object()}),
    ],
)
def test_what_cannot_be_linked(seq: int, at: datetime, payload: dict[str, object]) -> None:
    with pytest.raises(WrongUsage):
        link(GENESIS, seq, at, "step", payload)


def test_a_long_chain_is_intact() -> None:
    events = chain_of([{"case": "case-1", "records": n, "digest": "a" * 64} for n in range(20_000)])
    assert isinstance(verify_chain(events), Intact)
