"""What is to be said of a checkpoint's manifest, as lines and as JSON."""

from __future__ import annotations

from typing import Any

from checkpointable.cli.output import Output
from checkpointable.cli.text import counted, printable
from checkpointable.maintenance.judged_manifests import Judged
from checkpointable.manifest import Manifest
from checkpointable.manifest.format import UNSIGNED

__all__ = ["manifest_as_json", "print_problem", "signature_text"]


def manifest_as_json(judged: Judged | None) -> dict[str, Any] | None:
    """The member `manifest` of a document, docs/command-line.md; None if there is none."""
    if judged is None:
        return None
    manifest = judged.manifest
    return {
        "ok": judged.holds,
        "algorithm": None if manifest is None else manifest.algorithm,
        "key_id": None if manifest is None else manifest.key_id,
        "fingerprint": None if manifest is None else manifest.fingerprint,
        "damage": [damage._asdict() for damage in judged.damages],
        "problem": None if judged.problem is None else str(judged.problem),
    }


def signature_text(manifest: Manifest, *, verified: bool) -> str:
    """By which key a manifest is signed, and whether that was verified."""
    if manifest.algorithm == UNSIGNED:
        return "no signature"
    how = "" if verified else " (not verified: that takes the key)"
    return f"{manifest.algorithm}, key {printable(manifest.key_id)}{how}"


def print_problem(out: Output, judged: Judged | None) -> None:
    """Lines for a manifest that does not hold; none for one that does."""
    if judged is None or judged.holds:
        return
    for damage in judged.damages:
        where = f"{damage.path}, offset {damage.offset}"
        out.line((printable(where), "bold"), f": {printable(damage.what)}")
    if judged.problem is not None:
        out.line(("MANIFEST", "bold red"), f": {printable(str(judged.problem))}")
    else:
        places = counted(len(judged.damages), "place")
        out.line(("MANIFEST", "bold red"), f": it does not hold: {places}")
