"""What is measured, with Starlette on uvicorn, uvloop and httptools."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

EVENT = b"data: ~ 4,711 orders were paid in the last second, 17 of them from abroad.\n\n"
queues: set[asyncio.Queue[bytes]] = set()


async def hello(request: Request) -> Response:
    return PlainTextResponse("Hello from a pipeline.")


async def echo(request: Request) -> Response:
    return JSONResponse(await request.json())


async def events(request: Request) -> Response:
    return StreamingResponse(received(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def received() -> AsyncIterator[bytes]:
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    queues.add(queue)
    try:
        while True:
            yield await queue.get()
    finally:
        queues.discard(queue)


async def send() -> None:
    now = asyncio.get_running_loop().time
    beat = now()
    while True:
        beat += 0.1
        await asyncio.sleep(beat - now())
        for queue in queues:
            queue.put_nowait(EVENT)


@asynccontextmanager
async def sending(app: Starlette) -> AsyncIterator[None]:
    task = asyncio.create_task(send())
    yield
    task.cancel()


app = Starlette(
    routes=[
        Route("/", hello),
        Route("/echo", echo, methods=["POST"]),
        Route("/events", events),
        Mount("/files", StaticFiles(directory=".")),
    ],
    lifespan=sending,
)
uvicorn.run(
    app,
    port=int(sys.argv[1]),
    loop="uvloop",
    http="httptools",
    access_log=False,
    server_header=False,
    log_level="warning",
)
