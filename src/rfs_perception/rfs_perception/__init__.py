"""From pixels to points and reward: RealSense camera, calibration, object trackers, reward from a mask."""
