"""Promises of kit in the simulation: its starts, its tray, its demonstrator."""

import dataclasses

import numpy as np
import pytest

from rfs_core import se3
from rfs_core.seeding import episode_rng
from rfs_core.tasks import kit, set_down
from rfs_sim import demonstrators
from rfs_sim.kit_demonstrator import FLAWLESS, MAIN, KitDemonstrator
from rfs_sim.randomization import DisturbanceConfig
from rfs_sim.scripted_success import play
from rfs_sim.set_down_demonstrator import SetDownDemonstratorConfig
from rfs_sim.vec_env import make_env
from rfs_sim.worlds import Worlds

CALM = DisturbanceConfig().scaled(0.0)


def dropped(beside: float, angle: float) -> tuple[float, float]:
    """A brick let fall from 3 cm above the tray's floor: height above the goal and uprightness at rest."""
    worlds = Worlds("kit", 1, disturbance=CALM)
    start = kit.draw_episode(episode_rng(0, 0, "reset"))
    tray = start.bodies["tray"]
    turn = np.array([[np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)]])
    # The hand is 8 cm or more beside the tray.
    worlds.begin(
        [
            dataclasses.replace(
                start,
                object_position=start.goal_position
                + se3.quat_rotate(tray.quaternion[None], np.array([[beside, 0.0, 0.03]]))[0],
                object_quaternion=se3.quat_multiply(tray.quaternion[None], turn)[0],
                contacts=np.zeros(5, dtype=np.bool_),
            )
        ]
    )
    for _ in range(40):
        worlds.step(worlds.target, worlds.hand_target)
    state = worlds.state
    worlds.close()
    return float(set_down.above(state)[0]), float(set_down.uprightness(state.object_pose.quaternion)[0])


@pytest.mark.parametrize(("beside", "angle"), [(0.0, 0.0), (0.0, 0.15), (0.004, 0.0)])
def test_a_brick_within_the_clearance_falls_to_the_floor_of_the_tray(beside: float, angle: float) -> None:
    height, upright = dropped(beside, angle)
    assert height == pytest.approx(0.0, abs=1e-3)
    assert upright > 0.999


@pytest.mark.parametrize(("beside", "angle"), [(0.0, 0.4), (0.015, 0.0)])
def test_a_brick_beyond_the_clearance_stays_on_the_rim_or_falls_over(beside: float, angle: float) -> None:
    height, upright = dropped(beside, angle)
    assert height > 0.005 or upright < 0.7


def test_starts_are_at_rest_with_the_brick_in_the_hand() -> None:
    worlds = Worlds("kit", 16, disturbance=CALM)
    worlds.reset(0, range(16))
    start = worlds.state
    grip = np.array([s.hand_target for s in worlds.starts])
    for _ in range(10):
        worlds.step(worlds.target, grip)
    state = worlds.state
    moved = np.linalg.norm(state.object_pose.position - start.object_pose.position, axis=1)
    assert moved.max() < 2e-3
    assert np.abs(state.object_velocity[:, :3]).max() < 0.02
    assert state.contacts[:, 3].all()
    np.testing.assert_array_equal(state.bodies["tray"].pose.position, start.bodies["tray"].pose.position)
    worlds.close()


def test_an_episode_does_not_depend_on_what_is_played_beside_it() -> None:
    def rolled(episodes: list[int]) -> np.ndarray:
        env = make_env("kit", len(episodes), autoreset=False)
        demonstrator = KitDemonstrator(len(episodes), MAIN)
        observation = env.reset(5, np.array(episodes))
        demonstrator.reset(5, np.array(episodes))
        for _ in range(12):
            observation = env.step(demonstrator.act(observation)[1][:, None]).observation
        env.close()
        return observation

    np.testing.assert_array_equal(rolled([3, 0, 7])[2], rolled([7])[0])


def test_without_defects_it_succeeds_and_each_defect_makes_it_fail() -> None:
    assert play("kit", "flawless", 32, 1)[0] >= 0.8
    assert play("kit", "main", 32, 1)[0] < 0.5


def observation(turn: float, tilt: float, contacts: bool = True, opened: bool = False) -> np.ndarray:
    """A brick 9 cm above the goal, unturned but tilted about x; the tray turned about z."""
    posture = KitDemonstrator(1)
    spec = kit.OBSERVATION_SPEC
    parts = {part.name: np.zeros((1, part.size)) for part in spec.parts}
    brick = np.array([[np.cos(tilt / 2), np.sin(tilt / 2), 0.0, 0.0]])
    tray = np.array([[np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2)]])
    parts.update(
        hand_position=(posture._open if opened else posture._closed)[None],
        palm_position=np.array([[0.50, 0.0, 0.20]]),
        object_position=np.array([[0.50, 0.0, 0.13]]),
        object_rotation=se3.rotation_6d(brick),
        target_position=np.array([[0.50, 0.1, 0.0]]),
        target_rotation=se3.rotation_6d(tray),
        goal_position=np.array([[0.50, 0.1, 0.04]]),
        contacts=np.full((1, 5), float(contacts)),
    )
    return spec.pack(parts).astype(np.float32)


def test_it_turns_the_brick_about_its_own_centre_towards_the_tray_and_upright() -> None:
    demonstrator = KitDemonstrator(1)
    action = demonstrator.act(observation(0.1, 0.0))[0][0]
    # A quarter of 0.1 rad about z; the brick is straight below the palm, so nothing moves it aside for that.
    np.testing.assert_allclose(action[3:6], [0.0, 0.0, 0.025], atol=1e-6)
    np.testing.assert_allclose(action[:2], [0.0, 0.025], atol=1e-6)
    action = demonstrator.act(observation(0.0, 0.08))[0][0]
    # Tilted by 0.08 about x: back by a quarter of sin 0.08 about x. The brick, 7 cm below the palm, would
    # swing by w x r = (-0.02, 0, 0) x (0, 0, -0.07) = (0, -0.0014, 0), which the palm makes up for in y.
    w = 0.25 * np.sin(0.08)
    np.testing.assert_allclose(action[3:6], [-w, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(action[1], 0.025 + 0.07 * w, atol=1e-6)


def test_open_and_without_a_touch_it_leaves() -> None:
    action = KitDemonstrator(1).act(observation(0.1, 0.0, contacts=False, opened=True))[0][0]
    # Palm 16 cm above the goal, it shall be 22 cm above: at its full speed of 25 mm.
    np.testing.assert_allclose(action[:6], [0, 0, 0.025, 0, 0, 0], atol=1e-6)


def test_published_variants_switch_one_defect_each() -> None:
    known = demonstrators.of("kit").variants
    assert known["flawless"] == FLAWLESS
    changed = {
        name: {f.name for f in dataclasses.fields(MAIN) if getattr(MAIN, f.name) != getattr(variant, f.name)}
        for name, variant in known.items()
    }
    assert changed["unbiased"] == {"bias"}
    assert changed["no_modes"] == {"partial_share"}
    assert changed["broad"] == {"spread"}
    assert changed["turned"] == {"turn_bias"}
    assert isinstance(MAIN, SetDownDemonstratorConfig)
