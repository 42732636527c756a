"""Texts and types of substitutions, worked out by hand."""

import pytest
from helpers import standin_only
from launch import LaunchContext
from launch.substitutions import (
    AllSubstitution,
    AnySubstitution,
    Command,
    EnvironmentVariable,
    EqualsSubstitution,
    FindExecutable,
    IfElseSubstitution,
    LaunchConfiguration,
    LocalSubstitution,
    NotEqualsSubstitution,
    NotSubstitution,
    PathJoinSubstitution,
    PythonExpression,
    TextSubstitution,
    ThisLaunchFileDir,
)
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackagePrefix, FindPackageShare


@pytest.fixture
def context() -> LaunchContext:
    context = LaunchContext()
    context.launch_configurations.update({"v": "3", "on": "true", "name": "v", "list": "[1, 2]"})
    context.extend_locals({"pair": ("4", "5")})
    return context


V = LaunchConfiguration("v")
ON = LaunchConfiguration("on")


@pytest.mark.parametrize(
    ("substitution", "text"),
    [
        (TextSubstitution(text="a"), "a"),
        (LaunchConfiguration(LaunchConfiguration("name")), "3"),
        (LaunchConfiguration("absent", default=7), "7"),
        (LaunchConfiguration("absent", default=["a", V]), "a3"),
        (LocalSubstitution("pair[1]"), "5"),
        (PathJoinSubstitution(["/a", V, "b.yaml"]), "/a/3/b.yaml"),
        (PythonExpression([V, " * 2"]), "6"),
        (PythonExpression(["sqrt(", V, " + 1) == math.sqrt(4)"]), "True"),
        (PythonExpression(["'", V, "' == '3' and ", "True"]), "True"),
        (PythonExpression("os.sep", ["os"]), "/"),
        (EqualsSubstitution(V, "3.0"), "true"),
        (EqualsSubstitution(ON, True), "true"),
        (EqualsSubstitution("1", "true"), "true"),
        (EqualsSubstitution("a", "b"), "false"),
        (EqualsSubstitution(None, ""), "true"),
        (NotEqualsSubstitution(V, 3), "false"),
        (NotSubstitution(ON), "false"),
        (AllSubstitution(ON, "1", "0"), "false"),
        (AnySubstitution("false", ON), "true"),
        (IfElseSubstitution(ON, V, "other"), "3"),
        (IfElseSubstitution("false", V), ""),
        (EnvironmentVariable("SURELY_NOT_SET", default_value=["d", V]), "d3"),
        (Command(["echo ", V]), "3\n"),
        (Command("sh -c 'echo a >&2'", on_stderr="capture"), "a\n"),
        (FindExecutable(name="sh"), None),
        (FindPackageShare("rclpy"), None),
    ],
)
def test_text_of_a_substitution(context, substitution, text):
    got = substitution.perform(context)
    if text is None:  # a path of this machine
        assert got.startswith("/")
    else:
        assert got == text


@pytest.mark.parametrize(
    ("substitution", "message"),
    [
        (LaunchConfiguration("absent"), "'absent' does not exist"),
        (EnvironmentVariable("SURELY_NOT_SET"), "'SURELY_NOT_SET' does not exist"),
        (FindExecutable(name="surely-no-program"), "not found on the PATH"),
        (Command("false"), "executed command failed"),
        (Command("sh -c 'echo a >&2'"), "showed stderr output"),
        (NotSubstitution("maybe"), "maybe"),
        (ThisLaunchFileDir(), "outside of a launch file"),
        (FindPackagePrefix("surely_no_package"), "surely_no_package"),
    ],
)
def test_substitution_without_a_text_raises(context, substitution, message):
    with pytest.raises(Exception, match=message):
        substitution.perform(context)


@pytest.mark.parametrize(
    ("value", "value_type", "expected"),
    [
        (V, None, 3),
        (V, float, 3.0),
        (V, str, "3"),
        (ON, bool, True),
        ("1", None, "1"),
        (LaunchConfiguration("list"), list[int], [1, 2]),
        ([1, 2], list[int], [1, 2]),
        ([V, "a"], str, "3a"),
    ],
)
def test_parameter_value_has_the_type_asked_for(context, value, value_type, expected):
    got = ParameterValue(value, value_type=value_type).evaluate(context)
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "value_type"), [(ON, int), (V, bool), (1, str), (["a", 1], None), (V, list[int]), (V, dict)]
)
def test_parameter_value_of_another_type_is_refused(context, value, value_type):
    with pytest.raises((TypeError, ValueError)):
        ParameterValue(value, value_type=value_type).evaluate(context)


@pytest.mark.parametrize("value", [1, None, [1, "a"], ["a", ["b"]]])
def test_what_is_no_substitution_is_refused_when_it_is_made(value):
    with pytest.raises(TypeError):
        PathJoinSubstitution(value)


@standin_only
def test_texts_with_substitutions_are_parsed(context):
    from launch.utilities import perform_substitutions
    from launch_ros.parse_substitution import parse_substitution

    def text(template: str) -> str:
        return perform_substitutions(context, parse_substitution(template))

    assert text("a $(var v) b") == "a 3 b"
    assert text("$(var $(var name))$(var absent x)") == "3x"
    assert text("$(eval '$(var v) + 1')") == "4"
    assert text("$(env SURELY_NOT_SET 'two words') \\$ $5") == "two words $ $5"
    assert text("") == ""
    with pytest.raises(RuntimeError, match="did you mean 'var'"):
        text("$(vra v)")
    with pytest.raises(RuntimeError, match="not closed"):
        text("$(var v")


@standin_only
def test_the_stand_in_gives_way_to_the_real_package_wherever_that_is_on_the_path(tmp_path, run_python):
    real = tmp_path / "launch"
    real.mkdir()
    (real / "__init__.py").write_text("REAL = True\n")
    (real / "actions.py").write_text("WHO = 'real'\n")
    program = (
        f"import sys\nsys.path.append({str(tmp_path)!r})\n"
        "import launch\nfrom launch.actions import WHO\nprint(launch.REAL, WHO)"
    )
    result = run_python(["-c", program])
    assert (result.stdout, result.stderr) == ("True real\n", "")
