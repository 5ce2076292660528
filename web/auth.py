"""Who is calling: personal tokens, the sessions made from them, and open mode."""

from __future__ import annotations

import hashlib
import hmac
import secrets as random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from aiohttp import web
from itsdangerous import BadSignature, Signer

from core.errors import Forbidden, StoreUnavailable, Unidentified
from core.model import LOCAL, Credential, PersonId
from web.bodies import form

if TYPE_CHECKING:
    from core.ports import Clock, Credentials, Secrets
    from core.service import Service
    from web.settings import WebSettings

RECHECK = timedelta(seconds=1)
"""How long a proof is believed without asking the store: a revocation acts within this time."""
LAST_KNOWN = timedelta(hours=1)
"""How long `/metrics` believes it while the store cannot be asked: for so long after they last came, who was
revoked since may come back. Past it the scrape itself fails, which is another alert."""
SESSION = timedelta(days=30)
REMEMBERED = 4096
FORWARDED = "This server is in open mode and takes no forwarded requests."
NOBODY = "Sign in with your personal link, or send `Authorization: Bearer` with your token."


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The person a request speaks for; `via` is `web` or `api`, as decisions record it."""

    person: PersonId
    name: str
    via: str
    zone: str = "UTC"
    """In which pages show them times."""


CALLER: Final = web.RequestKey("caller", Caller)


@dataclass(frozen=True, slots=True)
class _Believed:
    credential: Credential
    until: timedelta
    """On the steady clock: the other may be set back, and what is revoked meanwhile is to be noticed."""


_BELIEVED: Final = web.RequestKey("believed", _Believed)
"""Of a request whose caller is asked for again, as before each message of a stream."""


def new_token(person: PersonId, at: datetime) -> tuple[str, Credential]:
    """A token of 256 random bits, to be shown once, and the credential to be stored."""
    token = "cs_" + random.token_urlsafe(32)
    return token, Credential(
        id=random.token_hex(16), person=person, token_hash=token_hash(token), created_at=at
    )


def sign_in_link(base_url: str, token: str) -> str:
    """A personal link. What follows `#` never leaves the browser but in the page's own POST."""
    return f"{base_url}/#token={token}"


