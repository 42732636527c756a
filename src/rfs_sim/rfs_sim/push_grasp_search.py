"""Finds how push-grasp is demonstrated: `python -m rfs_sim.push_grasp_search --iterations 14 --seed 0`.

Every candidate plays the same few episodes of the task; what counts is the task's reward.
"""

import argparse
from dataclasses import astuple, fields

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot
from rfs_sim import cross_entropy
from rfs_sim.push_grasp_demonstrator import DEFAULT_POSTURE, PushGraspDemonstrator, PushGraspPosture
from rfs_sim.vec_env import MujocoVecEnv, make_env

Array = NDArray[np.float64]

START = PushGraspPosture(
    pitch=0.25,
    fingers_away=(0.0, 0.1, 0.2),
    thumb_open=(1.4, 1.4, 0.1, 0.0),
    behind=0.006,
    height=0.012,
    push_speed=0.015,
    at_kerb=0.008,
    lead=0.1,
    tip_speed=0.012,
    squeeze=0.005,
    upright=1.2,
    pitch_pinch=0.4,
    palm_from_edge=(0.01, 0.0, 0.045),
    close_within=0.015,
    fingers_open=(0.35, 0.55, 0.55),
    fingers_closed=(0.8, 1.2, 1.4),
    thumb_closed=(1.4, 0.8, 0.8, 0.3),
    gripped=0.3,
)
"""A first guess by eye."""

_SPREAD = PushGraspPosture(
    pitch=0.05,
    fingers_away=(0.1, 0.1, 0.1),
    thumb_open=(0.05, 0.1, 0.1, 0.1),
    behind=0.002,
    height=0.0015,
    push_speed=0.002,
    at_kerb=0.002,
    lead=0.1,
    tip_speed=0.002,
    squeeze=0.0015,
    upright=0.15,
    pitch_pinch=0.15,
    palm_from_edge=(0.012, 0.01, 0.012),
    close_within=0.004,
    fingers_open=(0.15, 0.15, 0.15),
    fingers_closed=(0.2, 0.2, 0.2),
    thumb_closed=(0.1, 0.2, 0.2, 0.2),
    gripped=0.15,
)
"""Initial standard deviations."""


def pack(posture: PushGraspPosture) -> Array:
    """The posture as numbers, in the order of its fields."""
    return np.concatenate([np.atleast_1d(np.asarray(value, float)) for value in astuple(posture)])


def unpack(values: Array) -> PushGraspPosture:
    """The posture of such numbers, joints within their limits."""
    low, high = robot.HAND_LIMITS
    found, first = {}, 0
    for item in fields(PushGraspPosture):
        default = getattr(DEFAULT_POSTURE, item.name)
        if isinstance(default, float):
            found[item.name], first = float(values[first]), first + 1
            continue
        part = values[first : first + len(default)]
        first += len(default)
        if item.name != "palm_from_edge":
            joint = 12 if item.name.startswith("thumb") else 1
            part = np.clip(part, low[joint : joint + len(part)], high[joint : joint + len(part)])
        found[item.name] = tuple(float(x) for x in part)
    return PushGraspPosture(**found)


def score(
    env: MujocoVecEnv, demonstrator: PushGraspDemonstrator, seed: int, episodes: Array
) -> tuple[Array, Array]:
    """Plays an episode in every environment. Returns reward and success. Shapes: (N,)"""
    observation = env.reset(seed, episodes)
    demonstrator.reset(seed, episodes)
    value, success = np.zeros(env.num_envs), np.zeros(env.num_envs, dtype=np.bool_)
    for _ in range(env.max_episode_steps):
        result = env.step(demonstrator.act(observation)[1][:, None])
        observation = result.observation
        value += result.reward[:, 0]
        success |= result.success
    return value, success


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--iterations", type=int, default=14)
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--episodes", type=int, default=6, help="episodes per candidate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spread", type=float, default=1.0, help="factor on the first spread")
    args = parser.parse_args()
    env = make_env("push_grasp", args.candidates * args.episodes, autoreset=False)

    def play(generation: int, samples: Array) -> tuple[Array, float]:
        postures = [unpack(sample) for sample in samples for _ in range(args.episodes)]
        numbers = np.tile(generation * args.episodes + np.arange(args.episodes), args.candidates)
        demonstrator = PushGraspDemonstrator(env.num_envs, posture=postures)
        value, success = score(env, demonstrator, args.seed, numbers)
        return value.reshape(args.candidates, -1).mean(axis=1), float(success.mean())

    found = unpack(
        cross_entropy.search(
            play, pack(START), pack(_SPREAD), args.iterations, args.candidates, args.seed, args.spread
        )
    )
    env = make_env("push_grasp", 256, autoreset=False)
    _, success = score(env, PushGraspDemonstrator(256, posture=found), args.seed + 1, np.arange(256))
    print(found)
    print(f"success over 256 other episodes: {success.mean():.3f}")


if __name__ == "__main__":
    main()
