"""A ROS node in a process of its own."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from launch.actions import ExecuteProcess
from launch.executable import Executable
from launch.launch_context import LaunchContext
from launch.logging import get_logger
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name

from ..parameter_descriptions import Parameter
from ..substitutions import ExecutableInPackage
from ..utilities.namespaces import make_namespace_absolute, prefix_namespace
from ..utilities.parameters import evaluate_parameters, normalize_parameters

Remapping = tuple[list[Substitution], list[Substitution]]


class Node(ExecuteProcess):
    """Run an executable of a package as a node.

    Its command is `<executable> [arguments] --ros-args [ros_arguments] -r __node:=name -r __ns:=/ns
    [-p name:=value of SetParameter] [--params-file of each file and dict] [-r from:=to]`.

    Args:
        executable: name in the package, or a path where no package is given.
        package: where it is.
        name: of the node; None: as the executable calls it.
        namespace: of the node, below the one pushed unless it is absolute.
        exec_name: label of the process; None: the executable's file name.
        parameters: list of files and dicts; the later wins.
        remappings: list of (from, to).
        ros_arguments: further ROS arguments.
        arguments: of the executable.
        kwargs: of ExecuteProcess (output, respawn, on_exit, ...).
    """

    UNSPECIFIED_NODE_NAME = "<node_name_unspecified>"
    UNSPECIFIED_NODE_NAMESPACE = "<node_namespace_unspecified>"

    def __init__(
        self,
        *,
        executable: SomeSubstitutionsType,
        package: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        namespace: SomeSubstitutionsType | None = None,
        exec_name: SomeSubstitutionsType | None = None,
        parameters: Sequence | None = None,
        remappings: Iterable[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] | None = None,
        ros_arguments: Iterable[SomeSubstitutionsType] | None = None,
        arguments: Iterable[SomeSubstitutionsType] | None = None,
        **kwargs,
    ) -> None:
        if "cmd" in kwargs:
            raise TypeError("Node takes executable and arguments, not cmd")
        program = executable if package is None else ExecutableInPackage(executable, package)
        extra = [] if ros_arguments is None else ["--ros-args", *ros_arguments]
        cmd = [program, *(arguments or ()), *extra, "--ros-args"]
        super().__init__(cmd=cmd, name=exec_name, **kwargs)
        self._package = package
        self._node_executable = executable
        self._name = None if name is None else normalize_to_list_of_substitutions(name)
        self._namespace = None if namespace is None else normalize_to_list_of_substitutions(namespace)
        if parameters is not None and not isinstance(parameters, list):
            raise TypeError(f"'parameters' of Node must be a list, got {type(parameters)}")
        self._parameters = normalize_parameters(parameters or [])
        self._remappings: list[Remapping] = [
            (normalize_to_list_of_substitutions(src), normalize_to_list_of_substitutions(dst))
            for src, dst in remappings or ()
        ]
        self._expanded_name = self.UNSPECIFIED_NODE_NAME
        self._expanded_namespace = self.UNSPECIFIED_NODE_NAMESPACE
        self._final_name: str | None = None
        self._expanded_remappings: list[tuple[str, str]] = []

    @property
    def node_package(self) -> SomeSubstitutionsType | None:
        """The package."""
        return self._package

    @property
    def node_executable(self) -> SomeSubstitutionsType:
        """The executable."""
        return self._node_executable

    @property
    def node_name(self) -> str:
        """Full name of the node, once executed."""
        if self._final_name is None:
            raise RuntimeError("cannot access 'node_name' before executing action")
        return self._final_name

    @property
    def expanded_node_namespace(self) -> str:
        """The node's namespace, once executed."""
        return self._expanded_namespace

    @property
    def expanded_remapping_rules(self) -> list[tuple[str, str]]:
        """(from, to), once executed."""
        return self._expanded_remappings

    def is_node_name_fully_specified(self) -> bool:
        """True when both name and namespace are given (or pushed)."""
        unspecified = (self.UNSPECIFIED_NODE_NAME, self.UNSPECIFIED_NODE_NAMESPACE)
        return not any(text in self.node_name for text in unspecified)

    def _perform_substitutions(self, context: LaunchContext) -> None:
        """Find out the node's name and extend the command; does nothing the second time."""
        if self._final_name is not None:
            return
        extension: list[str] = []
        if self._name is not None:
            self._expanded_name = perform_substitutions(context, self._name)
            validate_node_name(self._expanded_name)
            extension += ["-r", f"__node:={self._expanded_name}"]
        own = None if self._namespace is None else perform_substitutions(context, self._namespace)
        base = context.launch_configurations.get("ros_namespace")
        namespace = make_namespace_absolute(prefix_namespace(base, own))
        if namespace is not None:
            validate_namespace(namespace)
            self._expanded_namespace = namespace
            extension += ["-r", f"__ns:={namespace}"]
        self._final_name = prefix_namespace(self._expanded_namespace, self._expanded_name)
        extension += self._parameter_arguments(context)
        self._expanded_remappings = [
            *context.launch_configurations.get("ros_remaps", ()),
            *(
                (perform_substitutions(context, s), perform_substitutions(context, d))
                for s, d in self._remappings
            ),
        ]
        for source, target in self._expanded_remappings:
            extension += ["-r", f"{source}:={target}"]
        description: Executable = self.process_description
        description.cmd.extend(normalize_to_list_of_substitutions(item) for item in extension)

    def _parameter_arguments(self, context: LaunchContext) -> list[str]:
        arguments: list[str] = []
        for item in context.launch_configurations.get("global_params", ()):
            if isinstance(item, tuple):
                arguments += ["-p", f"{item[0]}:={item[1]}"]
            else:
                arguments += ["--params-file", os.path.abspath(item)]
        for item in evaluate_parameters(context, self._parameters):
            if isinstance(item, Parameter):
                name, value = item.evaluate(context)
                arguments += ["-p", f"{name}:={yaml.dump(value)}"]
                continue
            path = str(item) if isinstance(item, pathlib.Path) else self._write_parameters(context, item)
            if os.path.isfile(path):
                arguments += ["--params-file", path]
            else:
                get_logger(__name__).warning("Parameter file path is not a file: %s", path)
        return arguments

    def _write_parameters(self, context: LaunchContext, parameters: dict[str, Any]) -> str:
        node = self.node_name if self.is_node_name_fully_specified() else "/**"
        path = context.make_temporary_file(".yaml")
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in parameters.items()}
        with open(path, "w", encoding="utf-8") as file:
            yaml.safe_dump({node: {"ros__parameters": plain}}, file, default_flow_style=False)
        return path

    def execute(self, context: LaunchContext) -> None:
        self._perform_substitutions(context)
        super().execute(context)
        if self.is_node_name_fully_specified():
            names: list[str] = context.get_locals_as_dict().get("unique_ros_node_names", [])
            if self.node_name in names:
                get_logger(self.name).warning(
                    "there is more than one node with the name %s in this launch", self.node_name
                )
            context.extend_globals({"unique_ros_node_names": [*names, self.node_name]})
