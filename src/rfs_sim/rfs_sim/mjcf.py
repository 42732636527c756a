"""Writes the MuJoCo model (MJCF) of the world: FR3, LEAP right hand, objects; `mjcf_surroundings` the rest.

Everything is primitives around published frames (see `facts`), so no mesh has to be shipped or downloaded.
With a checkout of MuJoCo Menagerie its meshes can be used for the looks; contacts stay the same primitives.

The text is written so that other engines read it without loss:
- a joint is driven by a `position` and a `velocity` actuator under the joint's own torque limit;
- which bodies may touch is said by `<exclude>`, not by contact bitmasks;
- no contact has a gap or a margin;
- an object's body carries one geom per kind of shape ("slots"); `objects.shape_object` chooses the active
one.

The model's world frame is the base frame `fr3_link0`; the table's top is its plane z = 0.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from rfs_core import robot, se3
from rfs_core.scene import Body, Solid
from rfs_sim import facts, mjcf_surroundings

ARM_KP = (2000.0, 2000.0, 2000.0, 2000.0, 500.0, 500.0, 500.0)
"""N m/rad: joint stiffness of the simulated impedance driver; the wrist's is a quarter."""
ARM_KV = (200.0, 200.0, 200.0, 200.0, 50.0, 50.0, 50.0)
"""N m s/rad."""
HAND_KP = 3.0
"""N m/rad (Menagerie leap_hand)."""
HAND_KV = 0.1
"""N m s/rad: with HAND_KP and the rotor's armature about 0.7 of critical damping."""

CONTACT_TIME = 0.02
"""s, time constant of all contacts (solref): the stiffest that a 10 ms step integrates, kept at finer steps,
so that a finer step only integrates the same world better."""

SLOT_KINDS = ("box", "cylinder", "capsule")
"""Kinds of shape an object can take; a slot geom each."""
UNUSED_SLOT_SIZE = 0.0005
"""m: size of the slots an object does not use (engines that ignore bitmasks still see them, inside the used
one)."""


@dataclass(frozen=True)
class SceneConfig:
    """What the model contains and how it is integrated."""

    physics_dt: float = 0.01
    """Time step of the physics, s. Finer steps make harder contacts; success rates must name the step."""
    objects: tuple[str, ...] = ("object",)
    """Names of the free objects."""
    bodies: tuple[Body, ...] = ()
    """What the task adds."""
    object_solids: tuple[Solid, ...] = ()
    """What the objects are made of where a start's shape is of kind `solids`."""
    noslip: int = 0
    """Iterations that take the creep out of friction. Without any, what is held slides down at 9 mm/s; they
    cost a sixth of the speed."""
    menagerie: Path | None = None
    """Folder of a MuJoCo Menagerie checkout: its meshes replace our primitives for the cameras. None:
    primitives."""


def write(config: SceneConfig) -> str:
    """The model as MJCF text.

    Raises FileNotFoundError when a Menagerie checkout is named that lacks a mesh.
    """
    root = ET.Element("mujoco", model="fr3_leap")
    ET.SubElement(root, "compiler", angle="radian", autolimits="true", inertiafromgeom="auto")
    option = ET.SubElement(
        root,
        "option",
        timestep=f"{config.physics_dt:g}",
        integrator="implicitfast",
        cone="pyramidal",
        solver="Newton",
        iterations="10",
        ls_iterations="20",
    )
    if config.noslip:
        option.set("noslip_iterations", str(config.noslip))
    mjcf_surroundings.visual(root)
    _default(root)
    asset = mjcf_surroundings.assets(root)
    world = ET.SubElement(root, "worldbody")
    mjcf_surroundings.surroundings(world)
    bodies: dict[str, ET.Element] = {"world": world}
    for link in (*facts.ARM_LINKS, facts.PALM_LINK, *facts.HAND_LINKS):
        bodies[link.name] = _link(bodies[link.parent], link, config.menagerie, asset)
    _mount(bodies)
    for name in config.objects:
        _object(world, name, config.object_solids)
    for body in config.bodies:
        _task_body(world, body)
    _contact(root, (*config.objects, *(body.name for body in config.bodies)))
    _actuators(root)
    _sensors(root, config.objects)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{float(v):.9g}" for v in values)


