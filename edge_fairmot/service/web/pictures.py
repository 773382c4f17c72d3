"""Pictures without the page: a snapshot, and a stream of Motion JPEG, each with or without boxes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from edge_fairmot.service.web.config import WebConfig
from edge_fairmot.service.web.frames import LatestFrame, WebFrame, encode_jpeg
from edge_fairmot.sinks.drawing import Annotator

MAX_STREAMS = 8

FRAME_S = 1 / 15
"""Pictures of a stream are at least this far apart."""

REPEAT_S = 5.0
"""The last picture is sent again after this time: programs give up a stream that is silent."""

BOUNDARY = "frame"


class Pictures:
    """Encodes the newest frame on request, once for all who ask for it. Lives in the server's thread."""

    def __init__(self, config: WebConfig, slot: LatestFrame) -> None:
        self._config, self._slot = config, slot
        self._encoding = asyncio.Lock()  # one at a time, for any number of requests
        self._encoded: dict[bool, tuple[int, bytes]] = {}  # number of the frame and JPEG, by ``boxes``
        self._streams = 0
        self._closed = False

    async def snapshot(self, request: Request) -> Response:
        """Answer with the newest image."""
        _, image = await self._newest("boxes" in request.query_params)
        return Response(image, media_type="image/jpeg")

    async def stream(self, request: Request) -> Response:
        """Answer with images without end, the newest one whenever the client has taken the one before."""
        boxes = "boxes" in request.query_params
        await self._newest(boxes)  # refuses while there is none
        if self._streams >= MAX_STREAMS:
            raise HTTPException(503, f"{MAX_STREAMS} streams are being watched already: close one")
        media_type = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        if request.method == "HEAD":
            return Response(media_type=media_type)
        return StreamingResponse(self._parts(boxes), media_type=media_type)

    def close(self) -> None:
        """End all streams."""
        self._closed = True

    async def _parts(self, boxes: bool) -> AsyncGenerator[bytes, None]:
        if self._streams >= MAX_STREAMS:  # others began between the answer's head and here
            return
        self._streams += 1
        clock = asyncio.get_running_loop().time
        sent_number, sent_s = 0, 0.0
        try:
            yield f"--{BOUNDARY}\r\n".encode()
            while not self._closed:
                frame = self._slot.frame
                if frame is not None and (frame.number != sent_number or clock() - sent_s > REPEAT_S):
                    sent_number, image = await self._newest(boxes)
                    sent_s = clock()
                    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                    # The boundary follows at once: a browser shows a picture when it has come.
                    yield b"".join((head.encode(), image, f"\r\n--{BOUNDARY}\r\n".encode()))
                await asyncio.sleep(FRAME_S)
        finally:
            self._streams -= 1

    async def _newest(self, boxes: bool) -> tuple[int, bytes]:
        """Return the number and the JPEG of the newest frame."""
        async with self._encoding:
            frame = latest(self._slot)
            if self._encoded.get(boxes, (0, b""))[0] != frame.number:
                self._encoded[boxes] = frame.number, await run_sync(self._encode, frame, boxes)
            return self._encoded[boxes]

    def _encode(self, frame: WebFrame, boxes: bool) -> bytes:
        result = frame.result
        image = result.frame.image
        if boxes:
            annotator = Annotator(trail_length=0)
            image = annotator.draw(image, result.tracks, class_names=result.class_names)
        return encode_jpeg(image, self._config.quality, self._config.max_width)


def latest(slot: LatestFrame) -> WebFrame:
    """Return the newest frame; an answer of status 503 before the first one."""
    if slot.frame is None:
        raise HTTPException(503, "no frame has come yet")
    return slot.frame
