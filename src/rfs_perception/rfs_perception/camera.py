"""A RealSense camera, a recording of one, or a software device: one code path through librealsense.

The device's own sensors are opened into a syncer. (rs.pipeline would not do: it finds no software device.)
The syncer passes a recording's images on one by one, so pairs are made here, by time; alignment and filters
then see pairs, whatever they came from.
"""

from __future__ import annotations

import contextlib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rfs_core.config import nearest
from rfs_core.errors import RfsError
from rfs_perception.camera_config import CameraConfig, FilterConfig
from rfs_perception.errors import CameraError
from rfs_perception.frame import Frame, Intrinsics

CAMERAS = "rfs.cameras"
"""Entry point group of makers of emulated cameras."""

SOURCES = ("serial:NUMBER", "file:FILE.db3", "emulated:SOCKET")

_QUEUE = 4
"""Pairs that may wait: a reader that is late sees the newest ones."""
_HOLES = {"left": 0, "farthest": 1, "nearest": 2}


class Opened(Protocol):
    """A device and what keeps it going."""

    device: Any

    def start(self) -> None:
        """Called when its sensors are open."""

    def close(self) -> None:
        """Called after its sensors were closed."""


class RecordingEnded(CameraError):
    """A recording has no more images. Not a fault."""


class _Plain:
    """A device that needs nothing."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass


def library() -> Any:
    """pyrealsense2.

    Raises:
        CameraError: it is not installed.
    """
    try:
        import pyrealsense2
    except ImportError as error:
        raise CameraError(
            f"pyrealsense2 cannot be imported ({error}): make setup EXTRAS=perception; it needs libusb-1.0-0"
        ) from error
    return pyrealsense2


def find(source: str, real_time: bool = True) -> Opened:
    """The device that `source` names (see CameraConfig.source).

    Raises:
        CameraError: there is none, more than one, or it cannot be read.
    """
    rs = library()
    kind, _, rest = source.partition(":")
    if kind == "emulated":
        makers = {entry.name: entry for entry in entry_points(group=CAMERAS)}
        if "emulated" not in makers:
            raise CameraError("no installed package makes emulated cameras: build rfs_drivers")
        try:
            opened: Opened = makers["emulated"].load()(rest)
        except (RfsError, RuntimeError) as error:
            raise CameraError(str(error)) from error
        return opened
    if kind == "file":
        if Path(rest).suffix != ".db3":
            raise CameraError(f"recording {rest!r}: librealsense plays .db3 files only")
        if not Path(rest).is_file():
            raise CameraError(f"recording {rest} does not exist")
        try:
            device = rs.context().load_device(rest)
            device.set_real_time(real_time)
        except RuntimeError as error:
            raise CameraError(f"recording {rest} cannot be played: {error}") from error
        return _Plain(device)
    if source and kind != "serial":
        raise CameraError(f"source {source!r} is unknown; {nearest(kind, SOURCES)}")
    try:
        cameras = {d.get_info(rs.camera_info.serial_number): d for d in rs.context().query_devices()}
    except RuntimeError as error:
        # Such as a camera that is plugged in at this moment.
        raise CameraError(f"connected cameras cannot be listed: {error}; plug the camera anew") from error
    if rest and rest not in cameras:
        raise CameraError(f"no camera {rest} is connected; connected: {', '.join(cameras) or 'none'}")
    if not rest and len(cameras) != 1:
        raise CameraError(
            "no RealSense camera is connected: plug one in, or name a recording or an emulated one in source"
            if not cameras
            else f"{len(cameras)} cameras are connected ({', '.join(cameras)}): name one, serial:NUMBER"
        )
    return _Plain(cameras[rest] if rest else next(iter(cameras.values())))


class Camera:
    """An open camera. Belongs to one thread."""

    def __init__(self, opened: Opened, config: CameraConfig) -> None:
        """Open the sensors and start.

        Raises:
            CameraError: it does not have the wanted images, or is in use.
        """
        self._rs = library()
        self._opened = opened
        self.serial = "unknown"
        self.name = ""
        self.live = True
        """False: a recording, which may pause."""
        self.unpaired = 0
        """Images that found no partner."""
        self._sensors: list[Any] = []
        self._filters: list[Any] = []
        self._pending: dict[Any, Any] = {}
        self._pair: list[Any] = []
        self._syncer: Any = None
        try:
            self._start(config)
        except (RuntimeError, CameraError) as error:
            self.close()
            if isinstance(error, CameraError):
                raise
            raise CameraError(f"camera {self.serial} cannot be started: {error}") from error

    def _start(self, config: CameraConfig) -> None:
        rs, opened, device = self._rs, self._opened, self._opened.device
        self.serial = str(device.get_info(rs.camera_info.serial_number))
        self.name = str(device.get_info(rs.camera_info.name))
        self._playback = device if device.is_playback() else None
        self.live = self._playback is None
        self._align: Any = rs.align(rs.stream.color) if config.align else None
        self._filters = _filters(rs, config.filters)
        self._syncer = rs.syncer(_QUEUE)
        self._compose: Any = rs.processing_block(
            lambda _, source: source.frame_ready(source.allocate_composite_frame(self._pair))
        )
        self._composed: Any = rs.frame_queue(1)
        self._compose.start(self._composed)
        chosen = (
            [(s, s.get_stream_profiles()) for s in device.query_sensors()]
            if self._playback is not None or not isinstance(opened, _Plain)
            else _profiles(rs, device, config)
        )
        self._recorder = None
        if self._playback is not None:
            # Else the first sensor plays while the second one is still being opened.
            self._playback.pause()
        if config.record:
            if Path(config.record).exists():
                raise CameraError(f"record: {config.record} exists already; name another file")
            self._recorder = rs.recorder(config.record, device, config.record_compression)
            sensors = {s.get_info(rs.camera_info.name): s for s in self._recorder.query_sensors()}
            chosen = [(sensors[s.get_info(rs.camera_info.name)], p) for s, p in chosen]
        for sensor, profiles in chosen:
            sensor.open(profiles)
            self._sensors.append(sensor)
            sensor.start(self._syncer)
        if self._playback is not None:
            self._playback.resume()
        opened.start()
        fps = [p.fps() for _, profiles in chosen for p in profiles]
        self._half_period_ms = 500.0 / (max(fps) if fps else config.fps)

    def read(self, timeout_s: float) -> Frame | None:
        """The next pair of images; None where none came in time. Stamps are the camera's.

        Raises:
            RecordingEnded: there are no more.
            CameraError: the camera is gone.
        """
        try:
            ok, arrived = self._syncer.try_wait_for_frames(int(timeout_s * 1e3))
            if not ok:
                if self._playback is not None and (
                    self._playback.current_status() == self._rs.playback_status.stopped
                ):
                    raise RecordingEnded("the recording has ended")
                return None
            pair = self._paired(arrived)
            return None if pair is None else self._frame(pair)
        except RuntimeError as error:
            raise CameraError(f"camera {self.serial} cannot be read: {error}") from error

    def drain(self) -> None:
        """Throw away what has waited, but not of a recording read at its reader's pace."""
        if self._playback is None or self._playback.is_real_time():
            for _ in range(2 * _QUEUE):
                if not self._syncer.poll_for_frames():
                    break

    def _paired(self, arrived: Any) -> Any:
        rs = self._rs
        for frame in arrived:
            kind = frame.profile.stream_type()
            self.unpaired += kind in self._pending
            self._pending[kind] = frame
        depth, colour = self._pending.get(rs.stream.depth), self._pending.get(rs.stream.color)
        if depth is None or colour is None:
            return None
        apart = depth.get_timestamp() - colour.get_timestamp()
        if abs(apart) > self._half_period_ms:
            del self._pending[rs.stream.color if apart > 0 else rs.stream.depth]
            self.unpaired += 1
            return None
        self._pending.clear()
        self._pair = [depth, colour]
        self._compose.invoke(colour)
        pair = self._composed.wait_for_frame(1000).as_frameset()
        self._pair = []
        return pair

    def _frame(self, pair: Any) -> Frame:
        for step in self._filters:
            pair = step.process(pair).as_frameset()
        if self._align is not None:
            pair = self._align.process(pair)
        depth, colour = pair.get_depth_frame(), pair.get_color_frame()
        profile = colour.profile.as_video_stream_profile()
        values = profile.get_intrinsics()
        image = np.asanyarray(colour.get_data())
        kind = profile.format()
        if kind == self._rs.format.bgr8:
            image = image[..., ::-1]
        elif kind != self._rs.format.rgb8:
            raise CameraError(f"colour images of camera {self.serial} are {kind}, must be rgb8 or bgr8")
        metres: NDArray[np.float32] = np.asanyarray(depth.get_data()) * np.float32(depth.get_units())
        if metres.shape != image.shape[:2]:
            raise CameraError(
                f"depth is {metres.shape} and colour {image.shape[:2]}: switch align on, or decimation off"
            )
        return Frame(
            stamp_ns=round(colour.get_timestamp() * 1e6),
            # A copy: the library has 32 frames in all, and stops when nobody gives them back.
            colour=np.array(image, order="C"),
            depth=metres,
            intrinsics=Intrinsics(
                values.width,
                values.height,
                values.fx,
                values.fy,
                values.ppx,
                values.ppy,
                tuple(values.coeffs),
            ),
            number=int(colour.get_frame_number()),
        )

    def close(self) -> None:
        """Stop and let go; a recording is finished."""
        for sensor in self._sensors:
            # An unplugged camera cannot be stopped, but must be let go.
            with contextlib.suppress(RuntimeError):
                sensor.stop()
            with contextlib.suppress(RuntimeError):
                sensor.close()
        self._opened.close()
        # A recording is written to its end when nothing refers to its device any more: frames do.
        self._sensors, self._pair, self._filters = [], [], []
        self._pending.clear()
        self._syncer = self._align = self._compose = self._composed = self._recorder = None


