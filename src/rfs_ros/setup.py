from setuptools import find_packages, setup

setup(
    name="rfs_ros",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/rfs_ros"]),
        ("share/rfs_ros", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="RFS maintainers",
    maintainer_email="maintainers@rfs-robotics.org",
    description="What every RFS node shares: parameters from dataclasses, message conversions, a clean end.",
    license="Apache-2.0",
    entry_points={"console_scripts": ["container=rfs_ros.entry:container"]},
)
