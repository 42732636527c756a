"""Promises of stack and place in MuJoCo: scene, starts, demonstrator. And that grasp is what it was."""

import hashlib
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from rfs_core.errors import RfsError
from rfs_core.scene import Body, Solid
from rfs_core.tasks import held, place, set_down, stack
from rfs_sim import demonstrators, demos, held_starts, mjcf
from rfs_sim.set_down_demonstrator import FLAWLESS, SetDownDemonstrator
from rfs_sim.vec_env import TaskVecEnv, make_env
from rfs_sim.world import World

TASKS = ["stack", "place"]


@pytest.fixture(scope="module")
def envs() -> dict[str, TaskVecEnv]:
    return {task: make_env(task, 24, autoreset=False, disturbance=0.0) for task in TASKS}


def test_the_grasp_model_is_the_one_that_its_base_policy_was_trained_on() -> None:
    # Of the model before tasks could add bodies. Grasp's base policy has to be made anew where this changes.
    text = mjcf.write(mjcf.SceneConfig())
    assert hashlib.sha256(text.encode()).hexdigest() == GRASP_MODEL


GRASP_MODEL = "c0fb182b3f861661e57650564f05c51d137b3c1ff8fa0277433b200ea16599dc"


def test_a_task_body_is_free_with_its_mass_or_fixed_or_only_seen() -> None:
    box, ball = Solid("box", (0.1, 0.1, 0.1)), Solid("sphere", (0.1, 0.1, 0.1), (0.0, 0.0, 0.3))
    bodies = (
        Body("free", (box, ball), mass=2.0),
        Body("fixed", (box,)),
        Body("seen", (Solid("cylinder", (0.05, 0.05, 0.001)),), collides=False),
    )
    root = ET.fromstring(mjcf.write(mjcf.SceneConfig(bodies=bodies)))
    found = {b.get("name"): b for b in root.iter("body")}
    assert [found[n].find("freejoint") is not None for n in ("free", "fixed", "seen")] == [True, False, False]
    # volumes 8e-3 and 4/3 pi 1e-3 = 4.18879e-3: shares .656341 and .343659 of 2 kg
    masses = [float(g.get("mass", "nan")) for g in found["free"].findall("geom")]
    np.testing.assert_allclose(masses, [1.312682, 0.687318], atol=2e-6)
    assert found["seen"].find("geom").get("class") == "visual"  # type: ignore[union-attr]
    assert found["fixed"].find("geom").get("class") is None  # type: ignore[union-attr]


@pytest.mark.parametrize("task", TASKS)
def test_an_episode_starts_with_the_brick_held_and_everything_at_rest(
    task: str, envs: dict[str, TaskVecEnv]
) -> None:
    env = envs[task]
    env.reset(0)
    worlds = env.worlds
    first, contacts = worlds.state, worlds.state.contacts.copy()
    # exactly as it was when it was kept, to the contacts' depth
    kept = np.array([start.object_position for start in worlds.starts])
    np.testing.assert_array_equal(first.object_pose.position, kept)
    assert contacts[:, 3].all()
    assert contacts[:, :3].any(axis=1).all()
    grip = np.array([start.hand_target for start in worlds.starts])
    for _ in range(10):
        worlds.step(worlds.target, grip)
    moved = np.linalg.norm(worlds.state.object_pose.position - first.object_pose.position, axis=1)
    assert moved.max() < 1e-3
    assert worlds.state.contacts[:, 3].all()
    target = worlds.state.bodies[worlds.task.TARGET_BODY]
    before = first.bodies[worlds.task.TARGET_BODY]
    assert np.abs(target.pose.position - before.pose.position).max() < 2e-4
    # nothing is at the goal yet
    assert (set_down.beside(first) > 0.05).all()


def test_the_goal_moves_with_the_platform(envs: dict[str, TaskVecEnv]) -> None:
    env = envs["stack"]
    env.reset(1)
    worlds = env.worlds
    before = worlds.state
    address = worlds.engine.index.bodies["platform"].qpos
    worlds.engine.qpos[:, address[0]] += 0.03
    grip = np.array([start.hand_target for start in worlds.starts])
    worlds.step(worlds.target, grip)
    np.testing.assert_allclose(
        worlds.state.goal_position - before.goal_position, np.tile([0.03, 0.0, 0.0], (24, 1)), atol=5e-4
    )


def test_the_mark_is_where_the_goal_is_and_nothing_touches_it(envs: dict[str, TaskVecEnv]) -> None:
    env = envs["place"]
    env.reset(1)
    state = env.worlds.state
    mark = state.bodies["mark"].pose.position
    np.testing.assert_allclose(mark[:, :2], state.goal_position[:, :2])
    engine = env.worlds.engine
    for world, model in enumerate(engine.models):
        np.testing.assert_array_equal(model.body("mark").pos, mark[world])
        assert not model.geom("mark_0").contype.any()


