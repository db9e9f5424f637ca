"""What scenes share: the account, the program, the scratch VPC, and how they form chapters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.account import TAG, Account, Item, expect, one
from tests.acceptance.program import Program
from tests.acceptance.scratch import Scratch

Spec = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A spec of a chapter has the stack `<run>-<chapter>`."""

    account: Account
    program: Program
    scratch: Scratch

    @property
    def ec2(self) -> Any:
        return self.account.ec2

    def write(self, chapter: str, sections: Mapping[str, Any]) -> Path:
        """A spec file with these sections, in the account and the Region of the run, with the tag of the run."""
        document = {
            "version": 1,
            "stack": self.stack(chapter),
            "region": self.account.region,
            "account_id": self.account.id,
            "tags": {TAG: self.account.run},
            **sections,
        }
        path = self.program.folder / f"{chapter}.yaml"
        # Through JSON, since equal objects become YAML anchors, which a spec must not have.
        path.write_text(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False), "utf-8")
        return path

    def stack(self, chapter: str) -> str:
        return f"{self.account.run}-{chapter}"

    def selector(self, name: str) -> Item:
        """The resource that the kit made under this name."""
        return {"tags": {"Name": f"{self.account.run}-{name}"}}

    def owned(self, chapter: str, address: str | None = None) -> dict[str, str]:
        """The filters for what a stack owns; for one row of it with `address`."""
        filters = {"tag:enireconcile:stack": self.stack(chapter)}
        return filters if address is None else {**filters, "tag:enireconcile:name": address}

    def interface(self, chapter: str, name: str) -> Item:
        return one(f"interface {name}", self.account.interfaces(self.owned(chapter, f"network_interfaces.{name}")))

    def address(self, chapter: str, name: str) -> Item:
        return one(f"Elastic IP {name}", self.account.addresses(self.owned(chapter, f"elastic_ips.{name}")))

    def group(self, chapter: str, name: str) -> Item:
        return one(f"group {name}", self.account.groups(self.owned(chapter, f"security_groups.{name}")))

    def instance(self, chapter: str, name: str) -> Item:
        return one(f"instance {name}", self.account.instances(self.owned(chapter, f"instances.{name}")))

    def counts(self, chapter: str) -> dict[str, int]:
        """How many resources the stack owns, by kind. Terminated instances do not count."""
        account, owned = self.account, self.owned(chapter)
        return {
            "security groups": len(account.groups(owned)),
            "instances": len(account.instances(owned)),
            "interfaces": len(account.interfaces(owned)),
            "Elastic IPs": len(account.addresses(owned)),
        }

    def expect_counts(self, chapter: str, *counts: int) -> None:
        """Raises Failed unless the stack owns so many security groups, instances, interfaces and Elastic IPs."""
        what = f"resources of {self.stack(chapter)}"
        self.account.soon(lambda: expect(what, tuple(self.counts(chapter).values()), counts))


Play = Callable[[Stage], None]


@dataclass(frozen=True)
class Scene:
    """One thing that a chapter shows. `play` raises Failed if EC2 or the program is not as it expects."""

    chapter: str
    name: str
    title: str
    play: Play


@dataclass(frozen=True)
class Chapter:
    """Scenes that build on each other, in the order of definition. Chapters do not need each other."""

    name: str
    scenes: list[Scene] = field(default_factory=list)

    def scene(self, play: Play) -> Play:
        """Adds a function. Its docstring is the title of the scene."""
        self.scenes.append(Scene(self.name, play.__name__, (play.__doc__ or "").strip(), play))
        return play
