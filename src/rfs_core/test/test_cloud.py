"""The cloud pipeline on images and points whose answer is worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfs_core import cloud
from rfs_core.cloud import CloudConfig, CloudError, CloudProblem
from rfs_core.errors import ConfigError

# A camera 1 m above the origin of the workspace, looking straight down: its x is the base's x, its y is -y,
# its z is -z. At 100 px focal length and 1 m, a pixel is 1 cm.
DOWN = np.array([[1.0, 0, 0, 0.5], [0, -1.0, 0, 0], [0, 0, -1.0, 1.0], [0, 0, 0, 1]])
K = np.array([[100.0, 0, 20.0], [0, 100.0, 15.0], [0, 0, 1]])
PLAIN = CloudConfig(lonely_below=0, minimum=1)


def rng(seed=0):
    return np.random.default_rng(seed)


def image(value=0.9, height=31, width=41):
    return np.full((height, width), value, np.float32)


def test_a_pixel_lands_where_the_pinhole_model_says():
    depth = np.zeros((31, 41), np.float32)
    depth[5, 30] = 0.8  # u 30, v 5: 0.8 * (30 - 20) / 100 = 0.08 right, 0.8 * (5 - 15) / 100 = -0.08 down
    points = cloud.deproject(depth, K, DOWN, PLAIN)
    # base: x 0.5 + 0.08, y -(-0.08), z 1 - 0.8
    np.testing.assert_allclose(points, [[0.58, 0.08, 0.2]], atol=1e-6)


def test_whole_numbers_are_counts_of_the_depth_unit():
    metres = cloud.deproject(image(0.9), K, DOWN, PLAIN)
    counts = cloud.deproject(np.full((31, 41), 900, np.uint16), K, DOWN, PLAIN)
    np.testing.assert_allclose(counts, metres, atol=1e-6)


def test_points_on_the_table_and_outside_the_workspace_are_cropped():
    depth = image(0.995)  # 5 mm above the table: below the crop
    depth[:, :10] = 0.9
    config = CloudConfig(lonely_below=0, minimum=1, low=(0.40, -0.05, 0.012), high=(0.85, 0.05, 0.6))
    points = cloud.deproject(depth, K, DOWN, config)
    # Columns 0 to 9 lie at x 0.5 + 0.9 * (u - 20) / 100 = 0.32 to 0.401: only u = 9 is inside. Rows with
    # |0.9 * (v - 15) / 100| <= 0.05: v from 10 to 20 (5.55 rows either side).
    assert points.shape == (11, 3)
    np.testing.assert_allclose(points[:, 0], 0.401, atol=1e-6)


def test_a_lonely_point_is_dropped_and_its_crowd_stays():
    crowd = np.array([[0.5 + 0.005 * i, 0.0, 0.1] for i in range(5)])
    lonely = np.array([[0.7, 0.2, 0.4]])
    config = CloudConfig(lonely_below=4, minimum=1)
    points = cloud.sample(np.concatenate([crowd, lonely]), config, rng(), 5)
    np.testing.assert_allclose(np.sort(points[:, 0]), crowd[:, 0], atol=1e-6)


def test_nan_goes_first_and_never_reaches_the_sampling():
    good = rng().uniform((0.4, -0.2, 0.05), (0.7, 0.2, 0.4), (5000, 3))
    bad = good.copy()
    bad[::3, 1] = np.nan
    bad[1::3, 0] = np.inf
    points = cloud.sample(bad, PLAIN, rng(), 256)
    assert np.isfinite(points).all()
    assert len(np.unique(points, axis=0)) == 256
    kept = {tuple(point) for point in bad[2::3].astype(np.float32)}
    assert {tuple(point) for point in points} <= kept


def test_farthest_point_sampling_covers_what_random_choice_leaves_bare():
    # 5,000 points in one corner and 50 along a line: a random 100 would hold one or two of the line.
    crowd = rng().uniform((0.40, 0.10, 0.05), (0.42, 0.12, 0.07), (5000, 3))
    line = np.stack([np.linspace(0.45, 0.80, 50), np.zeros(50), np.full(50, 0.3)], axis=1)
    points = cloud.sample(np.concatenate([crowd, line]), PLAIN, rng(), 100)
    assert (points[:, 2] > 0.2).sum() == 50


def test_fewer_points_than_asked_are_repeated_in_turn():
    three = np.array([[0.5, 0, 0.1], [0.6, 0, 0.1], [0.5, 0.1, 0.1]])
    points = cloud.sample(three, PLAIN, rng(), 7)
    np.testing.assert_allclose(points, three[[0, 1, 2, 0, 1, 2, 0]], atol=1e-6)


def test_equal_seeds_give_equal_clouds_and_others_others():
    depth = image(0.9, 480, 640)
    k = np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]])
    a, b, c = (cloud.process(depth, k, DOWN, CloudConfig(), rng(seed), 512) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        (np.zeros((0, 3)), CloudProblem.TOO_FEW),
        (np.full((4096, 3), np.nan), CloudProblem.NO_DEPTH),
        (np.full((4096, 3), 9.0), CloudProblem.OUTSIDE),
        (np.array([[0.5, 0, 0.1], [0.5, 0.01, 0.1], [0.5, 0.02, 0.1]]), CloudProblem.TOO_FEW),
        (np.broadcast_to(np.float32([0.5, 0, 0.1]), (2_000_000, 3)), CloudProblem.TOO_LARGE),
        (np.zeros((10, 4)), CloudProblem.SHAPE),
    ],
    ids=["empty", "nan", "outside", "three_points", "two_million", "four_columns"],
)
def test_a_bad_cloud_is_refused_by_name(points, problem):
    with pytest.raises(CloudError) as refused:
        cloud.sample(points, CloudConfig(), rng(), 1024)
    assert refused.value.problem is problem
    assert problem.value in str(refused.value)


@pytest.mark.parametrize(
    ("depth", "problem"),
    [
        (np.zeros((48, 64), np.uint16), CloudProblem.NO_DEPTH),
        (np.full((48, 64), np.nan, np.float32), CloudProblem.NO_DEPTH),
        (np.zeros((0, 0), np.uint16), CloudProblem.NO_DEPTH),
        (np.full((48, 64), 65535, np.uint16), CloudProblem.NO_DEPTH),  # saturated: farther than `far`
        (np.full((48, 64), 2.9, np.float32), CloudProblem.TOO_FEW),  # 2 m below the table
        (np.zeros((2000, 1000), np.uint16), CloudProblem.TOO_LARGE),
        (np.zeros((48, 64, 3), np.uint8), CloudProblem.SHAPE),
        (np.zeros((48, 64), np.complex64), CloudProblem.SHAPE),
    ],
    ids=["zero", "nan", "empty", "saturated", "below_the_table", "huge", "colour", "complex"],
)
def test_a_bad_image_is_refused_by_name(depth, problem):
    with pytest.raises(CloudError) as refused:
        cloud.process(depth, K, DOWN, CloudConfig(), rng())
    assert refused.value.problem is problem


@pytest.mark.parametrize(
    ("k", "pose", "word"),
    [
        (np.zeros((3, 3)), DOWN, "focal"),
        (np.full((3, 3), np.nan), DOWN, "focal"),
        (K, np.zeros((4, 4)), "rotation"),
        (K, np.diag([1.0, 1.0, -1.0, 1.0]), "rotation"),  # a mirror
        (K, np.full((4, 4), np.nan), "finite"),
        (K, np.eye(3), "(4, 4)"),
    ],
)
def test_a_camera_that_cannot_be_is_refused(k, pose, word):
    with pytest.raises(ConfigError, match=word.replace("(", r"\(").replace(")", r"\)")):
        cloud.process(image(), k, pose, CloudConfig(), rng())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"low": (0.9, 0, 0)}, "below high"),
        ({"near": 3.5}, "near"),
        ({"lonely_cell": 0.002, "high": (2.0, 2.0, 2.0)}, "lonely_cell"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(changes, word):
    with pytest.raises(ConfigError, match=word):
        CloudConfig(**changes)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 1500), st.integers(0, 2**31), st.booleans())
def test_every_answer_has_the_asked_size_and_only_points_that_were_given(given_count, count, seed, spoiled):
    points = rng(seed).uniform((0.2, -0.5, 0.0), (0.9, 0.5, 0.7), (given_count, 3)).astype(np.float32)
    if spoiled:
        points[::2] = np.nan
    try:
        answer = cloud.sample(points, CloudConfig(), rng(seed), count)
    except CloudError as refusal:
        answer = refusal.problem
    if isinstance(answer, CloudProblem):
        assert answer in (CloudProblem.TOO_FEW, CloudProblem.NO_DEPTH, CloudProblem.OUTSIDE)
        return
    assert answer.shape == (count, 3)
    assert {tuple(point) for point in answer} <= {tuple(point) for point in points}
    assert (answer >= np.float32(CloudConfig().low)).all()
    assert (answer <= np.float32(CloudConfig().high)).all()
