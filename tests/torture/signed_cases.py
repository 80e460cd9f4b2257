"""Programs that write manifests: none found later says that its checkpoint was tampered with."""

from __future__ import annotations

import checkpointable as cp
from checkpointable.maintenance.rename import rename_checkpoint
from tests.torture.cases import AGAIN, DIRECTORY, KEY, NEW, Case, manager_save, overwriting, program


def first_save():
    return Case(
        prepare=lambda: None,
        act=lambda: program(NEW).save(f"{DIRECTORY}/ckpt", sign_with=KEY),
        allowed={"ckpt-1": {NEW}},
        latest={None, NEW},
        at_end={"ckpt-1": NEW},
        next=lambda: program(AGAIN).save(f"{DIRECTORY}/ckpt", sign_with=KEY),
        manifests="always",
    )


def overwrite(rounds, before, after, method="save"):
    """Over one or two shards.

    Args:
      before, after: whether what is there has a manifest, and what is saved then.
    """

    def write(value, signed):
        save = getattr(cp.CheckpointableSaver(program(value)), method)
        saved = save(f"{DIRECTORY}/ck", sign_with=KEY if signed else False)
        return saved if isinstance(saved, str) else saved.result()

    def prepare():
        for value in range(1, rounds + 1):
            write(value, before)

    case = overwriting(lambda value: write(value, after), prepare, rounds)
    case.manifests = "always" if before and after else "maybe"
    return case


def write_manifest():
    """For a checkpoint that has none, and then one by another key in the place of the first."""

    def act():
        cp.write_manifest(f"{DIRECTORY}/ck", bytes(32))
        cp.write_manifest(f"{DIRECTORY}/ck", KEY)

    return Case(
        prepare=lambda: program(NEW).write(f"{DIRECTORY}/ck"),
        act=act,
        allowed={"ck": {NEW}},
        always={"ck"},
        latest={NEW},
        at_end={"ck": NEW},
        next=act,
        manifests="maybe",
    )


def rename():
    """Over a signed checkpoint; the new one has no manifest."""

    def prepare():
        program(NEW).write(f"{DIRECTORY}/ck", sign_with=KEY)
        program(1).write(f"{DIRECTORY}/to", sign_with=KEY)

    def act():
        return rename_checkpoint(f"{DIRECTORY}/ck", f"{DIRECTORY}/to", {"v": "w"}, overwrite=True)

    return Case(
        prepare=prepare,
        act=act,
        allowed={"ck": {NEW}, "to": {1, NEW}},
        always={"ck", "to"},
        latest={1, NEW},
        at_end={"ck": NEW, "to": NEW},
        next=act,
        manifests="maybe",
    )


def check_manifest(case, path, finished):
    """A checkpoint has its manifest or none, and never one that says it was tampered with."""
    refusal = ""
    try:
        cp.verify_manifest(path, KEY)
    except cp.CheckpointSignatureError as error:
        refusal = error.what
    if "another key" in refusal:
        assert not finished
        cp.verify_manifest(path, bytes(32))
    elif refusal:
        assert refusal.startswith("no manifest belongs to this checkpoint"), refusal
    assert case.manifests != ("always" if refusal else "never"), refusal


OF_SIGNED = {
    "signed, first save": first_save,
    "signed, overwrite, one shard": lambda: overwrite(1, before=True, after=True),
    "signed, overwrite, two shards": lambda: overwrite(2, before=True, after=True),
    "not signed over signed": lambda: overwrite(1, before=True, after=False),
    "signed over not signed": lambda: overwrite(2, before=False, after=True),
    "signed, asynchronous": lambda: overwrite(1, before=True, after=True, method="save_async"),
    "signed, manager, with deletion": lambda: manager_save(KEY),
    "write_manifest": write_manifest,
    "rename_checkpoint over a signed one": rename,
}
