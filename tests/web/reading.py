"""What a browser gets: a page as it is read, and where a form leads."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

from tests.web.web_house import PAGE

if TYPE_CHECKING:
    import aiohttp


VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta"}


class Seen(HTMLParser):
    """A page's elements, and the faults that a strict policy or a screen reader would find."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.faults: list[str] = []
        self.text = ""
        self.typed = ""
        """What stands in textareas, as it is: people edit it."""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self._look_for_labels()
        self._look_for_twice_used_ids()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self._open.append(tag)
        self.faults += [f"{tag} {name}" for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "href", "action", "hx-get", "hx-post", "data-stream"):
            address = attributes.get(name) or ""
            if tag == "a" and attributes.get("rel") == "noreferrer" and address.startswith("https://"):
                continue  # people follow it, and the browser does not say from where
            if address and not address.startswith(("/", "#")):
                self.faults.append(f"{tag} {name}={address}")
        if tag == "style" or (tag == "script" and "src" not in attributes):
            self.faults.append(f"inline {tag}")
        if tag == "img" and "alt" not in attributes:
            self.faults.append("img without alt")

    def handle_endtag(self, tag: str) -> None:
        if self._open.pop() != tag:
            self.faults.append(f"unbalanced {tag}")

    def handle_data(self, data: str) -> None:
        if "textarea" in self._open:
            self.typed += data
        else:
            self.text += data

    def _look_for_labels(self) -> None:
        labelled = {attributes.get("for") for tag, attributes in self.elements if tag == "label"}
        for tag, attributes in self.elements:
            is_field = tag in {"input", "textarea", "select"} and attributes.get("type") != "hidden"
            if is_field and attributes.get("id") not in labelled:
                self.faults.append(f"{tag} without label")

    def _look_for_twice_used_ids(self) -> None:
        ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        self.faults += [f"id {one} twice" for one in set(ids) if ids.count(one) > 1]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def buttons(self) -> set[str | None]:
        """Those that stand for an answer; not how long somebody wants to wait."""
        return {button.get("value") for button in self.all("button") if button.get("name") != "for"} - {None}


async def seen(browser: aiohttp.ClientSession, path: str, status: int = 200) -> Seen:
    async with browser.get(path, headers=PAGE) as answer:
        assert answer.status == status
        assert answer.content_type == "text/html"
        page = Seen(await answer.text())
    assert page.faults == []
    assert {"html", "main", "title", "header", "h1"} <= {tag for tag, _ in page.elements}
    return page


async def posted(browser: aiohttp.ClientSession, path: str, **form: str) -> str:
    """Where a plain form's answer leads."""
    async with browser.post(path, data=form, headers=PAGE, allow_redirects=False) as answer:
        assert answer.status == 303
        return answer.headers["Location"]


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "</textarea></pre><h1>Approved</h1>",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(1)",
    "&lt;b&gt; &amp;",
    "line\nbreak\r\nand\ttab",
]


def words(page: Seen) -> str:
    return " ".join(page.text.split())
