"""The scene's parts as USD files: cut out of the one MJCF, converted on first use, kept by their content.

Isaac Lab wants an asset a thing: the robot, the table, the object, each of the task's bodies. Each part is
the MJCF of `rfs_sim.mjcf` without all the rest, so no number is written twice.
"""

import hashlib
import os
import shutil
import tempfile
import xml.etree.ElementTree as ET
from importlib import metadata
from pathlib import Path

from rfs_sim import facts, mjcf
from rfs_sim.mjcf import SceneConfig
from rfs_sim.seam import EngineError

ROBOT, TABLE = "robot", "table"
"""Parts of every scene, beside the objects and the task's bodies, which have their own names."""

_UNUSED = ("actuator", "sensor", "option", "statistic", "visual")
"""What Isaac Lab's own configuration says instead."""


def parts(scene: SceneConfig) -> dict[str, str]:
    """MJCF text of every part that can be touched, by name; bodies that nothing touches are left out."""
    bodies = [body.name for body in scene.bodies if body.collides]
    return {
        ROBOT: _cut(scene, facts.ARM_LINKS[0].name),
        TABLE: _cut(scene, TABLE),
        **{name: _cut(scene, name) for name in (*scene.objects, *bodies)},
    }


def _cut(scene: SceneConfig, name: str) -> str:
    """The model with only one child of the world."""
    root = ET.fromstring(mjcf.write(scene))
    for tag in _UNUSED:
        for element in root.findall(tag):
            root.remove(element)
    asset = root.find("asset")
    assert asset is not None
    for texture in asset.findall("texture"):
        asset.remove(texture)
    for material in asset.findall("material"):
        material.attrib.pop("texture", None)
    world = root.find("worldbody")
    assert world is not None
    for element in list(world):
        if element.get("name") != name or element.tag not in ("body", "geom"):
            world.remove(element)
    (kept,) = list(world)
    if kept.tag == "body" and name != facts.ARM_LINKS[0].name:
        kept.attrib.pop("pos", None)  # the spawner's
        if kept.find("freejoint") is None:
            # What never moves is a part of the world, placed by `fields`.
            world.remove(kept)
            world.extend(kept.findall("geom"))
    for element in root.iter():
        for camera in element.findall("camera"):
            element.remove(camera)
    if name in scene.objects and scene.object_solids:
        for kind in mjcf.SLOT_KINDS:  # half a millimetre large, where the solids leave room for other things
            slot = kept.find(f"geom[@name='{name}_{kind}']")
            assert slot is not None
            kept.remove(slot)
    names = {body.get("name") for body in root.iter("body")}
    contact = root.find("contact")
    assert contact is not None
    for exclude in list(contact):
        if not {exclude.get("body1"), exclude.get("body2")} <= names:
            contact.remove(exclude)
    root.set("model", name)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def folder() -> Path:
    """Where converted parts are kept: RFS_CACHE, or `rfs` in the user's cache folder."""
    if own := os.environ.get("RFS_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rfs"


def path_of(name: str, text: str) -> Path:
    """The USD file that a part has, or will have once converted."""
    made_of = "\n".join((text, *(f"{p} {_version(p)}" for p in ("mujoco-usd-converter", "mujoco"))))
    key = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    return folder() / "usd" / f"{name}_{key}" / f"{name}.usda"


def convert(name: str, text: str) -> Path:
    """The part's USD file, converted now if it has not been before.

    Raises:
        EngineError: the converter made nothing of it.
    """
    path = path_of(name, text)
    if path.is_file():
        return path
    from mujoco_usd_converter import Converter

    path.parent.parent.mkdir(parents=True, exist_ok=True)
    # Complete or not there, also when two processes convert at once.
    with tempfile.TemporaryDirectory(dir=path.parent.parent) as temporary:
        source, made = Path(temporary) / f"{name}.xml", Path(temporary) / "made"
        source.write_text(text, encoding="utf-8")
        Converter(scene=False).convert(str(source), str(made))
        written = list(made.glob("*.usd*"))
        if len(written) != 1:
            raise EngineError(
                f"the part {name!r} could not be converted to USD: the converter wrote {len(written)} files, "
                f"not one (its messages are above); the MJCF is what rfs_sim.isaaclab.asset.parts returns"
            )
        written[0].rename(made / path.name)
        shutil.copy(source, made)
        try:
            made.rename(path.parent)
        except OSError:
            if not path.is_file():
                raise
    return path


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
