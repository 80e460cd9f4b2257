"""SIGKILL at random instants: the training ends as if nothing had happened."""

from __future__ import annotations

from tests.torture.kill import check, disturbed, left_over, undisturbed

STEPS = 250
KILLS = 10


def test_a_training_that_is_killed_ends_equal_to_the_bit(tmp_path):
    expected = undisturbed(tmp_path / "whole", STEPS, 1)
    survived = disturbed(tmp_path / "killed", STEPS, 1, KILLS)
    print(survived)
    assert survived.digest == expected
    assert survived.kills == KILLS
    assert survived.resumed
    assert 0 < survived.asynchronous < KILLS
    check(tmp_path / "killed")
    assert left_over(tmp_path / "killed") == []
