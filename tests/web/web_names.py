"""A name server for tests."""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult


class Answers(AbstractResolver):
    """A name server that says what a test wants, another thing each time."""

    def __init__(self, *turns: list[str]) -> None:
        self._turns = list(turns)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._turns.pop(0)
        ]

    async def close(self) -> None: ...
