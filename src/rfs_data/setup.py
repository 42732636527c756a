from setuptools import find_packages, setup

setup(
    name="rfs_data",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/rfs_data"]),
        ("share/rfs_data", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="RFS maintainers",
    maintainer_email="maintainers@rfs-robotics.org",
    description="What is written to disk and how it is proved intact: bags, recorder, reader, check.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "recorder_node=rfs_data.nodes.entry:recorder_node",
            "benchmark_recorder=rfs_data.nodes.entry:benchmark_recorder",
            "check_bag=rfs_data.check:main",
            "recover_bag=rfs_data.recover:main",
            "export_lerobot=rfs_data.export_lerobot:main",
        ],
    },
)
