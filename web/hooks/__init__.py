"""Webhooks: somebody else's signed JSON in, our signed notices out."""
