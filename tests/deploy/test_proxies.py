"""Behind the nginx and the Caddy of docs/deploy a status stream arrives as it is written.

The files are read in every run. The proxies themselves run where they are installed, and in CI always.
nginx 1.22 was seen to hand such short messages on with its buffering on, too: that setting is only read.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.bench.server import free_port, posted, serving
from tests.deploy.files import DEPLOY, compose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.server import Server

NAME = "review.example.com"
PUBLIC = {"Host": NAME}
SOON = 20.0
"""Seconds for what takes milliseconds where nothing is kept back."""
NGINX = """
daemon off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/proxy.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/countersign.conf;
}}
"""


def nginx(folder: Path, port: int, upstream: str) -> tuple[list[str], dict[str, str]]:
    """Our file in the smallest nginx there is, without TLS."""
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    text = re.sub(r"listen 443 ssl http2;", f"listen 127.0.0.1:{port};", text)
    text = re.sub(r"ssl_\w+ .*;", "", text).replace("127.0.0.1:8080", upstream)
    (folder / "countersign.conf").write_text(text)
    around = NGINX if os.geteuid() == 0 else NGINX.replace("user root;\n", "")
    (folder / "nginx.conf").write_text(around.format(folder=folder))
    command = ["nginx", "-e", f"{folder}/proxy.log", "-p", str(folder), "-c", f"{folder}/nginx.conf"]
    return command, {}


def caddy(folder: Path, port: int, upstream: str) -> tuple[list[str], dict[str, str]]:
    """Our file as it is; the site's address says that it is without TLS."""
    text = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    assert text.startswith("{\n")
    # The port for commands to a running Caddy, and where it listens, are the machine's, not the file's.
    text = text.replace("{\n", "{\n\tadmin off\n\tdefault_bind 127.0.0.1\n", 1)
    (folder / "Caddyfile").write_text(text)
    environment = {
        "SITE": f"http://{NAME}:{port}",
        "REPLICAS": upstream,
        "XDG_DATA_HOME": f"{folder}/data",
        "XDG_CONFIG_HOME": f"{folder}/config",
    }
    return ["caddy", "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"], environment


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest) -> str:
    """The name of one that is installed."""
    name: str = request.param
    if shutil.which(name) is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI runs {name} itself: install it.")
        pytest.skip(f"No {name} here: its file was read, and not run.")
    return name


@contextmanager
def in_front_of(server: Server, name: str, folder: Path) -> Iterator[str]:
    """The address of a proxy that runs; it is ended on exit."""
    port = free_port()
    folder.mkdir()
    command, more = PROXIES[name](folder, port, server.url.removeprefix("http://"))
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, env={**os.environ, **more}, stdout=said, stderr=said)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


async def until_it_answers(http: aiohttp.ClientSession, url: str, folder: Path) -> None:
    end = time.monotonic() + SOON
    while True:
        try:
            async with http.get(f"{url}/readyz", headers=PUBLIC) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientConnectionError:
            pass
        assert time.monotonic() < end, (folder / "said").read_text()[-3000:]
        await asyncio.sleep(0.05)  # nobody tells when another process listens


STREAMS = {
    "/stream/{task}": (b"waiting_for_review", b'"completed"'),
    "/v1/tasks/{task}/events": (b"event: review_requested", b"event: task_completed"),
}
"""What each says when a review is asked, and at the end."""


async def test_streams_arrive_as_they_are_written(proxy: str, tmp_path: Path) -> None:
    folder = tmp_path / "proxy"
    settings = {"COUNTERSIGN_PUBLIC_URL": f"https://{NAME}", "COUNTERSIGN_PING_SECONDS": "0.2"}
    async with serving(tmp_path, **settings) as server, aiohttp.ClientSession() as http:
        with in_front_of(server, proxy, folder) as url:
            await until_it_answers(http, url, folder)
            for path, (asked, ended) in STREAMS.items():
                async with asyncio.timeout(SOON):
                    await _followed(http, server, url, path, asked, ended)
            async with http.get(f"{url}/", headers={"Host": "other.example.com"}) as answer:
                # nginx hands the caller's name on, for us to refuse; Caddy has no site of that name.
                assert (answer.status, await answer.read() == b"") == OF_ANOTHER_NAME[proxy]


OF_ANOTHER_NAME = {"nginx": (421, False), "caddy": (200, True)}


async def _followed(
    http: aiohttp.ClientSession, server: Server, url: str, path: str, asked: bytes, ended: bytes
) -> None:
    """Raises `TimeoutError` in the end where the proxy waits for more before it hands a message on."""
    sam, ana = (PUBLIC | server.headers(person) for person in ("sam", "ana"))
    task = (await posted(http, f"{url}/submit", {"data": "a text"}, sam))["task_id"]
    async with http.get(url + path.format(task=task), headers=ana) as stream:
        assert stream.content_type == "text/event-stream"
        await stream.content.readuntil(asked)
        for _ in range(3):  # nothing but comments now, one after the other
            await stream.content.readuntil(b"\n:")
        await posted(http, f"{url}/feedback/{task}", {"feedback": "approved"}, ana)
        await stream.content.readuntil(ended)


def blocks(text: str) -> dict[str, list[str]]:
    """nginx's directives by the head of the block around them; enough for a file without quotes."""
    found: dict[str, list[str]] = {}
    around: list[str] = []
    for match in re.finditer(r"([^;{}]+)([;{])|(\})", re.sub(r"#.*", "", text)):
        if match[3]:
            around.pop()
        elif match[2] == "{":
            around.append(" ".join(match[1].split()))
        else:
            found.setdefault(around[-1], []).append(" ".join(match[1].split()))
    return found


@pytest.mark.parametrize("path", ["/stream/0198", "/v1/tasks/0198/events"])
def test_nginx_keeps_nothing_of_a_stream_back(path: str) -> None:
    found = blocks((DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
    (streams,) = [head for head in found if head.startswith("location ~ ")]
    assert re.search(streams.removeprefix("location ~ "), path)
    assert {"proxy_buffering off", "proxy_cache off"} <= set(found[streams])
    assert {"proxy_set_header Host $host", "proxy_http_version 1.1"} <= set(found["server"])


@pytest.mark.parametrize("path", ["/", "/submit", "/inbox", "/v1/tasks", "/v1/tasks/0198", "/tasks/0198"])
def test_nginx_keeps_what_is_no_stream_as_it_always_does(path: str) -> None:
    found = blocks((DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
    (streams,) = [head for head in found if head.startswith("location ~ ")]
    assert not re.search(streams.removeprefix("location ~ "), path)
    assert not [line for line in found["location /"] if line.startswith("proxy_buffering")]


def test_caddy_keeps_nothing_back_and_compose_tells_it_where_the_replicas_are() -> None:
    text = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    assert "flush_interval -1" in text
    said = set(re.findall(r"\{\$(\w+)", text))
    assert said == compose()["services"]["proxy"]["environment"].keys()
