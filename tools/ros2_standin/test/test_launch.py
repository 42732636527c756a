"""What `ros2 launch` promises about arguments, scopes, processes and their end, seen from outside."""

import json
import re
import signal
import sys
import time

import pytest
from helpers import LAUNCH, eventually, exists, logged, standin_only

IGNORES_SIGINT = (
    "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('ready', flush=True)\n"
    "while True: time.sleep(1)"
)
IGNORES_ALL = IGNORES_SIGINT.replace("\nprint", "\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint")
# A child with a grandchild in its process group and one in a session of its own.
FAMILY = (
    "import os, subprocess, sys, time\n"
    "a = subprocess.Popen(['sleep', '1000'])\n"
    "b = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
    "print('pids', os.getpid(), a.pid, b.pid, flush=True)\n"
    "while True: time.sleep(1)"
)


def pids_of(line: str) -> list[int]:
    return [int(number) for number in line.split("pids")[1].split()]


# Arguments and scopes --------------------------------------------------------------------------------------


def test_declared_default_is_taken_unless_the_argument_is_given(run_launch):
    actions = """
        DeclareLaunchArgument('a', default_value='1'),
        DeclareLaunchArgument('b', default_value=['x', LaunchConfiguration('a')]),
        LogInfo(msg=[LaunchConfiguration('a'), ' ', LaunchConfiguration('b')])"""
    assert logged(run_launch(actions)[1]) == ["1 x1"]
    code, output = run_launch(actions, "a:=2:=3")  # only the first := separates
    assert (code, logged(output)) == (0, ["2:=3 x2:=3"])


@pytest.mark.parametrize(
    ("actions", "arguments", "message"),
    [
        ("LogInfo(msg=LaunchConfiguration('nowhere'))", [], "launch configuration 'nowhere' does not exist"),
        ("DeclareLaunchArgument('a')", [], "a"),
        ("DeclareLaunchArgument('a', choices=['x', 'y'], default_value='x')", ["a:=z"], "['x', 'y']"),
        ("OpaqueFunction(function=lambda context: 1 / 0)", [], "division by zero"),
        ("LogInfo(msg='1', condition=IfCondition('maybe'))", [], "maybe"),
        ("IncludeLaunchDescription('/does/not/exist.launch.py')", [], "/does/not/exist.launch.py"),
    ],
)
def test_what_cannot_be_launched_ends_with_exit_code_1_and_says_why(run_launch, actions, arguments, message):
    code, output = run_launch(actions, *arguments)
    assert code == 1
    assert message in output


def test_exception_stops_the_processes_that_run(start_launch):
    launched = start_launch(
        "ExecuteProcess(cmd=['sleep', '1000']), TimerAction(period=0.3, "
        "actions=[OpaqueFunction(function=lambda context: 1 / 0)])"
    )
    pid = int(re.search(r"pid \[(\d+)\]", launched.read_until("process started"))[1])
    assert launched.finish() == 1
    assert not exists(pid)


def test_include_leaks_and_group_restores(run_launch, tmp_path):
    (tmp_path / "inner.launch.py").write_text(
        "from launch import LaunchDescription\nfrom launch.actions import *\n"
        "from launch.substitutions import *\n"
        "def generate_launch_description():\n"
        "    return LaunchDescription([DeclareLaunchArgument('a', default_value='default'),\n"
        "        DeclareLaunchArgument('b', default_value='inner'),\n"
        "        SetEnvironmentVariable('VISIBLE', LaunchConfiguration('a')),\n"
        "        LogInfo(msg=['inner ', LaunchConfiguration('a')])])\n"
    )
    include = (
        "IncludeLaunchDescription(PythonLaunchDescriptionSource([ThisLaunchFileDir(), '/inner.launch.py']){})"
    )
    show = (
        "LogInfo(msg=['outer ', LaunchConfiguration('a', default='none'), ' ', "
        "LaunchConfiguration('b', default='none'), ' ', "
        "EnvironmentVariable('VISIBLE', default_value='none')])"
    )
    given = include.format(", launch_arguments={'a': 'given'}.items()")
    code, output = run_launch(f"GroupAction([{given}, {show}]), {show}, {include.format('')}, {show}")
    assert code == 0
    assert logged(output) == [
        "inner given",
        "outer given inner given",
        "outer none none none",
        "inner default",
        "outer default inner default",
    ]


