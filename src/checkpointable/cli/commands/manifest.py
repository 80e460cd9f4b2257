"""`checkpointable manifest`: writes, signs and verifies the manifest of a checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from checkpointable.cli.arguments import CheckpointArgument, JsonOption
from checkpointable.cli.errors import value_errors_as_lines
from checkpointable.cli.formatting.json_output import write_json
from checkpointable.cli.formatting.manifest import manifest_as_json, print_problem, signature_text
from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.progress import progress_bar
from checkpointable.cli.formatting.words import printable
from checkpointable.directory.prefixes import checkpoint_prefix
from checkpointable.maintenance.manifest_checks import ManifestCheck, check_manifest
from checkpointable.maintenance.sign import write_manifest
from checkpointable.manifest import Key, read_key_file
from checkpointable.readers.opening import refuse_unsigned

__all__ = ["HELP", "run"]

HELP = """\
Writes, signs or verifies the manifest of a checkpoint.

A manifest contains SHA-256 hashes over the files of the checkpoint. Every checksum is verified
before it is written; an existing manifest is replaced.

A key is always in a file. --key-file is the signing key: an Ed25519 private key in PEM (PKCS#8),
or a secret of 32 bytes or more, which is the whole content of the file. --verify takes a trusted
key: --public-key, an Ed25519 public key in PEM, or the signing key. Without a key, --verify
compares the files with the manifest, but cannot tell who signed it.

Exit codes: 0 written, or valid; 1 invalid, no manifest, or another error; 2 invalid arguments.

\b
  checkpointable manifest runs/a/ckpt-7 --key-file key.pem
  checkpointable manifest runs/a/ckpt-7 --verify --public-key key.pub.pem
"""

KeyFileOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="The signing key: an Ed25519 private key in PEM, or a secret (HMAC-SHA256).",
    ),
]
PublicKeyOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="The trusted key: an Ed25519 public key in PEM; with --verify."
    ),
]


def run(
    path: CheckpointArgument,
    verify: Annotated[bool, typer.Option("--verify", help="Verify the existing manifest.")] = False,
    key_file: KeyFileOption = None,
    public_key: PublicKeyOption = None,
    json: JsonOption = False,
) -> None:
    if key_file is not None and public_key is not None:
        raise typer.BadParameter("pass --key-file or --public-key, not both")
    if public_key is not None and not verify:
        raise typer.BadParameter(
            "--public-key needs --verify; to sign, pass the signing key with --key-file"
        )
    refuse_unsigned(path)
    prefix = checkpoint_prefix(path, damaged=True)
    with value_errors_as_lines(), progress_bar("manifest") as progress:
        key: Key | None = None
        if key_file is not None:
            key = read_key_file(key_file, public=False)
        elif public_key is not None:
            key = read_key_file(public_key, public=True)
        written = None if verify else write_manifest(prefix, key, progress=progress)
        check = check_manifest(prefix, key, progress)
    if json:
        verified = check.ok and key is not None
        document = {"checkpoint": prefix, **(manifest_as_json(check) or {})}
        write_json(document | {"signature_verified": verified, "written": written})
    else:
        _print(prefix, check, written, with_key=key is not None)
    if not check.ok:
        raise typer.Exit(1)


def _print(prefix: str, check: ManifestCheck, written: str | None, *, with_key: bool) -> None:
    with Output() as out:
        print_problem(out, check)
        if check.manifest is None or not check.ok:
            return
        signed = signature_text(check.manifest, verified=with_key)
        if written is None:
            out.line(("OK", "bold green"), f": {printable(prefix)}: {signed}")
        else:
            out.line(f"{printable(written)}: {signed}")
        out.line(f"fingerprint {check.manifest.fingerprint}")
