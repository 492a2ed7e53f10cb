"""What people wrote that is no record: a source, a purpose, a legal basis, an organisation, a reason.

Exports leave the house, and nothing kept an operator from typing a person's address as a purpose. So every label is looked
through before it goes out, as a text would be; one that names a registered or an erased person is withheld.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from sqlmodel import Session

from lineage.register import RegisterIndex
from lineage.subjects import load_forms, load_suppression
from lineage.workspace import Workspace

__all__ = ["HUB_ID", "WITHHELD", "Labels", "base_label", "labels_of", "names_somebody"]

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

WITHHELD = "(withheld: it names a person)"
Labels = Callable[[str], str]
"""A label as it may go out."""


def names_somebody(session: Session, workspace: Workspace) -> Callable[[str], bool]:
    """Whether a text holds a form of a registered or an erased person, by the register and the suppression list as they are."""
    register = RegisterIndex(load_forms(session, workspace.keystore))
    erased = load_suppression(session, workspace.keyring)
    return lambda text: bool(register.link(text) or erased.link(text))


def labels_of(session: Session, workspace: Workspace) -> Labels:
    """The rule for labels; each is looked through once."""
    somebody = cache(names_somebody(session, workspace))
    return lambda label: WITHHELD if somebody(label) else label


def base_label(given: str) -> str:
    """A base model as it may go out: a hub id as it is; of a folder the last part only, for a path may name a person's home."""
    if HUB_ID.fullmatch(given) and not Path(given).is_dir():
        return given
    return given.rstrip("/").rpartition("/")[2]