def test_group_that_does_not_forward_sees_only_what_it_is_given(run_launch):
    show = "LogInfo(msg=[LaunchConfiguration('a', default='-'), LaunchConfiguration('b', default='-')])"
    group = (
        f"GroupAction([{show}], forwarding=False, launch_configurations={{'b': LaunchConfiguration('a')}})"
    )
    _, output = run_launch(f"SetLaunchConfiguration('a', '1'), {group}, {show}")
    assert logged(output) == ["-1", "1-"]


def test_conditions_choose_actions(run_launch):
    actions = """
        DeclareLaunchArgument('on', default_value='TRUE'),
        LogInfo(msg='if', condition=IfCondition(LaunchConfiguration('on'))),
        LogInfo(msg='unless', condition=UnlessCondition(LaunchConfiguration('on'))),
        LogInfo(msg='equals', condition=IfCondition(EqualsSubstitution(LaunchConfiguration('on'), 'true'))),
        GroupAction([LogInfo(msg='group')],
                    condition=IfCondition(NotSubstitution(LaunchConfiguration('on')))),
        LogInfo(msg=IfElseSubstitution(LaunchConfiguration('on'), 'yes', 'no'))"""
    assert logged(run_launch(actions)[1]) == ["if", "equals", "yes"]
    assert logged(run_launch(actions, "on:=0")[1]) == ["unless", "group", "no"]


def test_environment_actions_reach_children_started_afterwards(run_launch):
    child = (
        "ExecuteProcess(cmd=['sh', '-c', 'echo A=$A B=$B C=$C'], output='screen', additional_env={'C': 'c'})"
    )
    _, output = run_launch(
        f"SetEnvironmentVariable('A', 'a'), SetEnvironmentVariable('B', 'b'), UnsetEnvironmentVariable('B'), "
        f"AppendEnvironmentVariable('A', 'z', separator='+'), {child}"
    )
    assert "[sh-1] A=a+z B= C=c\n" in output


# Processes -------------------------------------------------------------------------------------------------


def test_lines_say_what_happens_to_a_process(run_launch):
    code, output = run_launch(
        "ExecuteProcess(cmd=['sh', '-c', 'echo out; echo err >&2; printf rest; exit 7'], "
        "output='screen', name='job')"
    )
    assert code == 0  # a process that died does not make the launch fail
    pid = re.search(r"^\[INFO\] \[job-1\]: process started with pid \[(\d+)\]$", output, re.M)[1]
    assert {"[job-1] out", "[job-1] err", "[job-1] rest"} <= set(output.splitlines())
    died = f"[ERROR] [job-1]: process has died [pid {pid}, exit code 7, cmd 'sh -c echo out; echo err >&2; "
    assert died + "printf rest; exit 7']." in output.splitlines()


def test_output_log_shows_only_stderr(run_launch, tmp_path):
    _, output = run_launch("ExecuteProcess(cmd=['sh', '-c', 'echo quiet; echo loud >&2'], name='job')")
    assert "[job-1] loud" in output.splitlines()
    assert "[job-1] quiet" not in output.splitlines()
    (log,) = (tmp_path / "log").glob("[0-9]*/launch.log")
    assert "[job-1] quiet" in log.read_text()


def test_command_that_does_not_exist_is_reported_and_the_rest_goes_on(run_launch):
    _, output = run_launch(
        "ExecuteProcess(cmd=['/does/not/exist']), ExecuteProcess(cmd=['echo', 'still'], output='screen')"
    )
    assert re.search(r"\[ERROR\] \[exist-1\]: .*(\n.*)*/does/not/exist", output)
    assert "[echo-2] still" in output.splitlines()


@standin_only
def test_lines_of_a_python_child_arrive_while_it_runs(start_launch):
    child = "import time\nprint('early')\ntime.sleep(1000)"
    launched = start_launch(f"ExecuteProcess(cmd=[sys.executable, '-c', {child!r}], output='screen')")
    launched.read_until("early")  # would block for ever if the child kept the line
    assert launched.stop() == 0


def test_events_start_one_process_after_the_other(run_launch):
    before = """
first = ExecuteProcess(cmd=['true'], name='first')
second = ExecuteProcess(cmd=['sh', '-c', 'exit 3'], name='second')
def after(event, context):
    return LogInfo(msg=f'{event.process_name} {event.returncode}')
"""
    _, output = run_launch(
        """first,
        RegisterEventHandler(OnProcessStart(target_action=first, on_start=[LogInfo(msg='started')])),
        RegisterEventHandler(OnProcessExit(target_action=first, on_exit=[LogInfo(msg='exited'), second])),
        RegisterEventHandler(OnProcessExit(target_action=second, on_exit=after)),
        RegisterEventHandler(OnShutdown(on_shutdown=[LogInfo(msg=LocalSubstitution('event.reason'))]))""",
        before=before,
    )
    assert logged(output) == ["started", "exited", "second-2 3", "idle"]


