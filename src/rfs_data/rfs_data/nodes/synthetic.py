"""A robot that does nothing but publish, with the rates and sizes of a real one; for benchmark and tests.

Policy 10 Hz, arm 100 Hz, hand 40 Hz, palm, object, goal, contacts, targets and reward 20 Hz; on demand a
cloud of 1,024 points, a JPEG of 640x480 and its depth 10 Hz. Stamps are system time.
"""

from __future__ import annotations

import array
import time

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, JointState, PointCloud2, PointField

from rfs_core import robot
from rfs_msgs.msg import ContactState, EpisodeState, PolicyAction, Reward
from rfs_ros.conversions import stamp_msg
from rfs_ros.qos import IMAGES, LATCHED, STATES

_TICK_S = 0.01
_JPEG_BYTES = 60_000
_POINTS = 1024
_WIDTH, _HEIGHT = 640, 480


class SyntheticRobot(Node):
    """Publishes at every 10 ms what is due."""

    def __init__(self, *, images: bool) -> None:
        """Args: images: cloud, JPEG and depth as well."""
        super().__init__("synthetic_robot")
        self._ticks = 0
        self.decisions = 0
        """Actions published in the running episode."""
        self._sequence = 0
        self._info: EpisodeState | None = None
        self._poses = {
            name: self._topic(PoseStamped, name)
            for name in (
                "arm/current_pose",
                "arm/target_pose",
                "perception/object_pose",
                "perception/goal_pose",
            )
        }
        self._joints = {
            name: self._topic(JointState, name)
            for name in ("arm/joint_states", "hand/joint_states", "hand/target")
        }
        self._contacts = self._topic(ContactState, "hand/contacts")
        self._reward = self._topic(Reward, "reward")
        self._action = self._topic(PolicyAction, "policy/action")
        self._state = self.create_publisher(EpisodeState, "episode/state", LATCHED)
        self._images = self._image_topics() if images else []
        self._pose = PoseStamped()
        self._pose.header.frame_id = robot.BASE_FRAME
        self._pose.pose.orientation.w = 1.0
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._began, self._began_ns = time.monotonic(), time.time_ns()
        self.create_timer(_TICK_S, self._on_tick, clock=clock)

    def _topic(self, kind: type, name: str) -> object:
        return self.create_publisher(kind, name, STATES)

    def _image_topics(self) -> list[tuple[object, object]]:
        rng = np.random.default_rng(0)
        jpeg = CompressedImage(format="jpeg", data=array.array("B", rng.bytes(_JPEG_BYTES)))
        slope = 600.0 + np.add.outer(np.arange(_HEIGHT), np.arange(_WIDTH)) * 0.5
        depth = (slope + rng.normal(0.0, 2.0, slope.shape)).astype("<u2")
        image = Image(width=_WIDTH, height=_HEIGHT, encoding="16UC1", step=2 * _WIDTH)
        image.data = array.array("B", depth.tobytes())
        fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("xyz")]
        cloud = PointCloud2(height=1, width=_POINTS, fields=fields, point_step=12, row_step=12 * _POINTS)
        cloud.data = array.array("B", rng.random((_POINTS, 3), dtype=np.float32).tobytes())
        return [
            (self.create_publisher(type(message), name, IMAGES), message)
            for name, message in (
                ("camera/color/compressed", jpeg),
                ("camera/depth", image),
                ("perception/points", cloud),
            )
        ]

    # Episodes

    def begin(self, identity: str, index: int = 0) -> None:
        """Announce an episode."""
        self.decisions = 0
        self._info = EpisodeState(id=identity, index=index, task="grasp", phase=EpisodeState.PHASE_RUNNING)
        now = stamp_msg(time.time_ns())
        self._info.header.stamp, self._info.started = now, now
        self._state.publish(self._info)

    def finish(self) -> None:
        """Announce its end."""
        assert self._info is not None
        self._info.phase = EpisodeState.PHASE_FINISHED
        self._info.outcome, self._info.reason = EpisodeState.OUTCOME_SUCCESS, "success"
        self._info.header.stamp = stamp_msg(time.time_ns())
        self._state.publish(self._info)
        self._info = None

    # Time

    def _on_tick(self) -> None:
        # By the clock: a timer skips what it misses.
        due = int((time.monotonic() - self._began) / _TICK_S)
        while self._ticks < due:
            self._ticks += 1
            # What is late is late; it keeps the stamp of its time.
            self._publish(self._ticks, self._began_ns + round(self._ticks * _TICK_S * 1e9))

    def _publish(self, tick: int, now_ns: int) -> None:
        stamp = stamp_msg(now_ns)
        self._send_joints("arm/joint_states", robot.ARM_JOINT_NAMES, robot.ARM_HOME, stamp)
        if tick % 5 in (0, 2):
            self._send_joints("hand/joint_states", robot.HAND_JOINT_NAMES, robot.HAND_OPEN, stamp)
        if tick % 5 == 0:
            self._pose.header.stamp = stamp
            for publisher in self._poses.values():
                publisher.publish(self._pose)
            self._send_joints("hand/target", robot.HAND_JOINT_NAMES, robot.HAND_OPEN, stamp)
            contacts = ContactState(name=list(robot.CONTACT_NAMES), in_contact=[False] * 5)
            contacts.header.stamp = stamp
            self._contacts.publish(contacts)
            reward = Reward(total=1.0, valid=True)
            reward.header.stamp = stamp
            self._reward.publish(reward)
        if tick % 10 == 5:
            for publisher, message in self._images:
                message.header.stamp = stamp
                publisher.publish(message)
        if tick % 10 == 0 and self._info is not None:
            self._send_action(stamp)

    def _send_joints(self, name: str, joints: tuple[str, ...], position: object, stamp: object) -> None:
        values = np.asarray(position, dtype=np.float64).tolist()
        message = JointState(name=list(joints), position=values, velocity=[0.0] * len(values))
        message.header.stamp = stamp
        self._joints[name].publish(message)

    def _send_action(self, stamp: object) -> None:
        assert self._info is not None
        spec = robot.DEFAULT_ACTION_SPEC
        self._sequence += 1
        self.decisions += 1
        values = array.array("d", [0.0] * (spec.horizon * spec.size))
        message = PolicyAction(
            observation_stamp=stamp,
            publisher="synthetic",
            sequence=self._sequence,
            episode=self._info.index,
            checkpoint_id="synthetic@000000000000",
            horizon=spec.horizon,
            dimension=spec.size,
            step_dt=spec.control_dt,
            a_0=array.array("f", [0.0] * len(values)),
            a_b=values,
            a_r=values,
            a=values,
        )
        message.header.stamp = stamp
        message.header.frame_id = robot.BASE_FRAME
        self._action.publish(message)
