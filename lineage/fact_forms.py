"""What a field of a certificate may hold.

No field has room for a name, an identifier, a given id or a text of the person: who and what are `Handle`s, made for the
case and without meaning outside it. A `Digest` is SHA-256 over weights, recipes, manifests or reports, never over a text.
`Text` is a sentence that Lethe or the DPO writes about the procedure. A measured quantity is a `Decimal`.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

__all__ = ["Digest", "Handle", "Hex", "Text"]

Digest: TypeAlias = Annotated[str, re.compile(r"[0-9a-f]{64}")]
Handle: TypeAlias = Annotated[str, re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}")]
Hex: TypeAlias = Annotated[str, re.compile(r"([0-9a-f]{2})+")]
Text: TypeAlias = Annotated[str, re.compile(r"(?=.*\S)[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,2000}")]
