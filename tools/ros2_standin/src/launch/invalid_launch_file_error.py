"""The error of launch files that cannot be used."""


class InvalidLaunchFileError(Exception):
    """A launch file lacks what it needs or is of a kind that is not supported; the message says which."""
