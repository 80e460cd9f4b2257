"""The real checkpoints are there, whole, and of the expected sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

SIZES = {
    "basic_pitch_prefix": (4_794, 219_309),
    "chiron_prefix": (6_310, 21_887_048),
}


@pytest.mark.parametrize("fixture", SIZES)
def test_a_real_checkpoint_is_unpacked_beside_its_data(request, fixture):
    prefix = request.getfixturevalue(fixture)
    index, data = Path(prefix + ".index"), Path(prefix + ".data-00000-of-00001")
    assert (index.stat().st_size, data.stat().st_size) == SIZES[fixture]


def test_a_wheel_of_another_sum_is_refused(wheel_file, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.real.wheels.CACHE", tmp_path)
    with pytest.raises(RuntimeError, match=r"sha256 is 738adb.*expected 000"):
        wheel_file("basic-pitch", "0.4.0", "0" * 64, "basic_pitch/__init__.py")
    assert not list(tmp_path.glob("*.whl"))
