"""Spot interruption notices of Amazon EC2.

The answers are those of *Spot Instance interruption notices* in the Amazon EC2 User Guide: ``spot/instance-action`` is
not found until an interruption is announced, and is ``{"action": …, "time": …}`` from then on. It is read by version 2
of the metadata service (*Use the Instance Metadata Service to access instance metadata*, in the same guide): a token is
fetched with a PUT and sent along. Version 1, without a token, may be switched off and is not tried.

Left out: ``events/recommendations/rebalance``. It says that a risk has grown, often hours ahead or with nothing to
follow, which is no reason to stop work that has checkpoints.
"""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus

import msgspec

from regrow.executors.notices.metadata import LINK_LOCAL, TIMEOUT, Answer, ask, excerpt, refusal
from regrow.executors.notices.notice import BadAnswer, NotHere, Notice

_TOKEN = "/latest/api/token"  # noqa: S105 - a path
_ACTION = "/latest/meta-data/spot/instance-action"
_TOKEN_LASTS = "21600"  # noqa: S105 - in seconds: six hours, the longest that may be asked for


class _InstanceAction(msgspec.Struct):
    action: str
    time: str = ""


class AwsWatcher:
    """Watches for the interruption of a spot instance."""

    source = "aws"

    def __init__(self, base_url: str = LINK_LOCAL, *, timeout: float = TIMEOUT) -> None:
        """Ask the metadata service at `base_url`, waiting `timeout` seconds for each answer."""
        self._base_url = base_url
        self._timeout = timeout
        self._token = ""

    def look(self) -> Notice | None:
        """Look once. See `Watcher`."""
        fresh = not self._token
        if fresh:
            self._token = self._new_token()
        answer = self._ask_for_action()
        if answer.status == HTTPStatus.UNAUTHORIZED and not fresh:  # the token has run out
            self._token = self._new_token()
            answer = self._ask_for_action()
        match answer.status:
            case HTTPStatus.OK:
                return read_instance_action(answer.body)
            case HTTPStatus.NOT_FOUND:
                return None
            case _:
                self._token = ""
                raise refusal(answer, "spot/instance-action of EC2")

    def _ask_for_action(self) -> Answer:
        return ask(self._base_url, _ACTION, {"X-aws-ec2-metadata-token": self._token}, timeout=self._timeout)

    def _new_token(self) -> str:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": _TOKEN_LASTS}
        answer = ask(self._base_url, _TOKEN, headers, method="PUT", timeout=self._timeout)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise refusal(answer, "a token of EC2")
        if answer.status != HTTPStatus.OK:
            # 403 is what an EC2 instance says whose metadata service is switched off, and what Google's servers say.
            raise NotHere(f"{self._base_url} gives no EC2 tokens: status {answer.status}")
        token = answer.text()
        if not token or not token.isascii() or not token.isprintable() or " " in token or "<" in token:
            raise BadAnswer(f"a token of EC2: got {excerpt(answer.body)}")
        return token


def read_instance_action(body: bytes) -> Notice:
    """Read what ``spot/instance-action`` says.

    A moment that cannot be read is taken as not said: what is announced stays announced.

    Raises:
        BadAnswer: it is not that.
    """
    try:
        said = msgspec.json.decode(body, type=_InstanceAction)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise BadAnswer(f"spot/instance-action of EC2: {problem}, in {excerpt(body)}") from problem
    when = f" at {said.time}" if said.time else ""
    return Notice("aws", said.action, _moment(said.time), f"EC2 announces {said.action} of this spot instance{when}")


def _moment(time: str) -> float | None:
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()  # "in UTC", says the guide
