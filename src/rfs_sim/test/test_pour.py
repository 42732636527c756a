"""Promises of pour in the simulation: its starts, cup, balls, bowl and demonstrator."""

import dataclasses
import xml.etree.ElementTree as ET

import mujoco
import numpy as np
import pytest

from rfs_core import se3
from rfs_core.seeding import episode_rng
from rfs_core.tasks import pour
from rfs_sim import demonstrators, mjcf
from rfs_sim.pour_demonstrator import FLAWLESS, MAIN, PourDemonstrator
from rfs_sim.randomization import DisturbanceConfig, solids_inertia
from rfs_sim.scripted_success import play
from rfs_sim.vec_env import make_env
from rfs_sim.worlds import Worlds

CALM = DisturbanceConfig().scaled(0.0)


def test_starts_are_at_rest_with_the_balls_in_the_held_cup() -> None:
    worlds = Worlds("pour", 16, disturbance=CALM)
    worlds.reset(0, range(16))
    start = worlds.state
    grip = np.array([s.hand_target for s in worlds.starts])
    for _ in range(10):
        worlds.step(worlds.target, grip)
    state = worlds.state
    cup = np.linalg.norm(state.object_pose.position - start.object_pose.position, axis=1)
    assert cup.max() < 3e-3
    for name in pour.BALLS:
        moved = state.bodies[name].pose.position - start.bodies[name].pose.position
        assert np.linalg.norm(moved, axis=1).max() < 5e-3
        assert np.abs(state.bodies[name].velocity[:, :3]).max() < 0.03
    assert pour.holds(state).all()
    worlds.close()


@pytest.mark.parametrize("speed", [0.0, 1.5])
def test_balls_that_fall_into_the_bowl_stay_within_its_walls(speed: float) -> None:
    worlds = Worlds("pour", 4, disturbance=CALM)
    starts = []
    for i in range(4):
        start = pour.draw_episode(episode_rng(0, i, "reset"))
        bodies = dict(start.bodies)
        bowl = bodies["bowl"]
        for name, corner in zip(pour.BALLS, ((-1, -1), (-1, 1), (1, -1), (1, 1)), strict=True):
            # From just above the rim with speed, or from 20 cm without; 1.4 cm within the walls.
            offset = np.array([[0.03 * corner[0], 0.03 * corner[1], 0.03 if speed else 0.20]])
            bodies[name] = dataclasses.replace(
                bowl, position=bowl.position + se3.quat_rotate(bowl.quaternion[None], offset)[0]
            )
        starts.append(dataclasses.replace(start, bodies=bodies))
    worlds.begin(starts)
    for name in pour.BALLS:
        worlds.engine.qvel[:, worlds.engine.index.bodies[name].dof[0]] = speed
    for _ in range(20):
        worlds.step(worlds.target, worlds.hand_target)
    assert pour.in_bowl(worlds.state).all()
    worlds.close()


def test_inertia_of_the_cup_is_what_the_compiler_makes_of_its_solids() -> None:
    scene = mjcf.SceneConfig(bodies=pour.BODIES, object_solids=pour.OBJECT_SOLIDS)
    root = ET.fromstring(mjcf.write(scene))
    body = next(b for b in root.iter("body") if b.get("name") == "object")
    for child in list(body):
        if child.tag == "inertial" or (child.tag == "geom" and "solid" not in child.get("name", "")):
            body.remove(child)
    for sensor in root.findall("sensor"):
        root.remove(sensor)
    model = mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))
    compiled = model.body("object")
    np.testing.assert_allclose(compiled.ipos, mjcf.centroid(pour.OBJECT_SOLIDS), atol=1e-12)
    inertia = solids_inertia(pour.OBJECT_SOLIDS, float(compiled.mass[0]))
    np.testing.assert_allclose(sorted(inertia), sorted(compiled.inertia), rtol=1e-9)


def test_the_cup_takes_the_place_of_the_primitives_in_the_model() -> None:
    worlds = Worlds("pour", 1, disturbance=CALM)
    worlds.reset(0, [0])
    model, index = worlds.engine.models[0], worlds.engine.index
    assert len(index.object_solids) == 5
    assert (model.geom_contype[index.object_solids] == 1).all()
    assert all(model.geom_contype[g] == 0 for g in index.object_geoms.values())
    assert (model.geom_friction[index.object_solids, 0] == worlds.starts[0].object_friction).all()
    assert model.body_mass[index.object_body] == pytest.approx(worlds.starts[0].object_mass)
    worlds.close()


