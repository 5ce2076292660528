"""web/pages/assets.py and the vendored files."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pytest

from core.literal import UNSEEN
from web.pages import TEMPLATES
from web.pages.assets import FILES, STATIC, Assets
from web.pages.text import spelled, visible

if TYPE_CHECKING:
    from pathlib import Path

    from tests.web.web_house import House

VENDOR = STATIC / "vendor"
OURS = ["app.css", "app.js", "icon.svg", "press.js", "words.js"]


def vendored() -> list[list[str]]:
    lines = (VENDOR / "VENDOR.txt").read_text().splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def test_vendored_files_are_what_they_were_when_they_came() -> None:
    for _name, _version, licence, file, digest in vendored():
        assert hashlib.sha256((VENDOR / file).read_bytes()).hexdigest() == digest
        text = re.search(r"\((\S+)\)", licence)
        assert text
        assert "permission" in (VENDOR / text[1]).read_text().lower()


def test_every_vendored_file_is_listed() -> None:
    listed = {row[3] for row in vendored()}
    found = {path.name for path in VENDOR.iterdir() if path.suffix in {".js", ".css"}}
    assert listed == found
    assert {f"vendor/{name}" for name in listed} <= set(FILES)


@pytest.mark.parametrize(
    "path", [*(STATIC / name for name in OURS), *TEMPLATES.glob("*.html")], ids=lambda path: path.name
)
def test_nothing_of_ours_names_another_machine(path: Path) -> None:
    text = path.read_text()
    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^\s\"')]*", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}


async def test_assets_are_kept_for_ever_and_need_no_sign_in(house: House) -> None:
    assets = Assets()
    for file in FILES:
        body = (STATIC / file).read_bytes()
        assert hashlib.sha256(body).hexdigest()[:12] in assets.url(file)
        async with house.http.get(assets.url(file), headers={"Accept-Encoding": "identity"}) as answer:
            assert await answer.read() == body
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with house.http.get(assets.url(file), headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert await answer.read() == body


@pytest.mark.parametrize(
    "name",
    ["app.css", "app.000000000000.css", "..%2f..%2fapp.py", "%2e%2e/app.py", "vendor/VENDOR.txt", "%00"],
)
async def test_nothing_else_is_served(house: House, name: str) -> None:
    async with house.http.get(f"/static/{name}") as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("<b>&\"'", "&lt;b&gt;&amp;&#34;&#39;"),
        ("a\tb\nc\r\nd", "a\tb\nc\nd"),
        ("\u2764\ufe0f caf\u00e9 \u4f60", "\u2764\ufe0f caf\u00e9 \u4f60"),
    ],
)
def test_honest_text_stays_as_it_is(text: str, shown: str) -> None:
    assert str(visible(text)) == shown


CODES = """
0000 0007 000B 000D 001B 007F 0085 00AD 061C 200B 200D 200E 202A 202E 2028 2060 2066 2069 3164 FEFF FFF9 D800
2800 FE0F FFFF 13430 1BCA0 E0001 E0041 E0100
"""


@pytest.mark.parametrize("code", [int(code, 16) for code in CODES.split()])
def test_a_hidden_character_is_shown_by_its_code(code: int) -> None:
    shown = str(visible(f"<{chr(code)}>"))
    assert f">U+{code:04X}</span>" in shown
    assert not UNSEEN.search(shown)
    assert spelled(f"<{chr(code)}>") == f"<[U+{code:04X}]>"


def test_what_a_script_shows_by_its_code_the_pages_do_too() -> None:
    """But for the emoji selector, which needs a look behind it that not every browser has."""
    script = (STATIC / "app.js").read_text()
    found = re.search(r"^const HIDDEN =\n  /(.+)/gu;$", script, re.MULTILINE)
    assert found
    wide = re.sub(r"\\u\{(\w+)\}", lambda point: f"\\U{int(point[1], 16):08x}", found[1])
    everything = "".join(map(chr, range(0x110000))).replace("\ufe0f", "")
    assert re.findall(wide, everything) == UNSEEN.findall(everything)


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_every_form_says_that_it_is_ours(template: Path) -> None:
    """On plain http some browsers say nothing of where a form comes from: without this they are refused."""
    text = template.read_text(encoding="utf-8")
    forms = re.findall(r'<form\b[^>]*method="post".*?</form>', text, re.DOTALL)
    assert len(forms) == text.count("<form") - text.count('method="get"')
    for form in forms:
        says = 'name="form_token" value="{{ form_token }}"' in form or "{{ of_review(" in form
        assert says or 'action="/sign-in"' in form, form
