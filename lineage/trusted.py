"""The two public keys that a reader of certificates trusts. They come from elsewhere, never from the certificate."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from lineage.errors import WrongUsage

__all__ = ["TrustedKeys", "key_id", "load_public_key", "load_trusted_keys"]


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The pipeline's key, which signs first, and the DPO's, which signs second."""

    pipeline: Ed25519PublicKey
    dpo: Ed25519PublicKey


def load_trusted_keys(
    *, pipeline_key: Path | None = None, dpo_key: Path | None = None, keys: Path | None = None
) -> TrustedKeys:
    """Read two PEM public keys, named one by one or as `pipeline.pub` and `dpo.pub` in the folder `keys`.

    Raises:
        WrongUsage: a key is not given, unreadable, not Ed25519, or both are the same key.
    """
    pipeline_key = pipeline_key or (keys and keys / "pipeline.pub")
    dpo_key = dpo_key or (keys and keys / "dpo.pub")
    if not pipeline_key or not dpo_key:
        raise WrongUsage(
            "Two trusted public keys are needed; keys inside a certificate prove nothing.",
            hint="Give --pipeline-key and --dpo-key, or --keys with a folder that holds pipeline.pub and dpo.pub.",
        )
    trusted = TrustedKeys(load_public_key(pipeline_key), load_public_key(dpo_key))
    if key_id(trusted.pipeline) == key_id(trusted.dpo):
        raise WrongUsage("Pipeline key and DPO key are the same key; two signatures need two keys.")
    return trusted


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key.

    Raises:
        WrongUsage: unreadable, or not an Ed25519 public key in PEM.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError:
        raise WrongUsage(f"The key file {path.name} cannot be read.", hint="Check the path.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise WrongUsage(f"{path.name} is not a public key in PEM.") from None
    if not isinstance(key, Ed25519PublicKey):
        raise WrongUsage(f"{path.name} is not an Ed25519 public key.")
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the public key in DER (SubjectPublicKeyInfo), lower-case hex."""
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
