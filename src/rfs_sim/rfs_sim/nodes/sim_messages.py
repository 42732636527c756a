"""The simulated robot's and cameras' messages, made once and filled at every publication."""

from __future__ import annotations

import array
import io
from functools import partial

import mujoco
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseStamped
from geometry_msgs.msg import Pose as PoseMsg
from numpy.typing import NDArray
from PIL import Image as Picture
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, PointCloud2

from rfs_core import robot, tasks
from rfs_core.errors import RfsError
from rfs_core.world_state import WorldState
from rfs_msgs.msg import ContactState, Reward
from rfs_ros import hand_over
from rfs_ros.conversions import NS_PER_S, points_msg
from rfs_ros.qos import IMAGES, RELIABLE, REWARDS
from rfs_sim import cloud
from rfs_sim.point_camera import PointCamera
from rfs_sim.render import ScenePainter, Snapshot
from rfs_sim.sim_config import STATE_PERIOD_NS, WorldConfig
from rfs_sim.world import Outcome, World

CAMERA_FRAME = "camera_color_optical_frame"
HAND_STATE_NS = 20_000_000
"""Robot time after a tick at which the hand's state is published once more (ns): 40 Hz."""


def _doubles(values: NDArray[np.float64]) -> array.array[float]:
    """Values as what a message's float64[] takes without a look at each."""
    return array.array("d", np.ascontiguousarray(values).tobytes())


def _set_stamp(stamp: Time, nanoseconds: int) -> None:
    stamp.sec, stamp.nanosec = divmod(nanoseconds, NS_PER_S)


def _fill_pose(message: PoseMsg, position: NDArray[np.float64], quaternion: NDArray[np.float64]) -> None:
    message.position.x, message.position.y, message.position.z = position.tolist()
    orientation = message.orientation
    orientation.w, orientation.x, orientation.y, orientation.z = quaternion.tolist()


def _pose(stamp: Time) -> PoseStamped:
    """In the base frame, with a stamp that it shares."""
    message = PoseStamped()
    message.header.frame_id = robot.BASE_FRAME
    message.header.stamp = stamp
    return message


def _joints(names: tuple[str, ...], stamp: Time) -> JointState:
    message = JointState()
    message.header.stamp = stamp
    message.name = list(names)
    return message


class WorldPublisher:
    """Time, and what perception and reward would publish: object, goal, target, contacts, reward."""

    def __init__(self, node: Node, task: str) -> None:
        self._stamp = Time()
        self._clock_message = Clock(clock=self._stamp)
        self._object, self._goal, self._target = (_pose(self._stamp) for _ in range(3))
        self._contacts = ContactState(name=list(robot.CONTACT_NAMES))
        self._contacts.header.stamp = self._stamp
        self._reward = Reward(object_centre=Point(), valid=True)
        self._reward.header.stamp = self._stamp
        self._reward.header.frame_id = robot.BASE_FRAME

        self._publish_clock = node.create_publisher(Clock, "/clock", RELIABLE).publish
        self._publish_object = node.create_publisher(PoseStamped, "perception/object_pose", RELIABLE).publish
        self._publish_goal = node.create_publisher(PoseStamped, "perception/goal_pose", RELIABLE).publish
        self._true_object, self._true_goal = _pose(self._stamp), _pose(self._stamp)
        self._publish_true_object = node.create_publisher(PoseStamped, "sim/object_pose", RELIABLE).publish
        self._publish_true_goal = node.create_publisher(PoseStamped, "sim/goal_pose", RELIABLE).publish
        self._target_body: str = tasks.load(task).TARGET_BODY
        self._publish_target = (
            node.create_publisher(PoseStamped, "perception/target_pose", RELIABLE).publish
            if self._target_body
            else None
        )
        self._publish_contacts = node.create_publisher(ContactState, "hand/contacts", RELIABLE).publish
        self._publish_reward = node.create_publisher(Reward, "reward", REWARDS).publish

    def publish_clock(self, stamp_ns: int) -> None:
        """The time."""
        _set_stamp(self._stamp, stamp_ns)
        self._publish_clock(self._clock_message)

    def publish(
        self, stamp_ns: int, state: WorldState, outcome: Outcome, seen: WorldState | None = None
    ) -> None:
        """Everything but the time, at a control tick.

        Args:
            stamp_ns: of the tick.
            state: the truth.
            outcome: the task's judgement of it.
            seen: what perception makes of it; None: the truth.
        """
        true, state = state, state if seen is None else seen
        _set_stamp(self._stamp, stamp_ns)
        centre, quaternion = state.object_pose.position[0], state.object_pose.quaternion[0]
        _fill_pose(self._object.pose, centre, quaternion)
        self._publish_object(self._object)
        _fill_pose(self._goal.pose, state.goal_position[0], np.array((1.0, 0.0, 0.0, 0.0)))
        self._publish_goal(self._goal)
        if self._publish_target is not None:
            target = state.bodies[self._target_body].pose
            _fill_pose(self._target.pose, target.position[0], target.quaternion[0])
            self._publish_target(self._target)
        _fill_pose(self._true_object.pose, true.object_pose.position[0], true.object_pose.quaternion[0])
        self._publish_true_object(self._true_object)
        _fill_pose(self._true_goal.pose, true.goal_position[0], np.array((1.0, 0.0, 0.0, 0.0)))
        self._publish_true_goal(self._true_goal)
        self._contacts.in_contact = state.contacts[0].tolist()
        self._publish_contacts(self._contacts)
        reward, terms = self._reward, outcome.terms
        reward.total = outcome.total
        reward.distance_term = terms.get("distance", 0.0)
        reward.contact_term = terms.get("contact", 0.0)
        reward.lift_term = terms.get("lift", 0.0)
        reward.object_centre.x, reward.object_centre.y, reward.object_centre.z = centre.tolist()
        reward.success = outcome.success
        reward.terminated = outcome.terminated
        reward.reason = outcome.reason
        self._publish_reward(reward)


