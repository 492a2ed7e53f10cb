"""lethe.toml says only what is known, secrets are seen by nobody, and `init` never overwrites."""

from __future__ import annotations

import stat
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from lineage.errors import WrongUsage
from lineage.settings import find_workspace, load_settings
from lineage.workspace import create_workspace, open_workspace

PASSWORD = "hunter2-quagga"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LETHE_WORKSPACE", "LETHE_DATABASE_URL", "LETHE_KEYSTORE_URL", "LETHE_STORE_URL"):
        monkeypatch.delenv(name, raising=False)


def written(folder: Path, text: str) -> Path:
    (folder / "lethe.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f'controler = "{PASSWORD}"', "controler"),
        (f'[rows]\nsubjects = "{PASSWORD}"', "rows.subjects"),
        (f'[console]\npassword = "{PASSWORD}"', "console.password"),
        (f'[adapters.support]\nmodel = "{PASSWORD}"', "adapters.support.model"),
        (f'workspace = "/tmp/{PASSWORD}"', "workspace"),
        (f'workspace_secret = "{PASSWORD}"', "workspace_secret"),
        (f'[console]\nport = "{PASSWORD}"', "console.port"),
        (f'adapters = "{PASSWORD}"', "adapters"),
        (f'[adapters.support.training]\nshards = {{ a = "{PASSWORD}" }}', "adapters.support.training"),
        (f'[adapters.support]\nsources = "{PASSWORD}"', "adapters.support.sources"),
        ('data_dir = ""', "data_dir"),
        ('data_dir = "."', "data_dir"),
        ('zone = "Nowhere/quagga"', "zone"),
        ('zone = "Europe"', "zone"),
        ('zone = "../quagga"', "zone"),
        ('zone = ""', "zone"),
        (
            f'[adapters.support.probes]\ndecoding = [{{ topk = "{PASSWORD}" }}]',
            "adapters.support.probes.decoding.0.topk",
        ),
        ("[adapters.support.probes]\ndecoding = [{ temperature = 0 }]", "decoding.0.temperature"),
        ("[adapters.support.probes]\ndecoding = [{ temperature = inf }]", "decoding.0.temperature"),
        ("[adapters.support.probes]\ndecoding = [{ top_p = 1.5 }]", "decoding.0.top_p"),
        (
            "[adapters.support.probes]\ndecoding = [{ top_k = 40 }, { top_k = 40, top_p = 1 }]",
            "two schemes are the same",
        ),
    ],
)
def test_an_unknown_key_or_a_wrong_value_is_named_and_never_echoed(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(WrongUsage) as refusal:
        load_settings(written(tmp_path, text))
    said = f"{refusal.value} {refusal.value.hint}"
    assert place in said
    assert "quagga" not in said
    assert refusal.value.__cause__ is None, "the cause would print the value"


@pytest.mark.parametrize("body", [f'controller = "{PASSWORD}', f"= {PASSWORD}", f"controller = {PASSWORD}"])
def test_what_is_not_toml_is_not_echoed_either(tmp_path: Path, body: str) -> None:
    with pytest.raises(WrongUsage, match="not valid TOML") as refusal:
        load_settings(written(tmp_path, body))
    assert "quagga" not in str(refusal.value)


def test_bytes_that_are_not_text_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="cannot be read"):
        load_settings(tmp_path)
    (tmp_path / "lethe.toml").write_bytes(b"controller = '\xff'")
    with pytest.raises(WrongUsage, match="not valid TOML"):
        load_settings(tmp_path)


def test_an_adapter_name_is_a_short_handle(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, "[adapters.tickets_2]")).adapter("tickets_2").base_model == "tiny"
    for name in ("Support", "_a", '"a b"', '"../up"', "a" * 42):
        with pytest.raises(WrongUsage, match="adapters"):
            load_settings(written(tmp_path, f"[adapters.{name}]"))


def test_an_adapter_nobody_configured_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="no adapter called 'sales'") as refusal:
        load_settings(written(tmp_path, "[adapters.b]\n[adapters.a]")).adapter("sales")
    assert "a, b" in refusal.value.hint


