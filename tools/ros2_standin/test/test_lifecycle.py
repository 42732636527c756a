"""Lifecycle bring-up with a real node."""

import re

from helpers import NODES, logged, standin_only

BEFORE = f"""
from lifecycle_msgs.msg import Transition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.event_handlers import OnStateTransition
life = LifecycleNode(executable=sys.executable, arguments=[{str(NODES / "life.py")!r}], name='life',
                     namespace='robot', exec_name='life', output='screen')
def ask(transition):
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(life), transition_id=transition))
"""
BRING_UP = """life,
    RegisterEventHandler(OnProcessStart(
        target_action=life, on_start=[ask(Transition.TRANSITION_CONFIGURE)])),
    RegisterEventHandler(OnStateTransition(
        target_lifecycle_node=life, start_state='configuring', goal_state='inactive',
        entities=[LogInfo(msg='inactive'), ask(Transition.TRANSITION_ACTIVATE)])),
    RegisterEventHandler(OnStateTransition(
        target_lifecycle_node=life, goal_state='active',
        entities=[LogInfo(msg=['active ', LocalSubstitution('event.action.node_name')]), {then}]))"""


def test_node_is_configured_and_activated_by_events(run_launch):
    # A second event for the same step would ask for a transition that is not possible: the node would fail.
    wait = "TimerAction(period=1.5, actions=[Shutdown()])"
    code, output = run_launch(BRING_UP.format(then=wait), before=BEFORE)
    assert code == 0
    assert logged(output) == ["inactive", "active /robot/life"]
    assert re.findall(r"\[life-1\] (configured|activated)", output) == ["configured", "activated"]
    assert "process has finished cleanly" in output
    assert "ERROR" not in output


def test_lifecycle_transition_does_several_in_order(run_launch):
    code, output = run_launch(
        """life, LifecycleTransition(lifecycle_node_names=['/robot/life'], transition_ids=[
            Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE,
            Transition.TRANSITION_DEACTIVATE]),
        RegisterEventHandler(OnStateTransition(start_state='deactivating', goal_state='inactive',
                                               entities=[LogInfo(msg='done'), Shutdown()]))""",
        before=BEFORE,
    )
    assert code == 0
    assert logged(output) == ["done"]
    assert re.findall(r"\[life-1\] (configured|activated)", output) == ["configured", "activated"]


@standin_only  # ROS 2's ends as well, with exit code 1
def test_waiting_for_a_node_that_is_not_there_ends_with_the_launch(start_launch):
    launched = start_launch(
        "LifecycleNode(executable='sleep', arguments=['1000'], name='none', namespace=''), "
        "EmitEvent(event=ChangeState(lifecycle_node_matcher=lambda action: True, "
        "transition_id=Transition.TRANSITION_CONFIGURE))",
        before=BEFORE,
    )
    launched.read_until("process started")
    assert launched.stop() == 0


def test_parameters_remaps_and_names_reach_a_real_node(start_launch):
    node = (
        f"Node(executable=sys.executable, arguments=[{str(NODES / 'talker.py')!r}], name='tom', "
        "output='screen', parameters=[{'a': 1, 'b': [1.5, 2], 'c': {'d': '10.0'}}])"
    )
    launched = start_launch(f"PushRosNamespace('robot'), SetParameter('use_sim_time', False), {node}")
    line = launched.read_until("] node ")
    for item in ("node /robot/tom", "'a': 1", "'b': [1.5, 2.0]", "'c.d': '10.0'", "'use_sim_time': False"):
        assert item in line
    assert launched.stop() == 0
    assert "talker stops" in launched.output


@standin_only
def test_a_request_that_was_lost_is_made_again_through_another_client(monkeypatch):
    from types import SimpleNamespace

    from launch_ros.actions import LifecycleNode, lifecycle_node
    from rclpy.task import Future

    monkeypatch.setattr(lifecycle_node, "LOST_REQUEST_S", 0.2)
    monkeypatch.setattr(lifecycle_node, "LOST_EVENT_S", 0.0)
    answered = Future()
    answered.set_result(SimpleNamespace(success=True))
    asked = []

    def client(name, future, ready=True):
        def call_async(request):
            asked.append((name, request.transition.id))
            return future

        return SimpleNamespace(service_is_ready=lambda: ready, call_async=call_async)

    others = [client("lost", Future()), client("second", answered)]
    ros_node = SimpleNamespace(create_client=lambda kind, name: others.pop(0))
    monkeypatch.setattr(lifecycle_node, "get_ros_node", lambda context: ros_node)
    node = LifecycleNode(executable="true", name="policy", namespace="")
    node._client = client("never ready", Future(), ready=False)
    monkeypatch.setattr(type(node), "node_name", "/policy", raising=False)
    made_up = []
    monkeypatch.setattr(node, "_make_up_for_lost_messages", lambda *arguments: made_up.append(arguments[0]))
    configure = lifecycle_node.Transition.TRANSITION_CONFIGURE
    node._change_state(configure, SimpleNamespace(is_shutdown=False))
    assert asked == [("lost", configure), ("second", configure)]
    assert made_up == [configure]
