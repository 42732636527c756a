"""Hardware in, hardware out: drivers over the vendors' client libraries, and emulated devices to test them."""
