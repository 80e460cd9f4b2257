"""What reads files that may be anything: it succeeds, or refuses by an error of ours."""

from __future__ import annotations

import logging

import numpy as np

import checkpointable as cp
from checkpointable.bundle import BundleReader
from checkpointable.manager.history import History
from checkpointable.readers.opening import open_stored
from tests.torture.good_files import DIRECTORY, KEY, PREFIX, GoodFiles


class Readers(GoodFiles):
    """Each method reads one kind of file from the disk, and gives how often it was refused."""

    def read_bundle(self):
        """Opens, verifies, reads, plans, restores: each succeeds, or refuses with our error."""
        refusals = 0
        try:
            with BundleReader(PREFIX, damaged=True) as reader:
                reader.verify()
                for key in reader.keys():
                    refusals += _refused(lambda key=key: reader.get_tensor(key))
        except cp.CheckpointError:
            refusals += 1
        refusals += _refused(lambda: cp.object_metadata(PREFIX))
        refusals += _refused(lambda: self.program().plan(PREFIX).to_dict())
        program = self.program()
        before = _state(program)
        if _refused(lambda: program.restore(PREFIX).expect_partial()):
            assert _state(program) == before, "it was refused, and yet something changed"
            refusals += 1
        return refusals

    def read_directory(self):
        """Whatever these two files say, the checkpoint that is there is found and kept."""
        with _quiet():
            latest = cp.latest_checkpoint(DIRECTORY)
            assert latest is not None
            refusals = _refused(lambda: cp.get_checkpoint_state(DIRECTORY))
            History(DIRECTORY, "ckpt", 4e9)
            program = self.program()
            manager = cp.CheckpointManager(program, DIRECTORY, 1)
            manager.restore_latest_valid().expect_partial()
            assert float(program.optimizer.rate) == 1.0
            manager.save(durability="flush")
            assert cp.latest_checkpoint(DIRECTORY) == f"{DIRECTORY}/ckpt-2"
        return refusals

    def read_manifest(self):
        program = self.program()
        assert _refused(lambda: program.read(PREFIX, trusted_key=KEY)), "nobody signed this"
        assert float(program.optimizer.rate) == 0.0
        assert _refused(lambda: cp.verify_manifest(PREFIX, KEY))
        assert not _refused(lambda: program.read(PREFIX)), "the checkpoint is whole"
        return 1 + _refused(lambda: cp.verify_manifest(PREFIX))

    def read_v1(self):
        path = f"{DIRECTORY}/old.ckpt"
        refusals = 0
        try:
            with cp.load_checkpoint(path) as reader:
                reader.verify()
                for key in reader.keys():
                    refusals += _refused(lambda key=key: reader.get_tensor(key))
        except cp.CheckpointError:
            refusals += 1
        variable = cp.Variable(np.zeros(3, np.float32), name="v")
        if _refused(lambda: cp.Saver([variable]).restore(path)):
            assert not variable.numpy().any()
            refusals += 1
        return refusals

    def read_safetensors(self):
        def read():
            reader = open_stored(f"{DIRECTORY}/x.safetensors")
            for key in reader.keys():
                _refused(lambda key=key: reader.get_tensor(key))

        return _refused(read)

    @staticmethod
    def read_torch(path):
        refusals = 0

        def read():
            nonlocal refusals
            reader = open_stored(path)
            for key in reader.keys():
                refusals += _refused(lambda key=key: reader.get_tensor(key))

        failed = _refused(read)
        return refusals + failed


def _refused(action):
    try:
        action()
    except cp.CheckpointError:
        return 1
    return 0


def _state(program):
    return repr(
        (
            program.net.kernel.numpy().tolist(),
            program.net.names.numpy().tolist(),
            float(program.optimizer.rate),
            dict(program.position),
            program.random.generator.bit_generator.state,
            int(program.save_counter),
        )
    )


class _quiet:
    def __enter__(self):
        self._logger = logging.getLogger("checkpointable")
        self._level = self._logger.level
        self._logger.setLevel(logging.CRITICAL)

    def __exit__(self, *_):
        self._logger.setLevel(self._level)
