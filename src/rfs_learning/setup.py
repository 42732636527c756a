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
            "rfs_train=rfs_learning.rl.train:main",
            "distill_trainer=rfs_learning.nodes.distill_trainer:main",
            "evaluate=rfs_learning.evaluate:main",
            "evaluate_cameras=rfs_learning.evaluate_cameras:main",
            "benchmark=rfs_learning.benchmark.cli:main",
            "benchmark_map=rfs_learning.benchmark.map:main",
            "benchmark_policy=rfs_learning.benchmark_policy:main",
            "publish=rfs_learning.publish:main",
            "td3bc_trainer=rfs_learning.nodes.td3bc_trainer:main",
            "iql_trainer=rfs_learning.nodes.iql_trainer:main",
            "bc_trainer=rfs_learning.nodes.bc_trainer:main",
            "collect_episodes=rfs_learning.offline.collect:main",
            "replay_bag=rfs_learning.offline.replay_bag:main",
            "invert_noise=rfs_learning.offline.invert_noise:main",
            "benchmark_offline=rfs_learning.offline.benchmark:main",
            "offline_table=rfs_learning.offline.table:main",
        ],
        # Who shows a policy without importing this package finds it here.
        "rfs.policies": ["checkpoint=rfs_learning.policy:Policy.load"],
    },
)
