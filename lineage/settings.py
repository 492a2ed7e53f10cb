"""The one configuration of a workspace: `lethe.toml`, read once, typed, passed whole.

Unknown keys are errors. Secrets are never in this file: they are files of mode 0600 under `data_dir/secrets`.
Database URLs may hold a password, so they are masked in `repr`; `LETHE_DATABASE_URL`, `LETHE_KEYSTORE_URL` and
`LETHE_STORE_URL` override the file for deployments that keep them in the environment.
"""

from __future__ import annotations

import os
import tomllib
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError, field_validator

from lineage.errors import WrongUsage
from lineage.policy_complaints import complaints

__all__ = [
    "AdapterSettings",
    "AuditSettings",
    "ConsoleSettings",
    "ContactSettings",
    "DecodingSettings",
    "GateSettings",
    "ProbeSettings",
    "ProcessingSettings",
    "PurgeSettings",
    "RowSettings",
    "Settings",
    "StaffSettings",
    "find_workspace",
    "load_settings",
]

FILE_NAME = "lethe.toml"
AdapterName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
TrainingValue = bool | int | float | str | list[str]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class RowSettings(_Section):
    """What a corpus row means when it does not say so itself."""

    subject_column: str = Field("subjects", description="Column that names the data subjects of a row.")
    purpose: str = Field("support", description="Purpose of processing, Art. 5(1)(b), for rows without one.")
    lawful_basis: str = Field("contract", description="Lawful basis, Art. 6(1), for rows without one.")
    language: str = Field("en", description="Language of rows without one; chooses the scan engine.")


class GateSettings(_Section):
    """How much of the machine the gate takes, and how long it waits for a human."""

    workers: int = Field(0, ge=0, le=256, description="Scan processes. 0: one a usable core. 1: none, scan in process.")
    record_limit_s: int = Field(120, ge=1, le=3600, description="Longest scan of one record in a scan process.")
    quarantine_days: int = Field(
        90, ge=0, le=36_500, description="Days after which what nobody reviewed is blocked and shredded; 0: never."
    )


class StaffSettings(_Section):
    """What is asked of the people who decide."""

    plain_dpo_key: bool = Field(False, description="Whether a DPO key without a passphrase may sign. For trials only.")


class AuditSettings(_Section):
    """Whether the weights are asked from time to time if lineage is complete."""

    subjects: int = Field(
        0,
        ge=0,
        le=100,
        description="People a weekly audit draws for each adapter and looks for in every shard; 0: no audit.",
    )


class PurgeSettings(_Section):
    """What a purge may delete besides what is Lethe's own."""

    derived_roots: list[Path] = Field(
        default_factory=list,
        max_length=100,
        description="Folders in which a purge may delete derived files; empty: none.",
    )

    @field_validator("derived_roots")
    @classmethod
    def _of_folders(cls, value: list[Path]) -> list[Path]:
        if any(not root.is_absolute() or ".." in root.parts or root == Path(root.anchor) for root in value):
            raise ValueError("each is an absolute path without '..', and not the root of all folders")
        return value


class ContactSettings(_Section):
    """What letters to the person say of the controller besides its name; without it none is written."""

    address: str = Field("", description="Postal address of the controller; may have several lines.")
    dpo: str = Field("", description="How to reach the data protection officer.")
    authority: str = Field("", description="Supervisory authority for complaints (Art. 77), with its address.")


class ProcessingSettings(_Section):
    """What only the controller knows of its processing and Art. 15 and 30 want said."""

    retention: str = Field("", description="How long records and models are kept, or how that is decided.")
    transfers: str = Field("", description="Transfers to third countries and their safeguards, or that there are none.")
    measures: list[str] = Field(
        default_factory=list, max_length=40, description="Security measures (Art. 32) besides those of Lethe itself."
    )


class ConsoleSettings(_Section):
    """Where `lethe up` listens. The Dagster UI has no login and always binds to loopback."""

    host: str = Field(
        "127.0.0.1", description="Address of the console; loopback, unless the operator changes it on purpose."
    )
    port: int = Field(8321, ge=0, le=65535, description="Port of the console.")
    dagster_port: int = Field(3321, ge=0, le=65535, description="Port of the Dagster UI.")


class DecodingSettings(_Section):
    """One way in which text is sampled from an adapter in service; what is not said is off."""

    temperature: float = Field(1.0, gt=0, le=100, description="What log-probabilities are divided by; 1: off.")
    top_k: int = Field(0, ge=0, le=10_000_000, description="Only the k likeliest tokens; 0: off.")
    top_p: float = Field(1.0, gt=0, le=1, description="Only the likeliest tokens that make up this much; 1: off.")


class ProbeSettings(_Section):
    """How the probes of a case judge an adapter, and which synthetic people its plan brings along for them."""

    out_adapters: int = Field(
        0, ge=0, le=400, description="Models to compare a new adapter with, at least: other shards, then extra ones."
    )
    decoding: list[DecodingSettings] = Field(
        default_factory=list,
        max_length=8,
        description="How text is sampled from this adapter, the way in service first; empty: the usual ways.",
    )
    canary_doses: list[Annotated[int, Field(ge=1, le=64)]] = Field(
        [1, 2, 4, 8, 16],
        max_length=16,
        description="Records of each synthetic person that a new plan plants in every shard; empty: none.",
    )
    canary_share: float = Field(
        0.1, ge=0, le=1, description="Most that canaries may be of the admitted records; else none are planted."
    )

    @field_validator("decoding")
    @classmethod
    def _each_once(cls, value: list[DecodingSettings]) -> list[DecodingSettings]:
        if any(scheme in value[:place] for place, scheme in enumerate(value)):
            raise ValueError("two schemes are the same")
        return value


