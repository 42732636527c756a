"""The nodes and commands of perception; the only part of it that imports rclpy."""
