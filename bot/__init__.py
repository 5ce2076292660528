"""Chat platforms: cards out, button presses in."""
