"""Success by object and by place, counted and drawn."""

import dataclasses

import numpy as np
import pytest

from rfs_core.errors import RfsError
from rfs_learning import evaluation_picture


@dataclasses.dataclass
class Played:
    success: bool
    object_start: tuple[float, float] | None
    object: str = "can"


PLAYED = [
    Played(True, (0.52, -0.12)),  # on an edge: the cell that begins there
    Played(False, (0.5599, -0.0801)),  # the same cell, its far corner
    Played(True, (0.57, 0.01)),
    Played(True, (0.57, 0.03), "tin"),
]


def test_episodes_fall_into_the_cell_of_4_cm_in_which_their_object_stood():
    """x from .52 to .60 in two cells, y from -.12 to .04 in four."""
    x, y, episodes, successes = evaluation_picture.regions(PLAYED)
    np.testing.assert_allclose(x, [0.52, 0.56, 0.60])
    np.testing.assert_allclose(y, [-0.12, -0.08, -0.04, 0.0, 0.04], atol=1e-12)
    assert episodes.tolist() == [[2, 0, 0, 0], [0, 0, 0, 2]]
    assert successes.tolist() == [[1, 0, 0, 0], [0, 0, 0, 2]]


def test_episodes_without_a_place_are_left_out():
    *_, episodes, _ = evaluation_picture.regions([*PLAYED, Played(True, None)])
    assert episodes.sum() == 4
    with pytest.raises(RfsError, match="no episode says where its object stood"):
        evaluation_picture.regions([Played(True, None)])


def test_the_picture_is_written_and_the_same_episodes_make_the_same_file(tmp_path):
    pytest.importorskip("matplotlib")
    files = [tmp_path / "a" / "one.png", tmp_path / "two.png"]
    for file in files:
        evaluation_picture.draw(PLAYED, "a policy", file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].stat().st_size > 10_000
