"""`python -m lineage verify CERTIFICATE`: check an erasure certificate without a workspace, a network or a model.

Exit codes: 0 authentic and complete; 1 not; 2 wrong usage, such as a missing key.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from lineage.errors import LetheError
from lineage.verify import Verification, load_trusted_keys, verify_file

__all__ = ["main", "render"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    given = _parser().parse_args(arguments)
    try:
        trusted = load_trusted_keys(pipeline_key=given.pipeline_key, dpo_key=given.dpo_key, keys=given.keys)
        result = verify_file(
            given.certificate, trusted=trusted, adapter=given.adapter, expect_case=given.expect_case,
            supplement=given.supplement,
        )  # fmt: skip
    except LetheError as error:
        print(error, error.hint, file=sys.stderr)
        return error.exit_code
    print(json.dumps(result.as_json(), indent=2, ensure_ascii=False) if given.json else render(result))
    return result.exit_code


def render(result: Verification) -> str:
    """The answer as lines for a person: each check, then what the certificate says."""
    checks = [f"  {'ok' if check.ok else 'NO':4}{check.name:12}{check.sentence}" for check in result.checks]
    says = ["", "What it says:", *(f"  {line}" for line in result.summary)] if result.summary else []
    return "\n".join(["VALID" if result.ok else "NOT VALID", *checks, *says])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lineage", description="Check a Lethe erasure certificate, offline."
    )
    verify = parser.add_subparsers(dest="command", required=True).add_parser("verify", help="check one certificate")
    verify.add_argument("certificate", type=Path, metavar="CERT", help="the certificate file")
    verify.add_argument("--pipeline-key", type=Path, metavar="F", help="trusted public key of the pipeline (PEM)")
    verify.add_argument("--dpo-key", type=Path, metavar="F", help="trusted public key of the DPO (PEM)")
    verify.add_argument("--keys", type=Path, metavar="DIR", help="folder with pipeline.pub and dpo.pub")
    verify.add_argument(
        "--adapter", type=Path, metavar="DIR", help="also compare this adapter directory, byte for byte"
    )
    verify.add_argument(
        "--supplement", type=Path, metavar="F", help="also check this supplement: who acknowledged a notice"
    )
    verify.add_argument("--expect-case", metavar="ID", help="also demand that the certificate is for this case")
    verify.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
