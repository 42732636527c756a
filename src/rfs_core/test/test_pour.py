"""Promises of the task pour: every expected value is worked out here by hand."""

import numpy as np
import pytest

from rfs_core import se3
from rfs_core.se3 import Pose
from rfs_core.seeding import episode_rng
from rfs_core.tasks import pour
from rfs_core.world_state import BodyState, WorldState

STILL = np.zeros((1, 6))
UNTURNED = np.array([[1.0, 0.0, 0.0, 0.0]])
BOWL = np.array([0.55, 0.05, 0.0])
IN_CUP = (0.0, -0.12, 0.15)


def state_of(
    balls: tuple[tuple[float, float, float], ...] = (IN_CUP,) * 4,
    cup: tuple[float, float, float] = (0.0, -0.12, 0.20),
    tilt: float = 0.0,
    palm: float = 0.066,
    touching: tuple[int, ...] = (1, 3),
    held_steps: int = 0,
    bowl_yaw: float = 0.0,
) -> WorldState:
    """One world; balls and cup relative to the bowl's middle on the table, the cup tilted towards y."""
    position = (BOWL + cup)[None]
    contacts = np.zeros((1, 5), dtype=np.bool_)
    contacts[0, list(touching)] = True
    turn = np.array([[np.cos(bowl_yaw / 2), 0.0, 0.0, np.sin(bowl_yaw / 2)]])
    bodies = {"bowl": BodyState(Pose(BOWL[None], turn), STILL)}
    for name, place in zip(pour.BALLS, balls, strict=True):
        bodies[name] = BodyState(Pose((BOWL + place)[None], UNTURNED), STILL)
    return WorldState(
        time=np.zeros(1),
        arm_position=np.zeros((1, 7)),
        arm_velocity=np.zeros((1, 7)),
        arm_target=np.zeros((1, 7)),
        hand_position=np.zeros((1, 16)),
        hand_velocity=np.zeros((1, 16)),
        hand_target=np.zeros((1, 16)),
        palm=Pose(position + [[0.0, 0.0, palm]], UNTURNED),
        fingertip_position=np.zeros((1, 4, 3)),
        object_pose=Pose(position, np.array([[np.cos(tilt / 2), -np.sin(tilt / 2), 0.0, 0.0]])),
        object_velocity=STILL,
        object_rest_height=np.zeros(1),
        goal_position=(BOWL + [0.0, 0.0, 0.22])[None],
        contacts=contacts,
        held_steps=np.array([held_steps]),
        bodies=bodies,
    )


INSIDE = ((0.0, 0.0, 0.008), (0.02, 0.0, 0.008), (0.0, 0.02, 0.008), (-0.02, 0.0, 0.008))
BESIDE = (0.1, 0.0, 0.008)


def test_the_cup_is_hollow_has_a_floor_and_is_as_wide_as_the_brick() -> None:
    def solid_at(x: float, y: float, z: float) -> bool:
        point = np.array([x, y, z])
        return any((np.abs(point - s.position) <= np.array(s.size) + 1e-12).all() for s in pour.OBJECT_SOLIDS)

    for x, y in ((0.0, 0.0), (0.0219, 0.0), (0.0, -0.0219), (0.0219, 0.0219)):
        assert not solid_at(x, y, 0.0)  # inside: 30 - 8 = 22 mm
        assert not solid_at(x, y, -0.0319)
        assert solid_at(x, y, -0.0321)  # the floor, 8 mm from -40 mm
    for x, y in ((0.0221, 0.0), (0.030, 0.030), (0.0, -0.0221), (-0.030, 0.0)):
        assert solid_at(x, y, 0.0219)
        assert not solid_at(x, y, 0.0221)
    assert not solid_at(0.0301, 0.0, 0.0)


def test_balls_start_inside_the_cup_without_touching_each_other() -> None:
    for episode in range(20):
        start = pour.draw_episode(episode_rng(1, episode, "reset"))
        back = se3.quat_conjugate(start.object_quaternion[None])
        places = np.array(
            [
                se3.quat_rotate(back, (start.bodies[n].position - start.object_position)[None])[0]
                for n in pour.BALLS
            ]
        )
        assert (np.abs(places[:, :2]) + 0.008 <= 0.022 + 1e-9).all()
        np.testing.assert_allclose(places[:, 2], -0.032 + 0.008)
        apart = np.linalg.norm(places[:, None] - places[None], axis=2)[np.triu_indices(4, 1)]
        assert apart.min() >= 0.016


