"""Many accounts and Regions behind one endpoint, with a world of its own for each."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from . import wire
from .calls import Call
from .errors import EC2Error
from .records import Settings
from .server import EC2Server
from .world import World


class Estate(EC2Server):
    """A call belongs to the account of its signature, and to the Region that this is for; AssumeRole leads on."""

    def __init__(
        self,
        settings: Settings | None = None,
        prepare: Callable[[World], object] = lambda world: world,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(World(settings), tls=tls)
        self.denied: set[str] = set()
        """Accounts whose role does not trust the caller."""
        self.worlds: dict[tuple[str, str], World] = {}
        self._prepare = prepare
        self._making = threading.Lock()

    def world_of(self, account: str, region: str) -> World:
        """The world of an account and Region, made when it is first asked for."""
        with self._making:
            if (account, region) not in self.worlds:
                settings = replace(self.world.settings, account_id=account, region=region)
                world = World(settings, self.world.clock)
                world.sessions = self.world.sessions
                self._prepare(world)
                self.worlds[account, region] = world
            return self.worlds[account, region]

    def account_of(self, call: Call) -> str:
        """The account that signed a call."""
        arn = self.world.sessions.get(call.access_key)
        return arn.split(":")[4] if arn else self.world.settings.account_id

    def _perform(self, request: wire.Request, call: Call) -> dict[str, Any]:
        if request.service == "sts":
            role = str(request.params.get("RoleArn", ""))
            if request.action == "AssumeRole" and role.split(":")[4] in self.denied:
                message = f"User: {self.account_of(call)} is not authorized to perform: sts:AssumeRole on {role}"
                raise EC2Error("AccessDenied", message, 403)
            return self.world.sts(request.action, request.params, call.access_key)
        world = self.world_of(self.account_of(call), call.region)
        if request.service == "ec2":
            return world.perform(request.action, request.params)
        return getattr(world, request.service)(request.action, request.params)  # type: ignore[no-any-return]