def _default(root: ET.Element) -> None:
    default = ET.SubElement(root, "default")
    # Hand against hand needs no friction (condim 1 is the cheapest); an object's priority brings its own
    # friction to every contact it takes part in.
    ET.SubElement(
        default,
        "geom",
        condim="1",
        friction="0.8 0.005 0.0001",
        solref=f"{CONTACT_TIME:g} 1",
        margin="0",
        gap="0",
    )
    visual = ET.SubElement(default, "default", {"class": "visual"})
    ET.SubElement(visual, "geom", contype="0", conaffinity="0", group="1", density="0")


def _link(parent: ET.Element, link: facts.Link, menagerie: Path | None, asset: ET.Element) -> ET.Element:
    body = ET.SubElement(
        parent, "body", name=link.name, pos=_numbers(link.position), quat=_numbers(link.quaternion)
    )
    if link.name != "fr3_link0":
        body.set("gravcomp", "1")
    if link.inertia is not None:
        ET.SubElement(
            body,
            "inertial",
            mass=f"{link.inertia.mass:g}",
            pos=_numbers(link.inertia.position),
            quat=_numbers(link.inertia.quaternion),
            diaginertia=_numbers(link.inertia.diagonal),
        )
    if link.joint:
        arm = link.joint in robot.ARM_JOINT_NAMES
        if arm:
            i = robot.ARM_JOINT_NAMES.index(link.joint)
            limits = robot.ARM_LIMITS[:, i]
            torque, armature, damping = facts.ARM_TORQUE[i], facts.ARM_ARMATURE[i], facts.ARM_DAMPING
        else:
            limits = robot.HAND_LIMITS[:, robot.HAND_JOINT_NAMES.index(link.joint)]
            torque, armature, damping = facts.HAND_TORQUE, facts.HAND_ARMATURE, facts.HAND_DAMPING
        ET.SubElement(
            body,
            "joint",
            name=link.joint,
            type="hinge",
            axis=_numbers(link.axis),
            range=_numbers(limits),
            armature=f"{armature:.9g}",
            damping=f"{damping:g}",
            actuatorfrcrange=_numbers((-torque, torque)),
        )
    meshes = _mesh_geoms(link, menagerie, asset)
    for i, shape in enumerate(link.shapes):
        if meshes and not shape.collides:
            continue
        geom = ET.SubElement(
            body, "geom", name=shape.name or f"{link.name}_{i}", type=shape.kind, material=shape.material
        )
        geom.set("size", _numbers(shape.size))
        if shape.ends:
            geom.set("fromto", _numbers(shape.ends))
        else:
            geom.set("pos", _numbers(shape.position))
            geom.set("quat", _numbers(shape.quaternion))
        if not shape.collides:
            geom.set("class", "visual")
        elif meshes:
            geom.set("group", "3")
    body.extend(meshes)
    return body


def _mesh_geoms(link: facts.Link, menagerie: Path | None, asset: ET.Element) -> list[ET.Element]:
    if menagerie is None:
        return []
    model = "franka_fr3" if link.name.startswith("fr3_") else "leap_hand"
    geoms = []
    for mesh in link.meshes:
        file = Path(menagerie) / model / "assets" / mesh.file
        if not file.is_file():
            raise FileNotFoundError(
                f"Menagerie mesh {file} does not exist: name the root folder of a mujoco_menagerie checkout, "
                "or leave it out for primitive shapes."
            )
        name = f"{model}_{file.stem}"
        if asset.find(f"mesh[@name='{name}']") is None:
            ET.SubElement(asset, "mesh", name=name, file=str(file.resolve()), inertia="shell")
        geoms.append(
            ET.Element(
                "geom",
                {"class": "visual"},
                type="mesh",
                mesh=name,
                material=mesh.material,
                pos=_numbers(mesh.position),
                quat=_numbers(mesh.quaternion),
            )
        )
    return geoms


