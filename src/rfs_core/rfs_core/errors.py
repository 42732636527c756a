"""The errors of the project. Each message says what, got, allowed, and what to do next."""


class RfsError(Exception):
    """Root of every error that the project raises on purpose."""


class SpecError(RfsError):
    """Two descriptions of the same action or observation differ, or an array does not fit one."""


class ConfigError(RfsError):
    """A configuration names an unknown key, or a value of the wrong type or range."""


class KinematicsError(RfsError):
    """Joint or pose arrays that the kinematics cannot use."""


class CommandError(RfsError):
    """A message to or from the robot that must not be used: wrong names, length or values."""
