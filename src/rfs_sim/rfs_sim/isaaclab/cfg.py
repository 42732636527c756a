"""Configuration of the environments, built from the task specs: one class per task.

`ENV_CFGS["grasp"]` is what `isaaclab train --task RFS-Grasp-Direct-v0` instantiates. Everything in it follows
from the task's module and the MJCF generator; nothing is chosen here but limits of buffers.
"""

import torch
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg, AssetBaseCfg, RigidObjectCfg
from isaaclab.envs import DirectRLEnvCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.sensors import ContactSensorCfg
from isaaclab.sim import SimulationCfg, UsdFileCfg
from isaaclab.utils import configclass
from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg, NewtonShapeCfg
from isaaclab_newton.sim.schemas import MujocoRigidBodyCfg

from rfs_core import robot, tasks
from rfs_core.tasks import grasp
from rfs_sim import facts, mjcf
from rfs_sim.isaaclab import asset
from rfs_sim.mjcf import SceneConfig

STEPPERS = ("auto", "mjwarp", "loop")
JOINTS = (*robot.ARM_JOINT_NAMES, *robot.HAND_JOINT_NAMES)
_START = dict(zip(JOINTS, map(float, (*grasp.ARM_START, *robot.HAND_OPEN)), strict=True))


@configclass
class RfsEnvCfg(DirectRLEnvCfg):
    """An environment of one of the tasks; the action is the policy's own, one control step long."""

    task: str = "grasp"
    """Name of the task."""
    stepper: str = "auto"
    """`mjwarp`: MuJoCo Warp; `loop`: C MuJoCo world after world, on a CPU; `auto`: what suits the device."""
    disturbance: float = 1.0
    """Factor on the task's torque pulses."""
    contact_sensors: bool = False
    """Also Isaac Lab's contact sensors, `if_tip_contact` and its like in the scene: the forces between parts
    of the hand and the object at the last physics step. The tasks do not read them."""

    def __post_init__(self) -> None:
        task = tasks.load(self.task)
        spec = robot.DEFAULT_ACTION_SPEC
        self.decimation = round(robot.CONTROL_DT / SceneConfig().physics_dt)
        self.episode_length_s = task.MAX_EPISODE_STEPS * robot.CONTROL_DT
        self.action_space = spec.size
        self.observation_space = task.OBSERVATION_SPEC.size
        self.state_space = 0
        self.scene = scene_cfg(scene_of(self.task))
        self.sim = SimulationCfg(
            dt=SceneConfig().physics_dt,
            device="cuda:0" if torch.cuda.is_available() else "cpu",
            render_interval=self.decimation,
            physics=physics_cfg(),
        )


def scene_of(task: str) -> SceneConfig:
    """What the generator is asked for."""
    module = tasks.load(task)
    return SceneConfig(bodies=module.BODIES, object_solids=module.OBJECT_SOLIDS)


def physics_cfg() -> NewtonCfg:
    """Newton with MuJoCo Warp, with the options of the MJCF (`rfs_sim.mjcf.write`)."""
    solver = MJWarpSolverCfg(
        njmax=200,
        nconmax=64,
        iterations=10,
        ls_iterations=20,
        integrator="implicitfast",
        cone="pyramidal",
        impratio=1.0,
        tolerance=1e-8,
        enable_multiccd=True,
    )
    # Newton's default gap of 1 cm would begin contacts in the air.
    return NewtonCfg(solver_cfg=solver, default_shape_cfg=NewtonShapeCfg(gap=0.0))