def test_on_exit_shutdown_ends_the_launch(run_launch):
    code, output = run_launch(
        "ExecuteProcess(cmd=['sleep', '1000']), "
        "ExecuteProcess(cmd=['true'], name='needed', on_exit=Shutdown(reason='over'))"
    )
    assert "process[needed-2] was required: shutting down launched system" in output
    assert code == 0


def test_shutdown_of_one_process_leaves_the_others(run_launch):
    before = "one = ExecuteProcess(cmd=['sleep', '1000'], name='one')"
    stop = "EmitEvent(event=ShutdownProcess(process_matcher=matches_action(one)))"
    _, output = run_launch(
        f"one, ExecuteProcess(cmd=['sh', '-c', 'sleep 1; echo unharmed'], output='screen'), "
        f"TimerAction(period=0.3, actions=[{stop}])",
        before=before,
    )
    assert "sending signal 'SIGINT' to process[one-1]" in output
    assert "[sh-2] unharmed" in output


def test_timer_fires_after_its_period_and_not_after_shutdown(run_launch):
    _, output = run_launch(
        "TimerAction(period=0.2, actions=[LogInfo(msg='second')]), LogInfo(msg='first'), "
        "TimerAction(period=0.4, actions=[Shutdown()]), "
        "TimerAction(period=0.9, actions=[LogInfo(msg='never')])"
    )
    assert logged(output) == ["first", "second"]


def test_respawn_keeps_the_name_and_takes_a_new_pid_until_the_shutdown(start_launch):
    launched = start_launch(
        "ExecuteProcess(cmd=['sh', '-c', 'sleep 0.1'], name='job', respawn=True, respawn_delay=0.2)"
    )
    begin = time.monotonic()
    pids = {
        re.search(r"\[(\d+)\]", launched.read_until("[job-1]: process started").split(":")[1])[1]
        for _ in range(3)
    }
    assert len(pids) == 3
    assert time.monotonic() - begin >= 2 * (0.1 + 0.2)
    assert launched.stop() == 0
    assert launched.output.count("process started") <= 4


def test_respawn_max_retries_is_kept(run_launch):
    code, output = run_launch("ExecuteProcess(cmd=['false'], respawn=True, respawn_max_retries=2)")
    assert (code, output.count("process started")) == (0, 3)


# The end ---------------------------------------------------------------------------------------------------


def test_sigint_is_followed_by_sigterm_and_sigkill(start_launch):
    launched = start_launch(
        f"ExecuteProcess(cmd=[sys.executable, '-uc', {IGNORES_ALL!r}], name='deaf', output='screen'), "
        f"ExecuteProcess(cmd=[sys.executable, '-uc', {IGNORES_SIGINT!r}], name='hard', output='screen')",
        "sigterm_timeout:=0.6",
        "sigkill_timeout:=0.7",
    )
    launched.read_until("ready")
    launched.read_until("ready")
    begin = time.monotonic()
    assert launched.stop() == 0
    assert time.monotonic() - begin >= 1.3
    signals = re.findall(r"sending signal '(\w+)' to process\[(\w+)-\d\]", launched.output)
    assert [s for s, name in signals if name == "deaf"] == ["SIGINT", "SIGTERM", "SIGKILL"]
    assert [s for s, name in signals if name == "hard"] == ["SIGINT", "SIGTERM"]
    assert re.search(r"\[deaf-1\]: process has died \[pid \d+, exit code -9,", launched.output)
    assert (
        "failed to terminate '0.6' seconds after receiving 'SIGINT', escalating to 'SIGTERM'"
        in launched.output
    )


@standin_only
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_descendant_survives_a_request_to_stop(start_launch, signal_number):
    launched = start_launch(f"ExecuteProcess(cmd=[sys.executable, '-c', {FAMILY!r}], output='screen')")
    pids = pids_of(launched.read_until("pids"))
    assert all(exists(pid) for pid in pids)
    begin = time.monotonic()
    assert launched.stop(signal_number) == 0
    assert time.monotonic() - begin < 5  # the promise of a clean end, not a measure of speed
    assert not any(exists(pid) for pid in pids)


