"""Whom a case is about: the identifiers given with the request, and every form known of the person.

Somebody who is not in the register has a *provisional key* of the case alone, under which the identifiers they gave are
searched for like those of anybody else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlmodel import Session

from lineage.closure import supplied_forms
from lineage.dossier import case_row
from lineage.errors import NotAcceptable, RefusedByRule, WrongUsage
from lineage.forms import FormKind
from lineage.keyring import Keyring
from lineage.pseudonyms import forms_of
from lineage.register import RegisterForm
from lineage.subjects import find_subject, load_forms
from lineage.tables import CaseRow
from lineage.workspace import Workspace

__all__ = [
    "open_supplied", "open_supplied_forms", "person_named", "provisional_key", "seal_forms", "searched_forms", "subject_forms",
]  # fmt: skip


def person_named(session: Session, identifiers: Sequence[str], workspace: Workspace) -> str | None:
    """The key of the one person in the register whom all identifiers that name somebody agree on; None: they name nobody.

    A form that several people share names nobody unless it stands alone.

    Raises:
        NotAcceptable: the identifiers mean several people.
    """
    found: set[str] = set()
    shared: NotAcceptable | None = None
    for text in identifiers:
        try:
            key = find_subject(session, text, workspace.keyring)
        except NotAcceptable as error:
            shared = error
            continue
        found |= {key} if key else set()
    if len(found) > 1:
        raise NotAcceptable(f"These identifiers belong to {len(found)} people.", hint="File one request per person.")
    if shared and not found:
        raise shared
    return found.pop() if found else None


def provisional_key(keyring: Keyring, case_id: str) -> str:
    """Who a case is about as long as nobody in the register is meant: a key that no record declares."""
    return keyring.subject_key(f"case:{case_id}")


def open_supplied(workspace: Workspace, case_id: str) -> list[str]:
    """The identifiers the person gave, in memory, for the search of the preview; in a purge that has begun, every form.

    Raises:
        WrongUsage: no such case, or they were dropped, at the purge or some time after another end.
    """
    return [value if isinstance(value, str) else value[1] for value in _opened(workspace, case_id)]


def open_supplied_forms(workspace: Workspace, case_id: str, subject_key: str) -> list[RegisterForm]:
    """What `open_supplied` opens, as forms. What a purge has sealed keeps its kind: read anew, an account number would be a
    telephone as well, and a purge that is repeated would keep out more than was begun.

    Raises:
        WrongUsage: as there.
    """
    opened = _opened(workspace, case_id)
    given = supplied_forms(subject_key, [value for value in opened if isinstance(value, str)])
    return [*given, *(RegisterForm(subject_key, *form) for form in opened if not isinstance(form, str))]


def seal_forms(workspace: Workspace, case_id: str, forms: Sequence[RegisterForm]) -> bytes:
    """Every form to look for under the case's own key, as a purge leaves it to its repetition."""
    whole = json.dumps(sorted({(form.kind, form.value) for form in forms}))
    return workspace.keystore.seal([(f"case:{case_id}", whole.encode())])[0]


def _opened(workspace: Workspace, case_id: str) -> list[str | tuple[FormKind, str]]:
    """Identifiers as they were given, or pairs of kind and value that a purge has sealed."""
    with workspace.database.reader() as session:
        supplied = case_row(session, case_id).supplied
    if supplied is None:
        raise WrongUsage(f"The identifiers of case {case_id} were dropped.")
    opened: list[str | tuple[FormKind, str]] = json.loads(workspace.keystore.open([(f"case:{case_id}", supplied)])[0])
    return opened


def subject_forms(workspace: Workspace, case_id: str) -> tuple[str, list[RegisterForm]]:
    """The subject's key, and every form known of them: registered, and supplied with the request.

    Raises:
        RefusedByRule: the case has forgotten who it was about (it is purged), or never knew.
    """
    with workspace.database.reader() as session:
        row = session.get(CaseRow, case_id)
        if row is None or row.subject_key is None:
            raise RefusedByRule(f"Case {case_id} has no subject (any more).")
        registered = load_forms(session, workspace.keystore, row.subject_key)
    return row.subject_key, registered + open_supplied_forms(workspace, case_id, row.subject_key)


def searched_forms(workspace: Workspace, case_id: str) -> tuple[str, list[RegisterForm]]:
    """As `subject_forms`, and what redacted texts call the person: what must be searched for, freed, purged and kept out.

    A withdrawal by policy is about nobody: it has no key ("") and no forms.

    Raises:
        RefusedByRule: as `subject_forms`.
    """
    with workspace.database.reader() as session:
        if case_row(session, case_id).rescan_id:
            return "", []
    key, forms = subject_forms(workspace, case_id)
    return key, list(dict.fromkeys(forms + forms_of(key, workspace.keyring.pseudonym)))
