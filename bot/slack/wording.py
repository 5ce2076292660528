"""What somebody typed in Slack, as they saw it: Slack sends names, links and three characters as markup."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")


def as_typed(text: str, *, keeps_people: bool = False) -> str:
    """Without markup, and without anything in it that could become markup again: it is plain text now.

    With `keeps_people` mentions stay as they are, for whoever looks them up.
    """

    def words(found: re.Match[str]) -> str:
        return found[0] if keeps_people and found[1].startswith("@") else _words(found)

    return _unescaped(_MARKUP.sub(words, text))


def _words(found: re.Match[str]) -> str:
    """`<@U1|ana>` is `@ana`, `<#C1|general>` is `#general`, `<!here>` is `@here`, `<URL|label>` its URL;
    where Slack made a link of an address by itself, the label is what was typed."""
    what, label = found[1], found[2]
    match what[:1]:
        case "@" | "#":
            return f"{what[0]}{label or what[1:]}"
        case "!":
            return label or f"@{what[1:].partition('^')[0]}"
        case _:
            is_typed = label is not None and what.rstrip("/") in _links_of(label.rstrip("/"))
            return label if is_typed and label is not None else what


def _links_of(address: str) -> tuple[str, ...]:
    """What Slack may have made of an address."""
    return tuple(f"{scheme}{address}" for scheme in ("", "http://", "https://", "mailto:", "tel:"))


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
