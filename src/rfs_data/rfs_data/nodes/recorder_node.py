"""The recorder: one bag per episode, durable when the episode has ended.

    ros2 run rfs_data recorder_node --ros-args -p folder:=bags
    ros2 run rfs_data check_bag bags

Subscribes every topic of `rfs_data.schema.TOPICS` as raw bytes; episode/state opens and closes bags.
Publishes /diagnostics. It commands nothing: whatever happens to it or to its disk, the robot goes on.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rclpy.task import Future

from rfs_data import provenance
from rfs_data.definitions import typestore
from rfs_data.recorder import Recorder
from rfs_data.recorder_config import RecorderConfig
from rfs_data.recording import EpisodeInfo, Sample
from rfs_data.schema import TOPICS, Topic
from rfs_msgs.msg import EpisodeState, PolicyAction
from rfs_ros import connections, params
from rfs_ros.conversions import stamp_ns
from rfs_ros.run import exit_with, run_node
from rfs_ros.waiting import taken

_TICK_S = 0.05
_DIAGNOSE_S = 1.0
_DEPTH, _DEPTH_LARGE = 1000, 64
"""Messages that wait while this node is busy. A reliable reader gets all that came after a lost message at
once, up to 3 s of it (the heartbeat of Fast DDS): it must fit."""


class RecorderNode(Node):
    """Wires topics to `rfs_data.recorder`; decides nothing itself."""

    def __init__(self, **options: Any) -> None:
        """Args: options: of rclpy's Node, such as parameter_overrides."""
        super().__init__("recorder_node", **options)
        self.config = params.declare(self, RecorderConfig)
        self._software = provenance.software()
        self._calibration = provenance.calibration(self.config.calibration)
        self._checkpoint_file = provenance.checkpoint(self.config.checkpoint)
        self._checkpoint_id = ""
        self._parameters_found: dict[str, dict[str, Any]] = {}
        self._asked: set[str] = set()
        topics = [replace(topic, on_wire=self.resolve_topic_name(topic.name)) for topic in TOPICS]
        self.recorder = Recorder(self.config, topics, typestore(), self._header)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._recorded = [self._subscribe(topic) for topic in topics]
        self._parameter_services = {
            node: (
                self.create_client(ListParameters, f"{node}/list_parameters"),
                self.create_client(GetParameters, f"{node}/get_parameters"),
            )
            for node in self.config.parameters_of
            if node
        }
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(_TICK_S, self._on_tick, clock=self._steady)
        self.create_timer(_DIAGNOSE_S, self._diagnose, clock=self._steady)
        self.get_logger().info(f"records episodes into {self.recorder.folder}")

    def _subscribe(self, topic: Topic) -> tuple[Topic, Any, type]:
        package, _, name = topic.type.split("/")
        kind = getattr(importlib.import_module(f"{package}.msg"), name)
        durability = DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE
        qos = QoSProfile(
            depth=_DEPTH_LARGE if topic.large else _DEPTH,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=durability,
        )
        callback = partial(self._on_message, topic)

        # rclpy looks at the signature to find out that the second argument is wanted.
        def received(data: bytes, info: dict[str, Any]) -> None:
            callback(data, info)
            # The executor hands over one message of a topic, then looks at all others: what comes five
            # times as often would fall behind.
            self._drain(recorded)

        recorded = (topic, self.create_subscription(kind, topic.name, received, qos, raw=True))
        return recorded

    def _drain(self, recorded: tuple[Topic, Subscription]) -> None:
        """Take every message of a topic that has arrived."""
        topic, subscription = recorded
        for data, info in taken(subscription):
            self._on_message(topic, data, info)

    # Messages

    def _on_message(self, topic: Topic, data: bytes, info: dict[str, Any]) -> None:
        now_ns = self.get_clock().now().nanoseconds
        sample = Sample(now_ns, info["source_timestamp"], info["publication_sequence_number"] or 0, data)
        self.recorder.message(topic.name, sample)
        if topic.name == "policy/action":
            self._checkpoint_id = deserialize_message(data, PolicyAction).checkpoint_id
        elif topic.name == "episode/state":
            self.recorder.episode(_episode_info(deserialize_message(data, EpisodeState)))

    def _header(self, info: EpisodeInfo) -> dict[str, Any]:
        """What stands in a header besides the episode itself."""
        checkpoint = self._checkpoint()
        return {
            **provenance.specs(info.task, checkpoint["header"]),
            "checkpoint": checkpoint,
            "calibration": self._calibration,
            "software": self._software,
            "parameters": self._parameters_found,
            "clock": "simulated" if self.get_parameter("use_sim_time").value else "system",
            "namespace": self.get_namespace(),
        }

    def _checkpoint(self) -> dict[str, Any]:
        """Id of the actions' checkpoint, with its file's header where that is the same one."""
        known = self._checkpoint_file
        if known["id"] == self._checkpoint_id or not self._checkpoint_id:
            return known
        return {"id": self._checkpoint_id, "file": "", "file_sha256": "", "header": None}

    # Parameters of the other nodes

    def _ask_parameters(self) -> None:
        for node, (lister, getter) in self._parameter_services.items():
            if node not in self._asked and lister.service_is_ready() and getter.service_is_ready():
                self._asked.add(node)
                lister.call_async(ListParameters.Request()).add_done_callback(
                    partial(self._on_names, node, getter)
                )

    def _on_names(self, node: str, getter: Any, future: Future) -> None:
        names = list(future.result().result.names)
        getter.call_async(GetParameters.Request(names=names)).add_done_callback(
            partial(self._on_values, node, names)
        )

    def _on_values(self, node: str, names: list[str], future: Future) -> None:
        values = [_plain(value) for value in future.result().values]
        self._parameters_found = {**self._parameters_found, node: dict(zip(names, values, strict=False))}

    # Time and health

    def _on_tick(self) -> None:
        self._ask_parameters()
        if self.recorder.due:
            # What has arrived belongs to the episode that is closed now.
            for recorded in self._recorded:
                self._drain(recorded)
        self.recorder.tick()
        news = bool(self.recorder.events)
        while self.recorder.events:
            event = self.recorder.events.popleft()
            # rclpy remembers a severity for every line of code: one line each.
            if event.level == "error":
                self.get_logger().error(event.sentence)
            elif event.level == "warning":
                self.get_logger().warning(event.sentence)
            else:
                self.get_logger().info(event.sentence)
        if news:
            self._diagnose()  # whoever waits for a bag to be on the disk hears of it now

    def _diagnose(self) -> None:
        status = self.recorder.status
        level, message = DiagnosticStatus.OK, f"recording {status.recording}" if status.recording else "ready"
        if status.problem:
            level = DiagnosticStatus.ERROR if status.stopped else DiagnosticStatus.WARN
            message = status.problem
        if not self.recorder.alive:
            level, message = DiagnosticStatus.ERROR, "the writing thread has died; nothing is recorded"
        values = {
            "recording": status.recording,
            "finished_episode": status.finished_episode,
            "episodes": status.episodes,
            "lost_messages": status.lost,
            "dropped_messages": status.dropped,
            "free_gb": f"{status.free_gb:.1f}",
            connections.KEY: connections.report(self),
        }
        array = DiagnosticArray(
            status=[
                DiagnosticStatus(
                    level=level,
                    name=f"{self.get_fully_qualified_name().lstrip('/')}: recorder",
                    message=message,
                    values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
                )
            ]
        )
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def destroy_node(self) -> None:
        """Take what has arrived, close the bag, then the node."""
        for recorded in self._recorded:
            self._drain(recorded)
        self.recorder.stop()
        self._on_tick()
        super().destroy_node()


