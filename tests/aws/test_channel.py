"""What a run does while it waits for AWS."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from enireconcile.aws.api import Channel
from enireconcile.cli.run import _account
from enireconcile.errors import EnireconcileError


class Clients:
    """A session whose STS answers only once the client of EC2 was asked for, which ``fails`` or not."""

    profile, account_id = "default", None

    def __init__(self, *, fails: bool = False) -> None:
        self.asked = threading.Event()
        self.fails = fails

    def client(self, service: str) -> Clients:
        if service == "ec2":
            self.asked.set()
            if self.fails:
                raise EnireconcileError("no such endpoint")
        return self

    def get_caller_identity(self) -> dict[str, Any]:
        assert self.asked.wait(30)
        return {"Account": "123456789012"}

    def close(self) -> None:
        pass


def account_of(session: Any) -> str:
    channel = Channel(session)
    try:
        return asyncio.run(_account(channel))
    finally:
        channel.close()


def test_the_client_of_ec2_is_made_while_sts_answers() -> None:
    assert account_of(Clients()) == "123456789012"


def test_a_client_that_cannot_be_made_is_told_by_its_first_call() -> None:
    assert account_of(Clients(fails=True)) == "123456789012"
