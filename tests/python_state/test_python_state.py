"""PythonState: errors know where the object is; TensorFlow reads it and is read (S8)."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import checkpointable as cp


class Text(cp.PythonState):
    def __init__(self, text=""):
        self.text = text

    def serialize(self):
        return self.text

    def deserialize(self, string_value):
        self.text = string_value.decode()


class TensorFlowText(tf.train.experimental.PythonState):
    def __init__(self, text=b""):
        self.text = text

    def serialize(self):
        return self.text

    def deserialize(self, string_value):
        self.text = string_value


def test_text_and_bytes_are_both_taken(tmp_path):
    path = cp.Checkpoint(a=Text("é"), b=Text(b"\0\xff")).save(tmp_path / "ckpt")
    with cp.load_checkpoint(path) as reader:
        assert reader.get_tensor("a/.ATTRIBUTES/py_state") == "é".encode()
        assert reader.get_tensor("b/.ATTRIBUTES/py_state") == b"\0\xff"


@pytest.mark.parametrize("wrong", [None, 3, {"a": 1}, bytearray(b"x"), [b"x"], np.zeros(2)])
def test_what_is_no_string_is_an_error_with_the_path(wrong, tmp_path):  # S8
    root = cp.Checkpoint(inner=cp.Checkpoint(state=Text(wrong)))
    with pytest.raises(TypeError, match=r"inner/state: Text\.serialize\(\) returned a"):
        root.save(tmp_path / "ckpt")


def test_a_value_error_of_serialize_gets_the_path(tmp_path):
    class Refusing(Text):
        def serialize(self):
            raise ValueError("not now")

    with pytest.raises(ValueError, match=r"^inner/state: not now$"):
        cp.Checkpoint(inner=cp.Checkpoint(state=Refusing())).save(tmp_path / "ckpt")


def test_other_errors_of_serialize_stay_what_they_are(tmp_path):
    class Failing(Text):
        def serialize(self):
            return "\ud800".encode()

    with pytest.raises(UnicodeEncodeError):
        cp.Checkpoint(state=Failing()).save(tmp_path / "ckpt")


def test_a_tensor_where_a_string_should_be_is_a_mismatch(tmp_path):  # S25
    class Odd(cp.Checkpointable):
        def _gather_saveables_for_checkpoint(self):
            return {"py_state": cp.Value("string", None, lambda: [b"a", b"b"], print)}

    path = cp.Checkpoint(state=Odd()).save(tmp_path / "ckpt")
    checkpoint = cp.Checkpoint(state=cp.JSONState(kept=1))
    with pytest.raises(cp.CheckpointMismatchError):
        checkpoint.restore(path)
    assert checkpoint.state == {"kept": 1}


def test_tensorflow_reads_ours(tmp_path):  # S8, S9
    state, generator = cp.JSONState(epoch=2), random.Random(1)
    path = cp.Checkpoint(a=state, b=cp.RandomState(generator)).save(str(tmp_path / "ckpt"))
    checkpoint = tf.train.Checkpoint(a=TensorFlowText(), b=TensorFlowText())
    checkpoint.restore(path).assert_consumed()
    assert json.loads(checkpoint.a.text) == {"epoch": 2}
    assert b"random.Random" in checkpoint.b.text


def test_we_read_tensorflows(tmp_path):  # S8
    path = tf.train.Checkpoint(
        a=TensorFlowText('{"epoch": 2, "name": "\\u00e9"}'), b=TensorFlowText(b"raw")
    ).save(str(tmp_path / "ckpt"))
    checkpoint = cp.Checkpoint(a=cp.JSONState(), b=Text())
    checkpoint.restore(path).assert_consumed()
    assert checkpoint.a == {"epoch": 2, "name": "é"}
    assert checkpoint.b.text == "raw"


def test_it_is_asked_for_at_every_save(tmp_path):  # S8
    state = Text("one")
    checkpoint = cp.Checkpoint(state=state)
    first = checkpoint.save(tmp_path / "ckpt")
    state.text = "two"
    second = checkpoint.save(tmp_path / "ckpt")
    checkpoint.restore(first)
    assert state.text == "one"
    checkpoint.restore(second)
    assert state.text == "two"


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_the_pages_examples_run(tmp_path, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "python-state.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    numpy, python = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    names = {}
    try:
        for block in blocks:
            exec(compile(block, page.name, "exec"), names)
    finally:
        np.random.set_state(numpy)  # noqa: NPY002
        random.setstate(python)
    names["lines"].file.close()

    Path("text").write_bytes(b"one\ntwo\n")
    lines = names["Lines"]("text")
    lines.file.readline()
    net = cp.Checkpoint(layer=names["Dense"](3), lines=lines)
    path = net.save("ckpt")
    assert lines.file.readline() == b"two\n"
    net.restore(path).assert_consumed()
    assert lines.file.readline() == b"two\n"
    lines.file.close()
    with cp.load_checkpoint(path) as reader:
        stored = json.loads(reader.get_tensor("layer/.ATTRIBUTES/OBJECT_CONFIG_JSON"))
    assert stored == {"class_name": "Dense", "config": {"units": 3, "activation": "relu"}}
    with pytest.raises(ValueError, match="built as"):
        cp.Checkpoint(layer=names["Dense"](4)).restore(path)