def token_hash(token: str) -> str:
    """SHA-256 as hexadecimal digits; header bytes that are not UTF-8 hash to nothing that is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Callers:
    """Names the person behind a request; raises `Unidentified` or `Forbidden`."""

    def __init__(
        self,
        *,
        settings: WebSettings,
        service: Service,
        credentials: Credentials,
        secrets: Secrets,
        clock: Clock,
    ) -> None:
        self._open = settings.auth == "open"
        self._service = service
        self._credentials = credentials
        self._secrets = secrets
        self._clock = clock
        self._believed: dict[str, _Believed] = {}
        self._signer: Signer | None = None
        self.secure = settings.is_https
        # Browsers keep one cookie jar for all ports of a host: the port keeps two servers apart.
        self.cookie = "__Host-countersign" if self.secure else f"countersign-{settings.port}"

    async def onlooker(self, request: web.Request) -> Caller:
        """Who may look at numbers: while the database cannot be asked, a token that was good last time is,
        for `LAST_KNOWN`.

        Or nobody would see in the numbers that it is away.
        """
        try:
            return await self.caller(request)
        except StoreUnavailable:
            known = self._believed.get(_hashed(request.headers.get("Authorization", "")))
            if known is None or known.until + LAST_KNOWN <= self._clock.steady():
                raise
            return self._caller(known.credential, via="api")

    async def caller(self, request: web.Request) -> Caller:
        if self._open:
            return self._local(request)
        known = request.get(_BELIEVED)
        via = "api" if "Authorization" in request.headers else "web"
        if known is None or known.until <= self._clock.steady():
            known = await (self._bearer(request) if via == "api" else self._session(request))
            request[_BELIEVED] = known
        return self._caller(known.credential, via=via)

    async def sign_in(self, token: str) -> str:
        """The session cookie's value for a token; raises `Unidentified`."""
        credential = await self._credentials.credential(token_hash(token))
        if credential is None or self._service.person(credential.person) is None:
            raise Unidentified("This link or token is not valid, or was revoked; ask for a new one.")
        expires = self._clock.now() + SESSION
        return (await self._session_signer()).sign(f"{credential.id}.{int(expires.timestamp())}").decode()

    async def sign_out(self, request: web.Request) -> None:
        """End the request's session, also for whoever has copied its cookie."""
        cookie = None if self._open else self._cookie(request)
        if cookie is None:
            return
        try:
            credential_id, expires = await self._unsigned(cookie)
        except Unidentified:
            return  # there is nothing to end
        if expires > self._clock.now():
            await self._credentials.end_session(credential_id, _session_hash(credential_id, expires))
        self._believed.pop(_cookie_hash(cookie), None)

    def refuse_forwarded(self, request: web.Request) -> None:
        """Open mode trusts this machine alone, and a proxy would speak for others."""
        if not self._open:
            return
        for name in request.headers:
            if name[0] in "fFxX" and (name.lower() == "forwarded" or name.lower().startswith("x-forwarded-")):
                raise Forbidden(FORWARDED)

    def form_token(self, request: web.Request) -> str:
        """What a form of ours carries, for browsers that do not say whose form they post."""
        cookie = request.cookies.get(self.cookie, "")
        if not cookie or self._signer is None:
            return ""
        return self._signer.get_signature(b"form " + cookie.encode("utf-8", "surrogateescape")).decode()

    async def check_form_token(self, request: web.Request) -> None:
        """Raises `Forbidden` for a form that is not ours."""
        wanted = self.form_token(request)
        given = (await form(request)).get("form_token", "")
        if not wanted or not hmac.compare_digest(wanted.encode(), given.encode()):
            raise Forbidden("This form is not from this session's pages; load the page again.")

    def _local(self, request: web.Request) -> Caller:
        # Every browser says Sec-Fetch-Mode on this machine; scripts do not.
        via = "web" if "Sec-Fetch-Mode" in request.headers else "api"
        return Caller(person=LOCAL, name=self._service.somebody(LOCAL).name, via=via)

    def _caller(self, credential: Credential, *, via: str) -> Caller:
        person = self._service.person(credential.person)
        if person is None:
            raise Unidentified(NOBODY)
        return Caller(person=person.id, name=person.name, via=via, zone=person.zone)

    async def _bearer(self, request: web.Request) -> _Believed:
        said = request.headers["Authorization"]
        if said.partition(" ")[0].lower() != "bearer":
            raise Unidentified(NOBODY)
        hashed = _hashed(said)
        known = self._believed.get(hashed)
        steady = self._clock.steady()
        if known and known.until > steady:
            return known
        return self._believe(hashed, await self._credentials.credential(hashed), steady + RECHECK)

    async def _session(self, request: web.Request) -> _Believed:
        cookie = self._cookie(request)
        if cookie is None:
            raise Unidentified(NOBODY)
        hashed = _cookie_hash(cookie)
        known = self._believed.get(hashed)
        steady = self._clock.steady()
        if known and known.until > steady:
            return known
        credential_id, expires = await self._unsigned(cookie)
        left = expires - self._clock.now()
        if left <= timedelta(0):
            raise Unidentified("Your session has ended; sign in again with your personal link.")
        session = _session_hash(credential_id, expires)
        found = await self._credentials.credential_by_id(credential_id, session)
        return self._believe(hashed, found, steady + min(RECHECK, left))

    def _cookie(self, request: web.Request) -> str | None:
        return (request.cookies.get(self.cookie) or None) if "Cookie" in request.headers else None

    async def _unsigned(self, cookie: str) -> tuple[str, datetime]:
        try:
            value = (await self._session_signer()).unsign(cookie.encode("utf-8", "surrogateescape"))
        except BadSignature as error:
            raise Unidentified(NOBODY) from error
        credential_id, _, expires = value.decode().partition(".")
        if not expires.isdecimal():
            raise Unidentified(NOBODY)  # signed by us, as a form's token is, and no session
        return credential_id, datetime.fromtimestamp(int(expires), UTC)

    async def _session_signer(self) -> Signer:
        if self._signer is None:
            key = await self._secrets.secret("session")
            self._signer = Signer(key, salt=b"session", key_derivation="hmac", digest_method=hashlib.sha256)
        return self._signer

    def _believe(self, hashed: str, credential: Credential | None, until: timedelta) -> _Believed:
        if credential is None:
            self._believed.pop(hashed, None)
            raise Unidentified(NOBODY)
        if len(self._believed) >= REMEMBERED:
            self._believed.clear()
        known = self._believed[hashed] = _Believed(credential, until)
        return known


def _hashed(authorization: str) -> str:
    """The hash of the token in that header."""
    return token_hash(authorization.partition(" ")[2].strip())


def _session_hash(credential_id: str, expires: datetime) -> str:
    """Of what is signed, and not of the cookie: one signature can be spelled in several ways."""
    return token_hash(f"{credential_id}.{int(expires.timestamp())}")


def _cookie_hash(cookie: str) -> str:
    """And no token's, whoever sends it as one."""
    return f"session {token_hash(cookie)}"
