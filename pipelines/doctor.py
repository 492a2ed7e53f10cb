"""What is there, what is missing, and what that means, for one workspace on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
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
INSTALL_A_MODEL = (
    "a named-entity model sees names of people who are not in the register. spaCy: fetch the wheel of a model such as "
    "en_core_web_lg 3.8 and pip install it; transformers: copy a token classifier's folder here. Then name it in the "
    "policy, [ner] engine and models.en; see docs/policy-languages.md"
)


@dataclass(frozen=True)
class Finding:
    """`standing` is ok, missing (something will not work) or note."""

    subject: str
    standing: str
    meaning: str


def examine(workspace_dir: Path | None) -> list[Finding]:
    """Everything worth saying."""
    return [*_packages(), *_composition(), *_models(), *_workspace(workspace_dir)]


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


def _models() -> Iterator[Finding]:
    """spaCy models that a policy could name, or how to get one."""
    try:
        from lineage.ner import installed_models

        found = installed_models()
    except ImportError:
        return  # the missing package is named above
    if found:
        yield Finding("named-entity models", "ok", f"{', '.join(found)}: a policy may name them in [ner]")
    else:
        yield Finding("named-entity models", "note", f"no spaCy model is installed; {INSTALL_A_MODEL}")


def _tiers(workspace: Workspace) -> Iterator[Finding]:
    """Which tier scans each language, and whether it proves itself here and now."""
    from lineage.languages import Scanners
    from lineage.policy import load_gate_policy

    try:
        scanners = Scanners(load_gate_policy(workspace.settings))
    except LetheError as error:
        yield Finding("tier", "missing", f"{error} {error.hint}".strip())
        return
    for language, scanner in scanners.by_language.items():
        try:
            scanner.self_test()
        except LetheError as error:
            yield Finding(f"tier {language}", "missing", f"{error} {error.hint}".strip())
        else:
            yield Finding(f"tier {language}", "ok", f"{scanner.tier}. {scanner.blind_spots}")


def _workspace(workspace_dir: Path | None) -> Iterator[Finding]:
    from lineage.settings import find_workspace
    from lineage.workspace import open_workspace

    try:
        workspace = open_workspace(find_workspace(workspace_dir))
    except LetheError as error:
        yield Finding("workspace", "missing", f"{error} {error.hint}".strip())
        return
    yield Finding("workspace", "ok", f"{workspace.settings.workspace}, secrets and database fit together")
    yield from _dpo_key(workspace)
    yield from _gate(workspace)
    yield from _suppression(workspace)
    yield from _tiers(workspace)
    yield from _adapters(workspace)


def _dpo_key(workspace: Workspace) -> Iterator[Finding]:
    """Whether a certificate could be signed."""
    from lineage.dpo_key import require_dpo_key

    try:
        state = require_dpo_key(workspace)
    except LetheError as error:
        yield Finding("DPO key", "note", f"{error} {error.hint}")
        return
    said = {"locked": "under a passphrase", "plain": "WITHOUT a passphrase, which lethe.toml allows for trials only"}
    yield Finding("DPO key", "ok" if state == "locked" else "note", said[state.value])


def _gate(workspace: Workspace) -> Iterator[Finding]:
    from lineage.gate import standing
    from lineage.policy import load_gate_policy

    try:
        policy = load_gate_policy(workspace.settings)
        with workspace.database.reader() as session:
            found = standing(session, sources=(), policy_digest=policy.digest)
    except LetheError as error:
        yield Finding("gate", "missing", f"{error} {error.hint}".strip())
        return
    counts = f"{found.admitted} admitted, {found.quarantined} in quarantine, {found.blocked} blocked"
    yield Finding("gate", "ok" if found.open else "note", f"{counts}. {found.reason} {found.hint}".strip())


def _suppression(workspace: Workspace) -> Iterator[Finding]:
    """Said only of a list that makes scanning slow."""
    from lineage.subjects import forms_without_cues

    with workspace.database.reader() as session:
        if count := forms_without_cues(session):
            yield Finding(
                "suppression list", "note",
                f"{count} forms were erased before Lethe kept cues. They are found, but every run of words is asked for, "
                "which takes some 2 ms for 1,000 characters",
            )  # fmt: skip


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
