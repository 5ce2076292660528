"""parse_mode as Telegram reads it. Several cases are those of the server's own test suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from telegram.helpers import escape_markdown

from bot.simulator.telegram.chats import User
from bot.simulator.telegram.entities import formatted, found_entities
from bot.simulator.telegram.errors import ApiError

if TYPE_CHECKING:
    from bot.simulator.telegram.reader import Formatted

ANA = User(id=42, name="Ana")


def read(text: str, mode: str | None) -> Formatted:
    return formatted(text, mode, (), {42: ANA}.get)


def refusal(text: str, mode: str) -> str:
    with pytest.raises(ApiError) as raised:
        read(text, mode)
    assert raised.value.status == 400
    return raised.value.description.removeprefix("Bad Request: can't parse entities: ")


def test_html_becomes_text_and_entities_with_utf16_offsets() -> None:
    result = read("😀 <b>bold <i>both</i></b> &lt;x&gt; &amp;", "HTML")
    assert result.text == "😀 bold both <x> &"
    assert result.entities == (
        {"type": "bold", "offset": 3, "length": 9},
        {"type": "italic", "offset": 8, "length": 4},
    )


def test_the_name_of_the_mode_may_have_any_case() -> None:
    assert read("<u>x</u>", "html") == read("__x__", "markdownv2")


def test_code_in_a_pre_keeps_its_language_and_white_space_around_a_text_goes() -> None:
    result = read('\n <pre><code class="language-python">x = 1</code></pre>\n', "HTML")
    assert result.text == "x = 1"
    assert result.entities == ({"type": "pre", "offset": 0, "length": 5, "language": "python"},)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("a < b", "Unclosed start tag at byte offset 2"),
        ("é<div>x</div>", 'Unsupported start tag "div" at byte offset 2'),
        ("<b>x</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
    ],
)
def test_broken_html_is_refused_in_telegrams_words(text: str, error: str) -> None:
    assert refusal(text, "HTML") == error


@pytest.mark.parametrize("character", "]()>#+-=|{}.!")
def test_a_reserved_character_must_be_escaped_in_markdown(character: str) -> None:
    expected = f"Character '{character}' is reserved and must be escaped with the preceding '\\'"
    assert refusal(f"a{character}", "MarkdownV2") == expected
    assert read(f"a\\{character}", "MarkdownV2").text == f"a{character}"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("🏟 🏟_abacaba", "Can't find end of Italic entity at byte offset 9"),
        ("🏟 🏟_abac * asd ", "Can't find end of Bold entity at byte offset 15"),
        ("🏟 🏟_abac * asd _", "Can't find end of Italic entity at byte offset 21"),
        ("🏟 🏟`", "Can't find end of Code entity at byte offset 9"),
        ("🏟 🏟```", "Can't find end of Pre entity at byte offset 9"),
        ("🏟 🏟```a", "Can't find end of Pre entity at byte offset 9"),
        ("🏟 🏟```a ", "Can't find end of PreCode entity at byte offset 9"),
        ("🏟 🏟__🏟 🏟_", "Can't find end of Italic entity at byte offset 20"),
        ("🏟 🏟_🏟 🏟__", "Can't find end of Underline entity at byte offset 19"),
        ("🏟 🏟```🏟 🏟`", "Can't find end of Code entity at byte offset 21"),
        ("[x](http://a.b", "Can't find end of a URL at byte offset 4"),
    ],
)
def test_broken_markdown_is_refused_in_telegrams_words(text: str, error: str) -> None:
    assert refusal(text, "MarkdownV2") == error


def test_markdown_becomes_text_and_entities() -> None:
    result = read("*b* _i_ __u__ ~s~ ||p|| `c` [l](http://a\\.b/\\)) [me](tg://user?id=42)", "MarkdownV2")
    assert result.text == "b i u s p c l me"
    assert [entity["type"] for entity in result.entities] == [
        "bold",
        "italic",
        "underline",
        "strikethrough",
        "spoiler",
        "code",
        "text_link",
        "text_mention",
    ]
    assert (result.entities[6]["url"], result.entities[7]["user"]) == ("http://a.b/)", ANA.as_api())


def test_a_quotation_ends_with_the_first_line_without_its_mark() -> None:
    result = read("a\n>b\n>c\nd", "MarkdownV2")
    assert result.text == "a\nb\nc\nd"
    assert result.entities == ({"type": "blockquote", "offset": 2, "length": 4},)


def test_whatever_python_telegram_bot_escapes_comes_out_as_it_was() -> None:
    text = "".join(chr(code) for code in range(33, 127))
    assert read(escape_markdown(text, version=2), "MarkdownV2").text == text


def test_a_link_that_telegram_finds_wrong_leaves_plain_text() -> None:
    result = read('<a href="http://localhost:8080/x">here</a> <a href="tg://user?id=7">you</a>', "HTML")
    assert (result.text, result.entities) == ("here you", ())


def test_commands_mentions_and_addresses_are_found() -> None:
    found = found_entities("😀 /submit@some_bot for @ana_ruiz: see https://a.example/b.")
    assert [(entity["type"], entity["offset"], entity["length"]) for entity in found] == [
        ("bot_command", 3, 16),
        ("mention", 24, 9),
        ("url", 39, 19),
    ]


def test_given_entities_are_kept_up_to_a_hundred() -> None:
    given = [{"type": "bold", "offset": at, "length": 1} for at in range(120)]
    assert len(formatted("x" * 120, None, given, lambda _: None).entities) == 100


def test_an_unknown_mode_is_refused() -> None:
    assert refusal("x", "bbcode") == "Bad Request: unsupported parse_mode"
