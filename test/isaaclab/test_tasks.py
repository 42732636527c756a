"""Every task in Isaac Lab: Newton compiles our model, and two environments do what MuJoCo's do."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

from rfs_core import arrays, robot, tasks
from rfs_sim import vec_env
from rfs_sim.isaaclab.cfg import JOINTS

sys.path.insert(0, str(Path(__file__).parent))
from scenes import made

STEPS = 4
"""Control steps with the targets held."""


@pytest.fixture(scope="module", params=sorted(tasks.TASKS))
def both(request):
    """Two environments of a task in Isaac Lab, and the same two in MuJoCo, in episodes 0 and 1."""
    with made(request.param) as isaac:
        ours = vec_env.make_env(request.param, 2, disturbance=0.0)
        observations = isaac.reset(0), ours.reset(0)
        yield isaac, ours, observations
        ours.close()


def link_of(path: str) -> str:
    """Name of the link or body at the end of a name that Newton made of a USD path."""
    names = path.rpartition("_Geometry_")[2]
    links = [name for name in LINKS if names == name or names.endswith(f"_{name}")]
    return max(links, key=len) if links else names


LINKS = [
    "fr3_link0", *(f"fr3_link{i}" for i in range(1, 8)), "palm",
    *(f"{f}_{p}" for f in ("if", "mf", "rf") for p in ("bs", "px", "md", "ds")),
    "th_mp", "th_bs", "th_px", "th_ds",
]  # fmt: skip


def moments(model: mujoco.MjModel, body: int) -> np.ndarray:
    """Inertia about the axes of the body's frame, whichever principal axes are stored. Shape: (3, 3)"""
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, model.body_iquat[body])
    return turn.reshape(3, 3) @ np.diag(model.body_inertia[body]) @ turn.reshape(3, 3).T


def touching(model: mujoco.MjModel, name) -> set[frozenset[str]]:
    """Pairs of bodies that can touch."""
    apart = {(s >> 16, s & 0xFFFF) for s in model.exclude_signature.tolist()}
    pairs = set()
    for a, b in itertools.combinations(range(model.ngeom), 2):
        one, two = int(model.geom_bodyid[a]), int(model.geom_bodyid[b])
        if not (
            model.geom_contype[a] & model.geom_conaffinity[b]
            or model.geom_contype[b] & model.geom_conaffinity[a]
        ):
            continue
        weld, other = int(model.body_weldid[one]), int(model.body_weldid[two])
        above, beyond = (int(model.body_weldid[model.body_parentid[w]]) for w in (weld, other))
        kin = weld == other or (weld and other and (above == other or beyond == weld))
        if not kin and (one, two) not in apart and (two, one) not in apart:
            pairs.add(frozenset((name(one), name(two))))
    return pairs


def test_the_compiled_robot_is_ours(both):
    isaac, ours, _ = both
    newton, model = isaac.worlds.engine._solver.models[0], ours.worlds.engine.models[0]
    joints = {newton.joint(i).name.rpartition("_Geometry_")[2]: i for i in range(newton.njnt)}
    for name in JOINTS:
        (i,) = [i for path, i in joints.items() if path.endswith(f"_{name}")]
        j = model.joint(name).id
        dof, ref = int(newton.jnt_dofadr[i]), int(model.jnt_dofadr[j])
        for field in ("jnt_range", "jnt_axis", "jnt_actfrcrange"):
            np.testing.assert_allclose(
                getattr(newton, field)[i], getattr(model, field)[j], rtol=1e-5, atol=1e-6
            )
        for field in ("dof_armature", "dof_damping"):
            np.testing.assert_allclose(getattr(newton, field)[dof], getattr(model, field)[ref], rtol=1e-5)
    seen = {link_of(newton.body(i).name): i for i in range(1, newton.nbody)}
    for link in LINKS:
        i, j = seen[link], model.body(link).id
        np.testing.assert_allclose(newton.body_mass[i], model.body_mass[j], rtol=1e-5)
        np.testing.assert_allclose(newton.body_ipos[i], model.body_ipos[j], atol=1e-7)
        np.testing.assert_allclose(
            moments(newton, i), moments(model, j), rtol=1e-3, atol=1e-4 * model.body_inertia[j].max()
        )
        if link != "fr3_link0":
            assert newton.body_gravcomp[i] == model.body_gravcomp[j] == 1.0


def test_the_same_bodies_can_touch(both):
    isaac, ours, _ = both
    newton, model = isaac.worlds.engine._solver.mj_model, ours.worlds.engine.models[0]
    other = touching(newton, lambda body: link_of(newton.body(body).name) if body else "world")
    mine = touching(model, lambda body: model.body(body).name)
    assert other == mine


def test_the_compiled_object_is_the_episode_s(both):
    isaac, ours, _ = both
    engine = isaac.worlds.engine
    fields = engine._fields._fields
    for world in range(2):
        newton, model, index = (
            engine._solver.models[world],
            ours.worlds.engine.models[world],
            ours.worlds.engine.index,
        )
        body = fields.object_body
        assert newton.body_mass[body] == pytest.approx(model.body_mass[index.object_body])
        np.testing.assert_allclose(newton.body_ipos[body], model.body_ipos[index.object_body], atol=1e-9)
        np.testing.assert_allclose(moments(newton, body), moments(model, index.object_body), rtol=1e-6)
        for kind, geom in fields.object_geoms.items():
            np.testing.assert_allclose(newton.geom_size[geom], model.geom_size[index.object_geoms[kind]])
            np.testing.assert_allclose(newton.geom_aabb[geom], model.geom_aabb[index.object_geoms[kind]])
            assert newton.geom_rbound[geom] == pytest.approx(model.geom_rbound[index.object_geoms[kind]])
        np.testing.assert_allclose(
            newton.actuator_gainprm[fields.hand_position, 0], model.actuator_gainprm[index.hand_ctrl, 0]
        )


def test_an_episode_begins_alike(both):
    _, _, (isaac, ours) = both
    np.testing.assert_allclose(isaac, ours, atol=1e-5)


def test_held_targets_move_both_alike(both):
    isaac, ours, _ = both
    assert isaac.reset(0) is not None
    ours.reset(0)
    for worlds in (isaac.worlds, ours.worlds):
        for _ in range(STEPS):
            worlds.step(worlds.target, worlds.hand_target, disturbed=False)
    one, two = isaac.worlds.state.numpy(), ours.worlds.state
    np.testing.assert_allclose(one.arm_position, two.arm_position, atol=1e-4)
    np.testing.assert_allclose(one.hand_position, two.hand_position, atol=2e-3)
    np.testing.assert_allclose(one.object_pose.position, two.object_pose.position, atol=1e-3)
    for name, body in two.bodies.items():
        np.testing.assert_allclose(
            one.bodies[name].pose.position, body.pose.position, atol=2e-3, err_msg=name
        )
    differ = arrays.to_numpy(isaac.worlds.engine.contacts) != ours.worlds.engine.contacts
    assert differ.sum() <= 1, "a finger that just touches may not, by a rounding"
    assert not isaac.worlds.engine.problems()
    assert pytest.approx(one.time[0]) == robot.CONTROL_DT * STEPS
