"""Finds the demonstrator's grasp by the cross-entropy method: `python -m rfs_sim.grasp_search --iterations
24 --task grasp`, or power, or pinch.

Every candidate posture plays the same few episodes. What counts is the task's reward, its lift and success
terms weighted by how upright the object stays over the whole lift and hold, so that the grasp found neither
tips the object nor loses it later.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot, se3
from rfs_sim import cross_entropy
from rfs_sim.demonstrator import GraspDemonstrator, GraspPosture
from rfs_sim.vec_env import TaskVecEnv, make_env

Array = NDArray[np.float64]

_SPREAD = np.array(
    [0.15, 0.012, 0.008, 0.012, *[0.2] * 3, 0.25, 0.25, 0.2, 0.2, *[0.25] * 3, 0.25, 0.25, 0.3, 0.3]
)
"""Initial standard deviation of the posture's 18 numbers, in the order of `GraspPosture`."""


START = GraspPosture(
    pitch=0.6,
    object_in_palm=(0.04, -0.01, -0.07),
    finger_open=(0.35, 0.35, 0.4),
    thumb_open=(1.4, 1.4, 0.1, 0.0),
    finger_closed=(0.7, 0.9, 1.1),
    thumb_closed=(1.4, 0.7, 0.8, 0.4),
)
"""A first guess by eye: the object between the thumb and three fingers that come from above."""

STARTS = {
    "grasp": START,
    "power": GraspPosture(pitch=0.4, object_in_palm=(0.03, -0.0092, -0.05), finger_open=(0.2, 0.4, 0.4)),
    "pinch": GraspPosture(),
}
"""By task: for power deep in the hand; for pinch what was found for grasp."""


def pack(posture: GraspPosture) -> Array:
    """The posture as 18 numbers."""
    p = posture
    return np.array(
        [p.pitch, *p.object_in_palm, *p.finger_open, *p.thumb_open, *p.finger_closed, *p.thumb_closed]
    )


def unpack(values: Array) -> GraspPosture:
    """The posture of 18 numbers, joints within their limits."""
    low, high = robot.HAND_LIMITS
    v = [float(x) for x in values]

    def within(joints: list[float], first: int) -> tuple[float, ...]:
        n = len(joints)
        return tuple(float(x) for x in np.clip(joints, low[first : first + n], high[first : first + n]))

    return GraspPosture(
        v[0], tuple(v[1:4]), within(v[4:7], 1), within(v[7:11], 12), within(v[11:14], 1), within(v[14:18], 12)
    )  # type: ignore[arg-type]


def score(
    env: TaskVecEnv, demonstrator: GraspDemonstrator, seed: int, episodes: Array
) -> tuple[Array, Array]:
    """Plays an episode in every environment. Returns value and success. Shapes: (N,)"""
    observation = env.reset(seed, episodes)
    demonstrator.reset(seed, episodes)
    value = np.zeros(env.num_envs)
    success = np.zeros(env.num_envs, dtype=np.bool_)
    for _ in range(env.max_episode_steps):
        result = env.step(demonstrator.act(observation)[1][:, None])
        observation = result.observation
        log = result.log
        up = se3.matrix_from_quat(env.worlds.state.object_pose.quaternion)[:, 2, 2]
        upright = np.clip(2.0 * up - 1.0, 0.0, 1.0)  # 1 upright, 0 from 60 degrees on
        value += log["reward/distance"] + log["reward/contact"] + log["reward/joint_limit"]
        value += (log["reward/lift"] + log["reward/success"]) * (0.3 + 0.7 * upright)
        value += log.get("reward/type", 0.0)
        success |= result.success
    return value, success


def search(
    task: str, start: GraspPosture, iterations: int, candidates: int, episodes: int, seed: int, spread: float
) -> GraspPosture:
    """Runs the cross-entropy method and returns the last mean.

    Args:
        task: grasp, power or pinch.
        start: first mean.
        iterations: generations.
        candidates: postures per generation; the best eighth gives the next mean.
        episodes: episodes that every candidate of a generation plays, the same for all of them.
        seed: of candidates and episodes.
        spread: factor on the first spread.
    """
    env = make_env(task, candidates * episodes, autoreset=False)

    def play(generation: int, samples: Array) -> tuple[Array, float]:
        postures = [unpack(sample) for sample in samples for _ in range(episodes)]
        numbers = np.tile(generation * episodes + np.arange(episodes), candidates)
        value, success = score(env, GraspDemonstrator(env.num_envs, posture=postures), seed, numbers)
        return value.reshape(candidates, episodes).mean(axis=1), float(success.mean())

    found = cross_entropy.search(play, pack(start), _SPREAD, iterations, candidates, seed, spread)
    env.close()
    return unpack(found)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=STARTS, default="grasp")
    parser.add_argument("--iterations", type=int, default=24)
    parser.add_argument("--candidates", type=int, default=48)
    parser.add_argument("--episodes", type=int, default=8, help="episodes per candidate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spread", type=float, default=1.0, help="factor on the first spread")
    args = parser.parse_args()
    found = search(
        args.task,
        STARTS[args.task],
        args.iterations,
        args.candidates,
        args.episodes,
        args.seed,
        args.spread,
    )
    env = make_env(args.task, 256, autoreset=False)
    _, success = score(env, GraspDemonstrator(256, posture=found), args.seed + 1, np.arange(256))
    print(found)
    print(f"success over 256 other episodes: {success.mean():.3f}")


if __name__ == "__main__":
    main()
