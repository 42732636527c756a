"""How alike an engine moves the same model: against MuJoCo on the CPU, without contact and with it.

    ros2 run rfs_sim engine_parity --engine mjwarp
    ros2 run rfs_sim engine_parity --engine mjwarp --episodes 256

Open loop: both engines get the same model, starts and joint targets for two seconds, in which the robot
touches nothing; compared are the joints at every control step. Once with targets that the joints can follow,
once with targets that saturate their torques. Closed loop: one policy grasps in the same episodes on both
engines; compared is the share of successes, since with contacts a difference in the last digit grows into
another episode.

The report (results/engines/parity.md, and .json beside it) keeps what was measured of the other engines.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rfs_core import arrays, robot
from rfs_core.errors import RfsError
from rfs_core.seeding import episode_rng
from rfs_core.tasks import grasp
from rfs_sim import facts
from rfs_sim.mjcf import ARM_KP, ARM_KV

Array = NDArray[np.float64]

SECONDS = 2.0
GOAL_OPEN_LOOP = 1e-4
"""rad"""
GOAL_SUCCESS = 0.05
WORLDS = 4
"""Worlds of the open loop, each with its own start, gains and targets."""
REPORT = Path("results/engines/parity.json")
PACKAGES = ("mujoco", "mujoco-warp", "warp-lang", "newton", "isaaclab", "torch", "numpy")


def targets(starts: list[Any], saturating: bool) -> tuple[Array, Array]:
    """Joint targets of the open loop. Shapes: (T, N, 7), (T, N, 16), rad

    Slow sines of up to .12 rad around each start, of .1 rad for the fingers, while the arm is raised;
    saturating ones jump by .12 rad every half second as well, which asks for more torque than the arm's
    joints have.
    """
    steps = round(SECONDS / robot.CONTROL_DT)
    t = robot.CONTROL_DT * np.arange(1, steps + 1)[:, None, None]
    rng = np.random.default_rng(7)
    n = len(starts)

    def wave(size: int, amplitude: float) -> Array:
        phase, rate = rng.uniform(0, 2 * np.pi, (n, size)), rng.uniform(1.0, 3.0, (n, size))
        waves: Array = amplitude * (np.sin(rate * t + phase) - np.sin(phase))
        return waves

    jump = 0.12 * (np.floor(2.0 * t) % 2) if saturating else 0.0
    arm = np.stack([s.arm_position for s in starts]) + wave(7, 0.06)
    arm[:, :, 1] -= 0.3 * np.minimum(t[:, :, 0], 1.0)  # up, away from the object
    hand = np.stack([s.hand_position for s in starts]) + wave(16, 0.05) + jump
    return (
        np.clip(arm + jump, robot.ARM_LIMITS[0] + 0.05, robot.ARM_LIMITS[1] - 0.05),
        np.clip(hand, robot.HAND_LIMITS[0] + 0.02, robot.HAND_LIMITS[1] - 0.02),
    )


def starts_of(count: int) -> list[Any]:
    """Starts of grasp, seed 0."""
    return [grasp.draw_episode(episode_rng(0, i, "reset")) for i in range(count)]


def trajectory(engine: Any, starts: list[Any], arm: Array, hand: Array) -> tuple[Array, Array]:
    """Joints after every control step, rad, and the arm's speeds, rad/s. Shapes: (T, N, 23), (T, N, 7)"""
    engine.reset(list(range(len(starts))), starts)
    rows, speeds = [], []
    for now_arm, now_hand in zip(arm, hand, strict=True):
        engine.step(arrays.of(now_arm, engine.example), arrays.of(now_hand, engine.example))
        seen = engine.read()
        if bool(arrays.to_numpy(engine.contacts).any() | arrays.to_numpy(engine.unstable).any()):
            raise RfsError("the open loop shall touch nothing and stay finite, and did not")
        joints = (arrays.to_numpy(seen.arm_position), arrays.to_numpy(seen.hand_position))
        rows.append(np.concatenate(joints, axis=1))
        speeds.append(arrays.to_numpy(seen.arm_velocity))
    return np.array(rows, dtype=np.float64), np.array(speeds, dtype=np.float64)


