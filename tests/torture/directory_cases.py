"""What is done to a directory of checkpoints, each stopped at every operation."""

from __future__ import annotations

import checkpointable as cp
from checkpointable.maintenance.repair import repair_directory
from checkpointable.storage import default_storage
from tests.torture.cases import AGAIN, DIRECTORY, NEW, Case, program, set_to
from tests.torture.tables import build_table, v1_messages


def damage(name):
    """Makes a data file one that no checksum holds for."""
    path = f"{DIRECTORY}/{name}.data-00000-of-00001"
    storage = default_storage()
    with storage.open(path) as file:
        contents = bytearray(file.read(0, file.size))
    contents[100] ^= 1
    storage.delete(path)
    file = storage.create(path, len(contents))
    file.write_at(bytes(contents), 0)
    file.close()


def three(checkpoint=None, numbers=(1, 2, 3)):
    checkpoint = program() if checkpoint is None else checkpoint
    for number in numbers:
        set_to(checkpoint, number).save(f"{DIRECTORY}/ckpt")


def update_state():
    """Another checkpoint is made the latest by hand."""
    return Case(
        prepare=three,
        act=lambda: cp.update_checkpoint_state(DIRECTORY, f"{DIRECTORY}/ckpt-1"),
        allowed={"ckpt-1": {1}, "ckpt-2": {2}, "ckpt-3": {3}},
        always={"ckpt-1", "ckpt-2", "ckpt-3"},
        latest={1, 3},
        at_end={"ckpt-1": 1},
    )


def repair():
    """The newest is damaged, and a killed save has left its data."""

    def prepare():
        three()
        damage("ckpt-3")
        storage = default_storage()
        storage.create(f"{DIRECTORY}/.ckpt-4.data.tmp-1-00000000", 100).close()
        storage.create(f"{DIRECTORY}/ckpt-4.data-00000-of-00001", 100).close()

    def again():
        repair_directory(DIRECTORY, delete=True)
        checkpoint = program()
        checkpoint.restore(cp.latest_checkpoint(DIRECTORY))
        return set_to(checkpoint, AGAIN).save(f"{DIRECTORY}/ckpt")

    return Case(
        prepare=prepare,
        act=lambda: repair_directory(DIRECTORY, delete=True),
        allowed={"ckpt-1": {1}, "ckpt-2": {2}, "ckpt-3": set()},
        always={"ckpt-1", "ckpt-2"},
        latest={2, None},  # None: the damaged one, which no crash has made
        at_end={"ckpt-1": 1, "ckpt-2": 2},
        next=again,
        broken={"ckpt-3"},
    )


def back_past_damage():
    """`restore_latest_valid` skips the newest; its number is written again."""

    def prepare():
        manager = cp.CheckpointManager(program(), DIRECTORY, 3)
        for number in (1, 2, 3):
            set_to(manager.checkpoint, number)
            manager.save()
        damage("ckpt-3")

    def go_on(value):
        manager = cp.CheckpointManager(program(), DIRECTORY, 3)
        manager.restore_latest_valid()
        assert int(manager.checkpoint.v.numpy()[0]) in {2, NEW}
        set_to(manager.checkpoint, value)
        return manager.save()

    return Case(
        prepare=prepare,
        act=lambda: go_on(NEW),
        allowed={"ckpt-1": {1}, "ckpt-2": {2}, "ckpt-3": {NEW}},
        always={"ckpt-1", "ckpt-2"},
        latest={None, NEW},
        at_end={"ckpt-2": 2, "ckpt-3": NEW},
        next=lambda: go_on(AGAIN),
        broken={"ckpt-3"},
    )


def two_managers():
    """Of other names, in one directory: neither deletes the other's."""

    def manager(name):
        return cp.CheckpointManager(program(), DIRECTORY, 1, checkpoint_name=name)

    def save(own, value, number):
        set_to(own.checkpoint, value)
        return own.save(checkpoint_number=number)

    def prepare():
        save(manager("a"), 1, 1)
        save(manager("b"), 2, 1)

    def act():
        a, b = manager("a"), manager("b")
        save(a, 3, 2)
        save(b, NEW, 2)

    def again():
        save(manager("a"), 4, 2)
        return save(manager("b"), AGAIN, 2)

    return Case(
        prepare=prepare,
        act=act,
        allowed={"a-1": {1}, "b-1": {2}, "a-2": {3}, "b-2": {NEW}},
        latest={1, 2, 3, NEW},
        at_end={"a-2": 3, "b-2": NEW},
        next=again,
    )


def beside_a_v1_file():
    """Over the name of a file of TensorFlow before 0.12, which stays."""
    path = f"{DIRECTORY}/ck"

    def prepare():
        meta, parts = v1_messages()
        contents = build_table([(b"", meta), *parts])
        storage = default_storage()
        storage.make_directories(DIRECTORY)
        file = storage.create(path, len(contents))
        file.write_at(contents, 0)
        file.close()

    def write(value):
        assert default_storage().exists(path)
        return program(value).write(path)

    return Case(
        prepare=prepare,
        act=lambda: write(NEW),
        allowed={"ck": {NEW}},
        latest={None, NEW},
        at_end={"ck": NEW},
        next=lambda: write(AGAIN),
    )


def delete_all_but_one():
    """A manager that keeps less than its predecessor did."""

    def go_on(most, value):
        manager = cp.CheckpointManager(program(), DIRECTORY, most)
        manager.restore_or_initialize()
        set_to(manager.checkpoint, value)
        return manager.save()

    def prepare():
        for number in range(1, 6):
            go_on(5, number)

    return Case(
        prepare=prepare,
        act=lambda: go_on(1, NEW),
        allowed={**{f"ckpt-{n}": {n} for n in range(1, 6)}, "ckpt-6": {NEW}},
        latest={5, NEW},
        at_end={"ckpt-6": NEW},
        next=lambda: go_on(1, AGAIN),
    )


OF_DIRECTORIES = {
    "update_checkpoint_state": update_state,
    "repair --delete": repair,
    "restore_latest_valid, then a save": back_past_damage,
    "two managers in one directory": two_managers,
    "manager, from five to one": delete_all_but_one,
    "beside a V1 file of the name": beside_a_v1_file,
}
