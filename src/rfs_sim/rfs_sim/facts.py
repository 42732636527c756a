"""Published kinematic and inertial facts of the Franka FR3 and the LEAP hand (right, v1).

Numbers only; no mesh, no file of the sources is part of this package. Sources:
- FR3: joint frames and inertias as in `franka_description` / MuJoCo Menagerie `franka_fr3` (Apache-2.0).
- LEAP hand: link frames and inertias as in MuJoCo Menagerie `leap_hand` (MIT, (c) 2023 Ananye Agarwal).
See NOTICE. Lengths in m, masses in kg, inertias in kg m^2, quaternions wxyz, every frame in its parent's.

Names of the LEAP links: bs (base, moved by MCP forward), px (proximal, moved by MCP side), md (medial), ds
(distal with the fingertip); the thumb: mp, bs, px, ds.
"""

from dataclasses import dataclass

Vector = tuple[float, ...]
IDENTITY: Vector = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Inertia:
    """Mass properties of a link about its centre of mass, in the link's frame."""

    mass: float
    position: Vector
    quaternion: Vector
    diagonal: Vector


@dataclass(frozen=True)
class Shape:
    """One primitive geom in its link's frame."""

    kind: str
    """`box` (half sizes), `capsule` or `cylinder` (radius; ends in `ends`), `sphere` (radius)."""
    size: Vector
    position: Vector = (0.0, 0.0, 0.0)
    quaternion: Vector = IDENTITY
    ends: Vector = ()
    """Capsules and cylinders: both ends of the axis, 6 numbers; empty for the rest."""
    material: str = "dark"
    collides: bool = True
    """False: decoration that only cameras see."""
    name: str = ""


@dataclass(frozen=True)
class Mesh:
    """One visual mesh of a Menagerie checkout: file below its model's `assets` folder, and its place in the
    link."""

    file: str
    material: str
    position: Vector = (0.0, 0.0, 0.0)
    quaternion: Vector = IDENTITY


@dataclass(frozen=True)
class Link:
    """One body with at most one hinge about its own z axis (the LEAP's joints turn about -z)."""

    name: str
    parent: str
    position: Vector
    quaternion: Vector = IDENTITY
    joint: str = ""
    axis: Vector = (0.0, 0.0, 1.0)
    inertia: Inertia | None = None
    shapes: tuple[Shape, ...] = ()
    meshes: tuple[Mesh, ...] = ()


def _capsule(ends: Vector, radius: float, material: str, **kw: object) -> Shape:
    return Shape("capsule", (radius,), ends=ends, material=material, **kw)  # type: ignore[arg-type]


def _cylinder(ends: Vector, radius: float, material: str) -> Shape:
    return Shape("cylinder", (radius,), ends=ends, material=material, collides=False)


def _meshes(material: str, *files: str) -> tuple[Mesh, ...]:
    return tuple(Mesh(f"{name}.obj", material) for name in files)


S = 0.7071067811865476