def test_equal_seeds_give_equal_starts_within_the_ranges() -> None:
    for episode in range(20):
        start = pour.draw_episode(episode_rng(1, episode, "reset"))
        again = pour.draw_episode(episode_rng(1, episode, "reset"))
        for name in ("bowl", *pour.BALLS):
            np.testing.assert_array_equal(start.bodies[name].position, again.bodies[name].position)
        offset = start.bodies["bowl"].position[:2] - start.object_position[:2]
        assert abs(offset[0]) <= 0.02
        assert 0.10 <= offset[1] <= 0.14
        assert start.held
        assert 0.05 <= start.object_mass <= 0.08  # the brick's 70 to 90 g less four balls of 4 g
        np.testing.assert_allclose(start.goal_position, start.bodies["bowl"].position + [0, 0, 0.22])


@pytest.mark.parametrize(
    ("ball", "yaw", "inside"),
    [
        ((0.044, 0.044, 0.01), 0.0, True),
        ((0.046, 0.0, 0.01), 0.0, False),
        ((0.0, 0.0, 0.039), 0.0, True),
        ((0.0, 0.0, 0.041), 0.0, False),
        ((0.044, 0.044, 0.01), np.pi / 4, False),  # 62 mm along the turned bowl's axis
        ((0.06, 0.0, 0.01), np.pi / 4, True),  # 42 mm along both of its axes
    ],
)
def test_a_ball_is_in_the_bowl_within_its_walls_and_below_its_rim(
    ball: tuple[float, float, float], yaw: float, inside: bool
) -> None:
    state = state_of(balls=(ball, IN_CUP, IN_CUP, IN_CUP), bowl_yaw=yaw)
    assert pour.in_bowl(state).tolist() == [[inside, False, False, False]]


def test_terms_of_a_start() -> None:
    # Mouth 12 cm beside; nothing poured, nothing spilled, cup upright and held.
    terms = pour.reward_terms(state_of())
    assert terms["distance"][0] == pytest.approx(0.2 * (1 - np.tanh(8 * 0.12)))
    assert pour.total_reward(terms)[0] == pytest.approx(terms["distance"][0])


def test_tilt_pays_above_the_bowl_only() -> None:
    # Tilted by a right angle (1 - cos) / 1.5 = 2/3; its mouth, 22 mm ahead of its centre, above the bowl.
    above = state_of(cup=(0.0, -0.022, 0.2), tilt=np.pi / 2)
    np.testing.assert_allclose(pour.mouth(above)[0], BOWL + [0.0, 0.0, 0.2], atol=1e-12)
    assert pour.reward_terms(above)["tilt"][0] == pytest.approx(0.2 * 2 / 3)
    assert pour.reward_terms(state_of(tilt=np.pi / 2))["tilt"][0] == 0.0


def test_balls_in_the_bowl_pay_and_balls_on_the_table_cost() -> None:
    terms = pour.reward_terms(state_of(balls=(INSIDE[0], INSIDE[1], BESIDE, IN_CUP)))
    assert terms["balls"][0] == pytest.approx(0.6 / 2)
    assert terms["spilled"][0] == pytest.approx(-0.3 / 4)
    assert terms["success"][0] == 0.0
    won = pour.reward_terms(state_of(balls=(*INSIDE[:3], BESIDE)))
    assert won["success"][0] == 1.0
    assert won["balls"][0] == pytest.approx(0.45)


@pytest.mark.parametrize(
    "change",
    [
        {"balls": (*INSIDE[:2], BESIDE, IN_CUP)},  # half of them
        {"palm": 0.13},
        {"touching": ()},
        {"cup": (0.0, 0.0, 0.049)},
    ],
)
def test_success_needs_three_of_four_balls_and_the_cup_in_the_hand(change: dict[str, object]) -> None:
    good: dict[str, object] = {"balls": (*INSIDE[:3], BESIDE)}
    assert pour.momentary_success(state_of(**good))[0]  # type: ignore[arg-type]
    assert not pour.momentary_success(state_of(**{**good, **change}))[0]  # type: ignore[arg-type]


def test_success_needs_five_steps_in_a_row() -> None:
    assert not pour.success(state_of(held_steps=4))[0]
    assert pour.success(state_of(held_steps=5))[0]


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (state_of(balls=INSIDE, held_steps=5), "success"),
        (state_of(balls=INSIDE), "poured, not held long enough"),
        (state_of(balls=INSIDE, palm=0.2, touching=()), "cup dropped"),
        (state_of(palm=0.26), "object lost"),
        (state_of(balls=(INSIDE[0], INSIDE[1], BESIDE, BESIDE)), "poured beside the bowl"),
        (state_of(balls=(INSIDE[0], INSIDE[1], BESIDE, IN_CUP)), "balls left in the cup"),
        (state_of(), "balls left in the cup"),
    ],
)
def test_outcome_says_what_became_of_balls_and_cup(state: WorldState, word: str) -> None:
    assert pour.outcome(state) == [word]
    assert bool(pour.terminated(state)[0]) == (word == "object lost")


def test_the_observation_does_not_show_the_balls() -> None:
    np.testing.assert_array_equal(pour.observe(state_of()), pour.observe(state_of(balls=INSIDE)))
