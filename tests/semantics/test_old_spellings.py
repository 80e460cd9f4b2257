"""Options that were renamed keep their old names for a release, and warn with the new ones."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.common.deprecation import renamed_options

KEY = b"k" * 32


def program(value=0.0):
    return cp.Checkpoint(v=cp.Variable(np.float32(value), name="v"))


def old(name, new):
    """Expects the warning for an old name, raised at the line of the caller."""
    return pytest.warns(
        DeprecationWarning, match=rf"^{name}= of .* is deprecated.*write {new}= inst"
    )


@pytest.fixture
def signed(tmp_path):
    return program(1.0).write(tmp_path / "signed", sign_with=KEY)


def test_manifest_is_sign_with_now(tmp_path):
    checkpoint = program(1.0)
    saver, by_name = cp.CheckpointableSaver(checkpoint), cp.Saver([checkpoint.v])
    for number, save in enumerate(
        (
            checkpoint.save,
            checkpoint.save_async,
            checkpoint.write,
            checkpoint.write_async,
            saver.save,
            saver.save_async,
            by_name.save,
        )
    ):
        with old("manifest", "sign_with") as warned:
            saved = save(tmp_path / f"{number}", manifest=KEY)
        assert [warning.filename for warning in warned] == [__file__]
        cp.verify_manifest(saved if isinstance(saved, str) else saved.result(), KEY)
    with old("manifest", "sign_with"):
        manager = cp.CheckpointManager(checkpoint, tmp_path / "m", 1, manifest=KEY)
    cp.verify_manifest(manager.save(), KEY)


def test_key_of_restores_is_trusted_key_now(tmp_path, signed):
    checkpoint = program()
    saver = cp.CheckpointableSaver(checkpoint)
    for restore in (
        checkpoint.restore,
        checkpoint.read,
        saver.restore,
        checkpoint.plan,
        saver.plan,
    ):
        with old("key", "trusted_key"):
            restore(signed, key=KEY)
        with old("key", "trusted_key"), pytest.raises(cp.CheckpointSignatureError):
            restore(signed, key=bytes(32))
    by_name = cp.Saver([checkpoint.v])
    path = by_name.save(tmp_path / "n", sign_with=KEY)
    with old("key", "trusted_key"), pytest.raises(cp.CheckpointSignatureError):
        by_name.restore(path, key=bytes(32))
    with old("key", "trusted_key"):
        manager = cp.CheckpointManager(checkpoint, tmp_path, 1, key=bytes(32))
    checkpoint.save(tmp_path / "ckpt", sign_with=KEY)
    with pytest.raises(cp.CheckpointSignatureError):
        cp.CheckpointManager(checkpoint, tmp_path, 1, trusted_key=bytes(32)).restore_or_initialize()
    with pytest.raises(cp.CheckpointSignatureError):
        manager.restore_or_initialize()


def test_key_of_readers_is_trusted_key_now(signed):
    reads = (
        cp.load_checkpoint,
        cp.list_variables,
        cp.object_metadata,
        cp.verify_manifest,
        lambda path, **options: cp.compare_checkpoints(path, path, **options),
    )
    for read in reads:
        with old("key", "trusted_key"):
            read(signed, key=KEY)
        with old("key", "trusted_key"), pytest.raises(cp.CheckpointSignatureError):
            read(signed, key=bytes(32))
    with old("key", "sign_with"):
        cp.write_manifest(signed, key=bytes(32))
    cp.verify_manifest(signed, bytes(32))


def test_prefix_of_restores_is_module_now(signed):
    checkpoint = program()
    saver = cp.CheckpointableSaver(checkpoint)
    for restore in (checkpoint.restore, checkpoint.read, saver.restore):
        with (
            old("prefix", "module"),
            pytest.raises(ValueError, match="module= is for a file of te"),
        ):
            restore(signed, prefix="v")


def test_both_names_of_an_option_are_an_error(tmp_path):
    with pytest.raises(
        TypeError, match=r"^Checkpoint.save\(\) got sign_with= and manifest=, which"
    ):
        program().save(tmp_path / "a", manifest=True, sign_with=True)


def test_a_new_name_does_not_warn_and_signatures_show_it():
    @renamed_options(old="new")
    def function(value, *, new=1):
        """The text."""
        return value, new

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert function(1, new=2) == (1, 2)
    with pytest.warns(DeprecationWarning, match="function is deprecated"):
        assert function(1, old=3) == (1, 3)
    assert list(inspect.signature(function).parameters) == ["value", "new"]
    assert function.__doc__ == "The text."
