"""Bounding volumes of an object of another size."""

import mujoco
import numpy as np
import pytest

from rfs_sim.geom_bounds import set_bounds

GEOMS = """
<mujoco><worldbody><body><freejoint/>
  <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>
  <geom type="box" size="{}"/><geom type="cylinder" size="{}"/><geom type="capsule" size="{}"/>
</body></worldbody></mujoco>
"""
SMALL = ("0.03 0.03 0.03", "0.001 0.001", "0.002 0.001")
LARGE = ("0.01 0.02 0.02", "0.03 0.04", "0.02 0.05")


def compiled(sizes):
    return mujoco.MjModel.from_xml_string(GEOMS.format(*sizes))


def test_bounds_are_those_of_the_size():
    model = compiled(SMALL)
    model.geom_size[:] = compiled(LARGE).geom_size
    set_bounds(model, range(3))
    # Half edges; radius, radius, half height; radius, radius, half length and radius.
    np.testing.assert_allclose(
        model.geom_aabb[:, 3:], [(0.01, 0.02, 0.02), (0.03, 0.03, 0.04), (0.02, 0.02, 0.07)]
    )
    # sqrt(1 + 4 + 4) = 3; a 3-4-5 triangle; 5 + 2.
    np.testing.assert_allclose(model.geom_rbound, (0.03, 0.05, 0.07))


def test_the_tree_s_root_is_around_all_of_them_and_nothing_is_missed():
    model = compiled(SMALL)
    model.geom_size[:] = compiled(LARGE).geom_size
    set_bounds(model, range(3))
    root = model.bvh_aabb[int(model.body_bvhadr[1])]
    np.testing.assert_allclose(root, (0, 0, 0, 0.03, 0.03, 0.07), atol=1e-15)


def test_a_size_set_back_has_the_compiled_bounds_again():
    model, wanted = compiled(LARGE), compiled(SMALL)
    model.geom_size[:] = wanted.geom_size
    set_bounds(model, range(3))
    np.testing.assert_allclose(model.geom_aabb, wanted.geom_aabb, atol=1e-12)
    assert model.geom_rbound == pytest.approx(wanted.geom_rbound)
