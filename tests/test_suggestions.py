"""Similar names in error messages."""

from __future__ import annotations

import subprocess
import sys

from checkpointable.common.suggestions import no_such_value, similar_names


def test_names_that_end_with_it_come_first_then_similar_ones():
    names = ["kernels", "model/dense/kernel", "bias", "kernel_1", "kernels"]
    assert similar_names("kernel", names) == ["model/dense/kernel", "kernels", "kernel_1"]
    assert similar_names("kernel", names, 1) == ["model/dense/kernel"]
    assert similar_names("zzz", names) == []


def test_of_many_names_those_that_share_segments_are_compared():
    names = [f"a/{i}/{i}" for i in range(5000)]
    assert "model/dense/kernel" in similar_names(
        "model/dens/kernel", [*names, "model/dense/kernel"]
    )


def test_a_lower_cutoff_takes_names_that_are_less_similar():
    assert similar_names("encoder", ["encrypt"]) == []
    assert similar_names("encoder", ["encrypt"], cutoff=0.4) == ["encrypt"]


def test_an_error_for_a_missing_key_is_cheap_among_many():
    few, many = (no_such_value("p", "keyy", [f"key{i}" for i in range(n)]) for n in (3, 1001))
    assert "similar ones are 'key2'" in str(few)
    assert "similar" not in str(many)
    assert (few.path, few.key) == ("p", "keyy")


def test_difflib_is_imported_late():
    program = "import sys, checkpointable.common.suggestions; print('difflib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"False"]
