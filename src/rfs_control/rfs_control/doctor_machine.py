"""The doctor's checks of this machine: kernel, rights, load, disk, clock, middleware, network.

Each is a function of what was found; it asks nobody itself.
"""

from __future__ import annotations

from rfs_control.doctor_facts import Facts, Finding, Verdict, unknown

NEEDED_RTPRIO = 99
"""libfranka asks for SCHED_FIFO 99."""
FREE_DISK_GIB = 5.0
LOW_DISK_GIB = 1.0
FREE_MEMORY_GIB = 2.0
RECEIVE_BUFFER = 2_097_152
"""bytes: an image of 640 x 480 x 3 comes in fragments, and all of them must fit."""


def check_kernel(facts: Facts) -> Finding:
    """libfranka controls from a kernel with PREEMPT_RT."""
    name = "kernel"
    if facts.realtime_kernel is None:
        return unknown(name, facts, "realtime_kernel")
    if facts.realtime_kernel:
        return Finding(name, Verdict.OK, f"PREEMPT_RT, {facts.kernel}")
    return Finding(
        name,
        Verdict.FAILED,
        f"no PREEMPT_RT: {facts.kernel}",
        "boot a kernel with PREEMPT_RT (Ubuntu: pro attach, then pro enable realtime-kernel); without it the "
        "robot ends motions after lost commands",
    )


def check_limits(facts: Facts) -> Finding:
    """Real-time priority and locked memory for this user."""
    name = "rtprio"
    if facts.rtprio is None or facts.memlock_kib is None:
        return unknown(name, facts, "rtprio")
    found = f"rtprio {limit(facts.rtprio)}, memlock {limit(facts.memlock_kib)} KiB"
    if (0 <= facts.rtprio < NEEDED_RTPRIO) or (0 <= facts.memlock_kib < 102_400):
        return Finding(
            name,
            Verdict.FAILED,
            found,
            "put `@realtime - rtprio 99` and `@realtime - memlock 102400` into "
            "/etc/security/limits.d/99-realtime.conf, add the user to the group realtime, log in again",
        )
    return Finding(name, Verdict.OK, found)


def check_governor(facts: Facts) -> Finding:
    """Cores that save power wake up late."""
    name = "governor"
    if facts.governors is None:
        return unknown(name, facts, "governors")
    found = ", ".join(facts.governors) or "none to choose"
    if set(facts.governors) <= {"performance"}:
        return Finding(name, Verdict.OK, found)
    return Finding(
        name, Verdict.WARNING, found, "sudo cpupower frequency-set -g performance: cores that sleep are late"
    )


def check_load(facts: Facts) -> Finding:
    """Cores and memory that other programs leave."""
    name = "load"
    if facts.load is None or facts.cores is None or facts.memory_gib is None:
        return unknown(name, facts, "load")
    found = f"load {facts.load:.1f} on {facts.cores} cores, {facts.memory_gib:.1f} GiB of memory available"
    if facts.load > facts.cores or facts.memory_gib < FREE_MEMORY_GIB:
        return Finding(name, Verdict.FAILED, found, "stop other programs: nodes would wait for each other")
    if facts.load > 0.5 * facts.cores:
        return Finding(name, Verdict.WARNING, found, "stop what is not needed for the robot")
    return Finding(name, Verdict.OK, found)


def check_disk(facts: Facts) -> Finding:
    """Room for runs and bags."""
    name = "disk"
    if facts.disk_gib is None:
        return unknown(name, facts, "disk_gib")
    found = f"{facts.disk_gib:.1f} GiB free at {facts.disk_path}"
    advice = "free some space or name another folder with --run-dir; an hour of bags with images takes 10 GiB"
    if facts.disk_gib < LOW_DISK_GIB:
        return Finding(name, Verdict.FAILED, found, advice)
    if facts.disk_gib < FREE_DISK_GIB:
        return Finding(name, Verdict.WARNING, found, advice)
    return Finding(name, Verdict.OK, found)


def check_clock(facts: Facts) -> Finding:
    """Stamps of several machines, and dates of bags."""
    name = "clock"
    if facts.clock_synchronized is None:
        return unknown(name, facts, "clock_synchronized")
    if facts.clock_synchronized:
        return Finding(name, Verdict.OK, "synchronized")
    return Finding(
        name,
        Verdict.WARNING,
        "not synchronized",
        "timedatectl set-ntp true; without it dates of bags are wrong, and stamps of other machines too",
    )


def check_rmw(facts: Facts) -> Finding:
    """Which ROS middleware is used."""
    name = "rmw"
    if facts.rmw is None:
        return unknown(name, facts, "rmw")
    known = ", ".join(facts.rmw_known) or "none"
    if facts.rmw and facts.rmw not in facts.rmw_known:
        return Finding(
            name,
            Verdict.FAILED,
            f"RMW_IMPLEMENTATION is {facts.rmw}, installed: {known}",
            "install it, or choose an installed one; every machine of the robot needs the same",
        )
    if facts.rmw != "rmw_fastrtps_cpp":
        return Finding(
            name,
            Verdict.WARNING,
            f"RMW_IMPLEMENTATION is {facts.rmw or 'not set'}",
            "this project is tested with rmw_fastrtps_cpp only: export RMW_IMPLEMENTATION=rmw_fastrtps_cpp",
        )
    return Finding(name, Verdict.OK, facts.rmw)


def check_transport(facts: Facts) -> Finding:
    """Room for images on the way: socket buffers and shared memory."""
    name = "transport"
    if facts.receive_buffer is None or facts.shared_memory_gib is None:
        return unknown(name, facts, "receive_buffer")
    found = f"rmem_max {facts.receive_buffer} bytes, /dev/shm {facts.shared_memory_gib:.2f} GiB free"
    if facts.shared_memory_gib < 0.05:
        return Finding(
            name, Verdict.FAILED, found, "free /dev/shm (rm /dev/shm/fastrtps_* when no node runs)"
        )
    if facts.receive_buffer < RECEIVE_BUFFER:
        return Finding(
            name,
            Verdict.WARNING,
            found,
            f"sudo sysctl -w net.core.rmem_max={RECEIVE_BUFFER}: images between machines get lost otherwise",
        )
    return Finding(name, Verdict.OK, found)


def check_discovery(facts: Facts) -> Finding:
    """Who else on the network could command the robot."""
    name = "discovery_range"
    if facts.discovery_range is None:
        return unknown(name, facts, "discovery_range")
    value = facts.discovery_range or "not set (SUBNET)"
    if facts.discovery_range == "OFF":
        return Finding(
            name,
            Verdict.FAILED,
            value,
            "nodes do not find each other: export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST",
        )
    if facts.discovery_range == "LOCALHOST":
        peers = f", peers {facts.static_peers}" if facts.static_peers else ""
        return Finding(name, Verdict.OK, value + peers)
    return Finding(
        name,
        Verdict.FAILED,
        value,
        "anybody on the network could publish to the gate: export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST, "
        "and name other machines of the robot in ROS_STATIC_PEERS",
    )


def limit(value: int) -> str:
    return "unlimited" if value < 0 else str(value)
