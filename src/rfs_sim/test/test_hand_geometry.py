"""Promises of `rfs_core.hand_geometry` against the simulated hand: same frames, capsules, distances."""

import mujoco
import numpy as np
import pytest

from rfs_core import hand_geometry as geometry
from rfs_core import robot, se3
from rfs_sim import facts
from rfs_sim.model import ModelIndex, compile_model


def test_links_and_capsules_are_those_of_the_simulated_hand() -> None:
    links = {link.name: link for link in facts.HAND_LINKS}
    seen = [link for finger in geometry.FINGERS for link in finger]
    assert [link.name for link in seen] == list(links)
    assert geometry.PALM_FRAME_IN_LEAP == facts.PALM_FRAME_IN_LEAP
    for link in seen:
        fact = links[link.name]
        assert (link.joint, link.position) == (fact.joint, fact.position)
        assert fact.axis == (0.0, 0.0, -1.0)
        np.testing.assert_allclose(link.quaternion, fact.quaternion)
        (shape,) = [s for s in fact.shapes if s.collides] or [None]
        if link.capsule is None or shape is None:
            continue
        if shape.kind == "capsule":
            assert (*link.capsule.start, *link.capsule.end) == shape.ends
            assert (link.capsule.radius,) == shape.size
        else:
            # Inside the box: along its longest axis, as thick as its shortest, not beyond its ends.
            for end in (link.capsule.start, link.capsule.end):
                room = np.array(shape.size) - np.abs(np.array(end) - shape.position)
                assert room.min() >= link.capsule.radius - 1e-9


def test_distances_of_capsules_are_those_mujoco_finds() -> None:
    model = compile_model()
    data = mujoco.MjData(model)
    index = ModelIndex.of(model)
    rng = np.random.default_rng(0)
    low, high = robot.HAND_LIMITS
    geoms = {}
    for name in geometry.CAPSULES:
        (found,) = [
            g
            for g in range(model.ngeom)
            if model.geom_bodyid[g] == model.body(name).id and model.geom_contype[g]
        ]
        if model.geom_type[found] == mujoco.mjtGeom.mjGEOM_CAPSULE:
            geoms[geometry.CAPSULES.index(name)] = found
    assert len(geoms) == 8  # all but the fingers' proximal boxes
    overlaps = 0
    for _ in range(20):
        hand = rng.uniform(low, high)
        data.qpos[:] = model.qpos0
        data.qpos[index.hand_qpos] = hand
        mujoco.mj_forward(model, data)
        axes = geometry.capsule_axes(hand[None])[0]
        for a, b in geometry.PAIRS.tolist():
            if a not in geoms or b not in geoms:
                continue
            ours = geometry.segment_distance(*axes[a], *axes[b]) - geometry.RADII[[a, b]].sum()
            theirs = mujoco.mj_geomDistance(model, data, geoms[a], geoms[b], 1.0, None)
            assert ours == pytest.approx(theirs, abs=1e-6)
            overlaps += int(theirs < 0)
    assert overlaps > 10, "the drawn hands must show fingers that run into each other"


def test_capsules_lie_in_the_palm_frame() -> None:
    model = compile_model()
    data = mujoco.MjData(model)
    index = ModelIndex.of(model)
    hand = np.full(16, 0.3)
    data.qpos[index.hand_qpos] = hand
    mujoco.mj_forward(model, data)
    site = model.site("palm").id
    palm = se3.Pose(data.site_xpos[site][None], se3.quat_from_matrix(data.site_xmat[site].reshape(1, 3, 3)))
    tip = geometry.capsule_axes(hand[None])[:, geometry.CAPSULES.index("th_ds"), 1]
    in_base = palm.position + se3.quat_rotate(palm.quaternion, tip)
    np.testing.assert_allclose(in_base[0], data.site_xpos[model.site("th_tip").id], atol=1e-6)