def scene_cfg(scene: SceneConfig) -> InteractiveSceneCfg:
    """The robot, the table, the objects and the task's bodies as Isaac Lab's assets.

    Environments lie on top of each other (Newton keeps worlds apart by itself): far from the origin float32
    would not hold a tenth of a millimetre. `env.scene.env_spacing=2` spreads them for a viewer.
    """
    files = {name: str(asset.path_of(name, text)) for name, text in asset.parts(scene).items()}
    cfg = InteractiveSceneCfg(num_envs=4096, env_spacing=0.0, replicate_physics=True)
    cfg.table = AssetBaseCfg(prim_path="/World/Table", spawn=UsdFileCfg(usd_path=files[asset.TABLE]))
    cfg.robot = ArticulationCfg(
        prim_path="{ENV_REGEX_NS}/Robot",
        # The converter writes gravity compensation under a name that Newton does not read.
        spawn=UsdFileCfg(
            usd_path=files[asset.ROBOT], rigid_props={"/.*": [MujocoRigidBodyCfg(gravcomp=1.0)]}
        ),
        init_state=ArticulationCfg.InitialStateCfg(joint_pos=_START),
        actuators={
            "arm": ImplicitActuatorCfg(
                joint_names_expr=list(robot.ARM_JOINT_NAMES),
                stiffness=dict(zip(robot.ARM_JOINT_NAMES, mjcf.ARM_KP, strict=True)),
                damping=dict(zip(robot.ARM_JOINT_NAMES, mjcf.ARM_KV, strict=True)),
                # Left out, Isaac Lab writes a million newton metres over the asset's limits.
                joint_effort_limit=dict(zip(robot.ARM_JOINT_NAMES, facts.ARM_TORQUE, strict=True)),
            ),
            "hand": ImplicitActuatorCfg(
                joint_names_expr=list(robot.HAND_JOINT_NAMES),
                stiffness=mjcf.HAND_KP,
                damping=mjcf.HAND_KV,
                joint_effort_limit=facts.HAND_TORQUE,
            ),
        },
    )
    bodies = {body.name: body for body in scene.bodies if body.collides}
    for i, name in enumerate((*scene.objects, *bodies)):
        path, spawn = "{ENV_REGEX_NS}/" + prim_of(name), UsdFileCfg(usd_path=files[name])
        # Beside each other until a reset puts them where an episode begins.
        place = (0.5, 0.3 * i, 0.5)
        if name in bodies and not bodies[name].moves:
            # Not a kinematic body: that is a free joint of huge inertia, and the solver then stops early.
            start = AssetBaseCfg.InitialStateCfg(pos=place)
            setattr(cfg, name, AssetBaseCfg(prim_path=path, spawn=spawn, init_state=start))
        else:
            start = RigidObjectCfg.InitialStateCfg(pos=place)
            setattr(cfg, name, RigidObjectCfg(prim_path=path, spawn=spawn, init_state=start))
    return cfg


def add_contact_sensors(cfg: RfsEnvCfg) -> None:
    """A contact sensor for every part of the hand whose contact with the object is observed."""
    for name in robot.CONTACT_NAMES:
        link = "palm" if name == "palm" else facts.FINGERTIPS[name][0]
        sensor = ContactSensorCfg(
            prim_path="{ENV_REGEX_NS}/Robot/Geometry/" + link_path(link),
            filter_prim_paths_expr=["{ENV_REGEX_NS}/Object/Geometry/object"],
        )
        setattr(cfg.scene, f"{name}_contact", sensor)


def link_path(link: str) -> str:
    """Path of a link's prim: `fr3_link0/fr3_link1/...`, as links hang on each other."""
    parents = {each.name: each.parent for each in (*facts.ARM_LINKS, facts.PALM_LINK, *facts.HAND_LINKS)}
    names = [link]
    while parents[names[0]] in parents:
        names.insert(0, parents[names[0]])
    return "/".join(names)


def prim_of(name: str) -> str:
    """Name of the prim of an object or a body of the task."""
    return "".join(word.capitalize() for word in name.split("_"))


def title(task: str) -> str:
    """The task's name in identifiers: push_grasp becomes PushGrasp."""
    return prim_of(task)


def _cfg_class(task: str) -> type[RfsEnvCfg]:
    members = {"__annotations__": {"task": str}, "task": task, "__module__": __name__}
    members["__doc__"] = f"An environment of {task}."
    made: type[RfsEnvCfg] = configclass(type(f"{title(task)}EnvCfg", (RfsEnvCfg,), members))
    return made


ENV_CFGS: dict[str, type[RfsEnvCfg]] = {task: _cfg_class(task) for task in tasks.TASKS}
"""The configuration class of every task. Each is also a name of this module: GraspEnvCfg, ..."""
globals().update({made.__name__: made for made in ENV_CFGS.values()})
