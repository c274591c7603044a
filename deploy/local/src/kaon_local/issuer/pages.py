"""The issuer's web server."""

import html
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from kaon_local.issuer.grants import DEVICE_SECONDS, Grants, Person, Refused

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def issuer(grants: Grants, people: Sequence[Person]) -> Starlette:
    """Return the application of an issuer.

    Args:
        grants: Its memory.
        people: Who can log in.
    """
    pages = _Pages(grants, {person.name: person for person in people})
    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", pages.configuration),
            Route("/keys", pages.keys),
            Route("/device", pages.device, methods=["POST"]),
            Route("/activate", pages.activate, methods=["GET", "POST"]),
            Route("/authorize", pages.authorize, methods=["GET", "POST"]),
            Route("/token", pages.token, methods=["POST"]),
            Route("/revoke", pages.revoke, methods=["POST"]),
        ]
    )


class _Pages:
    def __init__(self, grants: Grants, people: Mapping[str, Person]) -> None:
        self._grants = grants
        self._people = people

    async def configuration(self, _request: Request) -> Response:
        url = self._grants.url
        return JSONResponse(
            {
                "issuer": url,
                "authorization_endpoint": f"{url}/authorize",
                "device_authorization_endpoint": f"{url}/device",
                "token_endpoint": f"{url}/token",
                "revocation_endpoint": f"{url}/revoke",
                "jwks_uri": f"{url}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def keys(self, _request: Request) -> Response:
        return JSONResponse(self._grants.keys())

    async def device(self, _request: Request) -> Response:
        device_code, user_code = self._grants.new_device()
        page = f"{self._grants.url}/activate"
        return JSONResponse(
            {
                "device_code": device_code,
                "user_code": user_code,
                "verification_uri": page,
                "verification_uri_complete": f"{page}?user_code={user_code}",
                "expires_in": DEVICE_SECONDS,
                "interval": self._grants.interval,
            }
        )

    async def activate(self, request: Request) -> Response:
        """Ask who confirms a device's code."""
        if request.method == "GET":
            hidden = {"user_code": request.query_params.get("user_code", "")}
            return self._who(f"Code {hidden['user_code']}: who are you?", hidden)
        form = await _form(request)
        person = self._people.get(form.get("person", ""))
        if self._grants.confirm(form.get("user_code", ""), person):
            return _page("<p>Done. The command line goes on.</p>")
        return _page("<p>There is no such code, or it was used.</p>", 400)

    async def authorize(self, request: Request) -> Response:
        """Ask who logs in at a client, and send them back to it."""
        if request.method == "GET":
            asked = dict(request.query_params)
            if asked.get("code_challenge_method") != "S256" or "redirect_uri" not in asked:
                return _page("<p>The client must use PKCE with S256.</p>", 400)
            return self._who(f"{asked.get('client_id')} asks: who are you?", asked)
        form = await _form(request)
        answer = {"state": form.get("state", "")}
        person = self._people.get(form.get("person", ""))
        if person is None:
            answer["error"] = "access_denied"
        else:
            answer["code"] = self._grants.new_code(
                person,
                redirect_uri=form["redirect_uri"],
                challenge=form["code_challenge"],
                nonce=form.get("nonce", ""),
            )
        return RedirectResponse(f"{form['redirect_uri']}?{urllib.parse.urlencode(answer)}", 303)

    async def token(self, request: Request) -> Response:
        form = await _form(request)
        try:
            return JSONResponse(self._granted(form))
        except Refused as error:
            return JSONResponse({"error": str(error)}, 400)

    async def revoke(self, request: Request) -> Response:
        self._grants.revoke((await _form(request)).get("token", ""))
        return Response()

    def _granted(self, form: Mapping[str, str]) -> dict[str, Any]:
        match form.get("grant_type"):
            case "authorization_code":
                return self._grants.of_code(
                    form.get("code", ""),
                    form.get("redirect_uri", ""),
                    form.get("code_verifier", ""),
                )
            case "refresh_token":
                return self._grants.refreshed(form.get("refresh_token", ""))
            case grant if grant == DEVICE_GRANT:
                return self._grants.of_device(form.get("device_code", ""))
        raise Refused("unsupported_grant_type")

    def _who(self, question: str, hidden: Mapping[str, str]) -> Response:
        kept = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in hidden.items()
        )
        people = "".join(
            f'<p><button name="person" value="{html.escape(name)}">{html.escape(name)}</button></p>'
            for name in self._people
        )
        nobody = '<p><button name="person" value="">Nobody: refuse</button></p>'
        return _page(
            f'<h1>{html.escape(question)}</h1><form method="post">{kept}{people}{nobody}</form>'
        )


async def _form(request: Request) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl((await request.body()).decode()))


def _page(body: str, status: int = 200) -> Response:
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Local issuer</title>'
    return HTMLResponse(f"{head}<main>{body}</main></html>", status)
