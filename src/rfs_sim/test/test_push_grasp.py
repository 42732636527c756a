"""Promises of push-grasp in the simulation: its starts, its kerb, its demonstrator."""

import dataclasses

import numpy as np
import pytest

from rfs_core import se3
from rfs_core.seeding import episode_rng
from rfs_core.tasks import push_grasp
from rfs_sim import demonstrators, push_grasp_search
from rfs_sim.push_grasp_demonstrator import DEFAULT_POSTURE, FLAWLESS, MAIN, PushGraspDemonstrator
from rfs_sim.randomization import DisturbanceConfig
from rfs_sim.scripted_success import play
from rfs_sim.vec_env import make_env
from rfs_sim.worlds import Worlds

CALM = DisturbanceConfig().scaled(0.0)


def test_the_box_rests_where_it_lies_and_the_kerb_where_it_stands() -> None:
    worlds = Worlds("push_grasp", 8, disturbance=CALM)
    worlds.reset(0, range(8))
    start = worlds.state
    for _ in range(20):
        worlds.step(worlds.target, worlds.hand_target)
    state = worlds.state
    worlds.close()
    moved = np.linalg.norm(state.object_pose.position - start.object_pose.position, axis=1)
    assert moved.max() < 5e-4
    assert push_grasp.tilt(state).max() < 0.01
    np.testing.assert_array_equal(state.bodies["kerb"].pose.position, start.bodies["kerb"].pose.position)


def slid(height: float) -> tuple[float, float]:
    """A box thrown at the kerb at 1 m/s, its underside at a height: x of its centre from the kerb's near
    face, and height at rest."""
    worlds = Worlds("push_grasp", 1, disturbance=CALM)
    start = push_grasp.draw_episode(episode_rng(0, 0, "reset"))
    kerb = start.bodies["kerb"].position
    lifted = start.object_position + [0.0, 0.0, height]
    worlds.begin([dataclasses.replace(start, object_position=lifted, object_friction=0.1)])
    worlds.engine.qvel[0, worlds.engine.index.object_dof[0]] = 1.0
    for _ in range(40):
        worlds.step(worlds.target, worlds.hand_target)
    position = worlds.state.object_pose.position[0]
    worlds.close()
    return float(position[0] - (kerb[0] - push_grasp.KERB_HALF_DEPTH)), float(position[2])


def test_the_kerb_stops_a_box_that_slides_and_not_one_that_flies_above_it() -> None:
    beside, height = slid(0.0)
    assert -0.25 < beside < -0.05  # its centre stays half its length before the kerb, or bounces back
    assert height == pytest.approx(0.01, abs=0.002)
    assert slid(0.06)[0] > 0.0


def test_an_episode_does_not_depend_on_what_is_played_beside_it() -> None:
    def rolled(episodes: list[int]) -> np.ndarray:
        env = make_env("push_grasp", len(episodes), autoreset=False)
        demonstrator = PushGraspDemonstrator(len(episodes), MAIN)
        observation = env.reset(5, np.array(episodes))
        demonstrator.reset(5, np.array(episodes))
        for _ in range(30):
            observation = env.step(demonstrator.act(observation)[1][:, None]).observation
        env.close()
        return observation

    np.testing.assert_array_equal(rolled([3, 0, 7])[2], rolled([7])[0])


def test_without_defects_it_succeeds_and_with_all_of_them_it_mostly_fails() -> None:
    assert play("push_grasp", "flawless", 32, 1)[0] >= 0.6
    assert play("push_grasp", "main", 32, 1)[0] < 0.4


def observation(
    palm: tuple[float, float, float], tilt: float = 0.0, gap: float = 0.05, hand: np.ndarray | None = None
) -> np.ndarray:
    """A box whose near lower edge is at (0.48, 0, 0), tilted about its far lower edge, and a palm that is
    pitched as for pushing."""
    spec = push_grasp.OBSERVATION_SPEC
    parts = {part.name: np.zeros((1, part.size)) for part in spec.parts}
    turn = np.array([[np.cos(tilt / 2), 0.0, np.sin(tilt / 2), 0.0]])
    far = np.array([0.60, 0.0, 0.0])
    centre = far + se3.quat_rotate(turn, np.array([[-0.06, 0.0, 0.01]]))
    pitch = DEFAULT_POSTURE.pitch
    parts.update(
        hand_position=(PushGraspDemonstrator(1)._away[0] if hand is None else hand)[None],
        palm_position=np.array([palm]),
        palm_rotation=se3.rotation_6d(np.array([[np.cos(pitch / 2), 0.0, np.sin(pitch / 2), 0.0]])),
        object_position=centre,
        object_rotation=se3.rotation_6d(turn),
        target_position=np.array([[0.60 + gap + 0.015, 0.0, 0.02]]),
        goal_position=np.array([[0.54, 0.0, 0.21]]),
    )
    return spec.pack(parts).astype(np.float32)


