"""`POST /hooks/{name}`: somebody else's signed JSON becomes a task."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import structlog
from aiohttp import web
from pydantic_core import from_json
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError, WebhookVerificationError

from core.errors import Invalid, NotFound, SettingsError, Unidentified
from core.model import TRACEPARENT, PersonId, Submission
from web.bodies import raw
from web.problems import malformed
from web.schemas import json_response
from web.settings import webhook_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.model import Json
    from core.service import Service

log = structlog.get_logger(__name__)

ID_HEADERS = {"standard": "webhook-id", "github": "X-GitHub-Delivery", "bearer": "Idempotency-Key"}
"""Which header names a message, the same when it is sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One `[hooks.NAME]`. Its tasks are submitted by `hook:NAME`, who is no person and decides nothing."""

    name: str
    scheme: Literal["standard", "github", "bearer"]
    secret: str = field(repr=False)
    input: str | None = None
    """A path of keys and indices joined by dots into the JSON body; None is the whole body."""
    flow: str | None = None

    def __post_init__(self) -> None:
        if not self.secret:
            raise SettingsError(f"hooks.{self.name}: its secret is empty.")
        if self.scheme == "standard":
            _standard(self)

    @property
    def submitter(self) -> PersonId:
        return PersonId(f"hook:{self.name}")


class Hooks:
    """The configured hooks behind one route."""

    def __init__(self, *, service: Service, hooks: Mapping[str, Hook]) -> None:
        self._service = service
        self._hooks = hooks

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/hooks/{name}", self.receive)]

    async def receive(self, request: web.Request) -> web.Response:
        hook = self._hooks.get(request.match_info["name"])
        if hook is None:
            raise NotFound("There is no such hook.")
        body = await raw(request)
        verify(hook, body, request.headers)
        if hook.scheme == "github" and request.headers.get("X-GitHub-Event") == "ping":
            return json_response({"message": "pong"})
        task, is_new = await self._service.submit(
            Submission(
                input=picked(parsed_json(body), hook.input),
                submitter=hook.submitter,
                flow=hook.flow,
                idempotency_key=message_id(hook, request.headers),
                traceparent=request.headers.get(TRACEPARENT),
            )
        )
        log.info("hook_received", hook=hook.name, task_id=task.id, is_new=is_new)
        return json_response({"message": "The task is submitted.", "task_id": task.id}, status=202)


def verify(hook: Hook, body: bytes, headers: Mapping[str, str]) -> None:
    """Check the proof over the raw bytes, in constant time; raises `Unidentified`."""
    check = {"standard": _is_standard, "github": _is_github, "bearer": _is_bearer}[hook.scheme]
    if not check(hook, body, headers):
        log.info("hook_refused", hook=hook.name)
        raise Unidentified("The request does not prove that it comes from this hook's sender.")


def message_id(hook: Hook, headers: Mapping[str, str]) -> str | None:
    value = headers.get(ID_HEADERS[hook.scheme]) or headers.get("Idempotency-Key")
    if value is not None and not (value.isascii() and value.isprintable()):
        raise Invalid("The message's id is not a plain word.")
    return value


def parsed_json(body: bytes) -> Json:
    """Any JSON of bounded depth; raises a refusal (400)."""
    try:
        value: Json = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise malformed("The body is not JSON.") from error
    return value


def picked(value: Json, path: str | None) -> Json:
    """What stands at `path`; raises `Invalid` where nothing does."""
    for step in path.split(".") if path else ():
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and len(step) < 7 and int(step) < len(value):
            value = value[int(step)]
        else:
            raise Invalid(f"The body has nothing at `{path}`, where this hook looks for its input.")
    return value


def _standard(hook: Hook) -> Webhook:
    try:
        return Webhook(webhook_key(hook.secret))
    except (EmptyWebhookSecretError, ValueError) as error:
        raise SettingsError(f"hooks.{hook.name}: its secret must be whsec_ and base64.") from error


def _is_standard(hook: Hook, body: bytes, headers: Mapping[str, str]) -> bool:
    try:
        _standard(hook).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: no base64, no UTF-8, no comma
        return False
    return True


def _is_github(hook: Hook, body: bytes, headers: Mapping[str, str]) -> bool:
    wanted = "sha256=" + hmac.new(hook.secret.encode(), body, hashlib.sha256).hexdigest()
    return _same(wanted, headers.get("X-Hub-Signature-256", ""))


def _is_bearer(hook: Hook, _body: bytes, headers: Mapping[str, str]) -> bool:
    return _same(f"Bearer {hook.secret}", headers.get("Authorization", ""))


def _same(wanted: str, given: str) -> bool:
    return hmac.compare_digest(wanted.encode(), given.encode("utf-8", "surrogateescape"))
