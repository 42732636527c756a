"""Trackers: from a prompt and images to a mask of the object in each. `base` says what they promise."""
