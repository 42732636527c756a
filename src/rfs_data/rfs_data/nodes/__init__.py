"""The recorder, and its benchmark."""
