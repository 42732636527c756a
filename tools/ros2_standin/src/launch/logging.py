"""Lines on the screen and in the launch log file.

`[INFO] [name]: text` for launch's own messages; a child's lines as its action formats them.
"""

from __future__ import annotations

import datetime
import logging
import os
import socket
import sys
from typing import Any

_DESTINATIONS = {
    "screen": {"both": {"screen"}},
    "log": {"both": {"log"}, "stderr": {"screen"}},
    "both": {"both": {"log", "screen"}},
    "own_log": {"both": {"own_log"}, "stdout": {"own_log"}, "stderr": {"own_log"}},
    "full": {"both": {"screen", "log", "own_log"}, "stdout": {"own_log"}, "stderr": {"own_log"}},
}
_SOURCES = ("stdout", "stderr", "both")


class _ScreenHandler(logging.Handler):
    """Writes to what sys.stdout is at that moment, each line at once."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stdout.write(self.format(record) + "\n")
            sys.stdout.flush()
        except (OSError, ValueError):
            # The reader of our output is gone or the stream is closed.
            pass


class LaunchConfig:
    """Where launch's messages go."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the log folder and the open log files."""
        for handler in getattr(self, "_files", {}).values():
            handler.close()
        self.level = logging.INFO
        self._log_dir: str | None = None
        self._files: dict[tuple[str, str], logging.Handler] = {}

    @property
    def log_dir(self) -> str:
        """The folder of this launch's log files, made when first asked for."""
        if self._log_dir is None:
            self._log_dir = _make_log_dir()
        return self._log_dir

    @log_dir.setter
    def log_dir(self, path: str | None) -> None:
        if path is not None and not os.path.isdir(path):
            raise ValueError(f"{path} is not a directory")
        self._log_dir = path

    def file_handler(self, file_name: str, line_format: str) -> logging.Handler:
        """The one handler that writes lines of this format to this file of the log folder."""
        key = (file_name, line_format)
        if key not in self._files:
            path = os.path.join(self.log_dir, file_name)
            self._files[key] = logging.FileHandler(path, encoding="utf-8", delay=True)
            self._files[key].setFormatter(logging.Formatter(line_format, style="{"))
        return self._files[key]


def _make_log_dir() -> str:
    base = os.environ.get("ROS_LOG_DIR")
    if not base:
        base = os.path.join(os.environ.get("ROS_HOME") or os.path.join("~", ".ros"), "log")
    base = os.path.normpath(os.path.expanduser(base))
    stamp = datetime.datetime.now().strftime("%Y-%m-%d-%H-%M-%S-%f")
    path = os.path.join(base, f"{stamp}-{socket.gethostname()}-{os.getpid()}")
    os.makedirs(path, exist_ok=True)
    latest = os.path.join(base, "latest")
    try:
        if os.path.islink(latest):
            os.unlink(latest)
        os.symlink(path, latest, target_is_directory=True)
    except OSError:
        pass  # another launch made it in this moment, or it is a folder of the user's
    return path


launch_config = LaunchConfig()


def _screen(line_format: str, handlers: dict[str, logging.Handler] = {}) -> logging.Handler:  # noqa: B006
    if line_format not in handlers:
        handlers[line_format] = _ScreenHandler()
        handlers[line_format].setFormatter(logging.Formatter(line_format, style="{"))
    return handlers[line_format]


def _set_handlers(logger: logging.Logger, handlers: list[logging.Handler]) -> logging.Logger:
    for handler in list(logger.handlers):
        if handler not in handlers and isinstance(handler, (_ScreenHandler, logging.FileHandler)):
            logger.removeHandler(handler)
    for handler in handlers:
        if handler not in logger.handlers:
            logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(launch_config.level)
    return logger


def get_logger(name: str | None = None) -> logging.Logger:
    """The logger of that name, writing to the screen and to launch.log."""
    log_file = launch_config.file_handler("launch.log", "{created:.7f} [{levelname}] [{name}]: {message}")
    screen = _screen("[{levelname}] [{name}]: {message}")
    return _set_handlers(logging.getLogger(name or "launch"), [screen, log_file])


def get_output_loggers(process_name: str, output: Any) -> tuple[logging.Logger, logging.Logger]:
    """The loggers of a child's stdout and stderr lines.

    `output` is 'screen', 'log' (stdout to the log file, stderr to screen and log file), 'both', 'own_log',
    'full', or a dict of 'stdout', 'stderr', 'both' to destinations 'screen', 'log', 'own_log'.
    """
    wanted = _normalize_output(output)
    loggers = []
    for source in ("stdout", "stderr"):
        handlers: list[logging.Handler] = []
        either = wanted["both"] | wanted[source]
        if "screen" in either:
            handlers.append(_screen("{message}"))
        if "log" in either:
            handlers.append(launch_config.file_handler("launch.log", "{created:.7f} {message}"))
        if "own_log" in wanted[source]:
            handlers.append(launch_config.file_handler(f"{process_name}-{source}.log", "{message}"))
        if "own_log" in wanted["both"]:
            handlers.append(launch_config.file_handler(f"{process_name}.log", "{message}"))
        loggers.append(_set_handlers(logging.getLogger(f"{process_name}-{source}"), handlers))
    return loggers[0], loggers[1]


def _normalize_output(output: Any) -> dict[str, set[str]]:
    wanted: dict[str, set[str]] = {source: set() for source in _SOURCES}
    if isinstance(output, str):
        if output not in _DESTINATIONS:
            raise ValueError(f"output '{output}' is not one of {', '.join(_DESTINATIONS)}")
        wanted.update({source: set(places) for source, places in _DESTINATIONS[output].items()})
        return wanted
    if not isinstance(output, dict):
        raise ValueError(f"output {output!r} is neither a text nor a dict")
    for source, places in output.items():
        places = {places} if isinstance(places, str) else set(places)
        if source not in _SOURCES or not places <= {"screen", "log", "own_log"}:
            raise ValueError(
                f"output {source!r}: {places!r}: sources are {_SOURCES}, places screen, log, own_log"
            )
        wanted[source] = places
    return wanted


def log_launch_config(*, logger: logging.Logger) -> None:
    """Say where the log files are and what is logged."""
    logger.info("All log files can be found below %s", launch_config.log_dir)
    logger.info("Default logging verbosity is set to %s", logging.getLevelName(launch_config.level))


def reset() -> None:
    """Forget the log folder: the next message makes a new one."""
    launch_config.reset()
