"""Push-grasp's part of the gate before training; `rfs_sim.separation` says what is measured, and why."""

import argparse
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rfs_core.tasks import push_grasp
from rfs_sim import demonstrators
from rfs_sim.noise_reach import RESIDUAL_BOUND, noise_reach, print_gates, reach_table, some_of
from rfs_sim.push_grasp_demonstrator import (
    DEFAULT_POSTURE,
    PushGraspDemonstrator,
    PushGraspDemonstratorConfig,
)
from rfs_sim.vec_env import make_env

Array = NDArray[np.float64]

PHYSICS_DT = 0.005
"""s: what a box does between hand and kerb depends on the step; its demonstrations are made at this one."""


def play(
    config: PushGraspDemonstratorConfig, episodes: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], Array]:
    """Plays the script.

    Returns:
        What it saw with the box upright and its hand open near by (M, O), success (N,), and the offset of
        where it pinched (N, 2).
    """
    env = make_env("push_grasp", episodes, autoreset=False, physics_dt=PHYSICS_DT)
    demonstrator = PushGraspDemonstrator(episodes, config)
    observation = env.reset(seed)
    demonstrator.reset(seed, np.arange(episodes))
    aim = demonstrator.aim(env.worlds.state.bodies[push_grasp.TARGET_BODY].pose.position)
    near = []
    success = np.zeros(episodes, dtype=np.bool_)
    for _ in range(env.max_episode_steps):
        state = env.worlds.state
        upright = (push_grasp.tilt(state) > DEFAULT_POSTURE.upright) & ~state.contacts.any(axis=1)
        near.append(observation[upright & (push_grasp.rise(state) < 0.07)])
        result = env.step(demonstrator.act(observation)[1][:, None])
        observation = result.observation
        success |= result.success
    env.close()
    return np.concatenate(near), success, aim


def report(args: argparse.Namespace) -> None:
    """How high above the right place the pinch still holds, and what each channel can do about the offset."""
    config = demonstrators.config_of(args.task, args.variant)
    calm = replace(config, bias=(0.0, 0.0), partial_share=0.0)
    console = Console()
    table = Table(title=f"{args.task}, variant {args.variant}: the script, {args.episodes} episodes a row")
    table.add_column("defects")
    table.add_column("success", justify="right")
    rates, states, aim = {}, np.zeros((0, 0), np.float32), np.zeros((0, 2))
    rows = {
        "flawless": demonstrators.config_of(args.task, "flawless"),
        "no offset, hand closes": calm,
        "no offset, hand closes in part": replace(calm, partial_share=1.0),
        **{f"{mm} mm too high": replace(calm, bias=(0.0, mm / 1e3), bias_growth=0.0) for mm in (8, 16, 24)},
        "offset, hand closes": replace(config, partial_share=0.0),
        "all defects": config,
    }
    for name, defects in rows.items():
        states, success, aim = play(defects, args.episodes, args.seed)
        rates[name] = float(success.mean())
        table.add_row(name, f"{rates[name]:.3f}")
    console.print(table)
    size = np.linalg.norm(aim, axis=1)
    console.print(f"offset: {1e3 * size.min():.0f} to {1e3 * size.max():.0f} mm")
    pull = config.grasp_gain * float(np.median(size))
    gates = [
        ("script without defects >= .4", rates["no offset, hand closes"] >= 0.4),
        ("script in part-closing mode <= .15", rates["no offset, hand closes in part"] <= 0.15),
        ("gain x median offset <= .7 of the residual's bound", pull <= 0.7 * RESIDUAL_BOUND),
    ]
    if args.base is not None:
        posture = DEFAULT_POSTURE
        open_hand = posture.hand(posture.fingers_open, posture.thumb_open)
        span = posture.hand(posture.fingers_closed, posture.thumb_closed) - open_hand

        def stays_open(hand: Array) -> NDArray[np.bool_]:
            return np.asarray((hand - open_hand) @ span / (span @ span) < 0.3)

        deviation, reach = noise_reach(
            args.base,
            args.task,
            some_of(states, args.states, args.seed),
            args.draws,
            args.noise_clip,
            args.seed,
            stays_open,
            (0, 2),
        )
        console.print(reach_table("on the way to the pinch", "xz", deviation, reach, config.grasp_gain))
        half = float(np.median(size)) / 2.0
        offset = np.quantile(reach[:, 1], 0.9) / config.grasp_gain
        gates.append(("noise holds less than half of the median offset, upwards", bool(offset < half)))
    print_gates(console, gates)
