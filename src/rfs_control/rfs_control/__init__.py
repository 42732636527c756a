"""Closing the loop at 10 Hz and refusing to when it must not: policy node, command gate, episode manager."""
