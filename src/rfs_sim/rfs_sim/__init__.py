"""The Franka + LEAP world: batched environments and a node on the drivers' topics."""
