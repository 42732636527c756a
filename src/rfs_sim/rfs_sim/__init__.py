"""The Franka + LEAP world: batched task environments for learning and a node that speaks the drivers' topics."""