class StatePublisher:
    """What the drivers and the perception would publish of robot, object and target."""

    def __init__(self, node: Node, task: str) -> None:
        self._stamp = Time()
        self._substamp = Time()
        self._world = WorldPublisher(node, task)
        self._arm = _joints(robot.ARM_JOINT_NAMES, self._stamp)
        self._hand = _joints(robot.HAND_JOINT_NAMES, self._stamp)
        self._arm_between = _joints(robot.ARM_JOINT_NAMES, self._substamp)
        self._hand_between = _joints(robot.HAND_JOINT_NAMES, self._substamp)
        self._palm = _pose(self._stamp)
        self._publish_arm = node.create_publisher(JointState, "arm/joint_states", RELIABLE).publish
        self._publish_palm = node.create_publisher(PoseStamped, "arm/current_pose", RELIABLE).publish
        self._publish_hand = node.create_publisher(JointState, "hand/joint_states", RELIABLE).publish

    def publish(self, stamp_ns: int, world: World, outcome: Outcome) -> None:
        """The state of a control tick, /clock first so that no state is from the future."""
        state = world.state
        self._world.publish_clock(stamp_ns)
        _set_stamp(self._stamp, stamp_ns)
        self._arm.position = _doubles(state.arm_position[0])
        self._arm.velocity = _doubles(state.arm_velocity[0])
        self._publish_arm(self._arm)
        _fill_pose(self._palm.pose, state.palm.position[0], state.palm.quaternion[0])
        self._publish_palm(self._palm)
        self._hand.position = _doubles(state.hand_position[0])
        self._hand.velocity = _doubles(state.hand_velocity[0])
        self._publish_hand(self._hand)
        self._world.publish(stamp_ns, state, outcome, world.seen)

    def publish_between(self, before_ns: int, world: World) -> None:
        """The drivers' states between the tick at `before_ns` and the next one, that one excluded."""
        substeps = world.substep_states()
        offsets = np.rint(substeps.time * NS_PER_S).astype(np.int64).tolist()
        for i, offset in enumerate(offsets[:-1]):
            if offset % STATE_PERIOD_NS == 0:
                _set_stamp(self._substamp, before_ns + offset)
                self._arm_between.position = _doubles(substeps.arm_position[0, i])
                self._arm_between.velocity = _doubles(substeps.arm_velocity[0, i])
                self._publish_arm(self._arm_between)
                if offset == HAND_STATE_NS:
                    self._hand_between.position = _doubles(substeps.hand_position[0, i])
                    self._hand_between.velocity = _doubles(substeps.hand_velocity[0, i])
                    self._publish_hand(self._hand_between)


def object_labels(model: mujoco.MjModel, geom: NDArray[np.int32]) -> NDArray[np.uint8]:
    """1 where a geom of the object is seen, else 0. Shape: (height, width)"""
    bodies = np.array([model.body(int(body)).name == "object" for body in model.geom_bodyid] + [False])
    return bodies[geom].astype(np.uint8)


