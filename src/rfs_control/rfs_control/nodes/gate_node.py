import time, numpy as np
from rclpy.node import Node
from rclpy.clock import Clock, ClockType
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from rfs_core import robot
from rfs_core.gate import Gate, GateConfig, Action, Now
from rfs_msgs.msg import PolicyAction, SafetyState
from rfs_control.nodes.qos import LATCHED, RELIABLE
from rfs_ros import conversions as c
from rfs_ros.run import run_node, exit_with
class G(Node):
    def __init__(s):
        super().__init__('gate_node'); s.g=Gate(GateConfig()); s.last=None; s.latest=0
        s.tp=s.create_publisher(PoseStamped,'arm/target_pose',RELIABLE); s.hp=s.create_publisher(JointState,'hand/target',RELIABLE)
        s.sp=s.create_publisher(SafetyState,'safety/state',LATCHED)
        s.create_subscription(JointState,'arm/joint_states',lambda m:s.st(m,'arm'),RELIABLE)
        s.create_subscription(JointState,'hand/joint_states',lambda m:s.st(m,'hand'),RELIABLE)
        s.create_subscription(PoseStamped,'arm/current_pose',lambda m:s.st(m,'palm'),RELIABLE)
        s.create_subscription(PolicyAction,'policy/action',s.act,RELIABLE)
        for n in ('arm','stop','recover'): s.create_service(Trigger,'safety/'+n,lambda q,r,n=n:s.op(n,r))
        s.state()
        s.create_timer(0.2,lambda:s.do(s.g.publishers(1,1,s.now())),clock=Clock(clock_type=ClockType.STEADY_TIME))
    def now(s): return Now(time.monotonic_ns(),s.latest)
    def st(s,m,k):
        t=c.stamp_ns(m.header.stamp); s.latest=max(s.latest,t)
        if k=='arm': cmd=s.g.arm_state(t,c.joint_values(m.name,m.position,robot.ARM_JOINT_NAMES,'a'),s.now())
        elif k=='hand': cmd=s.g.hand_state(t,c.joint_values(m.name,m.position,robot.HAND_JOINT_NAMES,'a'),s.now())
        else: cmd=s.g.palm_state(t,c.pose_from_msg(m.pose,'p'),s.now())
        s.do(cmd)
    def act(s,m):
        a=Action(c.stamp_ns(m.observation_stamp),m.publisher,m.sequence,m.episode,m.checkpoint_id,m.horizon,m.dimension,m.step_dt,np.array(m.a_0),np.array(m.a_b),np.array(m.a_r),np.array(m.a))
        s.do(s.g.policy_action(a,s.now()))
    def op(s,n,r):
        p=getattr(s.g,n)(s.now())
        r.success=p.success; r.message=p.message; s.state(); return r
    def do(s,cmds):
        for k in cmds:
            s.tp.publish(c.pose_stamped_msg(k.stamp_ns,robot.BASE_FRAME,k.palm)); s.hp.publish(c.joint_state_msg(k.stamp_ns,robot.HAND_JOINT_NAMES,k.hand))
        if (s.g.status, s.g.statistics.refused)!=s.last: s.state()
    def state(s):
        s.last=(s.g.status,s.g.statistics.refused); m=SafetyState(mode=int(s.g.status.mode),reason=s.g.status.reason,since=c.stamp_msg(s.g.status.since_ns),holds=s.g.statistics.holds,refused=s.g.statistics.refused,last_refusal=s.g.statistics.last_refusal); m.header.stamp=c.stamp_msg(s.latest); s.sp.publish(m)
def main(): exit_with(run_node(G))
