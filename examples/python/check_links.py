"""Check the links of a service's catalogue, fetch its archive meanwhile, and deliver the results.

    python3 examples/python/check_links.py https://service.example/v1/ authorities.pem archive.bin

Below the URL stand `links?page=N`, which answers {"links": [URL...], "more": bool}, and `archive`; `summary` is posted
JSON, and `results` a line of JSON for each link. Prints the summary as it was accepted. A link that cannot be reached is
a result; if anything else fails the rest is cancelled, and the exit status is 1.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import c_http_core
from c_http_core import AsyncClient, Limits, Response, Timeout

IN_FLIGHT = 8
LINK_TIMEOUT = Timeout(20.0, connect=10.0, total=60.0)


def note(text: str) -> None:
    print(text, file=sys.stderr)


async def get(client: AsyncClient, url: str, **options: Any) -> Response:
    """GET, and once more if there was no connection and another try may help."""
    try:
        return await client.get(url, **options)
    except (c_http_core.ConnectError, c_http_core.ConnectTimeout) as error:
        if not error.is_retryable:
            raise
        note(f"once more after {type(error).__name__}: {error.url}")
        return await client.get(url, **options)


async def links(client: AsyncClient) -> list[str]:
    found: list[str] = []
    more, page = True, 1
    while more:
        answer = (await get(client, "links", params={"page": page})).raise_for_status().json()
        found += answer["links"]
        more, page = answer["more"], page + 1
    return found


async def check(client: AsyncClient, places: asyncio.Semaphore, link: str) -> dict[str, str]:
    async with places:
        try:
            answer = await get(client, link, timeout=LINK_TIMEOUT, headers={"Accept": "*/*"})
        except (c_http_core.TransportError, c_http_core.InvalidURL, c_http_core.UnsupportedProtocol) as error:
            return {"link": link, "verdict": type(error).__name__}
    return {"link": link, "verdict": str(answer.status_code), "type": answer.headers.get("content-type", "")}


async def download(client: AsyncClient, url: str, target: Path) -> int:
    async with client.stream("GET", url) as answer:
        answer.raise_for_status()
        with target.open("wb") as file:
            async for piece in answer.aiter_bytes(1 << 18):
                file.write(piece)
                note(f"{target.name}: {answer.num_bytes_downloaded} of {answer.content_length or '?'} bytes")
        return answer.num_bytes_downloaded


async def lines(results: list[dict[str, str]]) -> AsyncIterator[bytes]:
    for result in results:
        yield json.dumps(result).encode() + b"\n"


async def all_or_none(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """The results of all, or the first failure, with the rest cancelled. From Python 3.11 on a TaskGroup does it."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def collect(base_url: str, authorities: Path, target: Path) -> dict[str, Any]:
    async with AsyncClient(
        base_url=base_url,
        verify=authorities,
        headers={"User-Agent": "check-links/1", "Accept": "application/json"},
        timeout=Timeout(30.0, connect=10.0),
        limits=Limits(max_connections=IN_FLIGHT),
    ) as client:
        places = asyncio.Semaphore(IN_FLIGHT - 1)  # The archive has one.
        checks = [check(client, places, link) for link in await links(client)]
        size, *results = await all_or_none(download(client, "archive", target), *checks)
        summary = {"archive": size, "verdicts": Counter(result["verdict"] for result in results)}
        accepted: dict[str, Any] = (await client.post("summary", json=summary)).raise_for_status().json()
        delivery = {"Content-Type": "application/x-ndjson"}
        (await client.post("results", content=lines(results), headers=delivery)).raise_for_status()
        return accepted


def main() -> int:
    base_url, authorities, target = sys.argv[1:]
    try:
        print(json.dumps(asyncio.run(collect(base_url, Path(authorities), Path(target)))))
    except c_http_core.HTTPStatusError as error:
        note(f"refused: {error}")
    except c_http_core.RequestError as error:
        note(f"{type(error).__name__} for {error.method} {error.url}: {error.message}")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
