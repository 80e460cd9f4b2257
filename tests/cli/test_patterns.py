"""`*` within a segment, `**` across segments."""

from __future__ import annotations

import pytest

from checkpointable.cli.patterns import matcher


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("model/*/kernel", ["model/a/kernel", "model//kernel"], ["model/a/b/kernel", "model/a"]),
        ("model/**", ["model/a", "model/a/b"], ["model", "models/a", "a/model/b"]),
        ("**/kernel", ["kernel", "a/kernel", "a/b/kernel"], ["a/kernels", "akernel"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "ab"]),
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
    matches = matcher([pattern])
    assert [name for name in [*matching, *others] if matches(name)] == matching


def test_a_pattern_may_name_the_key_or_the_object():
    key = "model/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    for pattern in ("model/kernel", "model/*", key, "**/VARIABLE_VALUE", "model/**"):
        assert matcher([pattern])(key)
    assert not matcher(["kernel"])(key)


def test_of_several_patterns_any_may_match():
    matches = matcher(["a/*", "b"])
    assert [name for name in ("a/x", "b", "c", "a/b/c") if matches(name)] == ["a/x", "b"]
