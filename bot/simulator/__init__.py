"""Loopback stand-ins for Slack and Telegram with the platforms' real limits: for the demo and the tests only."""
