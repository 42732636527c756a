"""The camera node as a process, against an emulated camera whose cable can be pulled."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

pytest.importorskip("pyrealsense2", reason="needs pyrealsense2: make setup EXTRAS=perception")

from rfs_perception import calibration
from rfs_perception.calibration import Calibration
from rfs_perception.errors import CameraError
from rfs_perception.frame import Frame, Intrinsics
from rfs_perception.nodes import messages
from rfs_perception.nodes.realsense_node import RealSenseNode
from rfs_ros import hand_over
from rfs_ros.conversions import stamp_ns

DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
PATIENCE_S = 90.0
SIZE = (160, 120)
_numbers = itertools.count()

# 0.9 m above the table, looking straight down: the base's z is against the camera's.
CALIBRATION = Calibration(
    camera_serial="EMULATED0001",
    position=(0.55, 0.0, 0.9),
    quaternion_wxyz=(0.0, 1.0, 0.0, 0.0),
    method="by construction",
    date="2026-01-01T00:00:00+00:00",
    rms_position_m=0.001,
    rms_rotation_rad=0.0,
    rms_reprojection_px=0.0,
    poses=6,
    image_size=SIZE,
)


class EmulatedCamera:
    """The camera as a process."""

    def __init__(self, folder: Path) -> None:
        self.link = folder / "camera"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rfs_drivers.emulated.camera_main", "--link", str(self.link)]
            + ["--size", f"{SIZE[0]}x{SIZE[1]}", "--fps", "15", "--end-with-input"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._line()

    def _line(self) -> dict[str, object]:
        assert self._process.stdout is not None
        answer: dict[str, object] = json.loads(self._process.stdout.readline())
        return answer

    def __call__(self, operation: str, **arguments: object) -> dict[str, object]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": operation, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._line()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10.0)


class Desk:
    """The node under test in a process of its own, and what one sees of it on the wire."""

    def __init__(self, **parameters: object) -> None:
        self.namespace = f"/camera_{os.getpid()}_{next(_numbers)}"
        given = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rfs_perception.nodes.realsense_node", "--ros-args"]
            + ["-r", f"__ns:={self.namespace}", "-p", "autostart:=true", *given],
            env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)},
        )
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=DOMAIN)
        self.node = rclpy.create_node("desk", namespace=self.namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.clouds: list[PointCloud2] = []
        self.images: list[CompressedImage] = []
        self.depths: list[Image] = []
        self.infos: list[CameraInfo] = []
        self.message, self.values = "", dict[str, str]()
        self.node.create_subscription(PointCloud2, "perception/points", self.clouds.append, 10)
        self.node.create_subscription(CompressedImage, "camera/color/compressed", self.images.append, 10)
        self.node.create_subscription(Image, "camera/depth", self.depths.append, 10)
        self.node.create_subscription(CameraInfo, "camera/camera_info", self.infos.append, 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(self.namespace.lstrip("/")):
                self.message = status.message
                self.values = {value.key: value.value for value in status.values}

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"the node ended with {self.process.returncode}"
            assert time.monotonic() < deadline, f"waited for {what}; {self.message}; {self.values}"
            self._executor.spin_once(timeout_sec=0.1)

    def until_new_clouds(self, what: str) -> None:
        self.until(lambda: self.message == "reading", f"reading after {what}")
        before = len(self.clouds)
        self.until(lambda: len(self.clouds) > before + 2, f"clouds after {what}")

    def close(self) -> None:
        self.process.terminate()
        # A node that still imports its modules has no handler yet.
        assert self.process.wait(30.0) in (0, -signal.SIGTERM)
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCamera]:
    camera = EmulatedCamera(tmp_path_factory.mktemp("camera"))
    yield camera
    camera.close()


@pytest.fixture(scope="module")
def desk(camera: EmulatedCamera, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    path = tmp_path_factory.mktemp("calibration") / "camera.json"
    calibration.save(path, CALIBRATION)
    # Patience of the node's own, for a machine that is busy with other things.
    desk = Desk(
        source=f"emulated:{camera.link}",
        calibration=path,
        points_count=256,
        lost_after=3.0,
        reopen_every=0.2,
        **{"cloud.low": "[0.3,-0.4,-0.1]"},
    )
    yield desk
    desk.close()


def test_clouds_are_in_the_base_frame_and_images_are_those_of_the_camera(desk: Desk) -> None:
    desk.until_new_clouds("the start")
    desk.until(lambda: bool(desk.images and desk.depths and desk.infos), "images")
    cloud = desk.clouds[-1]
    assert (cloud.header.frame_id, cloud.width, cloud.height) == ("fr3_link0", 256, 1)
    points = np.frombuffer(cloud.data, dtype="<f4").reshape(-1, 3)
    # The table is 0.9 m below the camera, at z = 0; the block's top 0.12 m above it.
    heights = points[:, 2]
    assert ((np.abs(heights) < 0.006) | (np.abs(heights - 0.12) < 0.006)).all()
    assert (np.abs(heights - 0.12) < 0.006).any()
    assert stamp_ns(cloud.header.stamp) <= time.time_ns()
    image, depth = messages.colour_from_msg(desk.images[-1]), messages.depth_from_msg(desk.depths[-1])
    assert image.shape == (SIZE[1], SIZE[0], 3)
    assert depth.shape == (SIZE[1], SIZE[0])
    assert desk.images[-1].header.frame_id == "camera_color_optical_frame"
    # Table brown at the edge: red over green over blue.
    assert image[3, 3, 0] > image[3, 3, 1] > image[3, 3, 2]
    assert messages.intrinsics_from_msg(desk.infos[-1]).fx == pytest.approx(605.0 / 4)


def test_a_camera_without_depth_gives_no_points_but_the_reason(camera: EmulatedCamera, desk: Desk) -> None:
    camera("blind", on=True)
    desk.until(lambda: "no depth" in desk.message, "the reason")
    made, refused = desk.values["clouds"], int(desk.values["clouds_refused"])
    desk.until(lambda: int(desk.values.get("clouds_refused", 0)) > refused + 5, "more of them")
    assert desk.values["clouds"] == made
    camera("blind", on=False)
    desk.until_new_clouds("the depth is back")


def test_a_frozen_image_is_refused_though_its_stamps_are_fresh(camera: EmulatedCamera, desk: Desk) -> None:
    camera("freeze", on=True)
    desk.until(lambda: "is frozen: fresh stamps, but the same image" in desk.message, "the reason")
    made, frozen = desk.values["clouds"], int(desk.values["frozen"])
    desk.until(lambda: int(desk.values.get("frozen", 0)) > frozen + 10, "more of them")
    assert desk.values["clouds"] == made
    camera("freeze", on=False)
    desk.until_new_clouds("something changes again")


def test_an_unplugged_camera_is_read_again_when_it_is_back(camera: EmulatedCamera, desk: Desk) -> None:
    camera("unplug")
    desk.until(
        lambda: "no emulated camera feeds" in desk.message or "unplugged" in desk.message, "the reason"
    )
    lost, opened = int(desk.values["lost"]), int(desk.values["opened"])
    assert lost >= 1
    # Half a second of looking in vain.
    before = len(desk.clouds)
    end = time.monotonic() + 0.5
    desk.until(lambda: time.monotonic() > end, "half a second")
    assert len(desk.clouds) == before
    camera("plug")
    desk.until_new_clouds("the cable is back")
    assert int(desk.values["opened"]) > opened


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (None, "does not exist: make one"),
        ({"camera_serial": "OTHER"}, "is of camera 'OTHER', connected is 'EMULATED0001'"),
        ({"rms_position_m": 0.05}, "RMS error of 50.0 mm"),
        ({"base_frame": "table"}, "about frame 'table', must be about 'fr3_link0'"),
    ],
    ids=["missing", "foreign camera", "bad", "foreign frame"],
)
def test_a_calibration_that_is_not_its_own_is_refused_at_configuration(
    changes: dict[str, object] | None, reason: str, camera: EmulatedCamera, desk: Desk, tmp_path: Path
) -> None:
    path = tmp_path / "camera.json"
    if changes is not None:
        calibration.save(path, replace(CALIBRATION, **changes))  # type: ignore[arg-type]
    given = {"source": f"emulated:{camera.link}", "calibration": path}
    arguments = [part for name, value in given.items() for part in ("-p", f"{name}:={value}")]
    rclpy.init(args=["--ros-args", "-r", "__ns:=/refused", *arguments], domain_id=DOMAIN)
    try:
        node = RealSenseNode()
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert reason in node.diagnostics().status[0].message
        node.destroy_node()
    finally:
        rclpy.try_shutdown()


def test_a_policy_in_the_same_process_is_handed_the_clouds_as_arrays(
    camera: EmulatedCamera, desk: Desk, tmp_path: Path
) -> None:
    # The camera has one cable: the other node gives way, and takes it back afterwards.
    path = tmp_path / "camera.json"
    calibration.save(path, CALIBRATION)
    given = {"source": f"emulated:{camera.link}", "calibration": path, "points_count": 128}
    given["cloud.low"] = "[0.3,-0.4,-0.1]"
    arguments = [part for name, value in given.items() for part in ("-p", f"{name}:={value}")]
    context = rclpy.Context()
    rclpy.init(args=["--ros-args", "-r", "__ns:=/together", *arguments], context=context, domain_id=DOMAIN)
    node = RealSenseNode(context=context)
    policy = rclpy.create_node("policy", namespace="/together", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(policy)
    taken: list[tuple[int, np.ndarray]] = []
    try:
        assert hand_over.offered(policy, "perception/points")
        inbox = hand_over.take(policy, "perception/points", lambda stamp, array: taken.append((stamp, array)))
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        deadline = time.monotonic() + PATIENCE_S
        while len(taken) < 3:
            assert time.monotonic() < deadline, node.diagnostics().status[0].message
            executor.spin_once(timeout_sec=0.1)
        inbox.close()
    finally:
        node.destroy_node()
        assert not hand_over.offered(policy, "perception/points")
        policy.destroy_node()
        executor.shutdown()
        context.try_shutdown()
    assert taken[-1][1].shape == (128, 3)
    assert taken[-1][0] > taken[0][0]


class NumberedCamera:
    """Gives a frame every 10 ms, and the error of an unplugged cable at the fifth."""

    serial, live, unpaired = "1", True, 0

    def __init__(self, *_: object) -> None:
        self._number = 0

    def read(self, timeout_s: float) -> Frame | None:
        time.sleep(0.01)
        self._number += 1
        if self._number == 5:
            raise CameraError("unplugged")
        image = np.full((48, 64, 3), self._number, np.uint8)
        depth = np.full((48, 64), 0.5 + 0.001 * self._number, np.float32)
        return Frame(time.time_ns(), image, depth, Intrinsics(64, 48, 60.0, 60.0, 31.5, 23.5), self._number)

    def drain(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_defect_does_not_end_the_search_for_a_lost_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count(1)

    def look(*_: object) -> None:
        # The first look is configure's, the second one the first after the cable was pulled.
        if next(looks) == 2:
            raise ValueError("a defect of this test")

    monkeypatch.setattr("rfs_perception.nodes.realsense_node.find", look)
    monkeypatch.setattr("rfs_perception.nodes.realsense_node.Camera", NumberedCamera)
    context = rclpy.Context()
    given = ["-r", "__ns:=/defect", "-p", "points:=false", "-p", "reopen_every:=0.05"]
    rclpy.init(args=["--ros-args", *given], context=context, domain_id=DOMAIN)
    node = RealSenseNode(context=context)

    def value(key: str) -> int:
        return int({v.key: v.value for v in node.diagnostics().status[0].values}[key])

    try:
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        deadline = time.monotonic() + PATIENCE_S
        # Lost by the cable, then by the defect; four frames of each camera, and more of the second one.
        while value("opened") < 2 or value("frames") <= 4:
            assert time.monotonic() < deadline, node.diagnostics().status[0].message
            time.sleep(0.05)
        assert value("lost") >= 2
    finally:
        node.destroy_node()
        context.try_shutdown()
