"""The same pseudonyms for users of presidio-anonymizer: a custom operator for its engine. The gate itself does not use it.

Why the gate does not: docs/adr/0020. presidio-anonymizer need not be installed; importing this module does not ask for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lineage.errors import WrongUsage
from lineage.pseudonyms import Pseudonym, written
from lineage.quiet import without_torch
from lineage.register import RegisterIndex

if TYPE_CHECKING:
    from presidio_anonymizer.operators import Operator

__all__ = ["pseudonym_operator"]


def pseudonym_operator(register: RegisterIndex, pseudonym: Pseudonym) -> type[Operator]:
    """A `pseudonym` operator for `AnonymizerEngine.add_anonymizer`; each type's config gives its `constant`.

    A value that is a form of exactly one registered person becomes their pseudonym, whatever way it is written; any
    other becomes the constant. ::

        engine.add_anonymizer(pseudonym_operator(register, keyring.pseudonym))
        engine.anonymize(text, found, {"PERSON": OperatorConfig("pseudonym", {"constant": "[PERSON]"})})

    Raises:
        WrongUsage: presidio-anonymizer is not installed.
    """
    try:
        with without_torch():
            from presidio_anonymizer.operators import Operator, OperatorType
    except ImportError:
        raise WrongUsage("presidio-anonymizer is not installed.", hint="pip install presidio-anonymizer") from None

    class PseudonymOperator(Operator):
        """Replaces a value by its person's pseudonym."""

        def operate(self, text: str, params: dict[Any, Any] | None = None) -> str:
            given = params or {}
            people = frozenset[str]().union(*(link.subject_keys for link in register.link(text)))
            if len(people) != 1:
                return str(given["constant"])
            (subject_key,) = people
            return written(given["constant"], pseudonym(given["entity_type"], subject_key))

        def validate(self, params: dict[Any, Any] | None = None) -> None:
            if not str((params or {}).get("constant", "")).endswith("]"):
                raise WrongUsage("The pseudonym operator needs a constant such as [PERSON].")

        def operator_name(self) -> str:
            return "pseudonym"

        def operator_type(self) -> OperatorType:
            return OperatorType.Anonymize

    return PseudonymOperator
