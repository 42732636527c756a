from setuptools import find_packages, setup

setup(
    name="rfs_perception",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/rfs_perception"]),
        ("share/rfs_perception", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="RFS maintainers",
    maintainer_email="maintainers@rfs-robotics.org",
    description="From pixels to points and reward: camera, calibration, trackers, reward.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "realsense_node=rfs_perception.nodes.entry:realsense_node",
            "calibrate_camera=rfs_perception.nodes.entry:calibrate_camera",
            "reward_node=rfs_perception.nodes.entry:reward_node",
            "benchmark_camera=rfs_perception.nodes.entry:benchmark_camera",
            "replay_reward=rfs_perception.nodes.entry:replay_reward",
            "inspect_cloud=rfs_perception.inspect_cloud:main",
        ],
    },
)
