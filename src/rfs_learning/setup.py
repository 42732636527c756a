from setuptools import find_packages, setup

setup(
    name="rfs_learning",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/rfs_learning"]),
        ("share/rfs_learning", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="RFS maintainers",
    maintainer_email="maintainers@rfs-robotics.org",
    description="Flow base policy, checkpoints, trainers and evaluation of Residual Flow Steering.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "base_trainer=rfs_learning.nodes.base_trainer:main",
            "ppo_trainer=rfs_learning.nodes.ppo_trainer:main",
            "distill_trainer=rfs_learning.nodes.distill_trainer:main",
            "evaluate=rfs_learning.evaluate:main",
            "benchmark=rfs_learning.benchmark.cli:main",
            "benchmark_policy=rfs_learning.benchmark_policy:main",
            "publish=rfs_learning.publish:main",
        ],
        # Who shows a policy without importing this package finds it here.
        "rfs.policies": ["checkpoint=rfs_learning.policy:Policy.load"],
    },
)
