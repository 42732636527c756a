"""Faults from the command line."""

from __future__ import annotations

import json

import pytest

from rfs_drivers.emulated.fault_main import main
from rfs_drivers.emulated.fci_process import free_address
from rfs_drivers.emulated.fci_server import FciServer


def test_a_fault_is_raised_and_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    server = FciServer(free_address())
    thread = server.start_thread()
    where = f"{server.address}:{server.admin.port}"
    try:
        assert main([where, "reflex", "error=joint_reflex"]) == 0
        assert main([where, "faults", "drop_commands=0.25", "cut=true"]) == 0
        capsys.readouterr()
        assert main([where, "status"]) == 0
        status = json.loads(capsys.readouterr().out)
        assert status["mode"] == "REFLEX"
        assert (status["faults"]["drop_commands"], status["faults"]["cut"]) == (0.25, True)
        assert main([where, "burn"]) == 1
        assert "known: status" in capsys.readouterr().err
    finally:
        server.stop()
        thread.join(5.0)


@pytest.mark.parametrize("words", [["nowhere", "status"], ["127.0.0.1:1", "status", "novalue"]])
def test_what_cannot_be_meant_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)


def test_a_device_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    where = f"{free_address()}:9"
    assert main([where, "status"]) == 1
    assert where in capsys.readouterr().err