ARM_LINKS: tuple[Link, ...] = (
    Link(
        "fr3_link0",
        "world",
        (0.0, 0.0, 0.0),
        inertia=Inertia(2.3966, (-0.04, 0.0, 0.05), IDENTITY, (0.009, 0.0115, 0.0085)),
        shapes=(
            _capsule((0.0, 0.0, 0.065, 0.0, 0.0, 0.075), 0.065, "white"),
            Shape("box", (0.095, 0.055, 0.025), (-0.06, 0.0, 0.025), material="dark", collides=False),
        ),
        meshes=_meshes("white", *(f"link0_{i}" for i in range(7))),
    ),
    Link(
        "fr3_link1",
        "fr3_link0",
        (0.0, 0.0, 0.333),
        joint="fr3_joint1",
        inertia=Inertia(
            2.92747,
            (4.128e-07, -0.0181251, -0.0386036),
            (0.998098, -0.0605364, 0.00380499, 0.0110109),
            (0.0239286, 0.0227246, 0.00610634),
        ),
        shapes=(
            _capsule((0.0, 0.0, -0.19, 0.0, 0.0, -0.01), 0.058, "white"),
            _cylinder((0.0, -0.075, 0.0, 0.0, 0.0, 0.0), 0.055, "white"),
        ),
        meshes=_meshes("white", "link1"),
    ),
    Link(
        "fr3_link2",
        "fr3_link1",
        (0.0, 0.0, 0.0),
        (S, -S, 0.0, 0.0),
        joint="fr3_joint2",
        inertia=Inertia(
            2.93554,
            (0.00318289, -0.0743222, 0.00881461),
            (0.502599, 0.584437, -0.465998, 0.434366),
            (0.0629567, 0.0411924, 0.0246371),
        ),
        shapes=(
            _capsule((0.0, -0.02, 0.01, 0.0, -0.19, 0.0), 0.058, "white"),
            _cylinder((0.0, 0.0, 0.0, 0.0, 0.0, 0.07), 0.057, "grey"),
        ),
        meshes=_meshes("white", "link2"),
    ),
    Link(
        "fr3_link3",
        "fr3_link2",
        (0.0, -0.316, 0.0),
        (S, S, 0.0, 0.0),
        joint="fr3_joint3",
        inertia=Inertia(
            2.2449,
            (0.0407016, -0.00482006, -0.0289731),
            (0.921025, -0.244161, 0.155272, 0.260745),
            (0.0267409, 0.0189869, 0.0171587),
        ),
        shapes=(
            _capsule((0.0, 0.0, -0.11, 0.0, 0.0, -0.05), 0.056, "white"),
            _capsule((0.02, 0.0, -0.04, 0.0825, 0.0, 0.0), 0.05, "white"),
            _cylinder((0.0825, -0.065, 0.0, 0.0825, 0.065, 0.0), 0.052, "grey"),
        ),
        meshes=(*_meshes("white", "link3_0"), *_meshes("dark", "link3_1")),
    ),
    Link(
        "fr3_link4",
        "fr3_link3",
        (0.0825, 0.0, 0.0),
        (S, S, 0.0, 0.0),
        joint="fr3_joint4",
        inertia=Inertia(
            2.6156,
            (-0.0459101, 0.0630493, -0.00851879),
            (0.438018, 0.803311, 0.00937812, 0.403414),
            (0.05139, 0.0372717, 0.0160047),
        ),
        shapes=(
            _capsule((-0.01, 0.01, 0.0, -0.0825, 0.09, 0.0), 0.05, "white"),
            _capsule((-0.0825, 0.1, 0.0, -0.0825, 0.13, 0.0), 0.054, "white"),
        ),
        meshes=(*_meshes("white", "link4_0"), *_meshes("dark", "link4_1")),
    ),
    Link(
        "fr3_link5",
        "fr3_link4",
        (-0.0825, 0.384, 0.0),
        (S, -S, 0.0, 0.0),
        joint="fr3_joint5",
        inertia=Inertia(
            2.32712,
            (-0.00160396, 0.0292536, -0.0972966),
            (0.919031, 0.125604, 0.0751531, -0.366003),
            (0.0579335, 0.0449144, 0.0130634),
        ),
        shapes=(
            _capsule((0.0, 0.0, -0.25, 0.0, 0.05, -0.12), 0.05, "white"),
            _capsule((0.0, 0.065, -0.12, 0.0, 0.03, 0.0), 0.045, "white"),
            _cylinder((0.0, 0.0, -0.06, 0.0, 0.0, 0.055), 0.05, "grey"),
        ),
        meshes=(*_meshes("white", "link5_0", "link5_1"), *_meshes("dark", "link5_2")),
    ),
    Link(
        "fr3_link6",
        "fr3_link5",
        (0.0, 0.0, 0.0),
        (S, S, 0.0, 0.0),
        joint="fr3_joint6",
        inertia=Inertia(
            1.81704,
            (0.0597131, -0.0410295, -0.0101693),
            (0.621301, 0.552665, 0.510011, 0.220081),
            (0.0175039, 0.0161123, 0.00193529),
        ),
        shapes=(
            _capsule((0.0, 0.0, -0.03, 0.0, 0.0, 0.01), 0.05, "white"),
            _capsule((0.03, 0.0, 0.0, 0.088, -0.01, 0.0), 0.048, "white"),
        ),
        meshes=_meshes("white", *(f"link6_{i}" for i in range(8))),
    ),
    Link(
        "fr3_link7",
        "fr3_link6",
        (0.088, 0.0, 0.0),
        (S, S, 0.0, 0.0),
        joint="fr3_joint7",
        inertia=Inertia(
            0.627143,
            (0.00452258, 0.00862619, -0.0161633),
            (0.727579, 0.0978688, -0.24906, 0.63168),
            (0.000223836, 0.000223642, 5.64132e-05),
        ),
        # Source: the third moment reads 5.64132e-07, which breaks no inequality but is 100 times below what
        # the link's mass and size allow (and below the LEAP's finger links); the armature of 0.074 hides it
        # anyway.
        shapes=(
            _capsule((0.0, 0.0, 0.02, 0.0, 0.0, 0.062), 0.044, "white"),
            _cylinder((0.0, 0.0, 0.09, 0.0, 0.0, 0.107), 0.032, "grey"),
        ),
        meshes=(*_meshes("dark", "link7_0", "link7_3"), *_meshes("white", "link7_1", "link7_2")),
    ),
)
"""FR3 links from base to flange. The shapes are our own primitives around the published frames."""

