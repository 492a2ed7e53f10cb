"""What is there, what is missing, and what that means, for one workspace on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lineage.errors import LetheError

if TYPE_CHECKING:
    from lineage.workspace import Workspace

__all__ = ["Finding", "examine"]

NEEDED = {
    "dagster": "orchestration", "presidio-analyzer": "the gate", "torch": "training and probes",
    "transformers": "base models", "peft": "adapters", "datasets": "corpora in Parquet and datasets folders",
}  # fmt: skip
OPTIONAL = {
    "dagster-postgres": "Dagster's instance on PostgreSQL", "psycopg": "the application database on PostgreSQL",
    "s3fs": "a store on S3",
}  # fmt: skip
NER_MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm")


@dataclass(frozen=True)
class Finding:
    """`standing` is ok, missing (something will not work) or note."""

    subject: str
    standing: str
    meaning: str


def examine(workspace_dir: Path | None) -> list[Finding]:
    """Everything worth saying."""
    return [*_packages(), *_composition(), *_ner(), *_workspace(workspace_dir)]


def _packages() -> Iterator[Finding]:
    for packages, standing in ((NEEDED, "missing"), (OPTIONAL, "note")):
        for name, purpose in packages.items():
            try:
                yield Finding(name, "ok", f"{version(name)}, {purpose}")
            except PackageNotFoundError:
                extra = "pipeline" if packages is NEEDED else "postgres or s3"
                yield Finding(name, standing, f"not installed; {purpose} needs it: pip install 'lethe[{extra}]'")


def _composition() -> Iterator[Finding]:
    """The self-test that also runs before every composition."""
    try:
        from unlearn.compose import self_test

        self_test()
    except ImportError:
        return  # the missing package is named above
    except LetheError as error:
        yield Finding("composition", "missing", f"{error} {error.hint}".strip())
    else:
        yield Finding("composition", "ok", "an adapter composes to itself, and three to their average")


def _ner() -> Iterator[Finding]:
    found = next((model for model in NER_MODELS if find_spec(model)), None)
    if found:
        yield Finding(
            "NER tier", "note", f"{found} is installed; this version's gate runs patterns and the register only"
        )
    else:
        meaning = "patterns and the register only: people who are not in the register are not seen in texts"
        yield Finding("NER tier", "note", meaning)


def _workspace(workspace_dir: Path | None) -> Iterator[Finding]:
    from lineage.settings import find_workspace
    from lineage.workspace import open_workspace

    try:
        workspace = open_workspace(find_workspace(workspace_dir))
    except LetheError as error:
        yield Finding("workspace", "missing", f"{error} {error.hint}".strip())
        return
    yield Finding("workspace", "ok", f"{workspace.settings.workspace}, secrets and database fit together")
    yield from _gate(workspace)
    yield from _adapters(workspace)


def _gate(workspace: Workspace) -> Iterator[Finding]:
    from lineage.gate import standing
    from pipelines.ingest import load_gate_policy

    try:
        policy = load_gate_policy(workspace.settings)
        with workspace.database.reader() as session:
            found = standing(session, sources=(), policy_digest=policy.digest)
    except LetheError as error:
        yield Finding("gate", "missing", f"{error} {error.hint}".strip())
        return
    counts = f"{found.admitted} admitted, {found.quarantined} in quarantine, {found.blocked} blocked"
    yield Finding("gate", "ok" if found.open else "note", f"{counts}. {found.reason} {found.hint}".strip())


def _adapters(workspace: Workspace) -> Iterator[Finding]:
    from lineage import builds
    from unlearn.plan import TrainSettings

    for name, settings in sorted(workspace.settings.adapters.items()):
        try:
            TrainSettings.from_mapping(settings.training)
        except LetheError as error:
            yield Finding(f"adapter {name}", "missing", f"{error} {error.hint}".strip())
            continue
        local = Path(settings.base_model)
        if settings.base_model != "tiny" and not local.is_dir():
            yield Finding(f"adapter {name}", "note", f"base {settings.base_model!r} is no local folder; a hub is asked")
        with workspace.database.reader() as session:
            release = builds.current_release(session, name)
        yield Finding(f"adapter {name}", "ok", f"in service: {release[:16]}" if release else "not trained yet")
