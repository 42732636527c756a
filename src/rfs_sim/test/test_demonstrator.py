"""Promises of the scripted demonstrator."""

import numpy as np
import pytest

from rfs_core import robot, se3
from rfs_core.tasks import grasp
from rfs_sim.demonstrator import FLAWLESS, DemonstratorConfig, GraspDemonstrator, GraspPosture
from rfs_sim.vec_env import make_env

POSTURE = GraspPosture()
OPEN = POSTURE.hand(POSTURE.finger_open, POSTURE.thumb_open)
CLOSED = POSTURE.hand(POSTURE.finger_closed, POSTURE.thumb_closed)


def observation_at(
    palm_from_grasp: tuple[float, float, float],
    hand: np.ndarray,
    touching: tuple[int, ...] = (),
    object_rise: float = 0.0,
) -> np.ndarray:
    """What is seen with the palm displaced from the grasp of an object that stands, unturned, at (0.6, 0,
    0.04)."""
    turn = np.array([[np.cos(POSTURE.pitch / 2), 0.0, np.sin(POSTURE.pitch / 2), 0.0]])
    thing = np.array([0.6, 0.0, 0.04 + object_rise])
    palm = thing - se3.quat_rotate(turn, np.array([POSTURE.object_in_palm]))[0] + np.array(palm_from_grasp)
    parts = {name: np.zeros((1, 0)) for name in grasp.OBSERVATION_SPEC.names}
    contacts = np.zeros((1, 5))
    contacts[0, list(touching)] = 1.0
    parts.update(
        arm_position=np.array([grasp.ARM_START]),
        hand_position=hand[None],
        palm_position=palm[None],
        palm_rotation=se3.rotation_6d(turn),
        object_position=thing[None],
        object_rotation=np.array([[1.0, 0, 0, 0, 1.0, 0]]),
        goal_position=np.array([[0.6, 0.0, 0.04 + grasp.DEFAULT.goal_rise]]),
        contacts=contacts,
    )
    return grasp.OBSERVATION_SPEC.pack(parts).astype(np.float32)


def act(observation: np.ndarray, config: DemonstratorConfig = FLAWLESS) -> np.ndarray:
    demonstrator = GraspDemonstrator(1, config)
    demonstrator.reset(0, np.array([0]))
    return demonstrator.act(observation)[0][0]


def test_far_beside_the_grasp_it_moves_there_at_its_gain_with_the_hand_open() -> None:
    # 5 cm off in y: gain 0.28 of it is 14 mm; and up, since the funnel keeps it above the object: 8 cm *
    # 0.28 = 22 mm
    action = act(observation_at((0.0, 0.05, 0.0), OPEN))
    np.testing.assert_allclose(action[:3], [0.0, -0.014, 0.0224], atol=1e-6)
    np.testing.assert_allclose(action[6:], OPEN)


def test_right_above_the_grasp_it_descends() -> None:
    action = act(observation_at((0.0, 0.0, 0.05), OPEN))
    np.testing.assert_allclose(action[:3], [0.0, 0.0, -0.014], atol=1e-6)


def test_at_the_grasp_it_closes_and_does_not_lift_before_thumb_and_finger_touch() -> None:
    half_closed = (OPEN + CLOSED) / 2
    for hand, touching in ((OPEN, ()), (half_closed, (0, 1)), (half_closed, (3,))):
        action = act(observation_at((0.0, 0.0, 0.0), hand, touching))
        np.testing.assert_allclose(action[6:], CLOSED)
        assert abs(action[2]) < 1e-6


def test_it_lifts_when_thumb_and_finger_touch_and_slows_down_at_the_goal() -> None:
    half_closed = (OPEN + CLOSED) / 2
    lift = DemonstratorConfig().lift_speed
    assert act(observation_at((0.0, 0.0, 0.0), half_closed, (1, 3)))[2] == pytest.approx(lift)
    # 2 cm below the goal: 0.28 * 0.02
    near_goal = observation_at(
        (0.0, 0.0, 0.0), half_closed, (1, 3), object_rise=grasp.DEFAULT.goal_rise - 0.02
    )
    assert act(near_goal)[2] == pytest.approx(0.28 * 0.02, abs=1e-6)


