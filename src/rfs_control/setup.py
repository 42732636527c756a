from setuptools import find_packages, setup

setup(
    name="rfs_control",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/rfs_control"]),
        ("share/rfs_control", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="RFS maintainers",
    maintainer_email="maintainers@rfs-robotics.org",
    description="The loop at 10 Hz, and the refusal to close it: policy node, command gate, episodes.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "policy_node=rfs_control.nodes.entry:policy_node",
            "gate_node=rfs_control.nodes.entry:gate_node",
            "robot_operator=rfs_control.nodes.entry:robot_operator",
            "confirm_robot=rfs_control.nodes.confirm_robot:main",
            "doctor=rfs_control.nodes.doctor:main",
            "episode_manager=rfs_control.nodes.entry:episode_manager",
            "correction_node=rfs_control.nodes.entry:correction_node",
            "improve=rfs_control.nodes.entry:improve",
        ],
    },
)
