"""What surrounds the robot in the model."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from rfs_sim import mjcf, mjcf_surroundings


@pytest.fixture
def world() -> ET.Element:
    element = ET.Element("worldbody")
    mjcf_surroundings.surroundings(element)
    return element


def test_nothing_but_the_table_s_plane_can_be_touched(world: ET.Element) -> None:
    touchable = [geom for geom in world.iter("geom") if geom.get("class") != "visual"]
    assert [(geom.get("name"), geom.get("type"), geom.get("pos")) for geom in touchable] == [
        ("table", "plane", None)
    ]


def test_every_material_that_a_geom_names_exists() -> None:
    root = ET.fromstring(mjcf.write(mjcf.SceneConfig()))
    made = {material.get("name") for material in root.findall("asset/material")}
    assert {geom.get("material") for geom in root.iter("geom")} - {None} <= made


@pytest.mark.parametrize(
    ("name", "position", "target"),
    [
        ("camera", (1.35, -0.80, 0.66), (0.38, 0.0, 0.24)),
        ("table_camera", (1.15, 0.25, 0.60), (0.52, 0, 0.06)),
    ],
)
def test_a_camera_looks_at_its_target_with_the_horizon_level(
    world: ET.Element, name: str, position: tuple[float, ...], target: tuple[float, ...]
) -> None:
    camera = world.find(f"camera[@name='{name}']")
    assert camera is not None
    np.testing.assert_allclose([float(v) for v in camera.get("pos", "").split()], position)
    x, y = np.reshape([float(v) for v in camera.get("xyaxes", "").split()], (2, 3))
    # A camera of MuJoCo looks along its -z; x to the right, so level means without height; y upwards.
    ahead = -np.cross(x, y)
    towards = np.subtract(target, position)
    np.testing.assert_allclose(ahead, towards / np.linalg.norm(towards), atol=1e-8)
    assert x[2] == pytest.approx(0.0, abs=1e-12)
    assert y[2] > 0.0
