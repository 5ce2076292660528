"""The nginx and the Caddy of docs/deploy, started in front of servers of this machine."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp

from tests.bench.server import free_port
from tests.deploy.files import DEPLOY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

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


def nginx(folder: Path, port: int, upstreams: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Our file in the smallest nginx there is, without TLS, and with a line for each replica."""
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    text = re.sub(r"listen 443 ssl http2;", f"listen 127.0.0.1:{port};", text)
    text = re.sub(r"ssl_\w+ .*;", "", text)
    (line,) = re.findall(r"^ *server 127\.0\.0\.1:8080.*;\n", text, re.MULTILINE)
    text = text.replace(line, "".join(line.replace("127.0.0.1:8080", one) for one in upstreams))
    (folder / "countersign.conf").write_text(text)
    around = NGINX if os.geteuid() == 0 else NGINX.replace("user root;\n", "")
    (folder / "nginx.conf").write_text(around.format(folder=folder))
    command = ["nginx", "-e", f"{folder}/proxy.log", "-p", str(folder), "-c", f"{folder}/nginx.conf"]
    return command, {}


def caddy(folder: Path, port: int, upstreams: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Our file as it is; the site's address says that it is without TLS."""
    text = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    assert text.startswith("{\n")
    # The port for commands to a running Caddy, and where it listens, are the machine's, not the file's.
    text = text.replace("{\n", "{\n\tadmin off\n\tdefault_bind 127.0.0.1\n", 1)
    (folder / "Caddyfile").write_text(text)
    environment = {
        "SITE": f"http://{NAME}:{port}",
        "REPLICAS": " ".join(upstreams),
        "XDG_DATA_HOME": f"{folder}/data",
        "XDG_CONFIG_HOME": f"{folder}/config",
    }
    return ["caddy", "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"], environment


PROXIES = {"nginx": nginx, "caddy": caddy}


@contextmanager
def in_front_of(urls: Sequence[str], name: str, folder: Path) -> Iterator[str]:
    """The address of a proxy that runs; it is ended on exit."""
    port = free_port()
    folder.mkdir()
    command, more = PROXIES[name](folder, port, [url.removeprefix("http://") for url in urls])
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