def _mount(bodies: dict[str, ET.Element]) -> None:
    """Bolts the palm to the flange so that the palm frame lies where `robot.PALM_IN_FLANGE` says; adds the
    frames."""
    palm_in_flange = se3.Pose(
        np.reshape(robot.PALM_IN_FLANGE.position, (1, 3)), np.reshape(robot.PALM_IN_FLANGE.quaternion, (1, 4))
    )
    identity = np.array([facts.IDENTITY])
    flange = se3.Pose(np.array([facts.FLANGE_IN_LINK7]), identity)
    leap_in_palm = se3.inverse(se3.Pose(np.array([facts.PALM_FRAME_IN_LEAP]), identity))
    mount = se3.compose(se3.compose(flange, palm_in_flange), leap_in_palm)
    palm = bodies["palm"]
    palm.set("pos", _numbers(mount.position[0]))
    palm.set("quat", _numbers(mount.quaternion[0]))
    ET.SubElement(palm, "site", name="palm", pos=_numbers(facts.PALM_FRAME_IN_LEAP), size="0.005", group="4")
    ET.SubElement(bodies["fr3_link7"], "site", name="flange", pos=_numbers(facts.FLANGE_IN_LINK7), group="4")
    for name, (link, position) in facts.FINGERTIPS.items():
        ET.SubElement(bodies[link], "site", name=name, pos=_numbers(position), size="0.003", group="4")
    ET.SubElement(
        bodies["fr3_link7"],
        "camera",
        name="wrist_camera",
        pos="-0.07 0 0.07",
        xyaxes="0 1 0 1 0 0",
        fovy="72",
    )


def _object(world: ET.Element, name: str, solids: tuple[Solid, ...]) -> None:
    body = ET.SubElement(world, "body", name=name, pos="0.5 0 0.03")
    ET.SubElement(body, "freejoint", name=name)
    ET.SubElement(
        body, "inertial", pos=_numbers(centroid(solids)), mass="0.1", diaginertia="6e-05 6e-05 6e-05"
    )  # of a 6 cm cube; a reset writes the drawn object's
    tiny = UNUSED_SLOT_SIZE
    for kind in SLOT_KINDS:
        used = kind == "box"
        size = (0.03, 0.03, 0.03) if used else (tiny, tiny)
        ET.SubElement(
            body,
            "geom",
            name=f"{name}_{kind}",
            type=kind,
            size=_numbers(size),
            material="object",
            condim="4",
            priority="1",
            friction="1 0.03 0.0001",
        )
    for i, solid in enumerate(solids):
        ET.SubElement(
            body,
            "geom",
            name=f"{name}_solid_{i}",
            type=solid.kind,
            size=_numbers(_mujoco_size(solid)),
            pos=_numbers(solid.position),
            quat=_numbers(solid.quaternion),
            material="object",
            condim="4",
            priority="1",
            friction="1 0.03 0.0001",
        )


def _task_body(world: ET.Element, body: Body) -> None:
    """One of the task's bodies; a reset puts it where the episode's start says."""
    element = ET.SubElement(world, "body", name=body.name, pos="0.5 0 0.5")
    if body.moves:
        ET.SubElement(element, "freejoint", name=body.name)
    volume = sum(volume_of(solid) for solid in body.solids)
    for i, solid in enumerate(body.solids):
        geom = ET.SubElement(
            element,
            "geom",
            name=f"{body.name}_{i}",
            type=solid.kind,
            size=_numbers(_mujoco_size(solid)),
            pos=_numbers(solid.position),
            quat=_numbers(solid.quaternion),
            rgba=_numbers(body.rgba),
        )
        if not body.collides:
            geom.set("class", "visual")
            continue
        geom.set("condim", "4")
        geom.set("friction", f"{body.friction:g} 0.03 0.0001")
        if body.moves:
            geom.set("mass", f"{body.mass * volume_of(solid) / volume:.9g}")


