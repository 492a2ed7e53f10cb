"""What corpora and operators wrote as a label: a source, a purpose, a legal basis, an organisation.

Exports leave the house, and nothing kept an operator from typing a person's address as a purpose. So every label is looked
through before it goes out, as a text would be; one that names a registered or an erased person is withheld.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlmodel import Session

from lineage.register import RegisterIndex
from lineage.subjects import load_forms, load_suppression
from lineage.workspace import Workspace

__all__ = ["WITHHELD", "Labels", "labels_of"]

WITHHELD = "(withheld: it names a person)"
Labels = Callable[[str], str]
"""A label as it may go out."""


def labels_of(session: Session, workspace: Workspace) -> Labels:
    """The rule for labels, with the register and the suppression list as they are now."""
    register = RegisterIndex(load_forms(session, workspace.keystore))
    erased = load_suppression(session, workspace.keyring)
    known: dict[str, str] = {}

    def fit(label: str) -> str:
        if label not in known:
            known[label] = WITHHELD if register.link(label) or erased.link(label) else label
        return known[label]

    return fit
