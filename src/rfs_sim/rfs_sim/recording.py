"""What the simulation keeps of its episodes: a trajectory file for each, and one video of the first ones."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from rfs_sim.episode_log import EpisodeLog
from rfs_sim.render import BAD, END_FRAMES, GOOD, PLAIN, ScenePainter, Snapshot
from rfs_sim.sim_config import WorldConfig
from rfs_sim.video import Job, VideoRecorder, open_sink
from rfs_sim.world import Outcome, World


class Recording:
    """Follows the world from reset to the end of the episode. Only `settle` and `close` take time."""

    def __init__(self, config: WorldConfig, fps: float) -> None:
        """
        Args:
            config: What is written and where to.
            fps: Frames per second of the video.
        """
        self._config = config
        self.folder = Path(config.run_dir).expanduser() if config.run_dir else None
        self._log: EpisodeLog | None = None
        # Steps may come in another thread than the end of the episode.
        self._rows = threading.Lock()
        self._over = False
        self._succeeded = False
        self._name = ""
        self._video: VideoRecorder | None = None
        self._episodes_in_video = 0
        self._model: Any = None
        self._last: Snapshot | None = None
        if config.record_video and self.folder is not None:
            width, height = config.video_width, config.video_height
            # As little as still looks good: software rendering shares the cores with the policy.
            self._video = VideoRecorder(
                open_sink(self.folder / config.video_name, fps),
                lambda: ScenePainter(width, height, samples=0, shadow=1024),
            )

    @property
    def open(self) -> bool:
        """An episode is being recorded."""
        return self._log is not None

    @property
    def video(self) -> VideoRecorder | None:
        """The video, where there is one."""
        return self._video

    def settle(self, timeout_s: float) -> None:
        """Let the video catch up, for at most `timeout_s`; the world stands still anyway."""
        if self._video is not None and self._episodes_in_video:
            self._video.wait(self._config.video_backlog, timeout_s)

    def begin(self, stamp_ns: int, world: World, **header: Any) -> None:
        """The world was reset to the first state of an episode.

        Args:
            stamp_ns: Robot time of that state (ns).
            header: What the episode is.
        """
        self._log = EpisodeLog(header, world.state.goal_position[0].copy())
        self._log.add_state(stamp_ns, world.state)
        self._over = False
        self._name = f"{header.get('task')}-{header.get('seed')}-{header.get('episode')}"
        limit = self._config.video_episodes
        self._model = None
        if self._video is not None and (limit == 0 or self._episodes_in_video < limit):
            self._episodes_in_video += 1
            # The next reset writes another object into the world's model while this episode is still painted.
            self._model = world.copy_of_model()
            self._caption = f"{header.get('task')}, episode {header.get('episode')}"
            self._frame(world)

    def step(self, stamp_ns: int, world: World, outcome: Outcome, missed: bool) -> None:
        """The world took a control step. Steps after the end of the episode are not part of it.

        Args:
            stamp_ns: Robot time after the step (ns).
            world: After the step.
            outcome: The task's judgement of it.
            missed: The targets of the step had not arrived.
        """
        with self._rows:
            if self._log is None or self._over:
                return
            self._log.add_step(
                arm_target_position=world.applied_target.position[0],
                arm_target_quaternion=world.applied_target.quaternion[0],
                hand_target=world.hand_target[0],
                reward=outcome.total,
                success=outcome.success,
                missed=missed,
            )
            self._log.add_state(stamp_ns, world.state)
            self._over = outcome.terminated or self._log.steps >= world.max_episode_steps
            self._succeeded = outcome.success and not outcome.terminated
            if self._model is not None:
                self._frame(world)

    def name(self, name: str) -> None:
        """The episode's id, once it is known."""
        self._name = name

    def verdict(self, why: str) -> tuple[str, str]:
        """Outcome and reason of an episode that nobody has announced the end of.

        Args:
            why: What ended it, where it had not come to its own end.
        """
        if self._over:
            return "success" if self._succeeded else "failure", "its end was not announced"
        return "aborted", why

    def end(self, outcome: str, reason: str) -> Path | None:
        """The episode has ended. Returns the file of its trajectory, None where none is written.

        Args:
            outcome: "success", "failure" or "aborted".
            reason: Why it ended.

        Raises:
            EpisodeLogError: the file cannot be written.
        """
        with self._rows:
            log, self._log = self._log, None
            if log is None:
                return None
            if self._model is not None and self._last is not None and self._video is not None:
                colour = GOOD if outcome == "success" else BAD
                last = Snapshot(self._model, self._last.qpos, f"{self._caption}: {outcome}", colour)
                self._video.submit(Job(last, repeat=END_FRAMES, essential=True))
                self._model = self._last = None
        if self.folder is None or log.steps == 0:
            return None
        return log.save(self.folder / "episodes", self._name, id=self._name, outcome=outcome, reason=reason)

    def close(self, timeout_s: float) -> None:
        """Finish the video within `timeout_s`.

        Raises:
            VideoError: it is not complete.
        """
        if self._video is not None:
            self._video.close(timeout_s)

    def _frame(self, world: World) -> None:
        assert self._video is not None
        self._last = Snapshot(self._model, world.qpos, self._caption, PLAIN)
        self._video.submit(Job(self._last))
