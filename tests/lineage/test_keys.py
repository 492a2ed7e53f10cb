"""Key pairs: private stays private, nothing is overwritten, ids can be computed by anybody."""

from __future__ import annotations

import shutil
import stat
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lineage.errors import Fault, WrongUsage
from lineage.keys import create_key_pair, key_id, load_private_key, load_public_key, private_path, public_path


def test_a_created_pair_can_be_loaded_and_belongs_together(tmp_path: Path) -> None:
    public = create_key_pair(tmp_path / "secrets", "pipeline")
    private = load_private_key(private_path(tmp_path / "secrets", "pipeline"))
    assert key_id(private.public_key()) == key_id(public)
    assert key_id(load_public_key(public_path(tmp_path / "secrets", "pipeline"))) == key_id(public)


def test_only_the_owner_can_read_the_private_key_and_nothing_is_left_beside(tmp_path: Path) -> None:
    create_key_pair(tmp_path, "dpo")
    assert stat.S_IMODE(private_path(tmp_path, "dpo").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dpo.pem", "dpo.pub"]
    private_path(tmp_path, "dpo").chmod(0o644)
    with pytest.raises(WrongUsage, match="Other users"):
        load_private_key(private_path(tmp_path, "dpo"))


@pytest.mark.parametrize("survivor", [private_path, public_path])
def test_an_existing_key_is_never_overwritten(tmp_path: Path, survivor: object) -> None:
    create_key_pair(tmp_path, "dpo")
    for path in (private_path(tmp_path, "dpo"), public_path(tmp_path, "dpo")):
        if path != survivor(tmp_path, "dpo"):  # type: ignore[operator]
            path.unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(WrongUsage, match="never overwritten"):
        create_key_pair(tmp_path, "dpo")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_passphrase_is_needed_again_each_time(tmp_path: Path) -> None:
    public = create_key_pair(tmp_path, "dpo", passphrase="correct horse")
    path = private_path(tmp_path, "dpo")
    assert b"ENCRYPTED" in path.read_bytes()
    assert key_id(load_private_key(path, passphrase="correct horse").public_key()) == key_id(public)
    for wrong in (None, "wrong", ""):
        with pytest.raises(WrongUsage) as refusal:
            load_private_key(path, passphrase=wrong)
        assert "horse" not in str(refusal.value)
    with pytest.raises(WrongUsage, match="empty"):
        create_key_pair(tmp_path, "other", passphrase="")


@pytest.mark.parametrize("role", ["", "../dpo", "DPO", "a b", "x" * 40])
def test_a_role_is_a_short_word(tmp_path: Path, role: str) -> None:
    with pytest.raises(WrongUsage):
        create_key_pair(tmp_path, role)


def test_files_that_are_no_ed25519_keys(tmp_path: Path) -> None:
    rsa = generate_private_key(65537, 2048)
    (tmp_path / "rsa.pem").write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "rsa.pub").write_bytes(rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "text").write_text("hello")
    for name in ("rsa.pem", "text"):
        (tmp_path / name).chmod(0o600)
    for name in ("rsa.pem", "text", "missing"):
        with pytest.raises(WrongUsage):
            load_private_key(tmp_path / name)
    for name in ("rsa.pub", "text", "missing"):
        with pytest.raises(WrongUsage):
            load_public_key(tmp_path / name)


def test_a_folder_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fault):
        create_key_pair(tmp_path / "file" / "below", "dpo")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_computes_the_same_key_id(tmp_path: Path) -> None:
    public = create_key_pair(tmp_path, "dpo")
    command = ["openssl", "pkey", "-pubin", "-in", str(public_path(tmp_path, "dpo")), "-outform", "DER"]
    assert sha256(subprocess.run(command, check=True, capture_output=True).stdout).hexdigest() == key_id(public)
