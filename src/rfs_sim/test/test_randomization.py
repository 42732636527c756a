"""Promises of the randomisation: what a reset writes is what a compiler would have made of it."""

import copy
import xml.etree.ElementTree as ET

import mujoco
import numpy as np
import pytest

from rfs_core import tasks
from rfs_core.seeding import episode_rng
from rfs_core.tasks import grasp
from rfs_core.tasks.grasp import ObjectShape
from rfs_sim import mjcf, randomization
from rfs_sim.model import ModelIndex, compile_model
from rfs_sim.randomization import DisturbanceConfig

SHAPES = [
    ObjectShape("b", "box", (0.02, 0.03, 0.04)),
    ObjectShape("c", "cylinder", (0.03, 0.03, 0.045)),
    ObjectShape("p", "capsule", (0.025, 0.025, 0.03)),
]


def start_with(shape: ObjectShape) -> grasp.EpisodeStart:
    start = grasp.draw_episode(episode_rng(0, 0, "reset"))
    return grasp.EpisodeStart(**{**start.__dict__, "shape": shape})


def compiled_with(shape: ObjectShape) -> mujoco.MjModel:
    """The same world, the object's slots written into the MJCF."""
    root = ET.fromstring(mjcf.write(mjcf.SceneConfig()))
    for kind in mjcf.SLOT_KINDS:
        geom = root.find(f".//geom[@name='object_{kind}']")
        assert geom is not None
        tiny = mjcf.UNUSED_SLOT_SIZE
        if kind != shape.kind:
            size = (tiny,) * (3 if kind == "box" else 2)
        else:
            size = shape.size if kind == "box" else (shape.size[0], shape.size[2])
        geom.set("size", " ".join(map(str, size)))
    return mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.kind)
def test_a_reset_leaves_the_bounds_that_compiling_the_shape_gives(shape: ObjectShape) -> None:
    model = compile_model()
    index = ModelIndex.of(model)
    randomization.apply_start(model, mujoco.MjData(model), index, start_with(shape))
    compiled = compiled_with(shape)
    for geom in index.object_geoms.values():
        np.testing.assert_allclose(model.geom_size[geom], compiled.geom_size[geom], atol=1e-12)
        np.testing.assert_allclose(model.geom_rbound[geom], compiled.geom_rbound[geom], atol=1e-9)
        np.testing.assert_allclose(model.geom_aabb[geom], compiled.geom_aabb[geom], atol=1e-9)
    body = index.object_body
    root_node = model.bvh_aabb[model.body_bvhadr[body]]
    compiled_root = compiled.bvh_aabb[compiled.body_bvhadr[body]]
    assert (root_node[3:] >= compiled_root[3:] - 1e-9).all()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.kind)
def test_only_the_drawn_shape_collides_and_is_seen(shape: ObjectShape) -> None:
    model = compile_model()
    index = ModelIndex.of(model)
    for before in SHAPES:  # whatever was there before
        randomization.apply_start(model, mujoco.MjData(model), index, start_with(before))
    randomization.apply_start(model, mujoco.MjData(model), index, start_with(shape))
    for kind, geom in index.object_geoms.items():
        used = kind == shape.kind
        assert bool(model.geom_contype[geom]) == bool(model.geom_conaffinity[geom]) == used
        assert model.geom_rgba[geom, 3] == used


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.kind)
def test_inertia_is_that_of_the_solid_shape(shape: ObjectShape) -> None:
    size = shape.size if shape.kind == "box" else (shape.size[0], shape.size[2])
    body = f'<body><geom type="{shape.kind}" size="{" ".join(map(str, size))}" mass="0.12"/></body>'
    solid = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{body}</worldbody></mujoco>")
    expected = np.diag(_full_inertia(solid, 1))
    np.testing.assert_allclose(randomization.shape_inertia(shape, 0.12), expected, rtol=1e-9)


def _full_inertia(model: mujoco.MjModel, body: int) -> np.ndarray:
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.body_iquat[body])
    r = rotation.reshape(3, 3)
    return r @ np.diag(model.body_inertia[body]) @ r.T


def test_mass_friction_and_gains_reach_the_model() -> None:
    model = compile_model()
    index = ModelIndex.of(model)
    start = start_with(SHAPES[0])
    for _ in range(2):  # factors do not pile up over resets
        randomization.apply_start(model, mujoco.MjData(model), index, start)
    assert model.body_mass[index.object_body] == start.object_mass
    assert model.geom_friction[index.object_geoms["box"], 0] == start.object_friction
    kp = model.actuator_gainprm[index.arm_ctrl, 0]
    np.testing.assert_allclose(kp, start.arm_gain * np.array([2000.0] * 4 + [500.0] * 3))
    np.testing.assert_allclose(model.actuator_biasprm[index.arm_ctrl, 1], -kp)
    np.testing.assert_allclose(model.actuator_biasprm[index.arm_damper, 2], -kp / 10)
    np.testing.assert_allclose(model.actuator_gainprm[index.hand_ctrl, 0], start.hand_gain * 3.0)
    np.testing.assert_allclose(model.body_subtreemass[index.object_body], start.object_mass)


def test_disturbances_come_every_two_to_five_control_steps() -> None:
    gaps = set()
    for episode in range(40):
        torque = randomization.draw_disturbance(
            episode_rng(0, episode, "disturbance"), 64, DisturbanceConfig()
        )
        assert torque.shape == (64, 23)
        at = np.flatnonzero(torque.any(axis=1))
        assert 1 <= at[0] <= 4
        assert at[-1] >= 59
        gaps |= set(np.diff(at).tolist())
    assert gaps == {2, 3, 4, 5}


def test_disturbances_scale_and_the_wrist_gets_a_quarter() -> None:
    def draw(config: DisturbanceConfig) -> np.ndarray:
        return np.concatenate(
            [randomization.draw_disturbance(episode_rng(1, e, "disturbance"), 64, config) for e in range(200)]
        )

    torque = draw(DisturbanceConfig())
    pulses = torque[torque.any(axis=1)]
    np.testing.assert_allclose(pulses[:, :4].std(), 10.0, rtol=0.05)
    np.testing.assert_allclose(pulses[:, 4:7].std(), 2.5, rtol=0.05)
    np.testing.assert_allclose(pulses[:, 7:].std(), 0.03, rtol=0.05)
    np.testing.assert_allclose(draw(DisturbanceConfig().scaled(2.0)), 2.0 * torque)
    assert not draw(DisturbanceConfig().scaled(0.0)).any()


@pytest.mark.parametrize("task", sorted(tasks.TASKS))
def test_every_field_that_a_start_changes_is_known(task: str) -> None:
    module = tasks.load(task)
    scene = mjcf.SceneConfig(bodies=module.BODIES, object_solids=module.OBJECT_SOLIDS)
    template = compile_model(scene)
    index = ModelIndex.of(template, bodies=scene.bodies)
    scratch = mujoco.MjData(template)
    names = [
        name
        for name in dir(template)
        if not name.startswith("_") and isinstance(getattr(template, name), np.ndarray)
    ]
    changed = set()
    models = []
    for i in range(12):
        start = module.draw_episode(episode_rng(0, i, "reset"))
        model = copy.copy(template)
        randomization.apply_start(model, scratch, index, start)
        models.append(model)
    for name in names:
        first = getattr(models[0], name)
        if any(not np.array_equal(first, getattr(model, name)) for model in models):
            changed.add(name)
    assert changed <= set(randomization.PER_WORLD) | set(randomization.NOT_PER_WORLD), (
        "worlds would share these"
    )
    assert {"body_mass", "body_subtreemass", "actuator_gainprm"} <= changed
