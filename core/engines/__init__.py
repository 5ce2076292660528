"""Where and when stored work runs."""
