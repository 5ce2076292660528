"""web/settings.py: wrong settings are one sentence that names the setting and prints no value."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta

import pytest
from pydantic import ValidationError

from core.errors import SettingsError
from web.settings import WebSettings, from_environment, webhook_key


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> pytest.MonkeyPatch:
    monkeypatch.chdir(str(tmp_path))  # no .env here
    for name in ("HOST", "PORT", "PUBLIC_URL", "AUTH", "WEBHOOK_SECRET", "WEBHOOK_ALLOW", "DRAIN"):
        monkeypatch.delenv(f"COUNTERSIGN_{name}", raising=False)
    return monkeypatch


def test_the_defaults_are_the_contract_s(environment: pytest.MonkeyPatch) -> None:
    settings = from_environment()
    assert (settings.host, settings.port, settings.auth) == ("127.0.0.1", 8080, "token")
    assert settings.base_url == "http://127.0.0.1:8080"
    assert settings.webhook_secret is None
    assert settings.webhook_allow == ()
    assert settings.drain == timedelta(0)


def test_a_drain_is_a_duration(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("COUNTERSIGN_DRAIN", "1.5s")
    assert from_environment().drain == timedelta(seconds=1.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTH", "oidc"),
        ("AUTH", "proxy"),
        ("AUTH", "secret-nonsense"),
        ("PORT", "secret-nonsense"),
        ("PORT", "70000"),
        ("DRAIN", "secret-nonsense"),
        ("DRAIN", "2"),
        ("DRAIN", "61s"),
        ("DRAIN", "-1s"),
        ("PUBLIC_URL", "secret-nonsense"),
        ("PUBLIC_URL", "ftp://a.example"),
        ("PUBLIC_URL", "https://a.example/path"),
        ("PUBLIC_URL", "https://user:secret-nonsense@a.example"),
        ("PUBLIC_URL", "https://a.example:port"),
        ("PUBLIC_URL", "https://secret-nonsense a.example"),
        ("PUBLIC_URL", "https://a.example\u00a0secret-nonsense"),
        ("HOST", "http://secret-nonsense"),
        ("HOST", "127.0.0.1:80"),
        ("HOST", "[::1]"),
        ("HOST", "secret-nonsense nonsense"),
        ("HOST", "secret/nonsense"),
        ("WEBHOOK_SECRET", "secret-nonsense"),
        ("WEBHOOK_SECRET", "whsec_c2hvcnQ="),
        ("WEBHOOK_SECRET", "whsec_" + "QUJD" * 8 + "!"),
        ("WEBHOOK_SECRET", "whsec_" + "QUJD" * 8 + "Q"),
        ("WEBHOOK_SECRET", "whsec_" + "QUJD=" * 8),
    ],
)
def test_a_wrong_one_is_named_in_one_sentence(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(f"COUNTERSIGN_{name}", value)
    with pytest.raises(SettingsError, match=f"COUNTERSIGN_{name}") as refused:
        from_environment()
    assert "\n" not in str(refused.value)
    assert "secret-nonsense" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_an_empty_one_is_not_set(environment: pytest.MonkeyPatch) -> None:
    """As compose files hand on what nobody has set; an empty host would listen everywhere."""
    for name in (
        "HOST",
        "PORT",
        "PUBLIC_URL",
        "AUTH",
        "WEBHOOK_SECRET",
        "WEBHOOK_ALLOW",
        "WORKER_PORT",
        "DRAIN",
    ):
        environment.setenv(f"COUNTERSIGN_{name}", "")
    assert from_environment().model_dump() == WebSettings().model_dump()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org"])  # noqa: S104 - refused
def test_open_mode_needs_a_loopback_host(environment: pytest.MonkeyPatch, host: str) -> None:
    environment.setenv("COUNTERSIGN_AUTH", "open")
    environment.setenv("COUNTERSIGN_HOST", host)
    with pytest.raises(SettingsError, match="COUNTERSIGN_AUTH=open needs a loopback COUNTERSIGN_HOST"):
        from_environment()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_open_mode_is_at_home_on_loopback(host: str) -> None:
    assert WebSettings(auth="open", host=host).auth == "open"


def test_the_allow_list_is_split_on_commas(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("COUNTERSIGN_WEBHOOK_ALLOW", "hooks.internal, 10.0.0.0/8,,")
    assert from_environment().webhook_allow == ("hooks.internal", "10.0.0.0/8")


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (WebSettings(host="0.0.0.0", port=9), "http://localhost:9"),  # noqa: S104 - a comparison
        (WebSettings(host="::1", port=9), "http://[::1]:9"),
        (WebSettings(host="fe80::1%eth0", port=9), "http://[fe80::1%eth0]:9"),
        (WebSettings(host="under_score.example", port=9), "http://under_score.example:9"),
        (WebSettings(public_url="https://c.example/"), "https://c.example"),
        (WebSettings(public_url=""), "http://127.0.0.1:8080"),
    ],
)
def test_links_begin_with_the_public_url(settings: WebSettings, url: str) -> None:
    assert settings.base_url == url


@pytest.mark.parametrize("length", range(20, 70))
def test_a_webhook_secret_has_24_to_64_bytes_padded_or_not(
    environment: pytest.MonkeyPatch, length: int
) -> None:
    padded = "whsec_" + b64encode(bytes(range(length))).decode()
    for secret in (padded, padded.rstrip("=")):
        environment.setenv("COUNTERSIGN_WEBHOOK_SECRET", secret)
        if 24 <= length <= 64:
            found = from_environment().webhook_secret
            assert found
            assert found.get_secret_value() == secret
            assert webhook_key(secret) == bytes(range(length))
        else:
            with pytest.raises(SettingsError, match="24 to 64 bytes"):
                from_environment()


def test_a_secret_is_never_printed() -> None:
    secret = "whsec_" + "QUJD" * 10
    settings = WebSettings.model_validate({"webhook_secret": secret})
    assert secret not in repr(settings)
    with pytest.raises(ValidationError) as refused:
        WebSettings.model_validate({"webhook_secret": "QUJDQUJD"})
    assert "QUJDQUJD" not in str(refused.value)