@standin_only
def test_no_descendant_survives_the_launch_being_killed(start_launch, tmp_path):
    params = "Node(executable='sleep', arguments=['1000'], name='n', parameters=[{'a': 1}])"
    child = f"ExecuteProcess(cmd=[sys.executable, '-c', {FAMILY!r}], output='screen')"
    launched = start_launch(f"{child}, {params}")
    pids = pids_of(launched.read_until("pids"))
    launched.process.kill()
    launched.process.wait()
    assert eventually(lambda: not any(exists(pid) for pid in pids))


@standin_only
def test_no_descendant_survives_a_launch_inside_a_launch(start_launch, tmp_path):
    (tmp_path / "inner.launch.py").write_text(
        "import sys\nfrom launch import LaunchDescription\nfrom launch.actions import ExecuteProcess\n"
        "def generate_launch_description():\n"
        "    return LaunchDescription([\n"
        f"        ExecuteProcess(cmd=[sys.executable, '-c', {FAMILY!r}], output='screen')])\n"
    )
    command = [*LAUNCH, str(tmp_path / "inner.launch.py")]
    launched = start_launch(f"ExecuteProcess(cmd={command!r}, output='screen')")
    pids = pids_of(launched.read_until("pids"))
    assert launched.stop() == 0
    assert not any(exists(pid) for pid in pids)


@standin_only
@pytest.mark.parametrize("after", [0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6])
def test_ctrl_c_at_any_moment_ends_with_exit_code_0(start_launch, after):
    launched = start_launch(
        f"ExecuteProcess(cmd=[sys.executable, '-c', {FAMILY!r}], output='screen', respawn=True)"
    )
    time.sleep(after)
    code = launched.stop()
    if code != 0:
        # Python itself answers SIGINT until the stand-in's first lines, in entry.py, have been executed.
        frames = re.findall(r'File "[^"]*/(?:ros2cli_standin|launch|launch_ros)/(\w+)\.py"', launched.output)
        assert set(frames) <= {"entry", "__init__"}, launched.output
        assert "[launch]" not in launched.output
    for line in launched.output.splitlines():
        if " pids " in line:
            assert not any(exists(pid) for pid in pids_of(line))


# Nodes -----------------------------------------------------------------------------------------------------

PRINT_ARGUMENTS = (
    "import json, sys, yaml\n"
    "texts = [open(p).read() for flag, p in zip(sys.argv, sys.argv[1:]) if flag == '--params-file']\n"
    # ROS 2's launch writes lists with a tag that its parser ignores.
    "files = [yaml.safe_load(text.replace('!!python/tuple', '')) for text in texts]\n"
    "print('GOT', json.dumps([sys.argv[1:], files]), flush=True)"
)
NODE = (
    f"Node(executable=sys.executable, arguments=['-uc', {PRINT_ARGUMENTS!r}, 'extra'], exec_name='node', "
    + ("output='screen', {})")
)


def got(output: str) -> list:
    """Arguments and parameter files of each node, in the order of their labels."""
    lines = sorted(line for line in output.splitlines() if "] GOT " in line)
    return [json.loads(line.split("GOT ")[1]) for line in lines]


def test_node_command_has_the_documented_order(run_launch, tmp_path):
    (tmp_path / "file.yaml").write_text("/**: {ros__parameters: {x: 1}}")
    node = NODE.format(
        f"name='n', namespace='inner', parameters=[{str(tmp_path / 'file.yaml')!r}, {{'y': 2}}], "
        "remappings=[('a', 'b'), ('c', LaunchConfiguration('target'))], "
        "ros_arguments=['--log-level', 'debug']"
    )
    _, output = run_launch(
        f"SetLaunchConfiguration('target', 'd'), PushRosNamespace('outer'), SetParameter('p', True), {node}"
    )
    ((arguments, files),) = got(output)
    assert arguments[0] == "extra"
    temporary = arguments[arguments.index("c:=d") - 4]
    assert arguments[1:] == [
        *("--ros-args", "--log-level", "debug"),
        *("--ros-args", "-r", "__node:=n", "-r", "__ns:=/outer/inner", "-p", "p:=True"),
        *("--params-file", str(tmp_path / "file.yaml"), "--params-file", temporary),
        *("-r", "a:=b", "-r", "c:=d"),
    ]
    # The name is fully known, so the dict is for this node only.
    assert files[1] == {"/outer/inner/n": {"ros__parameters": {"y": 2}}}


