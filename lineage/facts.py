"""What a certificate says, as frozen values, and the one JSON form of those values.

The vocabulary is `case.md`'s list of fields; `docs/certificate-format.md` explains each for an auditor. JSON keys are the
field names. An optional field that is None is left out. Numbers in JSON are integers; a measured quantity is a Decimal and
travels as a decimal string, because two programs that print the same fraction differently would break a signature.

No field has room for a name, an identifier, a given id or a text of the person: who and what are `Handle`s, made for the
case and without meaning outside it. `Text` is a sentence that Lethe or the DPO writes about the procedure.
"""

from __future__ import annotations

import re
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from lineage.chain import timestamp
from lineage.errors import LetheError, NotAcceptable

__all__ = [
    "AdapterChange", "Approval", "Backup", "CertificateFacts", "Clock", "DerivedFile", "Destroyed", "Identity", "Kept",
    "LedgerHead", "Limits", "NonInclusion", "Probe", "ProofLeaf", "RecordDecision", "Rederivation", "Scanner", "Search",
    "ShardRebuild", "SliceChange", "StoreSearched", "ToBeTold", "as_json", "from_json", "measured",
]  # fmt: skip

Digest: TypeAlias = Annotated[str, re.compile(r"[0-9a-f]{64}")]
Handle: TypeAlias = Annotated[str, re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}")]
Text: TypeAlias = Annotated[str, re.compile(r"(?=.*\S)[^\x00-\x1f\x7f\ud800-\udfff]{1,2000}")]
Limits: TypeAlias = tuple[Text, ...]
_T = TypeVar("_T")


def _fact(cls: type[_T]) -> type[_T]:
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)