def _mujoco_size(solid: Solid) -> tuple[float, ...]:
    if solid.kind == "box":
        return solid.size
    return solid.size[:1] if solid.kind == "sphere" else (solid.size[0], solid.size[2])


def centroid(solids: Sequence[Solid]) -> tuple[float, ...]:
    """Centre of mass of solids of even density, m; the origin of none. Shape: (3,)"""
    volumes = [volume_of(solid) for solid in solids]
    middle = sum((v * np.array(s.position) for v, s in zip(volumes, solids, strict=True)), np.zeros(3))
    return tuple(float(x) for x in middle / (sum(volumes) or 1.0))


def volume_of(solid: Solid) -> float:
    """m^3"""
    a, b, c = solid.size
    ball = 4.0 / 3.0 * np.pi * a**3
    if solid.kind == "box":
        return 8.0 * a * b * c
    if solid.kind == "sphere":
        return float(ball)
    tube = 2.0 * np.pi * a * a * c
    return float(tube + (ball if solid.kind == "capsule" else 0.0))


def excluded_pairs(objects: tuple[str, ...]) -> list[tuple[str, str]]:
    """Pairs of bodies that never touch: parts of the arm, the arm's upper links and objects (the task's
    bodies are among them), and within the hand what the joints' limits keep apart. Everything else can:
    finger against finger, tips against palm, all of the robot against the table."""
    arm = [link.name for link in facts.ARM_LINKS]
    hand = ["palm", *(link.name for link in facts.HAND_LINKS)]
    pairs = list(combinations(arm, 2)) + [(a, h) for a in arm for h in hand]
    pairs += [(link, name) for link in arm[:4] for name in objects]
    fingers = {p: [f"{p}_bs", f"{p}_px", f"{p}_md", f"{p}_ds"] for p in ("if", "mf", "rf")}
    thumb = ["th_mp", "th_bs", "th_px", "th_ds"]
    for links in (*fingers.values(), thumb):
        pairs += combinations(links, 2)
        pairs += [("palm", link) for link in links[:3]]
    for a, b in combinations(fingers.values(), 2):
        pairs += [(la, lb) for la in a[:2] for lb in b[:2]]
    for links in fingers.values():
        pairs += [(t, f) for t in thumb[:2] for f in links[:3]]
    return pairs


def _contact(root: ET.Element, objects: tuple[str, ...]) -> None:
    contact = ET.SubElement(root, "contact")
    for body1, body2 in excluded_pairs(objects):
        ET.SubElement(contact, "exclude", body1=body1, body2=body2)


def _actuators(root: ET.Element) -> None:
    actuator = ET.SubElement(root, "actuator")
    for names, kp, kv, limits in (
        (robot.ARM_JOINT_NAMES, ARM_KP, ARM_KV, robot.ARM_LIMITS),
        (robot.HAND_JOINT_NAMES, (HAND_KP,) * 16, (HAND_KV,) * 16, robot.HAND_LIMITS),
    ):
        for i, joint in enumerate(names):
            ET.SubElement(
                actuator,
                "position",
                name=joint,
                joint=joint,
                kp=f"{kp[i]:g}",
                ctrlrange=_numbers(limits[:, i]),
            )
            ET.SubElement(actuator, "velocity", name=f"{joint}_damping", joint=joint, kv=f"{kv[i]:g}")


def _sensors(root: ET.Element, objects: tuple[str, ...]) -> None:
    sensor = ET.SubElement(root, "sensor")
    for name in robot.CONTACT_NAMES:
        part = {"body1": "palm"} if name == "palm" else {"geom1": name}
        ET.SubElement(
            sensor,
            "contact",
            name=f"{name}_contact",
            body2=objects[0],
            num="1",
            data="found",
            reduce="none",
            **part,
        )
