"""Every checkpoint in checkpoints/ is this robot's, says what was measured, and does about that."""

from pathlib import Path

import numpy as np
import pytest

from rfs_core import tasks
from rfs_core.tasks import points
from rfs_learning import checkpoint
from rfs_learning.evaluate import play
from rfs_learning.policy import Policy
from rfs_learning.statistics import wilson_interval
from rfs_learning.vec_env import make_env

SHIPPED = sorted((Path(__file__).parent.parent / "checkpoints").glob("*.safetensors"))
EPISODES = 48
UNSEEN_SEED = 20_261_120


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_checkpoint_plays_its_task_about_as_well_as_its_header_says(path):
    task = path.stem.rsplit("_", 1)[0]
    assert task in tasks.TASKS
    header = checkpoint.load(path).header
    steps = [r["physics_dt"] for r in header.results.values() if r.get("episodes") == 1024]
    assert steps, f"{path.name} names no result over 1,024 episodes"
    physics_dt = max(steps)  # the coarsest is the quickest
    # As it was measured: some are deployed with a_0 = 0 only.
    sources = {r["a0"] for r in header.results.values() if r.get("episodes") == 1024 and "a0" in r}
    a0 = "zero" if sources == {"zero"} else "normal"
    count = points.count_of(header.observation_spec)
    seen = {"observation": "points", "camera": {"count": count}} if count else {}
    env = make_env("mujoco", task, EPISODES, autoreset=False, physics_dt=physics_dt, **seen)
    policy = Policy.load(path, env.action_spec, env.observation_spec, a0=a0)
    # "_hand": steered over the hand, the arm learned directly
    assert policy.checkpoint_id.partition("@")[0] in (path.stem, f"{path.stem}_hand")
    measured = {
        name: result for name, result in policy.header.results.items() if result.get("episodes") == 1024
    }
    assert policy.header.command.startswith("ros2 run rfs_learning ")

    episodes = play(policy, env, UNSEEN_SEED, np.arange(EPISODES))
    successes = sum(episode.success for episode in episodes)
    # Wide enough for 48 episodes to be what they are on any machine: 99.9 % intervals of both must meet.
    low, high = wilson_interval(successes, EPISODES, confidence=0.999)
    at_this_step = [
        r
        for r in measured.values()
        if r["physics_dt"] == physics_dt and (r.get("a0") != "zero" or a0 == "zero")
    ]
    said = [wilson_interval(r["successes"], r["episodes"], confidence=0.999) for r in at_this_step]
    assert any(low <= said_high and said_low <= high for said_low, said_high in said), (low, high, said)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_header_names_no_path_of_the_machine_that_made_it(path):
    header = checkpoint.load(path).header.to_dict()
    values = [header["command"], *(str(parent) for parent in header["parents"])]
    values += [str(result.get("command")) for result in header["results"].values()]
    absolute = [word for value in values for word in value.split() if word.strip("\"'").startswith("/")]
    assert not absolute


def test_grasp_is_shipped_as_base_and_steered():
    assert {"grasp_base", "grasp_rfs"} <= {path.stem for path in SHIPPED}
