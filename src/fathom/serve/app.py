"""The ASGI application: FastAPI's routes behind the middleware `Admission`.

service = Service(open_session(settings), RewardSettings(), ServeSettings())
app = application(service)                   # an ASGI application, for uvicorn or any other server
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

import fathom
from fathom.serve import native
from fathom.serve.admission import Admission
from fathom.serve.core import Core, StrictJSONRoute
from fathom.serve.dialects import DIALECTS
from fathom.serve.errors import answer_error
from fathom.serve.metrics import Metrics
from fathom.serve.service import Service

PAGE = Path(__file__).parent / "page.html"
ERRORS = (RequestValidationError, StarletteHTTPException)
DESCRIPTION = "Verdicts, rankings and rewards. What could not be scored is null with a reason, never a number."


def application(service: Service, tokens: tuple[bytes, ...] = ()) -> Admission:
    """The server as an ASGI application. With `tokens` (their SHA-256), requests must carry one of them."""
    metrics = Metrics(service.session.metered)
    core = Core(service, metrics)
    # FastAPI's own pages would make the browser load scripts from another server.
    app = FastAPI(title="Fathom", version=fathom.__version__, description=DESCRIPTION, docs_url=None, redoc_url=None)
    protocols = [native.router(core), *(DIALECTS.find(name)(core) for name in DIALECTS.names())]
    for router in (*protocols, _status_routes(service, metrics)):
        app.include_router(router)
    for error in ERRORS:
        app.add_exception_handler(error, answer_error)
    return Admission(Direct(app, protocols), service, metrics, tokens)


class Direct:
    """Calls routes with a JSON body without FastAPI's layers, which take a fifth of a request's processor time.

    FastAPI describes these routes, and handles all other requests.
    """

    def __init__(self, app: ASGIApp, routers: Iterable[APIRouter]) -> None:
        self.app = app
        self.routes: dict[str, StrictJSONRoute] = {}
        for route in (route for router in routers for route in router.routes):
            if isinstance(route, StrictJSONRoute) and route.direct is not None:
                self.routes.setdefault(route.path, route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.routes.get(scope["path"]) if scope.get("method") == "POST" else None
        if route is None or route.direct is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive)
        try:
            response = await route.direct(request)
        except ERRORS as error:
            response = await answer_error(request, error)
        await response(scope, receive, send)


def _status_routes(service: Service, metrics: Metrics) -> APIRouter:
    routes = APIRouter(tags=["Status"])

    @routes.get("/health", summary="Whether the process is alive")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/ready", summary="Whether requests are taken; 503 if not")
    async def ready() -> Response:
        refusal = service.health.refusal()
        reason = refusal.reason if refusal else None if service.health.ready else "the server is starting"
        return JSONResponse({"ready": reason is None, "reason": reason}, 200 if reason is None else 503)

    @routes.get("/metrics", summary="Metrics in Prometheus' format", include_in_schema=False)
    async def metrics_text() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @routes.get("/", include_in_schema=False)
    @routes.get("/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers={"content-security-policy": POLICY})

    return routes


POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
"""The page loads nothing from other servers, and sends requests to this one only."""
