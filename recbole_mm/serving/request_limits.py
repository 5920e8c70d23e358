"""Every request of the service: how long its body may be, and what is counted of it."""

from __future__ import annotations

from time import perf_counter

from fastapi import HTTPException
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_BODY = 1 << 16  # bytes
TOO_LONG = f"the body is larger than {LONGEST_BODY} bytes"
PATHS = ("/recommend", "/similar", "/health", "/metrics")
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def refusal(status: int, line: str) -> JSONResponse:
    return JSONResponse({"error": line}, status_code=status)


class RequestCounts:
    """Numbers of requests by path and status, and their seconds, for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "recbole_mm_requests", "Requests by path and status.", ["path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "recbole_mm_seconds", "Seconds of a request.", ["path"], registry=self.registry, buckets=SECONDS
        )

    def add(self, path: str, status: int, seconds: float) -> None:
        known = path if path in PATHS else "other"
        self._requests.labels(known, str(status)).inc()
        self._seconds.labels(known).observe(seconds)


class LimitedRequests:
    """Counts requests, and refuses a body that is too long: by its header, or once so much of it has come."""

    def __init__(self, app: ASGIApp, counts: RequestCounts) -> None:
        self.app, self.counts = app, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, come = perf_counter(), 500, 0

        async def limited() -> Message:
            nonlocal come
            message = await receive()
            come += len(message.get("body", b""))
            if come > LONGEST_BODY:
                raise HTTPException(413, TOO_LONG)
            return message

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        length = dict(scope["headers"]).get(b"content-length", b"0")
        try:
            if not length.isdigit() or int(length) > LONGEST_BODY:
                await refusal(413, TOO_LONG)(scope, receive, told)
            else:
                await self.app(scope, limited, told)
        finally:
            self.counts.add(scope["path"], status, perf_counter() - began)
