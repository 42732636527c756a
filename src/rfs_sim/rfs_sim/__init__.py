"""The Franka + LEAP world: batched task environments for learning and a node on the drivers' topics."""
