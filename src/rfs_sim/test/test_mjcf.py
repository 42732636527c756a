"""Promises of the model generator."""

import xml.etree.ElementTree as ET
from pathlib import Path

import mujoco
import pytest

from rfs_core import robot
from rfs_sim import facts, mjcf

JOINTS = (*robot.ARM_JOINT_NAMES, *robot.HAND_JOINT_NAMES)


@pytest.fixture(scope="module")
def root() -> ET.Element:
    return ET.fromstring(mjcf.write(mjcf.SceneConfig()))


def test_every_joint_has_a_position_and_a_velocity_actuator_under_its_own_torque_limit(
    root: ET.Element,
) -> None:
    position = {a.get("joint") for a in root.findall("actuator/position")}
    velocity = {a.get("joint") for a in root.findall("actuator/velocity")}
    assert position == velocity == set(JOINTS)
    limited = {j.get("name"): j.get("actuatorfrcrange") for j in root.iter("joint") if j.get("name")}
    assert set(limited) == set(JOINTS)
    assert None not in limited.values()
    assert limited["fr3_joint1"] == "-87 87"


def test_contacts_are_filtered_by_excluded_pairs_and_not_by_bitmasks(root: ET.Element) -> None:
    for geom in root.find("worldbody").iter("geom"):  # type: ignore[union-attr]
        assert geom.get("contype") is None
        assert geom.get("conaffinity") is None
    bodies = {b.get("name") for b in root.iter("body")} | {"world"}
    pairs = [(e.get("body1"), e.get("body2")) for e in root.findall("contact/exclude")]
    assert all(a in bodies and b in bodies for a, b in pairs)
    assert len({frozenset(p) for p in pairs}) == len(pairs)


def test_no_geom_has_a_margin_or_a_gap(root: ET.Element) -> None:
    model = mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))
    assert (model.geom_margin == 0).all()
    assert (model.geom_gap == 0).all()


def test_fingers_can_touch_each_other_the_object_and_the_table(root: ET.Element) -> None:
    excluded = {frozenset(p) for p in mjcf.excluded_pairs(("object",))}
    for a, b in [
        ("if_ds", "mf_ds"),
        ("if_md", "mf_md"),
        ("th_ds", "if_ds"),
        ("th_ds", "palm"),
        ("th_px", "if_md"),
    ]:
        assert frozenset((a, b)) not in excluded
    for link in facts.HAND_LINKS:
        assert frozenset((link.name, "object")) not in excluded
        assert frozenset((link.name, "world")) not in excluded


def test_every_object_gets_its_own_body_and_slots() -> None:
    root = ET.fromstring(mjcf.write(mjcf.SceneConfig(objects=("object", "other"))))
    names = {g.get("name") for g in root.iter("geom")}
    for name in ("object", "other"):
        assert {f"{name}_{kind}" for kind in mjcf.SLOT_KINDS} <= names


def test_masses_are_the_published_ones() -> None:
    model = mujoco.MjModel.from_xml_string(mjcf.write(mjcf.SceneConfig()))
    # LEAP: palm .237, three fingers of .044 + .032 + .037 + .016, thumb .032 + .003 + .038 + .049
    hand = sum(model.body(link.name).mass[0] for link in (facts.PALM_LINK, *facts.HAND_LINKS))
    assert hand == pytest.approx(0.237 + 3 * 0.129 + 0.122)


def test_a_menagerie_checkout_without_the_mesh_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"link0_0\.obj does not exist"):
        mjcf.write(mjcf.SceneConfig(menagerie=tmp_path))


def test_menagerie_meshes_replace_the_looks_and_leave_the_contacts(tmp_path: Path) -> None:
    # A tetrahedron stands in for every mesh.
    tetrahedron = "v 0 0 0\nv .1 0 0\nv 0 .1 0\nv 0 0 .1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 3 1 4\n"
    for link in (*facts.ARM_LINKS, facts.PALM_LINK, *facts.HAND_LINKS):
        folder = "franka_fr3" if link.name.startswith("fr3_") else "leap_hand"
        (tmp_path / folder / "assets").mkdir(parents=True, exist_ok=True)
        for mesh in link.meshes:
            (tmp_path / folder / "assets" / mesh.file).write_text(tetrahedron)

    plain = mujoco.MjModel.from_xml_string(mjcf.write(mjcf.SceneConfig()))
    dressed = mujoco.MjModel.from_xml_string(mjcf.write(mjcf.SceneConfig(menagerie=tmp_path)))

    def colliding(model: mujoco.MjModel) -> set[str]:
        return {model.geom(i).name for i in range(model.ngeom) if model.geom_contype[i]}

    assert dressed.nmesh > 0
    assert colliding(dressed) == colliding(plain)
    assert (dressed.body_mass == plain.body_mass).all()
