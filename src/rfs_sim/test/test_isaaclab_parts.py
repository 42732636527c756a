"""What of engine isaaclab needs no Isaac Lab: the scene's parts, and what is said where it is missing."""

import importlib.util
import xml.etree.ElementTree as ET

import mujoco
import pytest

from rfs_core import tasks
from rfs_sim import mjcf
from rfs_sim.isaaclab import asset, interpreter, make
from rfs_sim.mjcf import SceneConfig
from rfs_sim.seam import EngineError


def scene(task):
    module = tasks.load(task)
    return SceneConfig(bodies=module.BODIES, object_solids=module.OBJECT_SOLIDS)


@pytest.mark.parametrize("task", tasks.TASKS)
def test_every_part_is_a_model_and_together_they_are_the_scene(task):
    config = scene(task)
    models = {name: mujoco.MjModel.from_xml_string(text) for name, text in asset.parts(config).items()}
    whole = mujoco.MjModel.from_xml_string(mjcf.write(config))
    colliding = [g for g in range(whole.ngeom) if whole.geom_contype[g]]
    if config.object_solids:
        assert len(config.object_solids) > 0
        colliding = [g for g in colliding if whole.geom(g).name not in SLOTS]
    found = sorted(
        model.geom(g).name for model in models.values() for g in range(model.ngeom) if model.geom_contype[g]
    )
    assert found == sorted(whole.geom(g).name for g in colliding)
    assert models[asset.ROBOT].nq == 23
    assert models[asset.ROBOT].nexclude == len(mjcf.excluded_pairs(()))


SLOTS = {f"object_{kind}" for kind in mjcf.SLOT_KINDS}


def test_what_nothing_touches_is_left_out():
    assert "mark" not in asset.parts(scene("place"))


def test_an_object_of_solids_has_no_slots_that_would_fill_it():
    names = {geom.get("name") for geom in ET.fromstring(asset.parts(scene("pour"))["object"]).iter("geom")}
    assert not names & SLOTS


def test_a_part_is_kept_by_what_it_is_made_of(monkeypatch, tmp_path):
    monkeypatch.setenv("RFS_CACHE", str(tmp_path))
    one = asset.path_of("object", "<mujoco/>")
    assert one == asset.path_of("object", "<mujoco/>")
    assert one != asset.path_of("object", "<mujoco model='a'/>")
    assert tmp_path in one.parents


def test_the_interpreter_is_found_at_the_root_of_the_workspace(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    python = tmp_path / ".venv-isaaclab/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setenv("RFS_ROOT", str(tmp_path))
    assert interpreter.find() == python


def test_without_the_environment_one_line_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("RFS_ROOT", raising=False)
    monkeypatch.setattr(interpreter, "__file__", str(tmp_path / "interpreter.py"))
    with pytest.raises(EngineError, match=r"make setup-isaaclab$") as raised:
        interpreter.find()
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(importlib.util.find_spec("isaaclab_newton") is not None, reason="Isaac Lab is here")
def test_an_environment_without_isaac_lab_is_refused_in_one_line():
    with pytest.raises(EngineError, match=r"engine isaaclab needs .*isaaclab_newton.*make setup-isaaclab"):
        make.make_env("grasp", 1)