class CameraPublisher:
    """Colour, depth and the camera's numbers; to whoever listens, also which pixels are the object."""

    def __init__(self, node: Node, config: WorldConfig, world: World) -> None:
        width, height = config.camera_width, config.camera_height
        self._period = config.camera_period
        self._encoding = config.camera_encoding
        self._millimetres = config.depth_encoding == "16UC1"
        self._camera = cloud.Camera.of_model(world.model, config.camera_name, width, height)
        self._depth_sensor = cloud.DepthSensor(self._camera)
        self._painter = ScenePainter(width, height, camera=self._camera, samples=0)
        self._stamp = Time()
        self._colour = CompressedImage(format=config.camera_encoding)
        self._depth = Image(
            width=width,
            height=height,
            encoding=config.depth_encoding,
            step=width * (2 if self._millimetres else 4),
        )
        (cx, cy), f = self._camera.centre, self._camera.focal
        self._info = CameraInfo(
            width=width,
            height=height,
            distortion_model="plumb_bob",
            d=[0.0] * 5,
            k=[f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0],
            r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            p=[f, 0.0, cx, 0.0, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
        )
        self._labels = Image(width=width, height=height, encoding="mono8", step=width)
        self._listened = partial(node.count_subscribers, "camera/labels")
        for message in (self._colour, self._depth, self._info, self._labels):
            message.header.stamp = self._stamp
            message.header.frame_id = CAMERA_FRAME
        self._publish_colour = node.create_publisher(
            CompressedImage, "camera/color/compressed", IMAGES
        ).publish
        self._publish_depth = node.create_publisher(Image, "camera/depth", IMAGES).publish
        self._publish_info = node.create_publisher(CameraInfo, "camera/camera_info", IMAGES).publish
        self._publish_labels = node.create_publisher(Image, "camera/labels", IMAGES).publish

    def publish(self, tick: int, stamp_ns: int, world: World) -> None:
        """One pair of images at every `camera_period`-th tick."""
        if tick % self._period:
            return
        _set_stamp(self._stamp, stamp_ns)
        file = io.BytesIO()
        colour = self._painter.paint(Snapshot(world.model, world.qpos))
        Picture.fromarray(colour).save(file, format=self._encoding, quality=90)
        self._colour.data = array.array("B", file.getvalue())
        self._publish_colour(self._colour)
        depth, geom = self._depth_sensor.cast(world.model, world.data())
        if self._listened():
            self._labels.data = array.array("B", object_labels(world.model, geom).tobytes())
            self._publish_labels(self._labels)
        # By REP 118: millimetres with 0, metres with NaN where nothing was measured.
        pixels = (
            np.nan_to_num(depth * 1000.0).round().astype("<u2") if self._millimetres else depth.astype("<f4")
        )
        self._depth.data = array.array("B", pixels.tobytes())
        self._publish_depth(self._depth)
        self._publish_info(self._info)

    def close(self) -> None:
        """Give the graphics back."""
        self._painter.close()


class PointPublisher:
    """The cloud of the scene in the base frame, made as on a robot, always of the same number of points.

    A policy in this process is handed the array; a message is made for whoever listens outside.
    """

    def __init__(self, node: Node, config: WorldConfig, world: World) -> None:
        self._period = config.points_period
        self._config, self._pipeline = config.points_camera, config.cloud
        self._camera: PointCamera | None = None
        self._of: tuple[int, int] | None = None
        self._node = node
        self._publisher = node.create_publisher(PointCloud2, "perception/points", IMAGES)
        self._give = hand_over.offer(node, "perception/points")
        self.problem = ""
        """Why there was no cloud the last time; empty where there was one."""

    def publish(self, tick: int, stamp_ns: int, world: World) -> None:
        """One cloud at every `points_period`-th tick; nothing where the pipeline refuses what is seen."""
        if tick % self._period:
            return
        if self._camera is None or self._of != (world.seed, world.episode):
            self._of = (world.seed, world.episode)
            error = world.camera_error
            moved = None if error is None else error.transform
            self._camera = PointCamera(self._config, self._pipeline, *self._of, moved)
        try:
            points = self._camera.points(world.model, world.data(), world.steps)
        except RfsError as error:
            if str(error) != self.problem:
                self._node.get_logger().warning(f"no points: {error}")
            self.problem = str(error)
            return
        self.problem = ""
        self._give(stamp_ns, points)
        if self._publisher.get_subscription_count():
            self._publisher.publish(points_msg(stamp_ns, robot.BASE_FRAME, points))

    def close(self) -> None:
        """Give no more."""
        hand_over.withdraw(self._node, "perception/points")
