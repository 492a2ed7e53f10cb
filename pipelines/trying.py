"""A policy tried on one text: nothing is stored, nothing is logged. With a workspace, its register links people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lineage.admit import Gate, Links, examine
from lineage.closure import supplied_forms
from lineage.errors import WrongUsage
from lineage.explain import Explained, explain
from lineage.forms import canonical_identifier
from lineage.keyring import PairMac
from lineage.languages import Scanners
from lineage.policy import Policy, load_gate_policy, load_policy
from lineage.records import PlainText
from lineage.register import RegisterForm, RegisterIndex
from lineage.subjects import find_subject, load_forms, load_suppression
from lineage.workspace import Workspace

__all__ = ["Sample", "policy_named", "try_policy"]

NOBODYS = PairMac(bytes(32))  # outside of a workspace a pseudonym is only a sample of one
STRANGER = "declared"  # the key of a declared subject where no workspace gives one


@dataclass(frozen=True)
class Sample:
    """A text, identifiers of the person whose record it is (empty: a record about nobody), and its language."""

    text: str = field(repr=False)
    subject: Sequence[str] = field(repr=False, default=())
    language: str | None = None  # the policy's own


def policy_named(name: str | None, workspace: Workspace | None) -> Policy:
    """A shipped policy, a file, or the one in force in the workspace.

    Raises:
        WrongUsage: neither is given, or it is no policy.
    """
    if name is not None:
        return load_policy(name)
    if workspace is None:
        raise WrongUsage("There is no workspace here, so no policy is in force.", hint="Name one: --policy default")
    return load_gate_policy(workspace.settings)


def try_policy(policy: Policy, sample: Sample, workspace: Workspace | None) -> Explained:
    """What the gate would say of the sample.

    Raises:
        GateClosed: the scanner's self-test failed, or the policy asks for a tier that is not installed.
    """
    suppression: Links
    if workspace is None:
        forms, suppression, pseudonym = supplied_forms(STRANGER, sample.subject), RegisterIndex([]), NOBODYS
        declared = [STRANGER] if sample.subject else []
    else:
        with workspace.database.reader() as session:
            declared = [_key(workspace, sample.subject)] if sample.subject else []
            forms = load_forms(session, workspace.keystore) + _own(declared, sample.subject)
            suppression, pseudonym = load_suppression(session, workspace.keyring), workspace.keyring.pseudonym_mac()
    scanners, strict = Scanners(policy), load_policy("strict")
    gate = Gate(scanners.main, RegisterIndex(forms), suppression, policy, strict, scanners.others, pseudonym)
    content = PlainText(sample.text)
    decision = examine(gate, content, declared=declared, language=sample.language)
    return explain(content, decision, policy, pseudonym)


def _own(declared: Sequence[str], identifiers: Sequence[str]) -> list[RegisterForm]:
    return [form for key in declared for form in supplied_forms(key, identifiers)]


def _key(workspace: Workspace, identifiers: Sequence[str]) -> str:
    """The person in the register, or the key they would get."""
    with workspace.database.reader() as session:
        found = (find_subject(session, text, workspace.keyring) for text in identifiers)
        known = next((key for key in found if key), None)
    return known or workspace.keyring.subject_key(canonical_identifier(identifiers[0]))
