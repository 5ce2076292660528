"""The side server: pages, the JSON API, the status stream and webhooks."""
