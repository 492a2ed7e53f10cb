"""The end of a case: the person is told, the parties are told, the case closes.

::

    SIGNED_OFF -> NOTIFYING -> CLOSED      NOTIFYING as soon as there are parties; CLOSED when every notice is acknowledged or
                                           waived and the person was told. Without parties the case goes straight there.

Whatever may have been the last thing that was waited for asks `go_on`, in its own transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Any

from sqlmodel import Session

from lineage import ledger
from lineage.access import Actor, Role
from lineage.case import IDENTIFIERS, CaseFile
from lineage.case_view import CaseView
from lineage.desk import reason_for
from lineage.errors import RefusedByRule, WrongUsage
from lineage.evidence import add_evidence
from lineage.letters import Kind, filed, owed, require_fit, tell_before
from lineage.notices import OPEN, Notice, State, change, find_notice, make_notices, notices
from lineage.settings import Settings
from lineage.stages import Stage
from lineage.tables import PartyRow
from lineage.workspace import Workspace

__all__ = ["Telling", "acknowledge_by_hand", "go_on", "retry_notice", "tell_person", "waive_notice"]


@dataclass(frozen=True)
class Telling:
    """The person was told: by which letter, on which day. `own`: by a letter that Lethe did not write."""

    kind: Kind
    on: date
    own: bool = False


def go_on(session: Session, case_id: str, settings: Settings, *, now: datetime) -> CaseView:
    """Take a certified case as far as it can go; anything else stays as it is. Safe to repeat."""
    case = CaseFile(session, case_id)
    if case.view.stage == Stage.SIGNED_OFF and (count := make_notices(session, case_id, settings.controller, now=now)):
        case.notify(now=now, notices=count)
    if case.view.stage not in (Stage.SIGNED_OFF, Stage.NOTIFYING) or owed(session, case.view, settings):
        return case.view
    told = notices(session, case_id)
    if any(notice.state in OPEN for notice in told):
        return case.view
    if case.view.stage == Stage.SIGNED_OFF:
        case.notify(now=now, notices=0)
    waived = sum(notice.state == State.WAIVED for notice in told)
    return case.close(now=now, acknowledged=len(told) - waived, waived=waived)


# --- the person -----------------------------------------------------------------------------------------------------------


def tell_person(workspace: Workspace, case_id: str, telling: Telling, *, actor: Actor, now: datetime) -> CaseView:
    """Write down that the person was told; the case waits for it no more. The same again changes nothing.

    Raises:
        RefusedByRule: the actor does not speak with the person, the letter is not one for the case as it stands, it was told
            on another day, or an extension was told after the first month (Art. 12(3) GDPR).
        WrongUsage: no such case, the letter was not written, or the day is before that or in the future.
    """
    actor.require(*IDENTIFIERS, to="tell the person")
    settings = workspace.settings
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id).view
        letter = filed(session, case_id, telling.kind)
        if "told_on" in letter:
            if letter["told_on"] != telling.on.isoformat():
                raise RefusedByRule(f"The person was told so on {letter['told_on']} already.")
            return case
        require_fit(case, telling.kind)
        _require_between(_first_day(case, telling, letter), telling.on, settings.day(now))
        last = tell_before(session, case, telling.kind, settings)
        if telling.kind == Kind.EXTENDED and telling.on > last:
            raise RefusedByRule(
                f"An extension must be told by {last}, in the first month (Art. 12(3) GDPR); told later it does not hold.",
                hint="Answer the request now.",
            )
        told = {"kind": telling.kind.value, "told_on": telling.on.isoformat()}
        body = {**told, "own": True} if telling.own else {**letter, **told}
        add_evidence(session, case_id, f"letter:{telling.kind}", body, now=now)
        ledger.append(session, at=now, kind="letter.told", case_id=case_id, payload={**body, "by": actor.name})
        return go_on(session, case_id, settings, now=now)


def _first_day(case: CaseView, telling: Telling, letter: Mapping[str, Any]) -> date:
    """The first day on which this can have been told."""
    if telling.own:
        return case.received_on
    if not letter:
        wrote = "Write it first: lethe erase letter; or say --own-letter, if the person was told by one of your own."
        raise WrongUsage(f"Case {case.id} has no letter {telling.kind}.", hint=wrote)
    return date.fromisoformat(letter["written_on"])


def _require_between(first: date, on: date, today: date) -> None:
    if not first <= on <= today:
        raise WrongUsage(f"That can have been told between {first} and {today}.")


# --- the parties ----------------------------------------------------------------------------------------------------------


def acknowledge_by_hand(workspace: Workspace, notice_id: str, *, actor: Actor, on: date, now: datetime) -> Notice:
    """A party that has no webhook, or whose webhook was given up on, was told and acknowledged it on that day.

    Raises:
        RefusedByRule: the actor may not say so, the notice is over, or the machine is still at it.
        WrongUsage: no such notice, or a day before it was made or in the future.
    """
    actor.require(*IDENTIFIERS, to="say that a party was told")
    settings = workspace.settings
    with workspace.database.transaction() as session:
        notice = find_notice(session, notice_id)
        if notice.next_try_at is not None:
            raise RefusedByRule(f"The notice {notice_id} is sent by the machine.", hint="See it: lethe notice list")
        _require_open(notice)
        _require_between(settings.day(notice.made_at), on, settings.day(now))
        ended = datetime.combine(on, time.min, settings.time_zone)
        done = replace(notice, state=State.ACKNOWLEDGED, problem="", ended_at=ended)
        change(session, done, "acknowledged", now=now, by=actor.name, on=on.isoformat())
        go_on(session, notice.case_id, settings, now=now)
        return done


def waive_notice(workspace: Workspace, notice_id: str, *, actor: Actor, reason: str, now: datetime) -> Notice:
    """A DPO decides that the case does not wait for a party: telling it is impossible or a disproportionate effort (Art. 19).

    Raises:
        RefusedByRule: the actor is no DPO or filed the request, or the notice is over.
        WrongUsage: no such notice, or the reason is empty, too long, or names somebody.
    """
    actor.require(Role.DPO, to="waive a notice")
    sentence = reason_for(
        workspace, "", reason
    )  # the case has forgotten whom it was about; the suppression list has not
    with workspace.database.transaction() as session:
        notice = find_notice(session, notice_id)
        CaseFile(session, notice.case_id).four_eyes(actor)
        _require_open(notice)
        done = replace(
            notice, state=State.WAIVED, next_try_at=None, waived_by=actor.name, waive_reason=sentence, ended_at=now
        )
        change(session, done, "waived", now=now, by=actor.name, reason=sentence)
        go_on(session, notice.case_id, workspace.settings, now=now)
        return done


def retry_notice(workspace: Workspace, notice_id: str, *, actor: Actor, now: datetime) -> Notice:
    """Send a dead letter again, with eight new tries; or one that was told by hand, since its party has a webhook now.

    Raises:
        RefusedByRule: the actor may not, it is neither, or the party has no webhook.
        WrongUsage: no such notice.
    """
    actor.require(*IDENTIFIERS, Role.ML, to="retry a notice")
    with workspace.database.transaction() as session:
        notice = find_notice(session, notice_id)
        if notice.state not in OPEN or notice.next_try_at is not None:
            raise RefusedByRule(f"The notice {notice_id} is {notice.state}; there is nothing to retry.")
        if not session.get_one(PartyRow, notice.party).endpoint:
            raise RefusedByRule(f"The party {notice.party} has no webhook.", hint="Tell it by hand: lethe notice ack")
        again = replace(notice, state=State.PENDING, tries=0, next_try_at=now, ended_at=None)
        return change(session, again, "retried", now=now, by=actor.name)


def _require_open(notice: Notice) -> None:
    if notice.state not in OPEN:
        raise RefusedByRule(f"The notice {notice.id} is {notice.state}; nobody waits for it any more.")
