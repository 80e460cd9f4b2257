"""Generators: the next draw after a restore is the one after the save (S8)."""

# ruff: noqa: NPY002 - the legacy generators are what is tested
from __future__ import annotations

import json
import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import checkpointable as cp

BIT_GENERATORS = ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"]


def generator(name, seed=1):
    return np.random.Generator(getattr(np.random, name)(seed))


def draws(rng):
    """Draws of every width, so that what is kept between two draws is used."""
    return [
        rng.integers(0, 100, dtype=np.uint32, size=3).tolist(),
        rng.random(dtype=np.float32),
        rng.normal(size=3).tolist(),
        rng.integers(2**60),
        rng.permutation(10).tolist(),
    ]


def python_draws(rng):
    return [rng.random(), rng.gauss(0, 1), rng.randrange(10**30), rng.sample(range(99), 5)]


def legacy_draws(rng):
    return [rng.rand(3).tolist(), rng.randn(3).tolist(), rng.randint(0, 9, 5).tolist()]


@pytest.fixture
def global_states():
    """The global generators, as they were."""
    python, numpy = random.getstate(), np.random.get_state(legacy=False)
    yield
    random.setstate(python)
    np.random.set_state(numpy)


@pytest.mark.parametrize("name", BIT_GENERATORS)
def test_a_numpy_generator_goes_on_as_it_would_have(name, tmp_path):  # S8
    rng = generator(name)
    rng.integers(0, 100, dtype=np.uint32)  # half of a word is left over
    checkpoint = cp.Checkpoint(rng=cp.NumpyRandomState(rng))
    path = checkpoint.save(tmp_path / "ckpt")
    expected = draws(rng)
    checkpoint.restore(path).assert_consumed()
    assert draws(rng) == expected

    other = generator(name, seed=99)
    cp.Checkpoint(rng=cp.NumpyRandomState(other)).restore(path).assert_existing_objects_matched()
    assert draws(other) == expected


@given(st.sampled_from(BIT_GENERATORS), st.integers(0, 2**64), st.lists(st.integers(1, 700)))
def test_at_any_moment(name, seed, sizes):
    rng = generator(name, seed)
    for size in sizes:
        rng.integers(0, 5, dtype=np.uint8, size=size)
    stored = cp.NumpyRandomState(rng).serialize()
    other = generator(name, 0)
    cp.NumpyRandomState(other).deserialize(stored)
    assert draws(other) == draws(rng)


@pytest.mark.parametrize("name", BIT_GENERATORS)
@pytest.mark.parametrize("before", [0, 1, 623, 624, 625])
def test_a_legacy_generator_goes_on_as_it_would_have(name, before):
    rng = np.random.RandomState(getattr(np.random, name)(3))
    rng.rand(before)
    rng.randn()  # draws two and keeps one
    state = cp.NumpyRandomState(rng)
    stored = state.serialize()
    expected = legacy_draws(rng)
    state.deserialize(stored)
    assert legacy_draws(rng) == expected


def test_the_global_generators_go_on(tmp_path, global_states):
    checkpoint = cp.Checkpoint(numpy=cp.NumpyRandomState(), python=cp.RandomState())
    np.random.seed(3)
    random.seed(3)
    random.gauss(0, 1)
    np.random.randn()
    path = checkpoint.save(tmp_path / "ckpt")
    expected = legacy_draws(np.random), python_draws(random)
    np.random.seed(4)
    random.seed(4)
    checkpoint.restore(path).assert_consumed()
    assert (legacy_draws(np.random), python_draws(random)) == expected


@given(st.integers(), st.lists(st.sampled_from(["random", "gauss", "shuffle"]), max_size=5))
def test_a_python_generator_goes_on_as_it_would_have(seed, calls):
    rng, other = random.Random(seed), random.Random(0)
    for call in calls:
        {
            "random": rng.random,
            "gauss": lambda: rng.gauss(0, 1),
            "shuffle": lambda: rng.shuffle(list(range(400))),
        }[call]()
    cp.RandomState(other).deserialize(cp.RandomState(rng).serialize())
    assert python_draws(other) == python_draws(rng)


def test_the_same_state_gives_the_same_bytes():  # S13
    for state in (cp.RandomState(random.Random(1)), cp.NumpyRandomState(generator("PCG64"))):
        assert state.serialize() == state.serialize()
        assert json.loads(state.serialize())  # JSON, not pickle


def test_the_generator_is_the_one_that_was_given():
    rng, old = generator("PCG64"), random.Random()
    assert cp.NumpyRandomState(rng).generator is rng
    assert cp.NumpyRandomState().generator is None
    assert cp.RandomState(old).generator is old
    assert cp.RandomState().generator is random


@pytest.mark.parametrize("wrong", [1, "PCG64", np.random, random, np.random.PCG64(1)])
def test_what_is_no_generator_is_refused(wrong):
    with pytest.raises(TypeError, match="takes a"):
        cp.NumpyRandomState(wrong)
    with pytest.raises(TypeError, match="takes a"):
        cp.RandomState(wrong)


