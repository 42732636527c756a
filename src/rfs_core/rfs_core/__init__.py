"""What is true of robot and task whatever runs it: specs, frames, kinematics, bounds, safety, task terms."""
