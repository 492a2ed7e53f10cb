"""An officer is a number of the case: by first act, the same for each act, and never a name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from lineage.chain import Event
from pipelines.certified_approvals import approvals


@dataclass(frozen=True)
class Approved:
    """What of a case view the approvals read."""

    approved_digest: str = "1" * 64
    evidence_digest: str = "2" * 64


def acts(*told: tuple[str, str]) -> list[Event]:
    return [
        Event(n, datetime(2026, 2, n, tzinfo=UTC), kind, {"by": by} if by else {}, "", "")
        for n, (kind, by) in enumerate(told, start=1)
    ]


def handles(*told: tuple[str, str]) -> tuple[str, str]:
    preview, purge = approvals(Approved(), acts(*told))  # type: ignore[arg-type]
    return preview.approved_by, purge.approved_by


def test_who_filed_is_no_officer_and_the_first_officer_is_number_one() -> None:
    told = (
        ("case.received", "ines"),
        ("case.preview_ready", ""),
        ("case.approved", "dana"),
        ("case.purge_approved", "dana"),
    )
    preview, purge = approvals(Approved(), acts(*told))  # type: ignore[arg-type]
    assert (preview.approved_by, purge.approved_by) == ("dpo:1", "dpo:1")
    assert (preview.digest, purge.digest) == ("1" * 64, "2" * 64)
    assert (preview.at.day, purge.at.day) == (3, 4)


def test_a_second_officer_is_number_two() -> None:
    assert handles(("case.approved", "dana"), ("case.purge_approved", "dora")) == ("dpo:1", "dpo:2")


def test_the_number_is_by_the_first_act_in_the_case_and_the_last_approval_counts() -> None:
    told = (
        ("record.decided", "dora"),
        ("case.approved", "dana"),
        ("case.approved", "dora"),
        ("case.purge_approved", "dana"),
    )
    assert handles(*told) == ("dpo:1", "dpo:2")


def test_a_retry_is_nobodys_approval() -> None:
    told = (
        ("case.approved", "dana"),
        ("case.purge_approved", "dora"),
        ("case.failed", ""),
        ("case.purge_approved", ""),
    )
    preview, purge = approvals(Approved(), acts(*told))  # type: ignore[arg-type]
    assert (preview.approved_by, purge.approved_by) == ("dpo:1", "dpo:2")
    assert purge.at.day == 2