FLANGE_IN_LINK7: Vector = (0.0, 0.0, 0.107)
"""Flange (link8) on link7's z axis, same orientation."""

ARM_TORQUE: Vector = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)
"""N m, FR3 data sheet."""
ARM_ARMATURE: Vector = (0.195, 0.195, 0.195, 0.195, 0.074, 0.074, 0.074)
"""kg m^2, reflected rotor inertia (Menagerie franka_fr3)."""
ARM_DAMPING = 0.21
"""N m s/rad."""

PALM_LINK = Link(
    "palm",
    "fr3_link7",
    (0.0, 0.0, 0.0),  # placed by the mount
    inertia=Inertia(
        0.237,
        (-0.049542, -0.042914, -0.010227),
        (0.565586, 0.427629, -0.574956, 0.408254),
        (0.000407345, 0.000304759, 0.000180736),
    ),
    shapes=(
        Shape("box", (0.037, 0.060, 0.0215), (-0.057, -0.034, -0.0125), name="palm_plate"),
        Shape("box", (0.0125, 0.060, 0.015), (-0.0085, -0.036, -0.010), name="palm_knuckles"),
        Shape("box", (0.013, 0.045, 0.014), (-0.1, -0.0225, -0.0115), material="grey", collides=False),
    ),
    meshes=(Mesh("palm_right.obj", "dark", (-0.02, 0.02575, -0.0347)),),
)
"""The LEAP's own palm body: x along the fingers, -z is the side the fingers close to."""

PALM_FRAME_IN_LEAP: Vector = (-0.030, -0.0224, -0.034)
"""The project's palm frame in the LEAP's palm body: on the palm's surface, under the middle finger, same
axes."""


def _finger(prefix: str, base: Vector) -> tuple[Link, ...]:
    """The four links of the index, middle or ring finger; `base` is where the finger starts in the palm."""
    down: Vector = (0.0, 0.0, -1.0)
    return (
        Link(
            f"{prefix}_bs",
            "palm",
            base,
            (0.5, 0.5, 0.5, -0.5),
            f"{prefix}_mcp",
            down,
            Inertia(
                0.044,
                (-0.022516, 0.033882, 0.016359),
                (0.388092, 0.677951, -0.247713, 0.573067),
                (1.74972e-05, 1.61504e-05, 7.21342e-06),
            ),
            (
                Shape("box", (0.0175, 0.0225, 0.012), (-0.0235, 0.040, 0.0148)),
                Shape("box", (0.009, 0.011, 0.0165), (0.0, 0.010, 0.0147), material="grey", collides=False),
            ),
            (Mesh("base.obj", "dark", (0.0084, 0.0077, 0.01465)),),
        ),
        Link(
            f"{prefix}_px",
            f"{prefix}_bs",
            (-0.0122, 0.0381, 0.0145),
            (0.5, -0.5, -0.5, 0.5),
            f"{prefix}_rot",
            down,
            Inertia(0.032, (0.0075, -0.0002, -0.011), (0.0, S, 0.0, S), (4.8853e-06, 4.3733e-06, 3.0933e-06)),
            (Shape("box", (0.017, 0.013, 0.011), (0.0075, -0.0002, -0.011)),),
            (Mesh("proximal.obj", "dark", (0.0096, 0.0002, 0.0007), (0.5, -0.5, -0.5, -0.5)),),
        ),
        Link(
            f"{prefix}_md",
            f"{prefix}_px",
            (0.015, 0.0143, -0.013),
            (0.5, 0.5, -0.5, 0.5),
            f"{prefix}_pip",
            down,
            Inertia(
                0.037,
                (0.0054215, -0.029148, 0.015),
                (0.687228, 0.687228, 0.166487, 0.166487),
                (8.28004e-06, 8.1598e-06, 5.39516e-06),
            ),
            (
                _capsule((0.002, -0.008, 0.015, 0.002, -0.0345, 0.015), 0.0125, "dark"),
                Shape("box", (0.016, 0.011, 0.0128), (0.0075, -0.034, 0.015), collides=False),
            ),
            (Mesh("medial.obj", "dark", (0.0211, -0.0084, 0.0097), (0.0, -1.0, 0.0, 0.0)),),
        ),
        Link(
            f"{prefix}_ds",
            f"{prefix}_md",
            (0.0, -0.0361, 0.0002),
            IDENTITY,
            f"{prefix}_dip",
            down,
            Inertia(
                0.016,
                (-0.0008794, -0.027019, 0.014594),
                (0.702905, 0.710643, -0.0212937, -0.0214203),
                (3.71863e-06, 3.02396e-06, 1.6518e-06),
            ),
            (
                _capsule(
                    (-0.0005, -0.022, 0.0145, -0.0008, -0.0390, 0.0145),
                    0.0108,
                    "rubber",
                    name=f"{prefix}_tip",
                ),
                Shape("box", (0.0095, 0.009, 0.0125), (0.0, -0.012, 0.0147), collides=False),
            ),
            (
                Mesh("distal.obj", "dark", (0.0132, -0.0061, 0.0145), (0.0, 1.0, 0.0, 0.0)),
                Mesh("tip.obj", "rubber"),
            ),
        ),
    )


