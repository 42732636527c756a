"""Configuration: what is read, and what the errors say."""

from dataclasses import MISSING, dataclass

import pytest

from rfs_core.config import Field, describe, from_mapping, nearest, param, to_mapping
from rfs_core.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    steps: int = param(5, doc="Integration steps.", low=1, high=100)


@dataclass(frozen=True)
class Example:
    name: str = param(doc="Name of the run.")
    rate: float = param(0.5, doc="Learning rate.", unit="1/s", low=0.0, high=1.0)
    method: str = param("euler", doc="Integrator.", choices=("euler", "midpoint"))
    verbose: bool = param(False, doc="Talk more.")
    sizes: tuple[int, ...] = param((256, 256), doc="Hidden units.", low=1)
    corner: tuple[float, float] = param((0.0, 1.0), doc="Corner.", unit="m")
    limit: float | None = param(None, doc="Optional limit.", low=0.0)
    inner: Inner = Inner()


def test_defaults_fill_what_is_not_given():
    config = from_mapping(Example, {"name": "a"})
    assert config == Example(name="a")


def test_values_are_taken_as_yaml_gives_them():
    config = from_mapping(
        Example,
        {"name": "a", "rate": 1, "sizes": [8, 8, 8], "corner": [1, 2.5], "limit": 3, "inner": {"steps": 9}},
    )
    assert (config.rate, config.sizes, config.corner, config.limit) == (1.0, (8, 8, 8), (1.0, 2.5), 3.0)
    assert isinstance(config.rate, float)
    assert config.inner.steps == 9


def test_a_configuration_survives_the_way_through_a_mapping():
    config = Example(name="a", sizes=(1, 2), inner=Inner(7))
    assert from_mapping(Example, to_mapping(config)) == config


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            {"name": "a", "raet": 0.1},
            r"unknown key 'raet' of Example; did you mean 'rate'\? known: corner, inner",
        ),
        ({"name": "a", "inner": {"step": 1}}, r"unknown key 'inner.step' of Example; did you mean 'steps'"),
        ({"name": "a", "zzz": 1}, "unknown key 'zzz' of Example; known: corner"),
        ({}, "Example needs 'name': Name of the run."),
        ({"name": 3}, "name of Example is 3, needs a text"),
        ({"name": "a", "rate": 1.5}, "rate of Example is 1.5 1/s, allowed: 0.0 to 1.0 1/s"),
        ({"name": "a", "rate": float("nan")}, "rate of Example is nan, needs a finite number"),
        ({"name": "a", "rate": "1e-3"}, r"needs a number \(in YAML write 1.0e-3"),
        ({"name": "a", "rate": True}, "rate of Example is True, needs a number"),
        ({"name": "a", "verbose": 1}, "verbose of Example is 1, needs true or false"),
        ({"name": "a", "method": "eular"}, "method of Example is the text 'eular'; did you mean 'euler'"),
        ({"name": "a", "sizes": [1, 0]}, "sizes of Example is 0, allowed: 1 to inf"),
        ({"name": "a", "sizes": 3}, "sizes of Example is 3, needs a list"),
        ({"name": "a", "sizes": [1.5]}, r"sizes of Example\[0\] is 1.5, needs a whole number"),
        ({"name": "a", "corner": [1.0]}, "corner of Example has 1 values, needs 2"),
        ({"name": "a", "limit": -1.0}, "limit of Example is -1.0, allowed: 0.0 to inf"),
        ({"name": "a", "inner": {"steps": True}}, "inner.steps of Example is True, needs a whole number"),
        ({"name": "a", "inner": 3}, "inner is 3, needs a mapping"),
        ({"name": "a", "inner": {"steps": 0}}, "inner.steps of Example is 0, allowed: 1 to 100"),
    ],
)
def test_errors_name_the_key_what_it_got_and_what_is_allowed(mapping, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(Example, mapping)


def test_describe_lists_every_value_with_its_documentation():
    fields = {field.name: field for field in describe(Example)}
    assert list(fields)[-1] == "inner.steps"
    assert fields["rate"] == Field("rate", "a number", 0.5, "Learning rate.", "1/s", 0.0, 1.0, None)
    assert fields["name"].default is MISSING
    assert fields["method"].choices == ("euler", "midpoint")


def test_nearest_lists_what_is_known_even_without_a_near_name():
    assert nearest("q", ["beta", "alpha"]) == "known: alpha, beta"
    assert nearest("alpa", ["beta", "alpha"]).startswith("did you mean 'alpha'?")
