"""The `ros2` command for machines where ROS 2's own is missing, and what launch shares with it."""