def test_passwords_in_urls_are_used_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql+psycopg://lethe:{PASSWORD}@db/lethe"
    settings = load_settings(written(tmp_path, f'database_url = "{url}"\nstore_url = "s3://{PASSWORD}@bucket"'))
    monkeypatch.setenv("LETHE_KEYSTORE_URL", url + "_keys")
    monkeypatch.setenv("LETHE_DATABASE_URL", url + "_env")
    overridden = load_settings(tmp_path)
    assert settings.database() == url
    assert (overridden.database(), overridden.keystore()) == (url + "_env", url + "_keys")
    for shown in (repr(overridden), str(overridden), repr(overridden.model_dump()), overridden.model_dump_json()):
        assert "quagga" not in shown


def test_settings_cannot_be_changed_after_reading(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, ""))
    with pytest.raises(ValueError, match="frozen"):
        settings.controller = "somebody else"
    assert settings.home == (tmp_path / ".lethe").resolve()
    assert settings.keystore() != settings.database()


def test_the_workspace_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    a, b = written(tmp_path / "a", ""), written(tmp_path / "b", "")
    monkeypatch.chdir(a / "deep")
    assert find_workspace(None) == a
    monkeypatch.setenv("LETHE_WORKSPACE", str(b))
    assert find_workspace(None) == b
    assert find_workspace(a) == a
    with pytest.raises(WrongUsage, match="There is no lethe"):
        find_workspace(tmp_path)  # given: its parents are not searched


# --- a workspace, opened ------------------------------------------------------------------------------------------------


def test_the_secrets_are_in_no_repr(world) -> None:
    keyring = world.keyring
    shown = [repr(thing) for thing in (world.workspace, keyring, world.settings, world.keystore, world.database)]
    for secret in (keyring.workspace_secret, keyring.vault_key, keyring.derive("subject")):
        for text in shown:
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text


def test_making_a_workspace_again_changes_no_byte(world, tmp_path: Path) -> None:
    folder = world.settings.workspace
    kept = [folder / "lethe.toml", *(p for p in (world.home / "secrets").iterdir())]
    before = {path: path.read_bytes() for path in kept}
    made = create_workspace(folder, controller="Somebody Else")
    assert made == ["database at the newest schema"]
    assert {path: path.read_bytes() for path in kept} == before
    assert len(before) == 5


def test_only_the_owner_reads_secrets_and_what_lies_beside_them(world) -> None:
    private = [p for p in (world.home / "secrets").iterdir() if p.suffix != ".pub"]
    assert len(private) == 3
    assert {stat.S_IMODE(p.stat().st_mode) for p in private} == {0o600}


def test_a_given_secret_is_used_and_replaces_none(empty_workspace: Path, tmp_path: Path) -> None:
    given = empty_workspace / ".lethe" / "secrets" / "workspace.key"
    create_workspace(tmp_path / "twin", controller='A "quoted" \\ name', workspace_secret=given)
    one, other = open_workspace(empty_workspace), open_workspace(tmp_path / "twin")
    assert other.settings.controller == 'A "quoted" \\ name'
    assert one.keyring.subject_key("x") == other.keyring.subject_key("x")
    assert one.keyring.vault_key != other.keyring.vault_key
    with pytest.raises(WrongUsage, match="never overwritten"):
        create_workspace(tmp_path / "twin", controller="x", workspace_secret=given)


@pytest.mark.parametrize(
    ("zone", "before", "after"),
    [("UTC", 30, 30), ("Pacific/Kiritimati", 30, 31), ("Pacific/Honolulu", 29, 30), ("Europe/Berlin", 30, 30)],
)
def test_a_day_is_a_day_where_the_controller_is(tmp_path: Path, zone: str, before: int, after: int) -> None:
    """At ten in the morning, UTC, a day begins both 14 hours east and 10 hours west."""
    settings = load_settings(written(tmp_path, f'zone = "{zone}"'))
    ten = datetime(2026, 1, 30, 10, 0, tzinfo=UTC)
    assert settings.day(ten - timedelta(minutes=1)) == date(2026, 1, before)
    assert settings.day(ten) == date(2026, 1, after)
    assert settings.day(ten.astimezone(timezone(timedelta(hours=-12)))) == date(2026, 1, after), "however it is written"
