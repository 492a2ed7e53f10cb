"""Is what the judge is about to open what was trained? Bytes against digests, before any of them is loaded.

An adapter of the store lies in a directory named after SHA-256 of its files; the base and the tokenizer stand as digests
in the recipe of every state. A panel with a seal is opened only if all of that holds: an old adapter under a new address,
a cache that was not renewed, a file too many, another base or a swapped tokenizer is refused, and nothing is scored.

The digests are computed here a second time and not by the code that trains: the judge shares none with the judged
(docs/adr/0001). tests/pipelines/test_sealing.py holds the two spellings together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lineage.errors import NotAcceptable, WrongUsage

__all__ = ["Seal", "base_digests", "directory_digest", "refuse_broken"]

MODEL_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json")
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "vocab.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja",
)  # fmt: skip
ANEW = "Remove the directory; the next run fetches it, or lethe train builds it again."
BACK = "Put back the base model that lethe.toml named when the adapter was trained, or train a new adapter."


@dataclass(frozen=True, slots=True)
class Seal:
    """What base and tokenizer must be: SHA-256 over the framed names and SHA-256 of their files (hex).

    Adapters need no entry: a sealed panel's directories are named after the digest of what they hold.
    """

    base: str
    tokenizer: str


def refuse_broken(seal: Seal, adapters: Mapping[str, Path], *, base: str | Path, revision: str | None) -> None:
    """Look at every file that the judge would open.

    Raises:
        NotAcceptable: a directory does not hold what its name says, or base or tokenizer are others than trained with.
        WrongUsage: the base is not there.
    """
    for name, path in adapters.items():
        if directory_digest(path) != path.name:
            raise NotAcceptable(f"The adapter {name} does not have the bytes of its address.", hint=ANEW)
    model, tokenizer = base_digests(base, revision=revision)
    if model != seal.base:
        raise NotAcceptable("The base model is not the one that the adapters were trained on.", hint=BACK)
    if tokenizer != seal.tokenizer:
        raise NotAcceptable("The tokenizer is not the one that the adapters were trained with.", hint=BACK)


def directory_digest(folder: Path) -> str:
    """SHA-256 over the framed names and bytes of all files below a directory, sorted by name."""
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in _files(folder)):
        content = path.read_bytes()
        digest.update(_framed(name, content))
    return digest.hexdigest()


def base_digests(base: str | Path, *, revision: str | None = None) -> tuple[str, str]:
    """Of the model's files, and of the tokenizer's and its chat template's.

    Raises:
        WrongUsage: neither a folder nor a model of the hub that can be had.
    """
    folder = _folder(base, revision)
    return _digest_of(folder, MODEL_FILES), _digest_of(folder, TOKENIZER_FILES)


def _folder(base: str | Path, revision: str | None) -> Path:
    """The folder that the libraries will read: the path itself, or the hub's snapshot of a revision."""
    if Path(base).is_dir():
        return Path(base)
    from huggingface_hub import snapshot_download

    try:
        wanted = [*MODEL_FILES, *TOKENIZER_FILES, "generation_config.json"]
        return Path(snapshot_download(str(base), revision=revision, allow_patterns=wanted))
    except (OSError, ValueError):
        raise WrongUsage(
            "The base model is missing.", hint="Set base_model in lethe.toml to a folder or a hub id."
        ) from None


def _digest_of(folder: Path, patterns: tuple[str, ...]) -> str:
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    entries = [_framed(path.relative_to(folder).as_posix(), _sha256(path)) for path in found]
    return hashlib.sha256(b"".join(entries)).hexdigest()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _framed(name: str, content: bytes) -> bytes:
    """Name and content with their kinds and lengths, so that no two pairs have the same bytes."""
    spelled = name.encode()
    return b"s" + len(spelled).to_bytes(8, "big") + spelled + b"b" + len(content).to_bytes(8, "big") + content


def _sha256(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