def _filters(rs: Any, config: FilterConfig) -> list[Any]:
    steps = []
    if config.threshold_min > 0.0 or config.threshold_max < 16.0:
        steps.append(rs.threshold_filter(config.threshold_min, config.threshold_max))
    if config.decimation > 1:
        steps.append(rs.decimation_filter(float(config.decimation)))
    if config.disparity:
        steps.append(rs.disparity_transform(True))
    if config.spatial:
        steps.append(rs.spatial_filter())
    if config.temporal:
        steps.append(rs.temporal_filter())
    if config.disparity:
        steps.append(rs.disparity_transform(False))
    if config.hole_filling != "none":
        steps.append(rs.hole_filling_filter(_HOLES[config.hole_filling]))
    return steps


def _profiles(rs: Any, device: Any, config: CameraConfig) -> list[tuple[Any, list[Any]]]:
    """Of a camera: the one profile of depth and the one of colour that were asked for."""
    wanted = {rs.stream.depth: rs.format.z16, rs.stream.color: rs.format.rgb8}
    chosen, known = [], []
    for sensor in device.query_sensors():
        picked = []
        for profile in sensor.get_stream_profiles():
            if not profile.is_video_stream_profile() or profile.stream_type() not in wanted:
                continue
            video = profile.as_video_stream_profile()
            size = (video.width(), video.height(), video.fps())
            if profile.format() == wanted[profile.stream_type()]:
                known.append((profile.stream_name(), *size))
                if size == (config.width, config.height, config.fps):
                    picked.append(profile)
        if picked:
            chosen.append((sensor, picked))
    if sum(len(profiles) for _, profiles in chosen) != 2:
        offers = ", ".join(f"{n} {w}x{h}@{f}" for n, w, h, f in sorted(set(known)))
        raise CameraError(
            f"the camera has no depth and colour of {config.width}x{config.height} at {config.fps} Hz; "
            f"it has {offers or 'no images'}"
        )
    return chosen
