"""Pictures of the simulated world, off screen.

    ros2 run rfs_sim render --task grasp --seed 0 --episode 3 --scripted --out grasp.png
    ros2 run rfs_sim render --task grasp --episode 3 4 --checkpoint grasp_base.safetensors --out grasp.mp4

A .png is a contact sheet of the episode (or, with --at, one picture), an .mp4 or .gif a video of it. Without
--scripted or --checkpoint the robot stands still. MUJOCO_GL chooses the graphics: osmesa (software) or egl.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

# Software rendering uses every core otherwise; the world and the policy need theirs.
os.environ.setdefault("LP_NUM_THREADS", "1")
os.environ.setdefault("MUJOCO_GL", "osmesa")

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rfs_core import control, tasks
from rfs_core.errors import RfsError
from rfs_core.seeding import episode_rng
from rfs_sim import demonstrators
from rfs_sim.cloud import Camera
from rfs_sim.point_camera import WorldObserver
from rfs_sim.video import Picture, add_caption, open_sink
from rfs_sim.world import World

VIDEO_VIEW = ((1.10, -1.25, 0.64), (0.41, 0.0, 0.285), 0.64)
"""Where videos are seen from: position and target (m, base frame), vertical field of view (rad)."""

END_FRAMES = 12
"""For how many frames a video rests at the end of an episode."""

GOOD = (120, 230, 130)
BAD = (255, 140, 120)
PLAIN = (235, 238, 242)


class RenderError(RfsError):
    """A picture that cannot be painted."""


@dataclass(frozen=True)
class Snapshot:
    """What a picture shows."""

    model: mujoco.MjModel
    """Not written to by anybody while it is painted; the same object for all pictures of an episode."""
    qpos: NDArray[np.float64]
    """Shape: (nq,)"""
    caption: str = ""
    """Text at the lower edge; none where empty."""
    colour: tuple[int, int, int] = PLAIN
    """Of the caption."""


class ScenePainter:
    """Paints snapshots. Belongs to the thread that makes it."""

    def __init__(
        self,
        width: int,
        height: int,
        camera: Camera | str | None = None,
        samples: int = 4,
        shadow: int = 1024,
    ) -> None:
        """
        Args:
            width, height: Size of the pictures (pixels).
            camera: Where from; a name is one of the model's cameras; None: the view of videos.
            samples: Antialiasing, samples per pixel; 4 double the cost of 0.
            shadow: Size of the shadow map (pixels); 0: no shadows.
        """
        self._width, self._height = width, height
        position, target, fovy = VIDEO_VIEW
        self._camera = camera or Camera.looking_at(position, target, fovy, width, height)
        self._samples, self._shadow = samples, shadow
        self._model: mujoco.MjModel | None = None
        self._renderer: mujoco.Renderer | None = None
        self._data: mujoco.MjData | None = None

    def paint(self, snapshot: Snapshot) -> Picture:
        """The picture of a snapshot, with its caption."""
        renderer = self._prepare(snapshot.model)
        assert self._data is not None
        self._data.qpos[:] = snapshot.qpos
        mujoco.mj_kinematics(snapshot.model, self._data)
        mujoco.mj_camlight(snapshot.model, self._data)
        if isinstance(self._camera, str):
            renderer.update_scene(self._data, camera=self._camera)
        else:
            renderer.update_scene(self._data)
            _aim(renderer.scene, self._camera)
        picture: Picture = renderer.render()
        return add_caption(picture, snapshot.caption, snapshot.colour) if snapshot.caption else picture

    def _prepare(self, model: mujoco.MjModel) -> mujoco.Renderer:
        if self._renderer is None or self._model is not model:
            self.close()
            quality = model.vis.quality
            quality.offsamples, quality.shadowsize = self._samples, self._shadow
            try:
                self._renderer = mujoco.Renderer(model, self._height, self._width)
            except (ValueError, RuntimeError, mujoco.FatalError) as error:
                raise RenderError(f"cannot paint {self._width} x {self._height} pixels: {error}") from error
            # Hardly to be seen, and a second pass over the scene.
            self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
            if not self._shadow:
                self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
            self._model, self._data = model, mujoco.MjData(model)
        return self._renderer

    def close(self) -> None:
        """Give the graphics memory back."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = self._model = self._data = None


def _aim(scene: mujoco.MjvScene, camera: Camera) -> None:
    """Put the scene's eyes where our camera is."""
    for eye in scene.camera:
        eye.pos = camera.position
        eye.forward = camera.rotation[:, 2]
        eye.up = -camera.rotation[:, 1]
        top = eye.frustum_near * np.tan(camera.fovy / 2)
        eye.frustum_top, eye.frustum_bottom, eye.frustum_center = top, -top, 0.0
        eye.frustum_width = 0.0  # from the picture's shape


