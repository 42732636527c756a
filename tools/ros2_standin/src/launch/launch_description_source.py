"""Where a launch description comes from."""

from __future__ import annotations

from .launch_context import LaunchContext
from .launch_description import LaunchDescription
from .some_substitutions_type import SomeSubstitutionsType
from .utilities import normalize_to_list_of_substitutions, perform_substitutions


class LaunchDescriptionSource:
    """A launch description, or the place it is loaded from when needed."""

    def __init__(
        self,
        launch_description: LaunchDescription | None = None,
        location: SomeSubstitutionsType = "<string>",
        method: str = "unspecified mechanism from a script",
    ) -> None:
        self._launch_description = launch_description
        self._location = normalize_to_list_of_substitutions(location)
        self._expanded_location: str | None = None
        self._method = method

    @property
    def location(self) -> str:
        """The path once it is known, before that the substitutions in words."""
        if self._expanded_location is not None:
            return self._expanded_location
        return " + ".join(sub.describe() for sub in self._location)

    @property
    def method(self) -> str:
        """How the description came about."""
        return self._method

    def try_get_launch_description_without_context(self) -> LaunchDescription | None:
        """The description, or None where its location depends on values known only at launch."""
        if self._launch_description is not None:
            return self._launch_description
        try:
            return self._get_launch_description(perform_substitutions(LaunchContext(), self._location))
        except Exception:  # noqa: BLE001
            # Whatever a launch file raises is reported when the file is included; it may never be.
            return None

    def get_launch_description(self, context: LaunchContext) -> LaunchDescription:
        """The description, loaded when first asked for."""
        if self._expanded_location is None:
            self._expanded_location = perform_substitutions(context, self._location)
        if self._launch_description is None:
            self._launch_description = self._get_launch_description(self._expanded_location)
        return self._launch_description

    def _get_launch_description(self, location: str) -> LaunchDescription:
        raise RuntimeError(
            f"no launch description was given and {type(self).__name__} cannot load {location}"
        )
