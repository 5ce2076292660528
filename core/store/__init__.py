"""Where everything that must not be lost is kept: tables, units of work, and the threads that run them."""
