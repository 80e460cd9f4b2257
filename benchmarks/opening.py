"""Opening a checkpoint of very many entries and reading one value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from checkpointable.bundle import BundleReader, DataType, ValueToWrite, write_bundle

from .timing import Contender, Result, in_turn

OURS = "ours"


def compare(count: int, rounds: int, scratch: Path) -> Iterator[Result]:
    value = np.arange(4, dtype=np.float32)
    keys = [f"model/layers/{i}/kernel/.ATTRIBUTES/VARIABLE_VALUE" for i in range(count)]
    prefix = scratch / "many"
    write_bundle(
        prefix,
        [ValueToWrite(key, DataType.DT_FLOAT, (4,), lambda: value) for key in keys],
        durability="flush",
    )
    wanted = keys[count // 2]

    def ours() -> None:
        with BundleReader(prefix) as reader:
            assert np.array_equal(reader.get_tensor(wanted), value)

    def theirs() -> None:
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(prefix))
        assert np.array_equal(reader.get_tensor(wanted), value)

    theirs()  # its import
    contenders = {OURS: Contender(_nothing, ours), "TensorFlow": Contender(_nothing, theirs)}
    yield in_turn(f"open {count:,} entries, read one", contenders, rounds, OURS)


def _nothing() -> None:
    pass