def contact_sheet(pictures: Sequence[Picture], columns: int) -> Picture:
    """Pictures of one size side by side, row by row, on dark ground."""
    height, width, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    gap = 4
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 24, dtype=np.uint8)
    for i, picture in enumerate(pictures):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


Actor = Callable[[World], NDArray[np.float64]]
"""From the world at a decision to the actions of the next control steps, physical units. Shape: (any, A)."""


def play(world: World, actor: Actor | None) -> Iterator[None]:
    """Play the episode that the world was reset to; yields at every control tick, first and last included.

    The control law is the command gate's. Without an actor the robot stands still.
    """
    # The gate begins at what it measures.
    target = world.target
    hand = world.hand_target if actor is None else world.state.hand_position
    arm, fingers = slice(0, 6), world.action_spec.slice("hand_target")
    yield
    while world.steps < world.max_episode_steps:
        for action in actor(world) if actor is not None else (None,):
            if action is not None:
                action = world.action_spec.clip(action)[None]
                target = control.step_target(target, action[:, arm], world.state.palm)
                hand = control.limit_rate(hand, action[:, fingers])
            world.command_arm(target)
            world.command_hand(hand[0])
            world.step()
            yield
            if world.steps >= world.max_episode_steps or world.outcome().terminated:
                return


def policy_actor(path: Path, seed: int, episode: int, a0: str = "trained") -> Actor:
    """The actor of a checkpoint. The noise is the episode's own, so that this is the episode of `evaluate`.

    Args:
        a0: of the flow: as it was trained with ("trained"), drawn ("normal"), or "zero".

    Raises:
        RfsError: nothing installed reads checkpoints, or this one does not fit.
    """
    found = {entry.name: entry for entry in entry_points(group="rfs.policies")}
    if "checkpoint" not in found:
        raise RenderError(
            "no installed package reads checkpoints (entry point group rfs.policies): build the workspace"
        )
    load: Any = found["checkpoint"].load()
    rng = episode_rng(seed, episode, "policy_noise")
    policy: Any = None
    seeing: WorldObserver | None = None

    def act(world: World) -> NDArray[np.float64]:
        nonlocal policy, seeing
        spec = world.action_spec
        if policy is None:
            policy = load(path, action_spec=spec, a0=a0)
            seeing = WorldObserver(world, policy.header.observation_spec, f"checkpoint {path}")
        assert seeing is not None
        noise = rng.standard_normal((1, spec.horizon, spec.size)).astype(np.float32)
        chunk: NDArray[np.float64] = policy.act(seeing.observe(), noise).a[0]
        return chunk

    return act


def film(
    checkpoint: Path,
    task: str,
    seed: int,
    episode: int,
    out: Path,
    *,
    physics_dt: float = 0.01,
    size: tuple[int, int] = (320, 240),
    every: int = 2,
) -> tuple[Path, str]:
    """Film an episode of `evaluate` (entry point group `rfs.films`).

    Args:
        out: .mp4 or .gif; without an ffmpeg an .mp4 becomes a .gif.
        physics_dt: of the evaluation, s.
        size: width and height (pixels).
        every: control steps to a picture.

    Returns:
        The file, and how the episode ended: "success", or why not.

    Raises:
        RfsError: an unknown task, a checkpoint that does not fit, or a file that cannot be written.
    """
    world = World(task, physics_dt=physics_dt)
    painter = ScenePainter(*size)
    sink = open_sink(out, fps=1.0 / (every * world.action_spec.control_dt))
    try:
        world.reset(seed, episode)
        model, last = world.copy_of_model(), None
        for step, _ in enumerate(play(world, policy_actor(checkpoint, seed, episode))):
            last = world.qpos
            if step % every == 0:
                sink.append(painter.paint(Snapshot(model, last)))
        outcome = world.outcome()
        verdict = "success" if outcome.success else outcome.reason or "no success"
        assert last is not None
        picture = painter.paint(Snapshot(model, last, verdict, GOOD if outcome.success else BAD))
        for _ in range(END_FRAMES // every):
            sink.append(picture)
        sink.close()
    finally:
        painter.close()
        world.close()
    return sink.path, verdict


def scripted_actor(task: str, variant: str, seed: int, episode: int) -> Actor:
    """The task's demonstrator, with what is wrong with it in this episode."""
    demonstrator = demonstrators.make(task, 1, demonstrators.config_of(task, variant))
    demonstrator.reset(seed, np.array([episode]))

    def act(world: World) -> NDArray[np.float64]:
        _, executed = demonstrator.act(world.observe())
        return executed

    return act


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="render", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="grasp", help=f"one of {', '.join(sorted(tasks.TASKS))}")
    parser.add_argument("--seed", type=int, default=0, help="seed of the episodes")
    parser.add_argument(
        "--episode", type=int, default=[0], nargs="+", help="which episodes, one after the other"
    )
    parser.add_argument("--physics-dt", type=float, default=0.01, help="time step of the physics, s")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--checkpoint", type=Path, help="the policy that plays")
    who.add_argument("--scripted", action="store_true", help="the scripted demonstrator plays")
    parser.add_argument("--variant", default="flawless", help="what is wrong with the demonstrator")
    parser.add_argument(
        "--a0", choices=("trained", "normal", "zero"), default="trained", help="initial noise of the flow"
    )
    parser.add_argument("--camera", help="name of a camera of the model; default: the view of videos")
    parser.add_argument("--size", default="480x360", help="width x height of a picture, pixels")
    parser.add_argument("--at", type=int, help="one picture, after so many control steps")
    parser.add_argument("--frames", type=int, default=12, help="pictures of a contact sheet")
    parser.add_argument("--out", type=Path, required=True, help=".png, .mp4 or .gif")
    arguments = parser.parse_args(argv)
    try:
        return _render(arguments)
    except RfsError as error:
        print(f"render: {error}", file=sys.stderr)
        return 1