def open_loop(engine: str) -> tuple[dict[str, float], str]:
    """Largest difference of a joint from MuJoCo on the CPU within two seconds, rad, and the share of control
    steps at which a joint of the arm asks for more torque than it has; and the engine's device."""
    figures: dict[str, float] = {}
    starts = starts_of(WORLDS)
    made = {name: make(name, WORLDS).worlds.engine for name in ("mujoco", engine)}
    device = str(getattr(made[engine], "device", "cpu"))
    for kind in ("unsaturated", "saturated"):
        arm, hand = targets(starts, kind == "saturated")
        reference, speed = trajectory(made["mujoco"], starts, arm, hand)
        other, _ = trajectory(made[engine], starts, arm, hand)
        figures[kind] = float(np.abs(other - reference).max())
        # What the two actuators of a joint ask for when a step's targets come.
        torque = np.array(ARM_KP) * (arm[1:] - reference[:-1, :, :7]) - np.array(ARM_KV) * speed[:-1]
        beyond = np.abs(torque) > np.array(facts.ARM_TORQUE)
        figures[f"{kind}_share_at_limit"] = float(beyond.any(axis=(1, 2)).mean())
    for each in made.values():
        each.close()
    return figures, device


def closed_loop(engine: str, checkpoint: Path, episodes: int, num_envs: int, seed: int) -> dict[str, Any]:
    """Success of a policy by episode, on an engine."""
    found = {entry.name: entry for entry in entry_points(group="rfs.policies")}
    if "checkpoint" not in found:
        raise RfsError("no package offers policies (entry point group rfs.policies): build rfs_learning")
    env = make(engine, num_envs, autoreset=False)
    policy = found["checkpoint"].load()(checkpoint, env.action_spec, env.observation_spec)
    won: list[bool] = []
    lost: dict[str, int] = {}
    began, steps = time.monotonic(), 0
    for first in tqdm(range(0, episodes, num_envs), desc=f"{engine}, batches of {num_envs}"):
        numbers = first + np.arange(num_envs)
        noise = [episode_rng(seed, int(i), "policy_noise") for i in numbers]
        observation = env.reset(seed, numbers)
        success, outcome = np.zeros(num_envs, dtype=np.bool_), np.full(num_envs, "", dtype=object)
        for _ in range(-(-env.max_episode_steps // robot.HORIZON)):
            shape = (robot.HORIZON, env.action_spec.size)
            drawn = np.stack([rng.standard_normal(shape).astype(np.float32) for rng in noise])
            result = env.step(policy.act(observation, drawn).a)
            observation = result.observation
            success |= result.success
            outcome = np.where(outcome == "", result.log["outcome"], outcome)
            steps += int(result.executed.sum())
        keep = min(num_envs, episodes - first)
        won += success[:keep].tolist()
        for word in outcome[:keep]:
            lost[str(word)] = lost.get(str(word), 0) + 1
    problems = dict(env.worlds.engine.problems())
    env.close()
    return {
        "success": float(np.mean(won)),
        "won": won,
        "outcomes": lost,
        "problems": problems,
        "control_steps": steps,
        "wall_s": round(time.monotonic() - began, 1),
    }


def make(engine: str, num_envs: int, **options: Any) -> Any:
    """Grasp on an engine, by its entry point. Raises RfsError for an unknown engine."""
    found = {entry.name: entry for entry in entry_points(group="rfs.engines")}
    if engine not in found:
        raise RfsError(f"engine is {engine!r}, known are {', '.join(sorted(found))}")
    return found[engine].load()("grasp", num_envs, disturbance=0.0, **options)


def versions() -> dict[str, str]:
    """Of what decides the physics."""
    told = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            told[name] = version(name)
        except PackageNotFoundError:
            continue
    return told


def markdown(measured: dict[str, Any]) -> str:
    """The report."""
    lines = [
        "# Parity of the engines",
        "",
        "Written by `ros2 run rfs_sim engine_parity`; against engine `mujoco` of the same environment.",
        "",
        "| engine | joints, open loop 2 s, no contact (rad) | with saturated torques (rad) | "
        "success, engine / mujoco | episodes | same outcome | goal |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, entry in sorted(measured.items()):
        loop, grasps = entry["open_loop"], entry.get("closed_loop")
        row = [name, f"{loop['unsaturated']:.1e}", f"{loop['saturated']:.1e}"]
        met = loop["unsaturated"] <= GOAL_OPEN_LOOP
        if grasps:
            difference = abs(grasps["engine"]["success"] - grasps["mujoco"]["success"])
            met = met and difference <= GOAL_SUCCESS
            row += [f"{grasps['engine']['success']:.3f} / {grasps['mujoco']['success']:.3f}"]
            row += [str(grasps["episodes"]), f"{grasps['same']:.3f}"]
        else:
            row += ["not measured", "0", ""]
        lines.append("| " + " | ".join([*row, "met" if met else "not met"]) + " |")
    lines += ["", f"Goals: {GOAL_OPEN_LOOP:g} rad without contact, success within {GOAL_SUCCESS:g}.", ""]
    for name, entry in sorted(measured.items()):
        told = ", ".join(f"{package} {number}" for package, number in entry["versions"].items())
        lines += [f"- {name}: `{entry['command']}`; {told}; device {entry['device']}."]
        if grasps := entry.get("closed_loop"):
            lines += [
                f"  Closed loop: `{grasps['checkpoint']}`, dt 10 ms, no disturbances, seed {grasps['seed']}; "
                f"{grasps['engine']['control_steps']} control steps in {grasps['engine']['wall_s']} s; "
                f"worlds lost: {grasps['engine']['problems'] or 'none'}."
            ]
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_sim engine_parity`."""
    parser = argparse.ArgumentParser(
        prog="engine_parity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", default="mjwarp", help="which one to compare (default: %(default)s)")
    parser.add_argument("--episodes", type=int, default=0, help="grasps of the closed loop; 0: none")
    parser.add_argument("--num-envs", type=int, default=64, help="worlds side by side (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of episodes and noise")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/grasp_rfs.safetensors"))
    parser.add_argument("--out", type=Path, default=REPORT, help="default: %(default)s, and .md beside it")
    given = list(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(given)
    try:
        figures, device = open_loop(args.engine)
        entry: dict[str, Any] = {"open_loop": figures, "device": device}
        if args.episodes > 0:
            count = min(args.num_envs, args.episodes)
            pair = {
                name: closed_loop(engine, args.checkpoint, args.episodes, count, args.seed)
                for name, engine in (("mujoco", "mujoco"), ("engine", args.engine))
            }
            same = np.mean(np.equal(pair["mujoco"].pop("won"), pair["engine"].pop("won")))
            entry["closed_loop"] = {
                **pair,
                "same": float(same),
                "episodes": args.episodes,
                "checkpoint": args.checkpoint.name,
                "seed": args.seed,
            }
    except RfsError as error:
        print(f"engine_parity: {error}", file=sys.stderr)
        sys.exit(1)
    entry["versions"] = versions()
    # Isaac Lab's environment has no ros2.
    program = ["ros2", "run", "rfs_sim", "engine_parity"] if "ROS_DISTRO" in os.environ else ["engine_parity"]
    entry["command"] = shlex.join([*program, *given])
    # Read now: a report of another engine may have been written in the meantime.
    measured = json.loads(args.out.read_text()) if args.out.exists() else {}
    if "closed_loop" not in entry and "closed_loop" in measured.get(args.engine, {}):
        entry["closed_loop"] = measured[args.engine]["closed_loop"]
    measured[args.engine] = entry
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(measured, indent=1) + "\n")
    report = args.out.with_suffix(".md")
    report.write_text(markdown(measured))
    print(report.read_text())


if __name__ == "__main__":
    main()
