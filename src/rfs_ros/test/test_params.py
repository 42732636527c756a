"""Parameters mirror the dataclass, and nothing a user writes is ignored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from rfs_core.config import param
from rfs_core.errors import ConfigError
from rfs_ros import params


@dataclass(frozen=True)
class Limits:
    speed: float = param(0.5, doc="Speed.", unit="m/s", low=0.0, high=1.0)


@dataclass(frozen=True)
class Config:
    rate: float = param(10.0, doc="Rate.", unit="Hz", low=1.0, high=100.0)
    count: int = param(3, doc="Count.", low=0)
    mode: str = param("a", doc="Mode.", choices=("a", "b"))
    gains: tuple[float, ...] = param((1.0, 2.0), doc="Gains.")
    file: str | None = param(None, doc="File.")
    limits: Limits = Limits()


@pytest.fixture
def make_node() -> Iterator[Callable[..., Node]]:
    context = Context()
    rclpy.init(context=context)
    nodes: list[Node] = []

    def make(*overrides: str) -> Node:
        arguments = ["--ros-args"] + [word for override in overrides for word in ("-p", override)]
        node = Node("probe", context=context, cli_args=arguments, enable_rosout=False)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_defaults_become_parameters_with_unit_and_range(make_node: Callable[..., Node]) -> None:
    node = make_node()
    assert params.declare(node, Config) == Config()
    assert node.get_parameter("rate").value == 10.0
    assert node.get_parameter("limits.speed").value == 0.5
    assert list(node.get_parameter("gains").value) == [1.0, 2.0]
    descriptor = node.describe_parameter("rate")
    assert descriptor.description == "Rate. [Hz]"
    assert (descriptor.floating_point_range[0].from_value, descriptor.floating_point_range[0].to_value) == (
        1.0,
        100.0,
    )


def test_overrides_reach_the_dataclass_and_the_parameters(make_node: Callable[..., Node]) -> None:
    node = make_node("rate:=20", "gains:=[3.0, 4.0]", "limits.speed:=0.25", "file:=/x", "mode:=b")
    config = params.declare(node, Config)
    assert config == Config(rate=20.0, gains=(3.0, 4.0), limits=Limits(speed=0.25), file="/x", mode="b")
    assert node.get_parameter("rate").value == 20.0
    assert node.get_parameter("limits.speed").value == 0.25


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("rat:=20.0", "did you mean 'rate'"),
        ("limits.sped:=0.1", "did you mean 'speed'"),
        ("rate:=500.0", "allowed: 1.0 to 100.0 Hz"),
        ("rate:=fast", "needs a number"),
        ("mode:=c", "known: a, b"),
        ("rate.x:=1.0", "rate"),
    ],
)
def test_a_wrong_parameter_is_an_error_that_names_what_is_allowed(
    make_node: Callable[..., Node], override: str, text: str
) -> None:
    with pytest.raises(ConfigError, match=text) as error:
        params.declare(make_node(override), Config)
    assert "/probe" in str(error.value)


def test_parameters_of_rclpy_itself_pass(make_node: Callable[..., Node]) -> None:
    assert params.declare(make_node("use_sim_time:=true"), Config) == Config()


def test_an_empty_text_means_none(make_node: Callable[..., Node]) -> None:
    node = make_node("file:=''")
    assert params.declare(node, Config).file is None
