from setuptools import find_packages, setup

setup(
    name="rfs_core",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={"rfs_core.tasks": ["data/*.npz"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/rfs_core"]),
        ("share/rfs_core", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="RFS maintainers",
    maintainer_email="maintainers@rfs-robotics.org",
    description="What is true of robot and task whatever runs it: specs, frames, kinematics, bounds, safety.",
    license="Apache-2.0",
)
