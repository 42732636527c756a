"""What every RFS node shares: parameters from dataclasses, message conversions, a clean life cycle."""
