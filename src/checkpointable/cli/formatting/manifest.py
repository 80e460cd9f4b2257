"""The check of a manifest, as text and as JSON."""

from __future__ import annotations

from typing import Any

from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.words import counted, printable
from checkpointable.maintenance.manifest_checks import ManifestCheck
from checkpointable.manifest import Manifest
from checkpointable.manifest.format import UNSIGNED

__all__ = ["manifest_as_json", "print_problem", "signature_text"]


def manifest_as_json(check: ManifestCheck | None) -> dict[str, Any] | None:
    """Returns the member `manifest` of a document (docs/command-line.md)."""
    if check is None:
        return None
    manifest = check.manifest
    return {
        "ok": check.ok,
        "algorithm": None if manifest is None else manifest.algorithm,
        "key_id": None if manifest is None else manifest.key_id,
        "fingerprint": None if manifest is None else manifest.fingerprint,
        "damage": [damage._asdict() for damage in check.damages],
        "problem": None if check.problem is None else str(check.problem),
    }


def signature_text(manifest: Manifest, *, verified: bool) -> str:
    """Returns which key signed a manifest, and whether the signature was verified."""
    if manifest.algorithm == UNSIGNED:
        return "no signature"
    remark = "" if verified else " (not verified: this needs the key)"
    return f"{manifest.algorithm}, key {printable(manifest.key_id)}{remark}"


def print_problem(out: Output, check: ManifestCheck | None) -> None:
    """Prints where a manifest and the files differ, or why the manifest cannot be used."""
    if check is None or check.ok:
        return
    for damage in check.damages:
        location = f"{damage.path}, offset {damage.offset}"
        out.line((printable(location), "bold"), f": {printable(damage.what)}")
    if check.problem is not None:
        out.line(("MANIFEST", "bold red"), f": {printable(str(check.problem))}")
    else:
        places = counted(len(check.damages), "place")
        out.line(("MANIFEST", "bold red"), f": the files differ from it in {places}")