_THUMB: tuple[Link, ...] = (
    Link(
        "th_mp",
        "palm",
        (-0.0693, -0.0012, -0.0216),
        (S, 0.0, S, 0.0),
        "th_cmc",
        (0.0, 0.0, -1.0),
        Inertia(0.032, (0.0075, -0.0002, -0.011), (0.0, S, 0.0, S), (4.8853e-06, 4.3733e-06, 3.0933e-06)),
        (Shape("box", (0.017, 0.013, 0.011), (-0.0075, -0.0002, -0.011)),),
        (Mesh("proximal.obj", "dark", (-0.0053, 0.0003, 0.00078), (0.5, -0.5, -0.5, -0.5)),),
    ),
    Link(
        "th_bs",
        "th_mp",
        (0.0, 0.0143, -0.013),
        (0.5, 0.5, -0.5, 0.5),
        "th_axl",
        (0.0, 0.0, -1.0),
        Inertia(0.003, (0.0, 0.0, -0.0070806), (S, S, 0.0, 0.0), (6.1932e-07, 5.351e-07, 2.1516e-07)),
        (Shape("box", (0.008, 0.0165, 0.0095), (0.0, 0.0, -0.011), material="grey", collides=False),),
        (Mesh("thumb_base.obj", "dark", (0.01196, 0.0, -0.0158), (S, S, 0.0, 0.0)),),
    ),
    Link(
        "th_px",
        "th_bs",
        (0.0, 0.0145, -0.017),
        (S, -S, 0.0, 0.0),
        "th_mcp",
        (0.0, 0.0, -1.0),
        Inertia(
            0.038,
            (-0.0020593, 0.015912, -0.013733),
            (0.698518, 0.697382, -0.104933, 0.121324),
            (9.87104e-06, 9.32653e-06, 4.36203e-06),
        ),
        (
            _capsule((-0.002, 0.006, -0.0145, -0.002, 0.036, -0.0145), 0.0125, "dark"),
            Shape("box", (0.0140, 0.0195, 0.0125), (-0.0045, 0.012, -0.0145), collides=False),
        ),
        (Mesh("thumb_proximal.obj", "dark", (0.0439, 0.0579, -0.0086)),),
    ),
    Link(
        "th_ds",
        "th_px",
        (0.0, 0.0466, 0.0002),
        (0.0, 0.0, 0.0, 1.0),
        "th_ipl",
        (0.0, 0.0, -1.0),
        Inertia(
            0.049,
            (0.00096191, -0.024203, -0.014419),
            (0.35287, 0.311272, -0.632839, 0.614904),
            (2.08591e-05, 2.0402e-05, 4.71335e-06),
        ),
        (
            _capsule((-0.0005, -0.014, -0.0145, -0.0008, -0.0510, -0.0145), 0.0108, "rubber", name="th_tip"),
            Shape("box", (0.0125, 0.0145, 0.0125), (0.0035, -0.0145, -0.0145), collides=False),
        ),
        (Mesh("thumb_distal.obj", "dark", (0.0625, 0.0784, 0.0489)), Mesh("thumb_tip.obj", "rubber")),
    ),
)

HAND_LINKS: tuple[Link, ...] = (
    *_finger("if", (-0.007, 0.023, -0.0187)),
    *_finger("mf", (-0.0071, -0.0224, -0.0187)),
    *_finger("rf", (-0.00709, -0.0678, -0.0187)),
    *_THUMB,
)
"""Index, middle, ring finger and thumb, parents before children."""

FINGERTIPS: dict[str, tuple[str, Vector]] = {
    "if_tip": ("if_ds", (-0.0008, -0.0390, 0.0145)),
    "mf_tip": ("mf_ds", (-0.0008, -0.0390, 0.0145)),
    "rf_tip": ("rf_ds", (-0.0008, -0.0390, 0.0145)),
    "th_tip": ("th_ds", (-0.0008, -0.0510, -0.0145)),
}
"""Link of each fingertip and the centre of its rounded end in that link."""

HAND_TORQUE = 0.22
"""N m: XL330-M288 at the hand's current limit of 350-550 mA (0.12-0.19) plus what holds against back-driving;
the limit MuJoCo Playground's LEAP uses."""
HAND_ARMATURE = 1.7e-8 * 288.0**2
"""kg m^2: rotor inertia times the gear ratio (288) squared (MuJoCo Playground)."""
HAND_DAMPING = 0.05
"""N m s/rad."""
