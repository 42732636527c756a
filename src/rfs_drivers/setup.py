from setuptools import find_packages, setup

setup(
    name="rfs_drivers",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={"rfs_drivers.emulated": ["*.c"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/rfs_drivers"]),
        ("share/rfs_drivers", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="RFS maintainers",
    maintainer_email="maintainers@rfs-robotics.org",
    description="Hardware in, hardware out: drivers over the vendors' libraries, and the emulated devices.",
    license="Apache-2.0",
    entry_points={
        "rfs.cameras": ["emulated=rfs_drivers.emulated.realsense_device:open_device"],
        "console_scripts": [
            "franka_node=rfs_drivers.nodes.franka_node:main",
            "fault=rfs_drivers.emulated.fault_main:main",
            "probe_hardware=rfs_drivers.probe_hardware:main",
            "emulated_fci=rfs_drivers.emulated.fci_main:main",
            "benchmark_franka=rfs_drivers.nodes.benchmark_franka:main",
            "leap_node=rfs_drivers.nodes.leap_node:main",
            "emulated_leap_bus=rfs_drivers.emulated.leap_bus_main:main",
            "emulated_camera=rfs_drivers.emulated.camera_main:main",
            "spacemouse_node=rfs_drivers.nodes.spacemouse_node:main",
            "emulated_spacemouse=rfs_drivers.emulated.spacemouse_main:main",
            "benchmark_leap=rfs_drivers.nodes.benchmark_leap:main",
        ],
    },
)
