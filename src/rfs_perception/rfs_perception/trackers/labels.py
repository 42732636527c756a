"""The simulator's own segmentation as a tracker: exact, for machines without weights, and for tests."""

from __future__ import annotations

from rfs_perception.errors import TrackerError
from rfs_perception.frame import Frame
from rfs_perception.trackers.base import Found, Prompt

OBJECT = 1


class LabelTracker:
    """Every pixel that the simulator says is the object."""

    needs_prompt = False

    def start(self, frame: Frame, prompt: Prompt | None) -> Found:
        """The prompt is not needed."""
        return self.track(frame)

    def track(self, frame: Frame) -> Found:
        """The object's pixels.

        Raises:
            TrackerError: the image comes from no simulator.
        """
        if frame.labels is None:
            raise TrackerError(
                "images come without labels: only a simulator tells them (sim_node camera:=true); "
                "on a robot use another tracker"
            )
        mask = frame.labels == OBJECT
        return Found(mask) if mask.any() else Found(None, "the object is hidden: no pixel of it is seen")
