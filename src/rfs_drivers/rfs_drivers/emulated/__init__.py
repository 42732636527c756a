"""Emulated devices: they speak the real ones' protocols, so that the real client libraries can be tested."""
