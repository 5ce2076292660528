"""Composition root and command line: the one place that imports core, bot and web together."""
