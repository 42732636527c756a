"""The picture of a replayed reward, and the arm's states that are played beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs OpenCV: make setup EXTRAS=perception")

from rfs_perception import arm_file
from rfs_perception.errors import PerceptionError
from rfs_perception.plot import _GAP, HEIGHT, WIDTH, Row, plot, save_plot


def share_of_gap(rows: list[Row]) -> float:
    return float((plot(rows, "look") == _GAP).all(axis=-1).mean())


def test_spans_without_a_valid_reward_are_shaded_and_only_those() -> None:
    seen = [Row(0.1 * k, True, -0.2, 0.01 * k) for k in range(21)]
    assert plot(seen, "look").shape == (HEIGHT, WIDTH, 3)
    assert share_of_gap(seen) == 0.0
    nan = float("nan")
    hidden = [Row(r.time_s, False, nan, nan) if 5 <= k < 15 else r for k, r in enumerate(seen)]
    # Half of the time: half of the area inside the axes, which is about 0.72 of the picture; less the grid.
    assert share_of_gap(hidden) == pytest.approx(0.5 * 0.72, abs=0.04)


def test_nothing_valid_and_nothing_at_all() -> None:
    nan = float("nan")
    assert share_of_gap([Row(0.0, False, nan, nan), Row(1.0, False, nan, nan)]) > 0.6
    with pytest.raises(PerceptionError, match="no reward to draw"):
        plot([], "look")


def test_a_picture_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    save_plot([Row(0.0, True, -0.1, 0.0), Row(1.0, True, -0.1, 0.0)], tmp_path / "new" / "reward.png", "look")
    assert (tmp_path / "new" / "reward.png").stat().st_size > 1000


def test_arm_states_come_back_oldest_first(tmp_path: Path) -> None:
    path = tmp_path / "arm.npz"
    arm_file.save(path, np.array([20, 10]), np.array([[2.0] * 7, [1.0] * 7]))
    stamps, position = arm_file.load(path)
    assert stamps.tolist() == [10, 20]
    np.testing.assert_array_equal(position[:, 0], [1.0, 2.0])


def test_arm_states_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "arm.npz"
    with pytest.raises(PerceptionError, match="cannot be read"):
        arm_file.load(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(PerceptionError, match=r"is no \.npz with stamp_ns and position"):
        arm_file.load(path)
    arm_file.save(path, np.array([1, 2]), np.zeros((2, 6)))
    with pytest.raises(PerceptionError, match=r"position \(2, 6\)"):
        arm_file.load(path)
    arm_file.save(path, np.array([1]), np.full((1, 7), np.nan))
    with pytest.raises(PerceptionError, match="finite"):
        arm_file.load(path)