def test_a_generator_without_a_state_is_refused():
    with pytest.raises(TypeError, match="SystemRandom has no state"):
        cp.RandomState(random.SystemRandom())


ALL = {
    "random.Random": lambda: cp.RandomState(random.Random(5)),
    "numpy.random.RandomState(MT19937)": lambda: cp.NumpyRandomState(np.random.RandomState(5)),
    **{
        f"numpy.random.Generator({name})": lambda name=name: cp.NumpyRandomState(generator(name))
        for name in BIT_GENERATORS
    },
}


@pytest.mark.parametrize("stored", ALL)
@pytest.mark.parametrize("program", ALL)
def test_another_kind_of_generator_is_a_mismatch(stored, program, tmp_path):  # S25
    if stored == program:
        return
    path = cp.Checkpoint(rng=ALL[stored]()).save(tmp_path / "ckpt")
    checkpoint = cp.Checkpoint(rng=ALL[program]())
    before = checkpoint.rng.serialize()
    with pytest.raises(cp.CheckpointMismatchError) as caught:
        checkpoint.restore(path)
    assert stored in str(caught.value)
    assert program in str(caught.value)
    assert "rng: the checkpoint has" in str(caught.value)
    assert checkpoint.rng.serialize() == before


def test_one_state_that_does_not_fit_leaves_all_as_they_were(tmp_path):  # S25
    def program(second):
        return cp.Checkpoint(
            a=cp.RandomState(random.Random(1)), b=second, v=cp.Variable(0), z=cp.JSONState(n=0)
        )

    saved = program(cp.NumpyRandomState(generator("PCG64")))
    saved.v.assign(5)
    saved.z["n"] = 5
    saved.a.generator.random()
    path = saved.save(tmp_path / "ckpt")
    checkpoint = program(cp.NumpyRandomState(generator("Philox")))
    before = checkpoint.a.serialize(), checkpoint.b.serialize()
    with pytest.raises(cp.CheckpointMismatchError):
        checkpoint.restore(path)
    assert (checkpoint.a.serialize(), checkpoint.b.serialize()) == before
    assert int(checkpoint.v) == checkpoint.z["n"] == 0


def test_plain_data_is_no_generator():
    state = cp.NumpyRandomState(generator("PCG64"))
    with pytest.raises(cp.CheckpointMismatchError, match="Python object that is not a random"):
        state.deserialize(b'{"epoch": 1}')


def leaves(item, path=()):
    """The path of everything in a JSON object."""
    yield path
    if isinstance(item, dict | list):
        for key in item if isinstance(item, dict) else range(min(len(item), 2)):
            yield from leaves(item[key], (*path, key))


WRONG = [None, True, -1, 2**200, 0.5, float("nan"), "x", [], {}, [[0]] * 4, [2**64] * 624]


@pytest.mark.parametrize("kind", ALL)
def test_a_state_with_anything_exchanged_is_refused_or_safe(kind):
    state = ALL[kind]()
    contents = json.loads(state.serialize())
    before = state.serialize()
    for path in leaves(contents["state"], ("state",)):
        for wrong in WRONG:
            changed = json.loads(before)
            place = changed
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = wrong
            if path[-1] in {"gauss_next", "gauss"} and wrong in (None, 0.5):
                continue  # it may be a state too
            with pytest.raises(cp.CheckpointCorruptError, match=re.escape(kind)):
                state.deserialize(json.dumps(changed).encode())
            assert state.serialize() == before
            del place[path[-1]]
            with pytest.raises(cp.CheckpointError):
                state.deserialize(json.dumps(changed).encode())
    assert state.serialize() == before


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("numpy.random.Generator(MT19937)", ("state", "state", "pos")),
        ("numpy.random.RandomState(MT19937)", ("state", "state", "pos")),
        ("numpy.random.Generator(Philox)", ("state", "buffer_pos")),
        ("random.Random", ("state", "pos")),
    ],
)
def test_a_position_past_the_end_is_refused(kind, names):
    state = ALL[kind]()
    contents = place = json.loads(state.serialize())
    for name in names[:-1]:
        place = place[name]
    place[names[-1]] = 100_000
    with pytest.raises(cp.CheckpointCorruptError, match="pos"):
        state.deserialize(json.dumps(contents).encode())


@pytest.mark.parametrize("kind", ALL)
@given(data=st.data())
def test_damaged_strings_are_refused_by_name(kind, data):
    state = ALL[kind]()
    stored = bytearray(state.serialize())
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        state.deserialize(bytes(stored[: data.draw(st.sampled_from([None, at]))]))
    except cp.CheckpointError:
        pass


def test_a_third_partys_bit_generator_of_odd_state_is_refused():
    class Odd(np.random.PCG64):
        @property
        def state(self):
            return {"bit_generator": "Odd", "state": {"x": np.zeros(3)}}

    with pytest.raises(TypeError, match="x is an array of float64"):
        cp.NumpyRandomState(np.random.Generator(Odd(1)))
