"""The agents of test_rate_limits.py: isolated tasks, which a worker must be able to load from a file."""

from __future__ import annotations

import urllib.error
import urllib.request

import httpx

import regrow


@regrow.task(isolate=True, retries=1)
def ask_with_urllib(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refused:
        refused.close()
        raise


@regrow.task(isolate=True, retries=1)
def ask_with_httpx(url: str) -> str:
    return httpx.get(url, timeout=10).raise_for_status().text
