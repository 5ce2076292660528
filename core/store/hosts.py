"""A PostgreSQL URL that lists several hosts: a primary and those that may take its place."""

from __future__ import annotations

import re

SEVERAL = re.compile(
    r"""(?x) (?P<before> postgres[^:/]* :// (?:[^@/?]*@)? ) (?P<hosts> [^@/?]* , [^@/?]* )
    (?P<path> /[^?]* )? (?: \? (?P<query> .* ) )?"""
)
ONE = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>\d*))?")


def hosts_in_the_query(url: str) -> str:
    """The same URL as SQLAlchemy reads it, too: it knows one port, and libpq one for each host.

    What cannot be read stays as it is.
    """
    found = SEVERAL.fullmatch(url)
    each = [ONE.fullmatch(one) for one in found["hosts"].split(",")] if found else []
    if found is None or None in each:
        return url
    read = [one for one in each if one]
    hosts = ",".join(one["host"].strip("[]") for one in read)
    ports = ",".join(one["port"] or "" for one in read)
    words = [f"host={hosts}", *([f"port={ports}"] if ports.strip(",") else []), found["query"]]
    return f"{found['before']}{found['path'] or '/'}?{'&'.join(filter(None, words))}"
