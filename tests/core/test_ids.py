"""Ids: in order, never the same, in any thread."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.ids import AT_A_TIME, new_id

FORK = """
import os
from core.ids import new_id
new_id()
child = os.fork()
os.write(1, "".join(new_id()[12:] + "\\n" for _ in range(20)).encode())  # at once, or two would mix
if child:
    os.waitpid(child, 0)
"""


def test_ids_are_in_the_order_of_their_milliseconds_and_never_the_same() -> None:
    ids = [new_id() for _ in range(3 * AT_A_TIME)]
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in ids)
    assert [one[:12] for one in ids] == sorted(one[:12] for one in ids)
    assert len({one[12:] for one in ids}) == len(ids)


def test_threads_never_get_the_same() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: new_id(), range(20 * AT_A_TIME)))
    assert len({one[12:] for one in ids}) == len(ids)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_process_gives_others() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    ids = done.stdout.split()
    assert len(ids) == 40
    assert len(set(ids)) == 40
