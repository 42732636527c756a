"""The arm's state at the moment of an image, or why there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rfs_perception import arm_file
from rfs_perception.arm_history import ArmHistory
from rfs_perception.errors import PerceptionError

MS = 1_000_000


def history(*at: tuple[int, float]) -> ArmHistory:
    states = ArmHistory(keep_s=1.0, gap_s=0.1, beyond_s=0.02)
    for ms, value in at:
        states.add(ms * MS, np.full(7, value))
    return states


def test_between_two_states_is_interpolated() -> None:
    # A quarter of the way from 0 to 1.
    np.testing.assert_allclose(history((0, 0.0), (80, 1.0)).at(20 * MS), 0.25)


def test_a_state_of_the_very_moment_is_given_as_it_is() -> None:
    np.testing.assert_array_equal(history((0, 0.0), (80, 1.0)).at(80 * MS), 1.0)


@pytest.mark.parametrize(
    ("states", "ms", "reason"),
    [
        ([], 0, "no arm state"),
        ([(0, 0.0), (10, 1.0)], 31, "21 ms newer than the newest arm state"),
        ([(100, 0.0), (110, 1.0)], 60, "40 ms older than the oldest"),
        ([(0, 0.0), (101, 1.0)], 50, "101 ms apart"),
    ],
)
def test_what_is_not_known_is_not_invented(states: list[tuple[int, float]], ms: int, reason: str) -> None:
    with pytest.raises(PerceptionError, match=reason):
        history(*states).at(ms * MS)


def test_memory_is_bounded_and_a_clock_that_starts_anew_is_followed() -> None:
    states = ArmHistory(keep_s=1.0)
    for k in range(10_000):
        states.add(k * 10 * MS, np.zeros(7))
    assert len(states._stamps) == 101
    states.add(5 * MS, np.ones(7))
    np.testing.assert_array_equal(states.at(5 * MS), 1.0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be read"), (b'{"stamp_ns": []}', "is no .npz with stamp_ns and position")],
    ids=["missing", "another kind of file"],
)
def test_a_file_without_arm_states_is_refused_by_name(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "arm.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PerceptionError, match=reason):
        arm_file.load(path)