class AdapterSettings(_Section):
    """One LoRA adapter: its base model, which sources feed it, how it is judged, and its training table (typed by
    `unlearn.plan`)."""

    base_model: str = Field("tiny", description='"tiny" (embedded), a local path, or a hub id.')
    revision: str = Field("", description="Hub revision; empty for a local path.")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where this adapter is trained; part of the fingerprint.")
    sources: list[str] = Field(default_factory=list, description="Sources that feed this adapter; empty means all.")
    compose: Literal["average", "none"] = Field(
        "average", description='"average": one adapter of all shards. "none": each shard its own adapter, side by side.'
    )
    probes: ProbeSettings = ProbeSettings()
    training: dict[str, TrainingValue] = Field(default_factory=dict, description="Settings of `lethe plan`.")


class Settings(_Section):
    """A workspace, whole. Paths are absolute after loading."""

    workspace: Path = Field(exclude=True, description="The folder that holds lethe.toml.")
    controller: str = Field("Unnamed controller", description="Name of the controller, printed on certificates.")
    country: str = Field("DE", description="Country whose public holidays move a due date (Reg. 1182/71).")
    subdivision: str = Field("", description="State or province for regional holidays, e.g. BE for Berlin.")
    zone: str = Field("UTC", description="Time zone of the controller (IANA); its days are those of the clock.")
    policy: str = Field("default", description='Gate policy: "default", "strict", "european" or a path to a TOML file.')
    data_dir: Path = Field(Path(".lethe"), description="Where Lethe keeps everything, relative to lethe.toml.")
    database_url: SecretStr = Field(SecretStr(""), description="Application database; empty is SQLite in data_dir.")
    keystore_url: SecretStr = Field(SecretStr(""), description="Database of the per-record keys, kept apart.")
    store_url: SecretStr = Field(SecretStr(""), description="fsspec URL of states and adapters; empty is data_dir.")
    gate: GateSettings = GateSettings()
    rows: RowSettings = RowSettings()
    console: ConsoleSettings = ConsoleSettings()
    contact: ContactSettings = ContactSettings()
    staff: StaffSettings = StaffSettings()
    processing: ProcessingSettings = ProcessingSettings()
    audit: AuditSettings = AuditSettings()
    purge: PurgeSettings = PurgeSettings()
    adapters: dict[AdapterName, AdapterSettings] = Field(default_factory=lambda: {"support": AdapterSettings()})

    @field_validator("data_dir")
    @classmethod
    def _of_its_own(cls, value: Path) -> Path:
        if value == Path():  # also what an empty string means
            raise ValueError("data_dir must be a folder of its own")
        return value

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            _zone(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
            raise ValueError("zone is the IANA name of a time zone, such as Europe/Berlin") from None
        return value

    @property
    def time_zone(self) -> tzinfo:
        """The controller's time zone."""
        return _zone(self.zone)

    def day(self, now: datetime) -> date:
        """The day it is for the controller."""
        return now.astimezone(self.time_zone).date()

    @property
    def home(self) -> Path:
        """The data directory, absolute."""
        return (self.workspace / self.data_dir).resolve()

    def database(self) -> str:
        """URL of the application database."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.home / 'lethe.db'}"

    def keystore(self) -> str:
        """URL of the key store: never the application database, so that a copy of one does not open the other."""
        return self.keystore_url.get_secret_value() or f"sqlite:///{self.home / 'keys.db'}"

    def store(self) -> str:
        """URL of the content-addressed store."""
        return self.store_url.get_secret_value() or (self.home / "store").as_uri()

    def adapter(self, name: str) -> AdapterSettings:
        """The settings of one adapter.

        Raises:
            WrongUsage: lethe.toml names no such adapter.
        """
        if name not in self.adapters:
            known = ", ".join(sorted(self.adapters))
            raise WrongUsage(f"This workspace has no adapter called {name!r}.", hint=f"lethe.toml names: {known}.")
        return self.adapters[name]


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)  # UTC is known where no zones are installed


def find_workspace(given: Path | None) -> Path:
    """The workspace meant by a command: `--workspace`, `LETHE_WORKSPACE`, or the nearest parent with a lethe.toml.

    Raises:
        WrongUsage: there is none.
    """
    if given is None and (named := os.environ.get("LETHE_WORKSPACE")):
        given = Path(named)
    candidates = [given.resolve()] if given else [Path.cwd(), *Path.cwd().parents]
    for folder in candidates:
        if (folder / FILE_NAME).is_file():
            return folder
    where = str(given) if given else "here or in any parent folder"
    raise WrongUsage(f"There is no {FILE_NAME} {where}.", hint="Make a workspace with: lethe init DIR")


def load_settings(workspace: Path) -> Settings:
    """Read `lethe.toml` of a workspace.

    Raises:
        WrongUsage: missing, not TOML, an unknown key, or a value of the wrong type. Values are never echoed.
    """
    path = workspace / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
        fields = tomllib.loads(text)
    except OSError as error:
        raise WrongUsage(f"{FILE_NAME} cannot be read.", hint=f"Looked in {workspace}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUsage(f"{FILE_NAME} is not valid TOML: {error}.") from None
    if "workspace" in fields:
        raise WrongUsage(f"{FILE_NAME}: workspace: it is the folder of this file and cannot be set in it.")
    for key in ("database_url", "keystore_url", "store_url"):
        if value := os.environ.get(f"LETHE_{key.upper()}"):
            fields[key] = value
    try:
        return Settings.model_validate({**fields, "workspace": workspace.resolve()})
    except ValidationError as error:
        told = complaints(error, text, Settings)
        raise WrongUsage(f"{FILE_NAME}: {told}.", hint="See docs/configuration.md.") from None
