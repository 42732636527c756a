from setuptools import find_packages, setup

setup(
    name="rfs_sim",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={"rfs_sim": ["data/*.npz"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/rfs_sim"]),
        ("share/rfs_sim", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="RFS maintainers",
    maintainer_email="maintainers@rfs-robotics.org",
    description="The Franka + LEAP world: batched environments and a node on the drivers' topics.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "sim_node=rfs_sim.nodes.entry:sim_node",
            "emulated_robot=rfs_sim.nodes.entry:emulated_robot",
            "collect_demonstrations=rfs_sim.demos:main",
            "benchmark_env=rfs_sim.benchmark_env:main",
            "engine_parity=rfs_sim.engine_parity:main",
            "benchmark_cloud=rfs_sim.benchmark_cloud:main",
            "render=rfs_sim.render:main",
            "render_points=rfs_sim.render_points:main",
            "separation=rfs_sim.separation:main",
        ],
        "rfs.engines": [
            "mujoco=rfs_sim.vec_env:make_env",
            "mjwarp=rfs_sim.mjwarp.env:make_env",
            "isaaclab=rfs_sim.isaaclab.make:make_env",
        ],
        # Engines whose packages live in an environment of their own, and its interpreter.
        "rfs.interpreters": ["isaaclab=rfs_sim.isaaclab.interpreter:find"],
        # Isaac Lab's list_envs and train find the tasks here.
        "isaaclab.tasks": ["rfs=rfs_sim.isaaclab.gym_ids"],
        # Who wants a human's corrections in simulation finds a stand-in here.
        "rfs.correctors": ["scripted=rfs_sim.vec_corrector:VecCorrector"],
        # Who wants to see an engine's episodes without importing this package finds it here.
        "rfs.films": ["mujoco=rfs_sim.render:film"],
    },
)