def _render(arguments: argparse.Namespace) -> int:
    width, height = _size(arguments.size)
    world = World(arguments.task, physics_dt=arguments.physics_dt)
    painter = ScenePainter(width, height, camera=arguments.camera, samples=8, shadow=4096)
    who = "scripted demonstrator" if arguments.scripted else arguments.checkpoint or "standing still"
    who = who.stem if isinstance(who, Path) else who
    out: Path = arguments.out
    pictures: list[Picture] = []
    sink = None
    if out.suffix != ".png":
        sink = open_sink(out, fps=1.0 / world.action_spec.control_dt)
    try:
        for episode in arguments.episode:
            world.reset(arguments.seed, episode)
            model = world.copy_of_model()
            last = None
            for _ in play(world, _actor(arguments, episode)):
                last = Snapshot(model, world.qpos, f"{who}, episode {episode}")
                if sink is not None:
                    sink.append(painter.paint(last))
                elif arguments.at is None or arguments.at == world.steps:
                    pictures.append(
                        painter.paint(last) if arguments.at is None else painter.paint(_bare(last))
                    )
                if arguments.at == world.steps:
                    break
            outcome = world.outcome()
            verdict = "success" if outcome.success else outcome.reason or "no success"
            print(f"episode {episode}: {world.steps} control steps, {verdict}")
            if last is not None and sink is not None:
                end = Snapshot(
                    model, last.qpos, f"{last.caption}: {verdict}", GOOD if outcome.success else BAD
                )
                picture = painter.paint(end)
                for _ in range(END_FRAMES):
                    sink.append(picture)
        if sink is not None:
            sink.close()
            out = sink.path
        else:
            if not pictures:
                raise RenderError(f"the episode ended before control step {arguments.at}")
            wanted = (
                np.linspace(0, len(pictures) - 1, min(arguments.frames, len(pictures))).round().astype(int)
            )
            chosen = [pictures[i] for i in wanted]
            sheet = chosen[0] if len(chosen) == 1 else contact_sheet(chosen, columns=min(4, len(chosen)))
            out.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sheet).save(out)
    finally:
        painter.close()
        world.close()
    print(out)
    return 0


def _bare(snapshot: Snapshot) -> Snapshot:
    return Snapshot(snapshot.model, snapshot.qpos)


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.split("x"))
    except ValueError:
        raise RenderError(f"--size is {text!r}, must look like 480x360") from None
    if not (16 <= width <= 1280 and 16 <= height <= 960):
        raise RenderError(f"--size is {text}, must lie between 16x16 and 1280x960")
    return width, height


def _actor(arguments: argparse.Namespace, episode: int) -> Actor | None:
    if arguments.checkpoint is not None:
        return policy_actor(arguments.checkpoint, arguments.seed, episode, arguments.a0)
    if arguments.scripted:
        return scripted_actor(arguments.task, arguments.variant, arguments.seed, episode)
    return None


if __name__ == "__main__":
    sys.exit(main())
