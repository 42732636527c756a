"""Every task in Isaac Lab: Newton compiles our model, and two environments do what MuJoCo's do."""

from __future__ import annotations

import copy
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


def geoms_of(model: mujoco.MjModel) -> dict[str, int]:
    """Geoms that something can touch, by the name that the MJCF gives them."""
    names = {i: model.geom(i).name for i in range(model.ngeom)}
    # /World/envs/env_0/Tray/Geometry/tray_0_39 is tray_0
    short = {i: n.rpartition("/")[2].rpartition("_")[0] if "/" in n else n for i, n in names.items()}
    return {n: i for i, n in short.items() if model.geom_contype[i] or model.geom_conaffinity[i]}


def touching(model: mujoco.MjModel) -> set[frozenset[str]]:
    """Pairs of geoms that can touch."""
    apart = {(s >> 16, s & 0xFFFF) for s in model.exclude_signature.tolist()}
    pairs = set()
    for (first, a), (second, b) in itertools.combinations(geoms_of(model).items(), 2):
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
            pairs.add(frozenset((first, second)))
    return pairs


def put(model: mujoco.MjModel, places: dict[str, np.ndarray]) -> mujoco.MjData:
    """The model at rest with free bodies where they are told to be, forces computed.

    Without noslip, whose few iterations end elsewhere for another order of the same contacts.

    Args:
        places: position and quaternion of each body. Shapes: (7,)
    """
    model = copy.copy(model)
    model.opt.noslip_iterations = 0
    data = mujoco.MjData(model)
    bodies = {model.body(i).name.rpartition("_Geometry_")[2]: i for i in range(model.nbody)}
    for name, place in places.items():
        first = int(model.jnt_qposadr[model.body_jntadr[bodies[name]]])
        data.qpos[first : first + 7] = place
    mujoco.mj_forward(model, data)
    return data


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


def test_the_same_parts_can_touch(both):
    isaac, ours, _ = both
    mine = touching(ours.worlds.engine.models[0])
    assert touching(isaac.worlds.engine._solver.models[0]) == mine
    assert len(mine) > 100


def test_every_part_touches_as_ours(both):
    isaac, ours, _ = both
    newton, model = isaac.worlds.engine._solver.models[0], ours.worlds.engine.models[0]
    theirs, mine = geoms_of(newton), geoms_of(model)
    of_pairs = {name for pair in touching(model) for name in pair}
    for field in (
        "geom_type",
        "geom_condim",
        "geom_priority",
        "geom_friction",
        "geom_solref",
        "geom_solimp",
        "geom_solmix",
        "geom_margin",
        "geom_gap",
        "geom_rbound",
    ):
        for name in of_pairs:
            np.testing.assert_allclose(
                getattr(newton, field)[theirs[name]],
                getattr(model, field)[mine[name]],
                rtol=1e-5,
                atol=1e-7,
                err_msg=f"{field} of {name}",
            )


def test_what_an_object_lies_in_pushes_it_as_ours(both):
    isaac, ours, _ = both
    start = ours.worlds.starts[0]
    newton, model = isaac.worlds.engine._solver.models[0], ours.worlds.engine.models[0]
    fixed = [b for b in isaac.worlds.engine.scene.bodies if b.collides and not b.moves]
    free = {
        b.name: np.array([*start.bodies[b.name].position, *start.bodies[b.name].quaternion])
        for b in isaac.worlds.engine.scene.bodies
        if b.moves
    }
    for place in free.values():
        place[2] -= 5e-4  # clearly touching what it stands on
    middle = np.array(start.bodies[fixed[0].name].position) if fixed else np.array([0.5, 0.0, 0.0])
    rng, touched = np.random.default_rng(0), set()
    for _ in range(12):
        quaternion = np.array([1.0, 0.0, 0.0, 0.0]) + 0.1 * rng.standard_normal(4)
        position = middle + rng.uniform(-0.06, 0.06, 3) * (1, 1, 0) + (0, 0, start.shape.half_height - 0.003)
        places = free | {"object": np.array([*position, *quaternion / np.linalg.norm(quaternion)])}
        one, two = put(newton, places), put(model, places)
        pairs = []
        for data, names in ((one, geoms_of(newton)), (two, geoms_of(model))):
            of = {i: name for name, i in names.items()}
            pairs.append(sorted(sorted((of[a], of[b])) for a, b in data.contact.geom.tolist()))
        assert pairs[0] == pairs[1]
        touched |= {name for pair in pairs[1] if any(n.startswith("object") for n in pair) for name in pair}
        moves = [
            data.qacc[d : d + 6]
            for data, d in (
                (one, newton.body_dofadr[isaac.worlds.engine._fields._fields.object_body]),
                (two, model.body_dofadr[ours.worlds.engine.index.object_body]),
            )
        ]
        np.testing.assert_allclose(moves[0], moves[1], rtol=1e-4, atol=1e-3)
    for body in fixed:
        assert any(name.startswith(f"{body.name}_") for name in touched), f"nothing touched {body.name}"


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


def test_a_joint_at_its_limit_is_not_damped(both):
    model = copy.copy(both[0].worlds.engine._solver.models[0])
    fields = both[0].worlds.engine._fields._fields
    model.dof_damping[:] = 0.0
    data = mujoco.MjData(model)
    actuators = np.concatenate((fields.arm_position, fields.hand_position))
    joints = model.actuator_trnid[actuators, 0]
    dofs = model.jnt_dofadr[joints]
    data.qpos[model.jnt_qposadr[joints]] = model.jnt_range[joints].mean(axis=1)
    data.ctrl[actuators] = np.where(np.arange(len(joints)) % 2, 9.0, -9.0)
    data.qvel[dofs[:7]] = 0.2
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(np.abs(data.qfrc_actuator[dofs]), model.jnt_actfrcrange[joints, 1])
    expected = data.qvel[dofs] + model.opt.timestep * data.qacc[dofs]
    mujoco.mj_step(model, data)
    np.testing.assert_allclose(data.qvel[dofs], expected, rtol=1e-6, atol=1e-6)


def test_what_never_moves_is_shown_where_it_is(both):
    engine, ours = both[0].worlds.engine, both[1].worlds.engine
    shown, shapes = engine._fields._shown.numpy(), engine._fields._shapes
    for world in range(2):
        data = mujoco.MjData(ours.models[world])
        mujoco.mj_kinematics(ours.models[world], data)
        places = geoms_of(ours.models[world])
        for name, geom in geoms_of(engine._solver.models[world]).items():
            if name.rpartition("_")[0] in engine._fixed:
                pose = shown[shapes[world, geom]]
                np.testing.assert_allclose(pose[:3], data.geom_xpos[places[name]], atol=1e-6)
                turn = np.zeros(9)
                mujoco.mju_quat2Mat(turn, np.roll(pose[3:], 1).astype(float))
                np.testing.assert_allclose(turn, data.geom_xmat[places[name]], atol=1e-6)


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
