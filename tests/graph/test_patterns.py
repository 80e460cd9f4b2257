"""`*` within a segment, `**` across segments."""

from __future__ import annotations

import pytest

from checkpointable.graph.patterns import key_matcher, matches_any, path_pattern


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("model/*/kernel", ["model/a/kernel", "model//kernel"], ["model/a/b/kernel", "model/a"]),
        ("model/**", ["model", "model/a", "model/a/b"], ["models/a", "a/model/b"]),
        ("**/kernel", ["kernel", "a/kernel", "a/b/kernel"], ["a/kernels", "akernel"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "ab"]),
        ("**/a/**", ["a", "x/a", "a/y", "x/a/y"], ["xa", "ay"]),
        ("**", ["", "a", "a/b", "a\nb"], []),
        ("*", ["a", ""], ["a/b"]),
        ("a**b", ["ab", "a/b", "axx/yb"], ["a"]),
        ("layer_?", ["layer_1", "layer_x"], ["layer_", "layer_10", "layer_/"]),
        ("[bold]", ["[bold]"], ["b", "bold"]),
        ("a.Sb.c+$", ["a.Sb.c+$"], ["a/b.c", "a.Sbxc+$"]),
        ("", [""], ["a"]),
        ("***", ["a/b"], []),
    ],
)
def test_a_pattern_matches_whole_names(pattern, matching, others):
    matches = key_matcher([pattern])
    assert [name for name in [*matching, *others] if matches(name)] == matching


def test_a_pattern_may_name_the_key_or_the_object():
    key = "model/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    for pattern in ("model/kernel", "model/*", key, "**/VARIABLE_VALUE", "model/**"):
        assert key_matcher([pattern])(key)
    assert not key_matcher(["kernel"])(key)


def test_of_several_patterns_any_may_match():
    matches = key_matcher(["a/*", "b"])
    assert [name for name in ("a/x", "b", "c", "a/b/c") if matches(name)] == ["a/x", "b"]


@pytest.mark.parametrize(
    ("patterns", "matching", "others"),
    [
        (("model/**",), ["model", "model/a/b"], ["models", ""]),
        (("/model/a/",), ["model/a"], ["model", "model/a/b"]),
        (("a", "b/*"), ["a", "b/c"], ["b", "b/c/d"]),
        (("**",), ["", "a/b"], []),
        ((), [], ["", "a"]),
    ],
)
def test_patterns_of_paths(patterns, matching, others):
    assert [path for path in [*matching, *others] if matches_any(path, patterns)] == matching


def test_an_empty_pattern_of_paths():
    with pytest.raises(ValueError, match="must not be empty"):
        path_pattern("")
