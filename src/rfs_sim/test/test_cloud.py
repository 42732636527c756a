"""Ray casting against scenes whose geometry is worked out by hand."""

import math

import mujoco
import numpy as np
import pytest

from rfs_core.errors import ConfigError
from rfs_sim.cloud import Camera, DepthSensor, crop, resample

# A box of 0.1 x 0.2 x 0.3 m with its centre at (0.5, 0, 0.15): its faces lie at x 0.45 and 0.55, y -+0.1,
# z 0 and 0.3. Behind it a wall whose near face is the plane x = 1; a ghost in group 3 stands before it.
SCENE = """
<mujoco><worldbody>
  <geom name="wall" type="box" pos="1.05 0 0.5" size="0.05 2 2"/>
  <geom name="ghost" type="sphere" pos="0.2 0 0.15" size="0.05" group="3"/>
  <body name="box" pos="0.5 0 0.15"><freejoint/><geom name="box" type="box" size="0.05 0.1 0.15"/></body>
</worldbody></mujoco>
"""


@pytest.fixture(scope="module")
def scene():
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def straight_camera(width=41, height=31):
    """At x = -0.5, level with the box's centre, looking along +x: depth is x + 0.5."""
    return Camera.looking_at((-0.5, 0.0, 0.15), (0.5, 0.0, 0.15), math.radians(60), width, height)


def test_camera_frame_is_right_down_forward():
    # Looking along +x with z up: right is -y, down is -z.
    expected = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], dtype=float)
    np.testing.assert_allclose(straight_camera().rotation, expected, atol=1e-15)


def test_focal_length_follows_from_the_field_of_view():
    # Half the image's height, 60 pixels, is seen under 45 degrees: f = 60 / tan 45 = 60.
    camera = Camera.looking_at((0, 0, 0), (1, 0, 0), math.pi / 2, 160, 120)
    assert camera.focal == pytest.approx(60.0)
    assert camera.centre == (79.5, 59.5)


def test_depth_of_the_middle_pixel_is_the_distance_to_the_box(scene):
    model, data = scene
    camera = straight_camera()
    depth, geom = DepthSensor(camera).cast(model, data)
    assert depth[15, 20] == pytest.approx(0.95, abs=1e-9)  # from -0.5 to the face at 0.45
    assert model.geom(int(geom[15, 20])).name == "box"


def test_depth_is_along_the_axis_and_not_along_the_ray(scene):
    model, data = scene
    depth, geom = DepthSensor(straight_camera()).cast(model, data)
    wall = geom == model.geom("wall").id
    assert wall.sum() > 100
    np.testing.assert_allclose(depth[wall], 1.5, atol=1e-9)  # a plane across the axis has one depth


def test_points_lie_on_the_faces_of_the_box(scene):
    model, data = scene
    # From above and aside: the faces x = 0.45, y = -0.1 and z = 0.3 are seen.
    sensor = DepthSensor(Camera.looking_at((0.0, -0.5, 0.8), (0.5, 0.0, 0.15), math.radians(40), 80, 60))
    depth, geom = sensor.cast(model, data)
    points = sensor.points(depth)[(geom == model.geom("box").id).ravel()]
    assert len(points) > 200
    low, high = np.array([0.45, -0.1, 0.0]), np.array([0.55, 0.1, 0.3])
    assert np.all(points >= low - 1e-6)
    assert np.all(points <= high + 1e-6)
    distances = np.abs(np.stack([points[:, 0] - 0.45, points[:, 1] + 0.1, points[:, 2] - 0.3], axis=1))
    assert distances.min(axis=1).max() < 1e-6
    for face in range(3):
        assert (distances[:, face] < 1e-6).sum() > 20


def test_points_follow_the_body(scene):
    model, _ = scene
    data = mujoco.MjData(model)
    data.qpos[:3] = 0.3, 0.02, 0.15
    mujoco.mj_forward(model, data)
    depth, _ = DepthSensor(straight_camera()).cast(model, data)
    assert depth[15, 20] == pytest.approx(0.75, abs=1e-9)  # the near face has moved to x = 0.25


def test_geoms_of_hidden_groups_are_not_seen(scene):
    model, data = scene
    _, geom = DepthSensor(straight_camera()).cast(model, data)
    assert model.geom("ghost").id not in geom


def test_what_is_farther_than_the_maximum_is_not_seen(scene):
    model, data = scene
    sensor = DepthSensor(straight_camera(), maximum_depth=1.2)
    depth, geom = sensor.cast(model, data)
    assert set(np.unique(geom)) == {-1, model.geom("box").id}
    assert np.array_equal(np.isnan(depth), geom == -1)
    assert np.isnan(sensor.points(depth)[(geom == -1).ravel()]).all()


def test_crop_keeps_the_bounds_and_drops_what_is_not_finite():
    points = np.array([[0.0, 0, 0], [1, 1, 1], [0.5, 0.5, 1.1], [np.nan, 0.5, 0.5], [0.2, 0.3, 0.4]])
    expected = [[0.0, 0, 0], [1, 1, 1], [0.2, 0.3, 0.4]]
    np.testing.assert_array_equal(crop(points, np.zeros(3), np.ones(3)), expected)


def test_too_many_points_are_thinned_evenly():
    points = np.arange(10.0)[:, None] * [1, 1, 1]
    # 10 points to 4: indices floor(i * 10 / 4) = 0, 2, 5, 7.
    assert resample(points, 4)[:, 0].tolist() == [0, 2, 5, 7]


def test_too_few_points_are_repeated_in_turn():
    points = np.array([[1.0, 0, 0], [2, 0, 0], [3, 0, 0]])
    assert resample(points, 7)[:, 0].tolist() == [1, 2, 3, 1, 2, 3, 1]


def test_no_points_become_nan_and_not_zeros():
    cloud = resample(np.empty((0, 3)), 5)
    assert cloud.shape == (5, 3)
    assert cloud.dtype == np.float32
    assert np.isnan(cloud).all()


def test_camera_of_a_model_is_the_same_camera():
    # MuJoCo's xyaxes: x to the right, y up. At (1, 0, 0) looking along -x: right is +y, up is +z.
    xml = """<mujoco><worldbody>
      <camera name="still" pos="1 0 0" xyaxes="0 1 0 0 0 1" fovy="50"/>
      <body><camera name="moving"/><geom size="1"/></body>
    </worldbody></mujoco>"""
    model = mujoco.MjModel.from_xml_string(xml)
    camera = Camera.of_model(model, "still", 80, 60)
    by_hand = Camera.looking_at((1, 0, 0), (0, 0, 0), math.radians(50), 80, 60)
    np.testing.assert_allclose(camera.rays(), by_hand.rays(), atol=1e-12)
    np.testing.assert_allclose(camera.position, (1, 0, 0))
    for name in ("moving", "absent"):
        with pytest.raises(ConfigError, match="fixed to the world: still"):
            Camera.of_model(model, name, 80, 60)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (((0, 0, 1), (0, 0, 0), 1.0, 8, 6), "straight up or down"),
        (((0, 0, 0), (1, 0, 0), 4.0, 8, 6), "fovy"),
        (((0, 0, 0), (1, 0, 0), 1.0, 0, 6), "0 x 6"),
    ],
)
def test_impossible_cameras_are_refused(arguments, why):
    with pytest.raises(ConfigError, match=why):
        Camera.looking_at(*arguments)