def test_it_opens_again_when_the_object_is_out_of_the_hand() -> None:
    action = act(observation_at((0.0, 0.0, 0.06), CLOSED))
    np.testing.assert_allclose(action[6:], OPEN)
    assert action[2] < 0.0


def test_it_has_no_memory() -> None:
    """The same observation gets the same answer, whatever was seen before."""
    demonstrator = GraspDemonstrator(1, DemonstratorConfig())
    demonstrator.reset(0, np.array([4]))
    above, there = observation_at((0.0, 0.0, 0.05), OPEN), observation_at((0.0, 0.0, 0.0), CLOSED, (1, 3))
    first = demonstrator.act(above)[0]
    for _ in range(5):
        demonstrator.act(there)
    np.testing.assert_array_equal(demonstrator.act(above)[0], first)


def test_heading_of_the_palm_follows_the_object_modulo_a_quarter_turn() -> None:
    def rotation(angle: float) -> np.ndarray:
        observation = observation_at((0.0, 0.0, 0.03), OPEN)
        part = grasp.OBSERVATION_SPEC.slice("object_rotation")
        c, s = np.cos(angle), np.sin(angle)
        observation[0, part] = [c, s, 0, -s, c, 0]
        return act(observation)

    np.testing.assert_allclose(rotation(0.3), rotation(0.3 + np.pi / 2), atol=1e-5)
    assert rotation(0.3)[5] > 0.02
    assert rotation(-0.3)[5] < -0.02


def test_execution_noise_is_executed_and_not_recorded() -> None:
    noisy = DemonstratorConfig(noise_position=0.003, noise_rotation=0.01, noise_hand=0.02, partial_share=0.0)
    quiet = DemonstratorConfig(noise_position=0.0, noise_rotation=0.0, noise_hand=0.0, partial_share=0.0)
    observation = observation_at((0.0, 0.0, 0.05), OPEN)
    demonstrators = [GraspDemonstrator(1, config) for config in (noisy, quiet)]
    for demonstrator in demonstrators:
        demonstrator.reset(0, np.array([0]))
    (wanted, executed), (quiet_wanted, quiet_executed) = (d.act(observation) for d in demonstrators)
    np.testing.assert_array_equal(wanted, quiet_wanted)
    np.testing.assert_array_equal(quiet_wanted, quiet_executed)
    assert (executed != wanted).any()
    spec = robot.DEFAULT_ACTION_SPEC
    assert (executed >= spec.low).all()
    assert (executed <= spec.high).all()


def test_partial_closing_happens_in_its_share_of_the_episodes() -> None:
    config = DemonstratorConfig(partial_share=0.35, partial_closing=0.6, noise_hand=0.0)
    demonstrator = GraspDemonstrator(400, config)
    demonstrator.reset(0, np.arange(400))
    there = np.repeat(observation_at((0.0, 0.0, 0.0), CLOSED), 400, axis=0)
    target = demonstrator.act(there)[0][:, 6:]
    partial = np.isclose(target, OPEN + 0.6 * (CLOSED - OPEN), atol=1e-6).all(axis=1)
    full = np.isclose(target, CLOSED, atol=1e-6).all(axis=1)
    assert (partial | full).all()
    assert partial.mean() == pytest.approx(0.35, abs=0.075)  # 3 standard errors


def test_without_its_defects_it_grasps_most_objects() -> None:
    env = make_env("grasp", 64, autoreset=False)
    demonstrator = GraspDemonstrator(64, FLAWLESS)
    observation = env.reset(1)
    demonstrator.reset(1, env.episodes)
    for _ in range(env.max_episode_steps):
        result = env.step(demonstrator.act(observation)[1][:, None])
        observation = result.observation
    assert result.success.mean() > 0.8
    up = se3.matrix_from_quat(env.worlds.state.object_pose.quaternion)[result.success, 2, 2]
    assert np.median(up) > 0.95  # upright in the hand, not tipped over
