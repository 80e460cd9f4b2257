"""Which value is probably which, and the renames that follow from it."""

from __future__ import annotations

import pytest

from checkpointable.report import counterparts
from checkpointable.report.counterparts import Unmatched, find_counterparts
from checkpointable.report.suggested_renames import suggest_renames


def sides(program, checkpoint):
    """Of paths, or of path -> kind."""

    def unmatched(paths):
        pairs = paths.items() if isinstance(paths, dict) else ((path, "kind") for path in paths)
        return [Unmatched(path, kind) for path, kind in pairs]

    return find_counterparts(unmatched(program), unmatched(checkpoint))


def sure(program, checkpoint):
    """checkpoint's path -> program's, of what is certain; the same seen from both sides."""
    found = sides(program, checkpoint)
    pairs = {guess.paths[0]: path for path, guess in found.of_program.items() if guess.sure}
    back = {path: guess.paths[0] for path, guess in found.of_checkpoint.items() if guess.sure}
    assert pairs == back
    return pairs


@pytest.mark.parametrize(
    ("program", "checkpoint", "expected"),
    [
        (["a/k"], ["b/k"], {"b/k": "a/k"}),
        (["m/e/k", "m/d/k"], ["e/k", "d/k"], {"e/k": "m/e/k", "d/k": "m/d/k"}),
        (["x"], ["y"], {"y": "x"}),  # nothing in common, but the only ones of their kind
        ({"x": 1}, {"y": 2}, {}),
        (["a/k", "b/k"], ["c/k", "d/k"], {}),  # ambiguous
        (["a/k"], ["c/k", "d/k"], {}),
        (["a/k", "a/q"], ["c/q", "d/k"], {"c/q": "a/q", "d/k": "a/k"}),
        ([], ["a"], {}),
        (["a"], [], {}),
    ],
)
def test_the_likeliest(program, checkpoint, expected):
    assert sure(program, checkpoint) == expected


def test_what_is_ambiguous_names_the_candidates():
    found = sides(["a/k"], ["c/k", "d/k"])
    guess = found.of_program["a/k"]
    assert (guess.paths, guess.sure) == (["c/k", "d/k"], False)
    assert found.of_checkpoint["c/k"] == (["a/k"], False)
    many = sides(["a/k"], [f"{i}/k" for i in range(30)]).of_program["a/k"]
    assert (len(many.paths), many.sure) == (5, False)


@pytest.mark.parametrize(
    ("rename", "number", "kinds"),
    [
        pytest.param(lambda i: (f"e/blocks/{i}/k", f"e/layers/{i}/k"), 20_000, 1, id="a list"),
        pytest.param(lambda i: (f"l{i}/kernel", f"l{i}/weight"), 2000, 1, id="leaves"),
        pytest.param(lambda i: (f"l/{i}/k", f"wrapper/model/l/{i}/k"), 2000, 20, id="a wrapper"),
        pytest.param(
            lambda i: (f"e/{i}/attn/query/k", f"enc/{i}/attention/query/k"), 2000, 1, id="two"
        ),
        pytest.param(
            lambda i: (f"e/{i // 100}/q{i % 100}/k", f"f/{i // 100}/p/q{i % 100}/k"),
            2000,
            20,
            id="two lists",
        ),
    ],
)
def test_the_work_grows_as_the_number_of_values(rename, number, kinds, monkeypatch):
    compared = 0
    plain = counterparts._likeness

    def counting(a, b):
        nonlocal compared
        compared += 1
        return plain(a, b)

    monkeypatch.setattr(counterparts, "_likeness", counting)
    pairs = dict(map(rename, range(number)))
    old = {path: i % kinds for i, path in enumerate(pairs)}
    new = {path: i % kinds for i, path in enumerate(pairs.values())}
    assert sure(new, old) == pairs
    assert compared <= number * counterparts._MOST_ALIKE * 2  # all pairs are `number` times more


@pytest.mark.parametrize(
    ("a", "b", "common"),
    [("abc", "abc", 3), ("abcd", "xbyd", 2), ("abab", "ab", 2), ("ab", "ba", 1), ("a", "b", 0)],
)
def test_likeness_is_the_longest_common_subsequence(a, b, common):
    expected = 2 * common / (len(a) + len(b))
    assert counterparts._likeness(list(a), list(b)) == expected
    assert counterparts._likeness(list(b), list(a)) == expected


def test_many_values_that_cannot_be_told_apart():
    assert sure([f"a{i}/x" for i in range(2000)], [f"b{i + 5000}/x" for i in range(2000)]) == {}


@pytest.mark.parametrize(
    ("pairs", "settled", "taken", "expected"),
    [
        pytest.param(
            [("e/b/0/k", "e/l/0/k"), ("e/b/1/k", "e/l/1/k")], [], [], {"e/b": "e/l"}, id="a list"
        ),
        pytest.param([("e/k", "m/e/k")], [], [], {"e": "m/e"}, id="a wrapper"),
        pytest.param([("e/k", "f/k")], ["e/b"], [], {"e/k": "f/k"}, id="what is beside stays"),
        pytest.param([("e/k", "f/k")], ["e1/b"], [], {"e": "f"}, id="what only begins alike"),
        pytest.param(
            [("e/k", "f/k"), ("e/b", "g/b")], [], [], {"e/k": "f/k", "e/b": "g/b"}, id="a split"
        ),
        pytest.param(
            [("e/k", "m/k"), ("f/b", "m/b")], [], [], {"e/k": "m/k", "f/b": "m/b"}, id="a merger"
        ),
        pytest.param(
            [("e/k", "m/k")], ["m/h"], ["", "e", "e/k", "m", "m/h"], {"e/k": "m/k"}, id="into"
        ),
        pytest.param(
            [("l/1/k", "l/2/k"), ("l/2/k", "l/3/k")],
            ["l/0/k"],
            ["l", "l/0", "l/1", "l/2", "l/0/k", "l/1/k", "l/2/k"],
            {"l/1": "l/2", "l/2": "l/3"},
            id="a shift",
        ),
        pytest.param(
            [("a/k", "b/k"), ("b/k", "a/k")],
            [],
            ["a", "b", "a/k", "b/k"],
            {"a": "b", "b": "a"},
            id="a swap",
        ),
        pytest.param([("a", "b")], [], ["a", "b"], {}, id="taken by what stays"),
        pytest.param(
            [("a", "b"), ("b", "c")], [], ["a", "b", "c"], {}, id="taken at the end of a row"
        ),
        pytest.param(
            [("0/a", "a/0/a"), ("0/c/b", "a/0/c")],
            [],
            ["0", "0/a", "0/c", "0/c/b", "0/c/a"],
            {"0": "a/0"},
            id="taken by what another brings",
        ),
        pytest.param(
            [("a/k", "x/k"), ("b/k", "a/k")],
            [],
            ["a", "a/k", "b", "b/k"],
            {"a": "x", "b": "a"},
            id="left by what is above",
        ),
        pytest.param([], ["a"], ["a"], {}, id="nothing"),
    ],
)
def test_the_shortest_renames(pairs, settled, taken, expected):
    assert suggest_renames(pairs, settled, taken) == expected
