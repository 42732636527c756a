"""What surrounds the robot in the MuJoCo model: lights, materials, floor, table, cameras that look on.

Only the table's plane is touched; all the rest is for cameras and viewers.
"""

import xml.etree.ElementTree as ET

import numpy as np


def visual(root: ET.Element) -> None:
    """How the scene is lit and drawn."""
    element = ET.SubElement(root, "visual")
    ET.SubElement(
        element, "headlight", ambient="0.35 0.35 0.35", diffuse="0.35 0.35 0.35", specular="0.1 0.1 0.1"
    )
    ET.SubElement(element, "quality", shadowsize="4096", offsamples="4")
    ET.SubElement(element, "global", offwidth="1280", offheight="960", azimuth="140", elevation="-20")
    ET.SubElement(element, "map", znear="0.02", zfar="20", shadowclip="1.5")
    ET.SubElement(root, "statistic", center="0.45 0 0.2", extent="1.2")


def assets(root: ET.Element) -> ET.Element:
    """Sky, floor and the materials that geoms name; meshes may be added to what is returned."""
    asset = ET.SubElement(root, "asset")
    ET.SubElement(
        asset,
        "texture",
        type="skybox",
        builtin="gradient",
        rgb1="0.75 0.83 0.92",
        rgb2="0.97 0.97 0.98",
        width="64",
        height="64",
    )
    ET.SubElement(
        asset,
        "texture",
        name="floor",
        type="2d",
        builtin="checker",
        rgb1="0.82 0.83 0.85",
        rgb2="0.70 0.72 0.75",
        width="64",
        height="64",
    )
    ET.SubElement(asset, "material", name="floor", texture="floor", texrepeat="8 8", reflectance="0.03")
    for name, rgba, specular, shininess in (
        ("white", "0.93 0.94 0.95 1", "0.4", "0.5"),
        ("grey", "0.55 0.57 0.60 1", "0.4", "0.5"),
        ("dark", "0.16 0.17 0.19 1", "0.3", "0.4"),
        ("rubber", "0.90 0.62 0.25 1", "0.1", "0.1"),
        ("table", "0.62 0.52 0.42 1", "0.1", "0.2"),
        ("object", "0.20 0.45 0.75 1", "0.3", "0.4"),
    ):
        ET.SubElement(asset, "material", name=name, rgba=rgba, specular=specular, shininess=shininess)
    return asset


def surroundings(world: ET.Element) -> None:
    """Lights, table, floor and cameras."""
    ET.SubElement(
        world, "light", pos="0.2 -0.9 1.8", dir="0.1 0.5 -1", directional="true", diffuse="0.45 0.45 0.45"
    )
    ET.SubElement(
        world, "light", pos="1.4 1.0 1.6", dir="-0.6 -0.6 -1", diffuse="0.25 0.25 0.25", castshadow="false"
    )
    # Contacts with the table are with an infinite plane (cheap, no edges); cameras and rays see the board
    # below it.
    ET.SubElement(
        world, "geom", name="table", type="plane", size="1 1 0.1", rgba="0 0 0 0", condim="3", group="3"
    )
    board = {"class": "visual", "type": "box", "material": "table"}
    ET.SubElement(world, "geom", board, name="table_board", size="0.55 0.6 0.02", pos="0.35 0 -0.0201")
    for x in (-0.15, 0.85):
        for y in (-0.55, 0.55):
            ET.SubElement(world, "geom", board, size="0.025 0.025 0.33", pos=f"{x} {y} -0.37")
    ET.SubElement(
        world,
        "geom",
        {"class": "visual"},
        name="floor",
        type="plane",
        size="4 4 0.1",
        pos="0 0 -0.7",
        material="floor",
    )
    ET.SubElement(
        world,
        "camera",
        name="camera",
        pos="1.35 -0.80 0.66",
        xyaxes=_camera_axes((1.35, -0.80, 0.66), (0.38, 0.0, 0.24)),
        fovy="40",
    )
    ET.SubElement(
        world,
        "camera",
        name="table_camera",
        pos="1.15 0.25 0.60",
        xyaxes=_camera_axes((1.15, 0.25, 0.60), (0.52, 0.0, 0.06)),
        fovy="42",
    )


def _camera_axes(position: tuple[float, float, float], target: tuple[float, float, float]) -> str:
    """x and y axes of a camera at `position` that looks at `target` with the horizon level."""
    back = np.subtract(position, target)
    back = back / np.linalg.norm(back)
    x = np.cross((0.0, 0.0, 1.0), back)
    x = x / np.linalg.norm(x)
    return " ".join(f"{v:.9g}" for v in (*x, *np.cross(back, x)))
