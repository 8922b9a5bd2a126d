"""What is forgotten is read again, even if a read of it was under way."""

from __future__ import annotations

import asyncio

from wazir.service.security.recent import Recent


def test_what_a_read_brings_that_began_before_is_not_kept() -> None:
    async def main() -> None:
        now = "before"
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def read(_: str) -> str:
            found = now
            begun.set()
            await go_on.wait()
            return found

        recent: Recent[str, str] = Recent(read, max_age=3600.0, size=10)
        early = asyncio.create_task(recent.get("a"))
        await begun.wait()
        now = "after"
        recent.forget("a")
        late = asyncio.create_task(recent.get("a"))
        go_on.set()

        assert await early == "before"  # it asked before
        assert await late == "after"
        assert recent.last("a") == "after"

        now = "later still"
        assert await recent.get("a") == "after"
        recent.forget_all()
        assert await recent.get("a") == "later still"

    asyncio.run(main())
