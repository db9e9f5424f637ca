"""The account under test, through direct EC2 calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

T = TypeVar("T")
Item = dict[str, Any]

TAG = "enireconcile-acceptance"
"""The tag key of everything that a run makes; its value is the id of the run."""
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
SMALL, LARGER = "t3.nano", "t3.micro"
PATIENCE = 900.0
"""Seconds after which a wait is given up."""
LONGEST_PAUSE = 1.0
LAG = 20.0
"""Seconds for which reads may show an older state."""


class Refused(Exception):
    """Why a run cannot begin. Nothing was changed."""


class Failed(Exception):
    """What was not as a scene expects it."""


def expect(what: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise Failed(f"{what}: expected {wanted!r}, got {got!r}")


@dataclass
class Account:
    """`run` is the id of the run: the value of its tag, and the beginning of its names."""

    session: boto3.Session
    run: str
    timings: dict[str, list[float]] = field(default_factory=dict)
    """Seconds, by what was measured."""

    @cached_property
    def ec2(self) -> Any:
        return self._client("ec2")

    @cached_property
    def id(self) -> str:
        return str(self._client("sts").get_caller_identity()["Account"])

    @property
    def region(self) -> str:
        return str(self.session.region_name)

    @property
    def endpoint(self) -> str:
        return str(self.ec2.meta.endpoint_url)

    def _client(self, service: str) -> Any:
        config = Config(retries={"total_max_attempts": 5, "mode": "standard"})
        return self.session.client(service, config=config)  # type: ignore[call-overload]

    @cached_property
    def image(self) -> str:
        """The newest Amazon Linux 2023."""
        return str(self._client("ssm").get_parameter(Name=IMAGE)["Parameter"]["Value"])

    # -- tags ----------------------------------------------------------------------------------------

    def tags(self, name: str) -> list[dict[str, str]]:
        return [{"Key": TAG, "Value": self.run}, {"Key": "Name", "Value": f"{self.run}-{name}"}]

    def tagged(self, name: str, *kinds: str) -> list[Item]:
        """TagSpecifications for these resource types."""
        return [{"ResourceType": kind, "Tags": self.tags(name)} for kind in kinds]

    # -- reading -------------------------------------------------------------------------------------

    def interfaces(self, filters: Mapping[str, str]) -> list[Item]:
        return self._listed("describe_network_interfaces", "NetworkInterfaces", filters)

    def addresses(self, filters: Mapping[str, str]) -> list[Item]:
        return list(self.ec2.describe_addresses(Filters=as_filters(filters))["Addresses"])

    def groups(self, filters: Mapping[str, str]) -> list[Item]:
        return self._listed("describe_security_groups", "SecurityGroups", filters)

    def instances(self, filters: Mapping[str, str]) -> list[Item]:
        """Without those that are terminated."""
        reservations = self._listed("describe_instances", "Reservations", filters)
        found = [instance for each in reservations for instance in each["Instances"]]
        return [instance for instance in found if instance["State"]["Name"] != "terminated"]

    def _listed(self, operation: str, key: str, filters: Mapping[str, str]) -> list[Item]:
        pages = self.ec2.get_paginator(operation).paginate(Filters=as_filters(filters))
        return [item for page in pages for item in page[key]]

    def interface(self, interface_id: str) -> Item:
        return one("interface", self.interfaces({"network-interface-id": interface_id}))

    def instance_state(self, instance_id: str) -> str:
        found = self.instances({"instance-id": instance_id})
        return str(found[0]["State"]["Name"]) if found else "terminated"

    # -- waiting -------------------------------------------------------------------------------------

    def until(self, what: str, check: Callable[[], T], *, measure: str | None = None) -> T:
        """Asks until `check` answers something true; with `measure`, the time counts as one of its timings.

        Resources that are not visible yet are waited for. Raises Failed after 15 minutes.
        """
        began, pause = time.monotonic(), 0.1
        while True:
            answer = _asked(check)
            spent = time.monotonic() - began
            if answer:
                if measure:
                    self.timings.setdefault(measure, []).append(spent)
                return answer
            if spent > PATIENCE:
                raise Failed(f"{what}: not within {PATIENCE:.0f} s")
            time.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 1.5)

    def soon(self, check: Callable[[], None]) -> None:
        """Repeats a check that fails, for 20 seconds: reads may lag behind a change that is complete."""
        deadline, pause = time.monotonic() + LAG, 0.2
        while True:
            try:
                return check()
            except Failed:
                if time.monotonic() > deadline:
                    raise
            time.sleep(pause)
            pause *= 2

    def until_state(self, instance_id: str, state: str, *, measure: str | None = None) -> None:
        self.until(f"{instance_id} {state}", lambda: self.instance_state(instance_id) == state, measure=measure)

    def until_attached(self, interface_id: str, *, measure: str | None = None) -> None:
        def attached() -> bool:
            attachment = self.interface(interface_id).get("Attachment") or {}
            return attachment.get("Status") == "attached"

        self.until(f"{interface_id} attached", attached, measure=measure)

    def until_available(self, interface_id: str, *, measure: str | None = None) -> None:
        self.until(
            f"{interface_id} available",
            lambda: self.interface(interface_id)["Status"] == "available",
            measure=measure,
        )

    # -- what scenes make by themselves --------------------------------------------------------------

    def launch(self, name: str, subnet: str, token: str = "") -> str:
        """The id of a new instance in a subnet; it need not run yet."""
        answer = self.ec2.run_instances(
            ImageId=self.image,
            InstanceType=SMALL,
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": subnet,
                    "DeleteOnTermination": True,
                    "AssociatePublicIpAddress": False,
                }
            ],
            TagSpecifications=self.tagged(name, "instance", "network-interface"),
            **({"ClientToken": token} if token else {}),
        )
        return str(answer["Instances"][0]["InstanceId"])


def _asked(check: Callable[[], T]) -> T | None:
    try:
        return check()
    except Failed:
        return None
    except ClientError as error:
        if error.response["Error"]["Code"].endswith(".NotFound"):
            return None
        raise


def as_filters(values: Mapping[str, str]) -> list[Item]:
    return [{"Name": name, "Values": [value]} for name, value in values.items()]


def one(what: str, found: list[Item]) -> Item:
    if len(found) != 1:
        raise Failed(f"{what}: expected exactly one, found {len(found)}")
    return found[0]


def open_account(run: str) -> Account:
    """The account of the environment. Raises Refused without a Region or credentials."""
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    if not session.region_name:
        raise Refused("No AWS Region is set. Set AWS_REGION or AWS_PROFILE.")
    account = Account(session, run)
    try:
        account.id  # noqa: B018 (asks STS)
    except (BotoCoreError, ClientError) as error:
        raise Refused(f"The AWS credentials do not work: {error}") from error
    return account
