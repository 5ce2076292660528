"""`countersign demo`: the whole product with no account and no set-up, and nothing of it kept."""

from countersign.demo.run import run_demo

__all__ = ["run_demo"]
