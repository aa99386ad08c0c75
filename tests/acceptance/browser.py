"""Headless Chromium, and what every page must keep to while a test uses it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")

# Kept where the page can't reach it by name; the browser runs it before anything of the page.
WATCH = """
globalThis.__violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => globalThis.__violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass(kw_only=True)
class Chromium:
    """A test's tabs. Each is another person's: cookies are not shared."""

    running: Browser
    contexts: list[BrowserContext] = field(default_factory=list)
    tabs: list[Page] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    async def tab(self, **options: Any) -> Page:
        """A new tab; `options` are those of `Browser.new_context`."""
        context = await self.running.new_context(**options)
        self.contexts.append(context)
        if options.get("java_script_enabled", True):
            await context.add_init_script(WATCH)
        tab = await context.new_page()
        tab.set_default_timeout(10_000)
        tab.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))
        tab.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        tab.on("console", self._heard)
        self.tabs.append(tab)
        return tab

    def _heard(self, message: Any) -> None:
        if "Content Security Policy" in message.text:
            self.faults.append(message.text)

    async def check(self) -> None:
        """No page broke the policy it was sent with, ran what it should not, or failed in its own script."""
        for tab in self.tabs:
            if not tab.is_closed():
                self.faults += await tab.evaluate("globalThis.__violations ?? []")
        assert self.faults == []

    async def close(self) -> None:
        """Close its tabs."""
        for context in self.contexts:
            await context.close()


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A running Chromium; who uses it needs the event loop it was started in."""
    async with async_playwright() as playwright:
        path = _path(playwright.chromium.executable_path)
        running = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        await running.close()


def _path(own: str) -> str:
    """The machine's Chromium, or the one that 'playwright install chromium' has put there."""
    found = next(filter(None, map(shutil.which, NAMES)), None) or (own if Path(own).exists() else None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("there is no Chromium: install it, or run 'playwright install chromium'")
    if found is None:
        pytest.skip("there is no Chromium: install it, or run 'playwright install chromium'")
    return found