def test_dict_parameters_are_typed_as_yaml_types_them(run_launch):
    node = NODE.format(
        """parameters=[{'float': LaunchConfiguration('v'), 'text': '10.0', 'flag': LaunchConfiguration('f'),
        'forced': ParameterValue(LaunchConfiguration('v'), value_type=str), 'nested': {'list': [1, 2.5]},
        'joined': ['a', LaunchConfiguration('f')], 'texts': ['p', 'q'], 'empty': '',
        'list': LaunchConfiguration('l')}]"""
    )
    _, output = run_launch(
        "SetLaunchConfiguration('v', '10.0'), SetLaunchConfiguration('f', 'true'), "
        f"SetLaunchConfiguration('l', '[1, 2]'), {node}"
    )
    ((arguments, files),) = got(output)
    assert "-r" not in arguments  # neither name nor namespace: the executable's own
    assert files == [
        {
            "/**": {
                "ros__parameters": {
                    "float": 10.0,
                    "text": "10.0",
                    "flag": True,
                    "forced": "10.0",
                    "nested.list": [1.0, 2.5],
                    "joined": "atrue",
                    "texts": ["p", "q"],
                    "empty": "",
                    "list": [1, 2],
                }
            }
        }
    ]
    assert isinstance(files[0]["/**"]["ros__parameters"]["float"], float)


def test_namespaces_and_parameters_end_with_their_group(run_launch):
    inside = NODE.format("name='inside'")
    absolute = NODE.format("name='absolute', namespace='/top'")
    outside = NODE.format("name='outside'")
    _, output = run_launch(
        f"GroupAction([PushRosNamespace('a'), PushRosNamespace('b'), SetParameter('p', 1), "
        f"SetRemap('x', 'y'), {inside}, {absolute}]), {outside}"
    )
    commands = [" ".join(arguments) for arguments, _ in got(output)]
    assert [re.findall(r"__ns:=(\S+)", command) for command in commands] == [["/a/b"], ["/top"], []]
    assert ["-p p:=1" in command and "-r x:=y" in command for command in commands] == [True, True, False]


def test_parameter_file_with_substitutions(run_launch, tmp_path):
    (tmp_path / "file.yaml").write_text("/**: {ros__parameters: {x: $(var v), y: '$(env V)', z: a\\\\$b}}")
    node = NODE.format(f"parameters=[ParameterFile({str(tmp_path / 'file.yaml')!r}, allow_substs=True)]")
    _, output = run_launch(f"SetLaunchConfiguration('v', '3'), SetEnvironmentVariable('V', 'e'), {node}")
    ((_, files),) = got(output)
    assert files == [{"/**": {"ros__parameters": {"x": 3, "y": "e", "z": "a\\$b"}}}]


@standin_only
def test_temporary_parameter_files_are_removed(run_launch, tmp_path):
    _, output = run_launch(NODE.format("parameters=[{'a': 1}]"))
    ((arguments, _),) = got(output)
    from pathlib import Path

    path = Path(arguments[arguments.index("--params-file") + 1])
    assert not path.exists()
    assert not path.parent.exists()


# Mistakes --------------------------------------------------------------------------------------------------


@standin_only
@pytest.mark.parametrize(
    ("actions", "arguments", "sentences"),
    [
        ("DeclareLaunchArgument('episodes', default_value='1')", ["epsodes:=2"], ["did you mean 'episodes'"]),
        ("LogInfo(msg='x')", ["a"], ["malformed launch argument 'a', expected format '<name>:=<value>'"]),
        ("Node(package='rclp', executable='x')", [], ["unknown package 'rclp', did you mean 'rclpy'"]),
        ("Node(package='rclpy', executable='x')", [], ["unknown executable of package 'rclpy' 'x'"]),
        ("LogInfo(msg=LaunchConfigurations('x'))", [], ["line 14: NameError", "LaunchConfigurations"]),
    ],
)
def test_mistakes_are_answered_with_what_exists(run_launch, actions, arguments, sentences):
    code, output = run_launch(actions, *(arguments or ["sigterm_timeout:=5"]))
    if "NameError" in sentences[0]:
        code, output = run_launch(actions, "--show-args")
    assert code == 1
    assert all(sentence in output for sentence in sentences), output
    assert "Traceback" not in output


def test_show_args_lists_arguments_and_runs_nothing(run_launch):
    code, output = run_launch(
        "DeclareLaunchArgument('speed', default_value='3', description='how fast', choices=['3', '4']), "
        "DeclareLaunchArgument('way', condition=IfCondition('true')), LogInfo(msg='visited')",
        "--show-args",
    )
    assert code == 0
    assert "'speed':\n        how fast. Valid choices are: ['3', '4']\n        (default: '3')\n" in output
    assert "'way':*\n        no description given\n" in output
    assert "visited" not in output
    assert sys.executable not in output
