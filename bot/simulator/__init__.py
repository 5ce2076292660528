"""Loopback stand-ins for Slack and Telegram with the platforms' real limits: for demo and tests only."""