@pytest.mark.parametrize("task", TASKS)
def test_the_flawless_demonstrator_succeeds_and_one_with_an_offset_misses(
    task: str, envs: dict[str, TaskVecEnv]
) -> None:
    env = envs[task]

    def success(config: object) -> float:
        observation = env.reset(5)
        demonstrator = demonstrators.make(task, 24, config)
        demonstrator.reset(5, np.arange(24))
        for _ in range(env.max_episode_steps):
            result = env.step(demonstrator.act(observation)[1][:, None])
            observation = result.observation
        assert (result.terminated | result.truncated).all()
        return float(result.success.mean())

    assert success(FLAWLESS) >= 0.9
    assert success(replace(FLAWLESS, bias=(0.03, -0.03), bias_growth=0.0)) == 0.0
    assert success(replace(FLAWLESS, partial_share=1.0, partial_opening=0.3)) <= 0.2


def test_other_environments_do_not_change_an_episode() -> None:
    def run(num_envs: int, which: int) -> list[np.ndarray]:
        env = make_env("stack", num_envs, autoreset=False)
        observation = env.reset(2, np.arange(3, 3 + num_envs))
        demonstrator = SetDownDemonstrator(num_envs, demonstrators.config_of("stack"))
        demonstrator.reset(2, np.arange(3, 3 + num_envs))
        seen = [observation[which]]
        for _ in range(30):
            result = env.step(demonstrator.act(observation)[1][:, None])
            observation = result.observation
            seen += [observation[which], result.reward[which]]
        return seen

    for one, many in zip(run(1, 0), run(5, 0), strict=True):
        np.testing.assert_array_equal(one, many)


def test_the_offset_grows_with_the_targets_side_and_never_turns_round() -> None:
    # bias (0.01, -0.01), 5 per metre from y = 0.02: at y = 0.06 times 1.2, at y = -0.4 clipped to 0
    config = replace(FLAWLESS, bias=(0.01, -0.01), bias_growth=5.0, bias_centre=0.02)
    aim = SetDownDemonstrator(1, config).aim(np.array([[0.5, 0.06, 0.0], [0.5, -0.4, 0.0]]))
    np.testing.assert_allclose(aim, [[0.012, -0.012], [0.0, 0.0]], atol=1e-12)


def test_modes_come_with_their_shares_whatever_the_batch() -> None:
    config = replace(demonstrators.config_of("stack"), partial_share=0.5, early_share=0.2)
    demonstrator = SetDownDemonstrator(2000, config)
    demonstrator.reset(0, np.arange(2000))
    partial = demonstrator._opening < 1.0
    early = demonstrator._open_below > 0.05
    # binomial, 2000 draws: 3.5 standard deviations are .039 and .031
    assert abs(partial.mean() - 0.5) < 0.039
    assert abs(early.mean() - 0.2) < 0.031
    assert not (partial & early).any()
    alone = SetDownDemonstrator(1, config)
    alone.reset(0, np.array([17]))
    np.testing.assert_array_equal(alone._aim[0], demonstrator._aim[17])
    assert alone._open_below[0] == demonstrator._open_below[17]


def test_variants_differ_from_main_in_their_one_defect() -> None:
    main = demonstrators.config_of("stack")
    assert demonstrators.config_of("stack", "unbiased") == replace(main, bias=(0.0, 0.0))
    assert demonstrators.config_of("stack", "broad") == replace(main, spread=0.012)
    assert demonstrators.config_of("stack", "early") == replace(main, early_share=0.2)
    no_modes = demonstrators.config_of("stack", "no_modes")
    assert (no_modes.partial_share, no_modes.early_share, no_modes.bias) == (0.0, 0.0, main.bias)
    with pytest.raises(RfsError, match=r"'loose' of stack .* unbiased"):
        demonstrators.config_of("stack", "loose")


def test_demonstrations_of_stack_name_their_task_and_defects() -> None:
    d = demos.collect("stack", 2, seed=0, num_envs=2, config=demonstrators.config_of("stack", "unbiased"))
    assert d.header["task"] == "stack"
    assert d.header["demonstrator"]["bias"] == [0.0, 0.0]
    assert d.observation.shape == (2 * stack.MAX_EPISODE_STEPS, stack.OBSERVATION_SPEC.size)


def test_the_bank_is_what_its_command_makes() -> None:
    """Rows of the shipped bank, made anew: the first of its grasps, by the same seed."""
    with np.load(held.BANK, allow_pickle=False) as file:
        command = json.loads(str(file["header"]))["command"]
    assert command == held_starts.command(held_starts.parser().parse_args([]))
    assert command.endswith("--count 480 --seed 0")
    arrays, lost = held_starts.make(seed=0, count=8)
    assert sum(lost.values()) < 8
    shipped = held.bank()["arm_position"]
    for row in arrays["arm_position"]:
        assert (np.abs(shipped - row).max(axis=1) < 1e-5).any()


def test_in_the_node_the_hand_keeps_its_grip_until_it_is_commanded() -> None:
    world = World("stack")
    before = world.state.object_pose.position.copy()
    for _ in range(10):
        world.step(disturbed=False)
    np.testing.assert_allclose(world.state.object_pose.position, before, atol=1e-3)
    world.close()


def test_place_and_stack_differ_in_their_target_only() -> None:
    assert place.OBSERVATION_SPEC == stack.OBSERVATION_SPEC
    assert place.MAX_EPISODE_STEPS == stack.MAX_EPISODE_STEPS
    assert (place.TARGET_BODY, stack.TARGET_BODY) == ("mark", "platform")
