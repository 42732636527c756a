"""The stack is started and stopped again and again, at any moment: exit code 0, nothing is left behind."""

from __future__ import annotations

import signal
import sys
import time

import numpy as np
import pytest
from promises import cases

from rfs_drivers.emulated.fci_process import EmulatedFci
from rfs_drivers.emulated.leap_bus_process import EmulatedLeapBus

PATIENCE_S = 120.0
"""Wall time: bounds waiting on a machine that others use, promises nothing."""


@pytest.mark.timeout(3600)
def test_the_deployment_ends_well_whenever_ctrl_c_comes(
    promised, deploy, gentle_checkpoint, tmp_path, monkeypatch
):
    promise = promised(
        "Ctrl-C at a random moment of deploy.launch.py",
        "exit code 0, every process gone, no temporary files",
        "whole stack in simulation, processes found by their environment",
    )
    temporary = tmp_path / "temporary"  # of these deployments alone
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    rng = np.random.default_rng(0)
    for _ in range(cases(2, 20)):
        deployment = deploy(checkpoint=gentle_checkpoint, episodes=200)
        moment = rng.choice(["process started", "waiting for", "episode 0 (1 of 200)"])
        deployment.wait_for(str(moment), PATIENCE_S)
        time.sleep(float(rng.uniform(0.0, 0.5)))
        deployment.interrupt()
        code = deployment.wait(PATIENCE_S)
        promise.case()
        promise.check(code == 0, f"{moment}: exit code {code}\n{deployment.output()[-2000:]}")
        promise.check(not deployment.processes(), f"{moment}: left: {deployment.processes()}")
    left = [path.name for path in temporary.iterdir()]
    promise.check(not left, f"left: {left}")
    promise.kept(2)


NODES = {
    "gate_node": ("rfs_control.nodes.gate_node", {}),
    "franka_node": (
        "rfs_drivers.nodes.franka_node",
        {"realtime": "ignore", "clock": "robot", "stale_state": 0.5, "autostart": "true"},
    ),
    "leap_node": ("rfs_drivers.nodes.leap_node", {"reply_timeout": 0.1, "autostart": "true"}),
}


@pytest.mark.parametrize("node", NODES)
@pytest.mark.timeout(3600)
def test_a_node_ends_well_whenever_it_is_asked_to(promised, start, node):
    pytest.importorskip("franky", reason="needs franky-control: make setup EXTRAS=drivers")
    pytest.importorskip("dynamixel_sdk", reason="needs dynamixel-sdk: make setup EXTRAS=drivers")
    promise = promised(
        f"SIGINT or SIGTERM to {node} at a random moment",
        "exit code 0, every process gone; arm at rest and fingers limp",
        "the node in a process of its own, emulated arm and hand",
    )
    module, parameters = NODES[node]
    rng = np.random.default_rng(0)
    with EmulatedFci() as arm, EmulatedLeapBus() as hand:
        where = {"franka_node": {"address": arm.address}, "leap_node": {"port": hand.port}}.get(node, {})
        words = [
            word for name, value in {**parameters, **where}.items() for word in ("-p", f"{name}:={value}")
        ]
        for _ in range(cases(2, 60)):
            process = start(sys.executable, "-c", STARTED.format(module=module), "--ros-args", *words)
            process.wait_for("node is up", PATIENCE_S)
            # Up to the moment at which autostart has it in control, and beyond.
            time.sleep(float(rng.uniform(0.0, 3.0)) if rng.random() < 0.3 else float(rng.uniform(0.0, 0.3)))
            process.process.send_signal(signal.SIGINT if rng.random() < 0.5 else signal.SIGTERM)
            code = process.wait(PATIENCE_S)
            promise.case()
            promise.check(code == 0, f"exit code {code}\n{process.output()[-2000:]}")
            promise.check(not process.processes(), f"left: {process.processes()}")
        deadline = time.monotonic() + PATIENCE_S
        while arm("status")["mode"] == "MOVE" and time.monotonic() < deadline:
            time.sleep(0.1)
        promise.check(arm("status")["mode"] == "IDLE", f"the arm is left in {arm('status')['mode']}")
        promise.check(hand("status")["torque"] == [0] * 16, "torque is left on")
    promise.kept(2)


STARTED = """
import importlib, rclpy.executors
import {module} as module
made = rclpy.executors.SingleThreadedExecutor.add_node
def said(executor, node):
    print("node is up", flush=True)
    return made(executor, node)
rclpy.executors.SingleThreadedExecutor.add_node = said
module.main()
"""
"""A node that says when it has been made: before, a signal ends the interpreter as it ends any program."""
