"""`checkpointable manifest`: makes, signs and verifies the manifest of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from checkpointable.cli.failing import CommandFailedError
from checkpointable.cli.manifest_text import manifest_as_json, print_problem, signature_text
from checkpointable.cli.opening import JsonOption, PathArgument, named_prefix
from checkpointable.cli.output import Output, write_json
from checkpointable.cli.progress import progress_bar
from checkpointable.cli.text import printable
from checkpointable.maintenance.judged_manifests import Judged, judge_manifest
from checkpointable.maintenance.sign import write_manifest
from checkpointable.manifest import Key, read_key_file
from checkpointable.readers.opening import refuse_unsigned

__all__ = ["HELP", "run"]

HELP = """\
Makes a manifest for a checkpoint: SHA-256 over its files, signed if there is a key. Or verifies it.

A key is always in a file: for --key-file an Ed25519 private key in PEM (PKCS#8), or a secret of
32 bytes or more, which the file consists of to the last byte; for --public-key an Ed25519 public
key in PEM. --verify takes either, or none: then it says whether the files are what the manifest
says, and nothing of who wrote them.

Exit codes: 0 made, or it holds; 1 it does not hold, there is none, or another error; 2 wrong
usage.

\b
  checkpointable manifest runs/a/ckpt-7 --key-file key.pem
  checkpointable manifest runs/a/ckpt-7 --verify --public-key key.pub.pem
"""

KeyFileOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="A private Ed25519 key in PEM, or a secret (HMAC-SHA256)."),
]
PublicKeyOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="A public Ed25519 key in PEM; with --verify.")
]


def run(
    path: PathArgument,
    verify: Annotated[
        bool, typer.Option("--verify", help="Verify the manifest that is there.")
    ] = False,
    key_file: KeyFileOption = None,
    public_key: PublicKeyOption = None,
    json: JsonOption = False,
) -> None:
    if key_file is not None and public_key is not None:
        raise typer.BadParameter("--key-file and --public-key are two keys; give one")
    if public_key is not None and not verify:
        raise typer.BadParameter("a public key verifies (--verify); signing takes --key-file")
    refuse_unsigned(path)
    prefix = named_prefix(path)
    with _refusals_as_lines(), progress_bar("manifest") as progress:
        key: Key | None = None
        if key_file is not None:
            key = read_key_file(key_file, public=False)
        elif public_key is not None:
            key = read_key_file(public_key, public=True)
        made = None if verify else write_manifest(prefix, key, progress=progress)
        judged = judge_manifest(prefix, key, progress)
    if json:
        verified = judged.holds and key is not None
        document = {"checkpoint": prefix, **(manifest_as_json(judged) or {})}
        write_json(document | {"signature_verified": verified, "written": made})
    else:
        _print(prefix, judged, made, with_key=key is not None)
    if not judged.holds:
        raise typer.Exit(1)


def _print(prefix: str, judged: Judged, made: str | None, *, with_key: bool) -> None:
    with Output() as out:
        print_problem(out, judged)
        if judged.manifest is None or not judged.holds:
            return
        signed = signature_text(judged.manifest, verified=with_key)
        if made is None:
            out.line(("OK", "bold green"), f": {printable(prefix)}: {signed}")
        else:
            out.line(f"{printable(made)}: {signed}")
        out.line(f"fingerprint {judged.manifest.fingerprint}")


@contextmanager
def _refusals_as_lines() -> Iterator[None]:
    """A key that is none is an error of the caller's, not of this program's."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, OSError) or hasattr(error, "what"):
            raise
        raise CommandFailedError(str(error)) from None
