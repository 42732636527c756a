"""What holds for all nodes started afterwards in the same scope."""

from __future__ import annotations

from typing import Any

from launch.action import Action
from launch.actions import SetEnvironmentVariable
from launch.launch_context import LaunchContext
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution
from launch.substitutions import SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from rclpy.exceptions import InvalidNamespaceException
from rclpy.validate_namespace import validate_namespace

from ..parameter_descriptions import ParameterFile
from ..utilities.namespaces import make_namespace_absolute, prefix_namespace
from ..utilities.parameters import evaluate_parameter_dict, normalize_parameter_dict


class PushROSNamespace(Action):
    """Put the nodes that follow into a namespace; a scoped group ends it."""

    def __init__(self, namespace: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(**kwargs)
        self._namespace = normalize_to_list_of_substitutions(namespace)

    @property
    def namespace(self) -> list[Substitution]:
        """The namespace."""
        return self._namespace

    def execute(self, context: LaunchContext) -> None:
        previous = context.launch_configurations.get("ros_namespace")
        pushed = perform_substitutions(context, self._namespace)
        namespace = make_namespace_absolute(prefix_namespace(previous, pushed))
        try:
            validate_namespace(namespace)
        except InvalidNamespaceException as error:
            raise SubstitutionFailure(f"'{pushed}' below '{previous}' is not a valid namespace") from error
        context.launch_configurations["ros_namespace"] = namespace


PushRosNamespace = PushROSNamespace


def _append(context: LaunchContext, name: str, items: list) -> None:
    # A new list each time: groups restore the configurations by name and must find the old one unchanged.
    context.launch_configurations[name] = [*context.launch_configurations.get(name, ()), *items]


class SetParameter(Action):
    """Give a parameter to all nodes that follow."""

    def __init__(self, name: SomeSubstitutionsType, value: Any, **kwargs) -> None:
        super().__init__(**kwargs)
        self._parameters = normalize_parameter_dict({tuple(normalize_to_list_of_substitutions(name)): value})

    def execute(self, context: LaunchContext) -> None:
        _append(context, "global_params", list(evaluate_parameter_dict(context, self._parameters).items()))


class SetUseSimTime(SetParameter):
    """Give use_sim_time to all nodes that follow."""

    def __init__(self, value: bool | SomeSubstitutionsType, **kwargs) -> None:
        super().__init__("use_sim_time", value, **kwargs)


class SetParametersFromFile(Action):
    """Give a file of parameters to all nodes that follow."""

    def __init__(self, filename: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(**kwargs)
        self._file = ParameterFile(filename)

    def execute(self, context: LaunchContext) -> None:
        _append(context, "global_params", [str(self._file.evaluate(context))])


class SetRemap(Action):
    """Remap a name in all nodes that follow."""

    def __init__(self, src: SomeSubstitutionsType, dst: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(**kwargs)
        self._src = normalize_to_list_of_substitutions(src)
        self._dst = normalize_to_list_of_substitutions(dst)

    def execute(self, context: LaunchContext) -> None:
        pair = (perform_substitutions(context, self._src), perform_substitutions(context, self._dst))
        _append(context, "ros_remaps", [pair])


class SetROSLogDir(SetEnvironmentVariable):
    """Where the nodes that follow write their log files."""

    def __init__(self, new_log_dir: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__("ROS_LOG_DIR", new_log_dir, **kwargs)
