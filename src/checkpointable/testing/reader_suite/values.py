"""Tests of a reader: keys, descriptions, single values and slices."""

from __future__ import annotations

from typing import Any

import numpy as np

from checkpointable.errors import CheckpointNotFoundError, CheckpointUnsupportedError
from checkpointable.readers.reader import CheckpointReader
from checkpointable.testing.reader_suite.fixtures import (
    GRID,
    ReaderTests,
    Write,
    equal,
    raises,
    strings,
)

__all__ = ["ValueTests"]

_INDEXES: tuple[Any, ...] = (
    0,
    -1,
    slice(1, 3),
    (slice(None), 2),
    (..., 3),
    (slice(None, None, -1), slice(None, None, 2), 4),
    (1, 2, 3),
    (slice(2, 2), ...),
    ...,
)


class ValueTests(ReaderTests):
    """Tests of keys, descriptions, single values and slices."""

    # -- the interface ---------------------------------------------------------------------

    def test_it_is_a_checkpoint_reader(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            assert isinstance(reader, CheckpointReader)
            assert reader.kind in {"object-based", "name-based", "tensors"}
            assert reader.has_checksums is (type(self).damage is not None)

    def test_the_prefix_is_the_path(self, write: Write) -> None:
        path = write({"v": GRID})
        with self.open(path) as reader:
            assert reader.prefix == path

    def test_only_an_object_based_checkpoint_has_a_graph(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            assert (reader.graph() is not None) is (reader.kind == "object-based")

    def test_only_a_tensor_file_has_dicts(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            assert reader.kind == "tensors" or not any(reader.dicts)

    # -- keys ------------------------------------------------------------------------------

    def test_keys_are_sorted(self, write: Write) -> None:
        names = ["b", "a/b", "a", "B", "a.b", "ä"]
        with self.open(write(dict.fromkeys(names, GRID))) as reader:
            assert reader.keys() == sorted(names)
            assert list(reader) == sorted(names)
            assert len(reader) == len(names)

    def test_the_list_of_keys_belongs_to_the_caller(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            reader.keys().clear()
            assert reader.keys() == ["v"]

    def test_containment(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            assert "v" in reader
            assert "w" not in reader
            assert "" not in reader
            assert 3 not in reader
            assert None not in reader

    def test_a_missing_key_names_similar_ones(self, write: Write) -> None:
        with self.open(write({"kernel": GRID, "zz": GRID})) as reader:
            for read in self.reads(reader, "kernels"):
                with raises(CheckpointNotFoundError, reader.prefix, "'kernels'", "'kernel'"):
                    read()

    # -- descriptions ----------------------------------------------------------------------

    def test_dtypes(self, write: Write) -> None:
        values = {name: np.ones(3, name) for name in self.dtypes}
        with self.open(write(values)) as reader:
            for name in self.dtypes:
                assert reader.dtype(name) == np.dtype(name)
                assert reader.stored(name).dtype == name
                assert equal(reader.get_tensor(name), values[name])

    def test_shapes(self, write: Write) -> None:
        shapes = [(), (1,), (0,), (3,), (2, 0, 3), (2, 3), (1, 2, 1, 3)]
        with self.open(
            write({str(shape): np.zeros(shape, np.int32) for shape in shapes})
        ) as reader:
            for shape in shapes:
                assert reader.shape(str(shape)) == shape
                assert reader.dtype_and_shape(str(shape)) == (np.dtype(np.int32), shape)
                assert reader.stored(str(shape)).shape == shape

    def test_a_stored_value_has_key_and_size(self, write: Write) -> None:
        with self.open(write({"v": GRID, "empty": GRID[:0]})) as reader:
            stored = reader.stored("v")
            assert (stored.key, stored.nbytes) == ("v", GRID.nbytes)
            assert reader.stored("empty").nbytes == 0

    def test_locations_have_all_bytes_of_a_value(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            locations = reader.locations("v")
            assert not locations or sum(location.size for location in locations) == GRID.nbytes

    # -- single values ---------------------------------------------------------------------

    def test_a_value(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            assert equal(reader.get_tensor("v"), GRID)

    def test_a_value_of_no_dimensions_is_an_array(self, write: Write) -> None:
        scalar = np.array(3.5, np.float32)
        with self.open(write({"v": scalar})) as reader:
            contents = reader.get_tensor("v")
            assert type(contents) is np.ndarray
            assert equal(contents, scalar)

    def test_a_value_of_no_elements(self, write: Write) -> None:
        with self.open(write({"v": GRID[:, :0]})) as reader:
            assert equal(reader.get_tensor("v"), GRID[:, :0])

    def test_a_large_value(self, write: Write) -> None:
        large = np.arange(3_000_001, dtype=np.int32)
        with self.open(write({"v": large, "w": GRID})) as reader:
            assert equal(reader.get_tensor("v"), large)

    def test_special_numbers_keep_their_bits(self, write: Write) -> None:
        special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45], np.float32)
        with self.open(write({"v": special})) as reader:
            assert equal(reader.get_tensor("v"), special)

    def test_a_value_belongs_to_the_caller(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            array = reader.get_tensor("v")
            assert isinstance(array, np.ndarray)
            array += 1
            assert equal(reader.get_tensor("v"), GRID)

    def teststrings(self, write: Write) -> None:
        if not self.has_strings:
            return
        texts, text = strings(b"", b"a\0b", b"x" * 1000), np.array(b"text", object)
        with self.open(write({"texts": texts, "text": text})) as reader:
            assert reader.dtype("texts") == np.dtype(object)
            assert reader.stored("texts").dtype == "string"
            assert equal(reader.get_tensor("texts"), texts)
            assert reader.get_tensor("text") == b"text"
            assert equal(reader.get_slice("texts", slice(1, None)), texts[1:])
            target = strings(b"", b"", b"")
            reader.read_into([("texts", target)])
            assert equal(target, texts)
            with raises(CheckpointUnsupportedError, "get_tensor"):
                reader.view("texts")

    def test_bytes_are_those_of_the_elements(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            try:
                contents = reader.get_bytes("v")
            except CheckpointUnsupportedError:
                return  # they are not contiguous
            assert contents == GRID.tobytes()

    def test_a_view_is_read_only(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            try:
                view = reader.view("v")
            except CheckpointUnsupportedError:
                return  # there is none
            assert equal(view, GRID)
            assert not view.flags.writeable

    # -- slices ----------------------------------------------------------------------------

    def test_slices_are_those_of_an_array(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            for index in _INDEXES:
                assert equal(reader.get_slice("v", index), np.asarray(GRID[index])), index

    def test_slices_of_a_scalar(self, write: Write) -> None:
        with self.open(write({"v": np.array(7, np.int32)})) as reader:
            assert equal(reader.get_slice("v", ...), np.array(7, np.int32))
            assert equal(reader.get_slice("v", ()), np.array(7, np.int32))

    def test_a_slice_belongs_to_the_caller(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            part = reader.get_slice("v", slice(0, 2))
            part += 1
            assert equal(reader.get_slice("v", slice(0, 2)), GRID[:2])

    def test_slices_that_are_out_of_bounds_or_none(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            for index in (3, -4, (0, 0, 0, 0), (..., ...)):
                with raises(IndexError):
                    reader.get_slice("v", index)
            for wrong in ("a", 1.5, [0, 1], None):
                with raises(TypeError):
                    reader.get_slice("v", wrong)  # type: ignore[arg-type]
