"""The world of the strict EC2: one account in one Region, as it is on the first day."""

from __future__ import annotations

import time
from collections.abc import Callable

from . import filters
from .errors import EC2Error, missing
from .launch import check_imds_tags
from .nat_gateways import NatGateways
from .records import Data, Params, Resource, Result, Settings
from .state import KINDS, operation

__all__ = ["Data", "Settings", "World"]

AL2023 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
AMAZON = "137112412989"
MAX_TAGGED = 1000


class World(NatGateways):
    """All operations, and the helpers by which a test arranges what EC2 would not let it arrange."""

    def __init__(self, settings: Settings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings, clock)
        self._first_day()

    def _first_day(self) -> None:
        """EC2 docs: every Region starts with a default VPC, a subnet per zone, a group and a gateway."""
        default = self.add_vpc("172.31.0.0/16", is_default=True)
        self.add_gateway(default)
        for position, zone in enumerate(self.zones):
            self.add_subnet(default, f"172.31.{16 * position}.0/20", zone, map_public_ip=True, default_for_az=True)
        for suffix, architecture in (("x86_64", "x86_64"), ("arm64", "arm64")):
            for release, date in (("20260105.0", "2026-01-06"), ("20260202.1", "2026-02-03")):
                self.add_image(
                    f"al2023-ami-2023.10.{release}-kernel-6.1-{suffix}",
                    f"{date}T18:00:00.000Z",
                    architecture=architecture,
                    owner_id=AMAZON,
                    parameter=f"{AL2023}{suffix}",
                )
        self.add_image(
            "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260115",
            "2026-01-15T07:00:00.000Z",
            owner_id="099720109477",
            owner_alias=None,
        )
        self.add_key_pair("ops")
        self.add_kms_key("alias/aws/ebs")
        self.add_instance_profile("web")

    # -- tags ----------------------------------------------------------------------------------------

    def _taggable(self, resource_id: str) -> Resource:
        prefix = resource_id.rpartition("-")[0]
        if prefix == "sgr":
            group = self.data.groups.get(self.data.rules.get(resource_id, ""))
            rules = group.rules if group and self.visible(group) else {}
            return self.lookup("sgr", rules, resource_id)
        kind = KINDS.get(prefix)
        if kind is None or not kind.tag_type:
            raise EC2Error("InvalidID", f"The ID '{resource_id}' is not valid")
        records: dict[str, Resource] = getattr(self.data, kind.records)
        return self.lookup(prefix, records, resource_id)

    def _tagged(self, p: Params) -> list[Resource]:
        """EC2 docs: at most 1000 resources; one unknown id fails the whole call."""
        if not p.get("Resources"):
            raise missing("resourceIdSet")
        if len(p["Resources"]) > MAX_TAGGED:
            raise EC2Error("InvalidParameterValue", f"At most {MAX_TAGGED} resources may be tagged in a call")
        return [self._taggable(each) for each in dict.fromkeys(p["Resources"])]

    @operation
    def create_tags(self, p: Params) -> Result:
        """Sets what is named and leaves the rest, on all resources or on none."""
        resources = self._tagged(p)
        if not p.get("Tags"):
            raise missing("Tag")
        wanted = [self.check_tags(p["Tags"], resource.tags) for resource in resources]
        for resource, tags in zip(resources, wanted, strict=True):
            instance = self.data.instances.get(resource.id)
            if instance and instance.metadata.get("InstanceMetadataTags") == "enabled":
                check_imds_tags(tags)
        for resource, tags in zip(resources, wanted, strict=True):
            resource.tags.update(tags)
        return {}

    @operation
    def delete_tags(self, p: Params) -> Result:
        """EC2 docs: a value that is given must match; a tag that is not there is no error."""
        resources = self._tagged(p)
        for resource in resources:
            if not p.get("Tags"):
                resource.tags.clear()
            for tag in p.get("Tags", []):
                key = tag.get("Key", "")
                if "Value" not in tag or resource.tags.get(key) == tag["Value"]:
                    resource.tags.pop(key, None)
        return {}

    @operation
    def describe_tags(self, p: Params) -> Result:
        rows: list[tuple[Resource, str]] = [
            (record, kind.tag_type)
            for kind in KINDS.values()
            if kind.tag_type and kind.records != "rules"
            for record in self.seen(getattr(self.data, kind.records))
        ]
        for group in self.seen(self.data.groups):
            rows += [(rule, "security-group-rule") for rule in group.rules.values()]
        tags = [
            Resource(f"{record.id} {key}", tags={"id": record.id, "type": kind, "key": key, "value": value})
            for record, kind in rows
            for key, value in record.tags.items()
        ]
        known: filters.Extractors[Resource] = {
            "resource-id": lambda t: [t.tags["id"]],
            "resource-type": lambda t: [t.tags["type"]],
            "key": lambda t: [t.tags["key"]],
            "value": lambda t: [t.tags["value"]],
        }
        found = filters.select(tags, p.get("Filters"), known)
        self.rng.shuffle(found)
        shown, token = self.page("DescribeTags", p, found, None)
        answer = [
            {
                "ResourceId": tag.tags["id"],
                "ResourceType": tag.tags["type"],
                "Key": tag.tags["key"],
                "Value": tag.tags["value"],
            }
            for tag in shown
        ]
        return self.answer("Tags", answer, token)