def thumb_at(x: float, z: float) -> tuple[float, float, float]:
    """The palm that puts the thumb's tip at (x, 0, z)."""
    demonstrator = PushGraspDemonstrator(1)
    pitch = DEFAULT_POSTURE.pitch
    level = se3.Pose(np.zeros((1, 3)), np.array([[np.cos(pitch / 2), 0.0, np.sin(pitch / 2), 0.0]]))
    tip = demonstrator._hand.fingertips(level, demonstrator._away)[0, 3]
    return (x - tip[0], -tip[1], z - tip[2])


def test_behind_the_box_it_pushes_and_at_the_kerb_it_lifts_the_near_edge() -> None:
    demonstrator = PushGraspDemonstrator(1)
    behind = thumb_at(0.48 - DEFAULT_POSTURE.behind, DEFAULT_POSTURE.height)
    push = demonstrator.act(observation(behind))[0][0]
    np.testing.assert_allclose(push[:3], [DEFAULT_POSTURE.push_speed, 0.0, 0.0], atol=1e-6)
    tip_up = demonstrator.act(observation(behind, gap=0.002))[0][0]
    # Along the circle about the far edge, flat: straight up, the lead ahead, and the squeeze forward.
    speed, lead = DEFAULT_POSTURE.tip_speed, DEFAULT_POSTURE.lead
    wanted = [speed * np.sin(lead) + DEFAULT_POSTURE.squeeze, 0.0, speed * np.cos(lead)]
    np.testing.assert_allclose(tip_up[:3], wanted, atol=1e-6)


def test_from_above_the_box_it_goes_back_and_up_before_it_comes_down_behind() -> None:
    action = PushGraspDemonstrator(1).act(observation(thumb_at(0.54, 0.05)))[0][0]
    assert action[0] < -0.02
    assert action[2] > 0.0


def test_a_box_that_stands_is_pinched_from_above_with_the_fingers_open() -> None:
    demonstrator = PushGraspDemonstrator(1)
    # Upright: its near face is on top, its middle at x = 0.60 + 0.01, z = 0.12.
    x, _, z = DEFAULT_POSTURE.palm_from_edge
    high = (0.61 + x, DEFAULT_POSTURE.palm_from_edge[1], 0.12 + z + 0.05)
    action = demonstrator.act(observation(high, tilt=np.pi / 2, gap=0.0))[0][0]
    np.testing.assert_allclose(action[:3], [0.0, 0.0, -0.05 * MAIN.grasp_gain], atol=2e-4)
    np.testing.assert_allclose(action[6:], demonstrator._open[0])


def test_the_offset_is_where_it_pinches_and_grows_with_where_the_box_lies() -> None:
    config = dataclasses.replace(FLAWLESS, bias=(0.01, 0.02), bias_growth=5.0)
    demonstrator = PushGraspDemonstrator(3, config)
    kerb = np.array([[0.6, 0.0, 0.02], [0.6, 0.08, 0.02], [0.6, -0.30, 0.02]])
    # 1 + 5 y: 1, 1.4 and, never on the other side, 0
    np.testing.assert_allclose(demonstrator.aim(kerb), [[0.01, 0.02], [0.014, 0.028], [0.0, 0.0]])


def test_published_variants_switch_one_defect_each() -> None:
    known = demonstrators.of("push_grasp").variants
    assert known["flawless"] == FLAWLESS
    changed = {
        name: {f.name for f in dataclasses.fields(MAIN) if getattr(MAIN, f.name) != getattr(variant, f.name)}
        for name, variant in known.items()
    }
    assert changed["unbiased"] == {"bias"}
    assert changed["no_modes"] == {"partial_share"}
    assert changed["broad"] == {"spread"}
    assert changed["constant"] == {"bias_growth"}


def test_the_search_can_write_every_posture_as_numbers_and_back() -> None:
    numbers = push_grasp_search.pack(DEFAULT_POSTURE)
    assert push_grasp_search.pack(push_grasp_search.unpack(numbers)) == pytest.approx(numbers)
    wild = push_grasp_search.unpack(numbers + 10.0)
    assert wild.fingers_closed == pytest.approx((2.23, 1.885, 2.042))  # the joints' limits