def _episode_info(message: EpisodeState) -> EpisodeInfo:
    return EpisodeInfo(
        id=message.id,
        index=message.index,
        count=message.count,
        task=message.task,
        seed=message.seed,
        phase=message.phase,
        started_ns=stamp_ns(message.started),
        max_steps=message.max_steps,
        outcome=message.outcome,
        reason=message.reason,
        stamp_ns=stamp_ns(message.header.stamp),
    )


_FIELDS = {
    ParameterType.PARAMETER_BOOL: "bool_value",
    ParameterType.PARAMETER_INTEGER: "integer_value",
    ParameterType.PARAMETER_DOUBLE: "double_value",
    ParameterType.PARAMETER_STRING: "string_value",
    ParameterType.PARAMETER_BOOL_ARRAY: "bool_array_value",
    ParameterType.PARAMETER_INTEGER_ARRAY: "integer_array_value",
    ParameterType.PARAMETER_DOUBLE_ARRAY: "double_array_value",
    ParameterType.PARAMETER_STRING_ARRAY: "string_array_value",
}


def _plain(value: Any) -> Any:
    """A rcl_interfaces/ParameterValue as JSON has it."""
    if value.type not in _FIELDS:
        return None
    plain = getattr(value, _FIELDS[value.type])
    return list(plain) if value.type > ParameterType.PARAMETER_STRING else plain


def main() -> None:
    """Entry point of `ros2 run rfs_data recorder_node`."""
    exit_with(run_node(RecorderNode))


if __name__ == "__main__":
    main()