def test_an_episode_does_not_depend_on_what_is_played_beside_it() -> None:
    def rolled(episodes: list[int]) -> np.ndarray:
        env = make_env("pour", len(episodes), autoreset=False)
        demonstrator = PourDemonstrator(len(episodes), MAIN)
        observation = env.reset(5, np.array(episodes))
        demonstrator.reset(5, np.array(episodes))
        for _ in range(12):
            observation = env.step(demonstrator.act(observation)[1][:, None]).observation
        balls = [env.worlds.state.bodies[name].pose.position[-1] for name in pour.BALLS]
        env.close()
        return np.concatenate([observation[-1], *balls])

    np.testing.assert_array_equal(rolled([3, 0, 7]), rolled([7]))


def test_without_defects_it_succeeds_and_with_loose_fingers_the_cup_is_lost() -> None:
    assert play("pour", "flawless", 24, 1)[0] >= 0.7
    share, words = play("pour", "loose", 12, 1)
    assert share <= 0.1
    assert words["object lost"] + words["cup dropped"] >= 10


def observation(beside: float, tilt: float = 0.0) -> np.ndarray:
    """A cup `beside` where a flawless script aims, along y, at the right height, tilted towards y."""
    spec = pour.OBSERVATION_SPEC
    parts = {part.name: np.zeros((1, part.size)) for part in spec.parts}
    goal = np.array([0.55, 0.05, 0.22])
    turned = np.array([[np.cos(tilt / 2), -np.sin(tilt / 2), 0.0, 0.0]])
    up = se3.quat_rotate(turned, np.array([[0.0, 0.0, 1.0]]))
    cup = (goal + [0.01, -0.02, 0.0] - [0.0, beside, 0.0])[None] - pour.TOP * up
    parts.update(
        palm_position=cup + [[0.0, 0.0, 0.07]],
        palm_rotation=se3.rotation_6d(turned),
        object_position=cup,
        object_rotation=se3.rotation_6d(turned),
        target_position=np.array([[0.55, 0.05, 0.0]]),
        target_rotation=np.array([[1.0, 0, 0, 0, 1.0, 0]]),
        goal_position=goal[None],
    )
    return spec.pack(parts).astype(np.float32)


def test_far_beside_the_bowl_it_carries_the_cup_upright() -> None:
    action = PourDemonstrator(1).act(observation(0.10))[0][0]
    # A fifth of 10 cm is more than its speed of 15 mm; nothing to turn.
    np.testing.assert_allclose(action[:6], [0.0, 0.015, 0.0, 0.0, 0.0, 0.0], atol=1e-6)
    tilted = PourDemonstrator(1).act(observation(0.10, 0.1))[0][0]
    # Tilted towards y by 0.1 is turned by -0.1 about x: back by a fifth of sin 0.1.
    np.testing.assert_allclose(tilted[3:6], [0.20 * np.sin(0.1), 0.0, 0.0], atol=1e-6)


def test_at_the_bowl_it_rolls_the_palm_at_its_speed_about_the_cup() -> None:
    action = PourDemonstrator(1).act(observation(0.0))[0][0]
    assert np.linalg.norm(action[3:6]) == pytest.approx(0.045, abs=1e-6)
    assert action[3] < -0.04  # towards y
    # The palm is 7 cm above the cup's centre: w x r = (wy, -wx, 0) * 0.07.
    np.testing.assert_allclose(action[:3], [0.07 * action[4], -0.07 * action[3], 0.0], atol=1e-6)


def test_a_loose_episode_opens_its_fingers_only_once_it_tips() -> None:
    loose = dataclasses.replace(FLAWLESS, loose_share=1.0)
    for beside, opened in ((0.10, False), (0.0, True)):
        demonstrator, calm = PourDemonstrator(1, loose), PourDemonstrator(1)
        demonstrator.reset(0, np.array([0]))
        change = np.abs(demonstrator.act(observation(beside))[0] - calm.act(observation(beside))[0])[0, 6:]
        # Six joints or more by more than the residual's 0.15 rad, or none at all.
        assert ((change > 0.15).sum() >= 6) == opened
        assert (change.max() > 0) == opened


def test_published_variants_switch_one_defect_each() -> None:
    known = demonstrators.of("pour").variants
    for name, fields in (("unbiased", {"bias"}), ("no_modes", {"loose_share"}), ("broad", {"spread"})):
        differ = {
            f.name for f in dataclasses.fields(MAIN) if getattr(MAIN, f.name) != getattr(known[name], f.name)
        }
        assert differ == fields
