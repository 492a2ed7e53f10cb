"""A workspace, opened: settings, secrets, database, key store and store in one value that is passed whole.

On disk::

    DIR/lethe.toml                 what the team decides
    DIR/.lethe/secrets/            workspace.key, vault.key, pipeline.*               (0600)
                                   dpo.*, under the DPO's passphrase (`lethe keys dpo`)
    DIR/.lethe/lethe.db            lineage: pseudonyms, counts, digests, ciphertext
    DIR/.lethe/keys.db             the per-record keys; shredding happens here
    DIR/.lethe/store/              states and adapters by digest
    DIR/.lethe/dagster/            DAGSTER_HOME: runs and events, counts and digests only
    DIR/.lethe/cases/<case>/       reports and certificates
    DIR/.lethe/studies/<adapter>/  the newest `lethe plan --study`: table and picture, no weights
    DIR/.lethe/journal.jsonl       every purge ever begun
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lineage.database import Database, migrate
from lineage.errors import WrongUsage
from lineage.keyring import Keyring, create_secret, load_keyring, read_secret
from lineage.keys import create_key_pair
from lineage.settings import FILE_NAME, Settings, load_settings
from lineage.store import Store
from lineage.vault import KeyStore, open_keystore

__all__ = ["Workspace", "create_workspace", "open_workspace"]

TEMPLATE = """\
# A Lethe workspace. Every key is described in docs/configuration.md; unknown keys are errors.
controller = {controller}
country = "DE"            # public holidays that move a due date
zone = "UTC"              # whose days the clock counts, such as "Europe/Berlin"
policy = "default"        # or "strict", or the path of your own policy file

[rows]
subject_column = "subjects"
purpose = "support"
lawful_basis = "contract"
language = "en"

# [contact]               # letters to the person need all three
# address = "Street 1, 10115 Berlin"
# dpo = "Data protection officer, privacy@company.example"
# authority = "Name and address of your supervisory authority"

[adapters.support]
base_model = "tiny"       # the embedded base; or a local path; or a hub id with `revision`
# sources = ["tickets"]   # which sources feed this adapter; all, when left out

[adapters.support.training]
# shards = 8              # see them all, with their cost: lethe plan support
# slices = 2
"""


@dataclass(frozen=True)
class Workspace:
    """What every verb gets: one configuration, the secrets (masked in repr), and the open stores."""

    settings: Settings
    keyring: Keyring
    database: Database
    keystore: KeyStore
    store: Store

    @property
    def home(self) -> Path:
        """The data directory."""
        return self.settings.home

    @property
    def journal(self) -> Path:
        """The journal of erasures."""
        return self.home / "journal.jsonl"

    def case_directory(self, case_id: str) -> Path:
        """Where a case's report and certificate lie."""
        return self.home / "cases" / case_id


def open_workspace(folder: Path, *, even_restored: bool = False) -> Workspace:
    """Open a workspace that `create_workspace` made.

    One in which a restored backup has undone an erasure is open to nobody but its replay and to whoever looks what is wrong:
    `even_restored`.

    Raises:
        WrongUsage: missing or wrong configuration, secrets or schema.
        Fault: the database is locked or out of reach.
        RefusedByRule: a restored backup has undone an erasure.
    """
    settings = load_settings(folder)
    keyring = load_keyring(settings.home)
    workspace = Workspace(
        settings=settings,
        keyring=keyring,
        database=Database.open(settings.database(), keyring),
        keystore=open_keystore(settings.keystore(), keyring.vault_key),
        store=Store(settings.store(), settings.home / "cache"),
    )
    if not even_restored and workspace.journal.exists():
        from lineage.replay import require_replayed  # a workspace without an erasure opens a sixth of a second faster

        require_replayed(workspace)
    return workspace


def create_workspace(folder: Path, *, controller: str, workspace_secret: Path | None = None) -> list[str]:
    """Make a workspace, or complete one; never overwrites a file. Returns what was made, in words.

    The DPO's key is not among it: the DPO makes it (`lineage.dpo_key`).

    `workspace_secret` is a file with the secret of another workspace: two workspaces that share plan and secret give
    equal adapters for equal records.

    Raises:
        WrongUsage: the folder is not writable, or a given secret would replace an existing one.
    """
    made: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUsage(f"The folder {folder} cannot be made ({type(error).__name__}).") from None
    if not (folder / FILE_NAME).exists():
        quoted = '"' + controller.replace("\\", "\\\\").replace('"', '\\"') + '"'
        (folder / FILE_NAME).write_text(TEMPLATE.format(controller=quoted), encoding="utf-8")
        made.append(FILE_NAME)
    settings = load_settings(folder)
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    made += _create_secrets(settings.home / "secrets", workspace_secret)
    keyring = load_keyring(settings.home)
    migrate(settings.database(), keyring)
    open_keystore(settings.keystore(), keyring.vault_key)
    return [*made, "database at the newest schema"]


def _create_secrets(secrets: Path, workspace_secret: Path | None) -> list[str]:
    made: list[str] = []
    shared = read_secret(workspace_secret) if workspace_secret else None
    for name, value in (("workspace.key", shared), ("vault.key", None)):
        if not (secrets / name).exists() or value is not None:
            create_secret(secrets / name, value)
            made.append(f"secrets/{name}")
    if not (secrets / "pipeline.pem").exists():
        create_key_pair(secrets, "pipeline")
        made.append("secrets/pipeline.pem and pipeline.pub")
    return made
