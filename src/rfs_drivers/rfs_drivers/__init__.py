"""Hardware in, hardware out: drivers over the vendors' libraries, and emulated devices to test them."""
