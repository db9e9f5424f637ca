"""Network interfaces as EC2 shows and finds them."""

from __future__ import annotations

from typing import Any

from . import filters
from .errors import managed_by_service, missing, not_permitted
from .private_ips import PrivateIps
from .records import Address, Attachment, Instance, Interface, Params, Result
from .state import operation


class InterfaceViews(PrivateIps):
    """Lookups and descriptions; nothing here changes anything."""

    def interface(self, interface_id: str) -> Interface:
        return self.lookup("eni", self.data.interfaces, interface_id)

    def own_interface(self, interface_id: str) -> Interface:
        """An interface that its account may change; EC2 docs: requester-managed ones are not."""
        eni = self.interface(interface_id)
        if eni.requester_managed:
            raise managed_by_service()
        if eni.operator:
            raise not_permitted(f"The network interface '{eni.id}' is managed by {eni.operator}.")
        return eni

    def interfaces_of(self, instance: Instance) -> list[Interface]:
        """Every interface that holds a place on an instance, also while attaching and detaching."""
        return [self.data.interfaces[each] for each in instance.interface_ids]

    @operation
    def describe_network_interfaces(self, p: Params) -> Result:
        ids = p.get("NetworkInterfaceIds")
        records = self.listed("eni", self.data.interfaces, ids)
        if self.settings.hide_managed and not p.get("IncludeManagedResources"):
            records = [eni for eni in records if not eni.operator]
        found = filters.select(records, p.get("Filters"), self._interface_filters())
        shown, token = self.page("DescribeNetworkInterfaces", p, found, ids)
        return self.answer("NetworkInterfaces", [self.show_interface(eni) for eni in shown], token)

    def elastic_ips_of(self, eni: Interface) -> list[Address]:
        allocations = (self.data.by_target.get((eni.id, address)) for address in eni.ips)
        return [self.data.addresses[each] for each in allocations if each]

    def status_of(self, eni: Interface) -> str:
        """EC2 docs: `available` when free, `in-use` from the start of an attach to the end of a detach."""
        if eni.attachment is not None:
            return "in-use"
        return "pending" if eni.pending else "available"

    def shown_attachment(self, eni: Interface) -> Attachment | None:
        """The attachment; after its end, for a moment, its ghost."""
        if eni.attachment is None and eni.ghost and self.now < eni.ghost[1]:
            return eni.ghost[0]
        return eni.attachment

    def _interface_filters(self) -> filters.Extractors[Interface]:
        def names(eni: Interface) -> list[str]:
            return [self.data.groups[each].name for each in eni.group_ids]

        def attached(field: str) -> Any:
            def extract(eni: Interface) -> list[Any]:
                attachment = self.shown_attachment(eni)
                return [getattr(attachment, field)] if attachment else []

            return extract

        def associated(field: str) -> Any:
            return lambda eni: [getattr(address, field) for address in self.elastic_ips_of(eni)]

        return {
            "network-interface-id": lambda e: [e.id],
            "subnet-id": lambda e: [e.subnet_id],
            "vpc-id": lambda e: [e.vpc_id],
            "availability-zone": lambda e: [e.zone],
            "description": lambda e: [e.description],
            "group-id": lambda e: e.group_ids,
            "group-name": names,
            "status": lambda e: [self.status_of(e)],
            "mac-address": lambda e: [e.mac],
            "owner-id": lambda _: [self.settings.account_id],
            "private-ip-address": lambda e: e.ips[:1],
            "private-dns-name": lambda e: [private_dns(each) for each in e.ips[:1]],
            "addresses.private-ip-address": lambda e: e.ips,
            "addresses.primary": lambda e: [True, *([False] if len(e.ips) > 1 else [])],
            "addresses.association.public-ip": associated("public_ip"),
            "association.public-ip": associated("public_ip"),
            "association.allocation-id": associated("id"),
            "association.association-id": associated("association_id"),
            "attachment.attachment-id": attached("id"),
            "attachment.instance-id": attached("instance_id"),
            "attachment.device-index": attached("device_index"),
            "attachment.delete-on-termination": attached("delete_on_termination"),
            "attachment.status": attached("status"),
            "attachment.instance-owner-id": attached("owner_id"),
            "interface-type": lambda e: [e.interface_type],
            "ipv6-addresses.ipv6-address": lambda e: e.ipv6,
            "requester-managed": lambda e: [e.requester_managed],
            "requester-id": lambda e: [e.requester_id],
            "source-dest-check": lambda e: [e.source_dest_check],
            "operator.managed": lambda e: [e.operator is not None],
            "operator.principal": lambda e: [e.operator],
        }

    def show_interface(self, eni: Interface) -> Result:
        """DescribeNetworkInterfaces' row. The tags are under `TagSet`, which is there even without tags."""
        answer: Result = {
            "NetworkInterfaceId": eni.id,
            "SubnetId": eni.subnet_id,
            "VpcId": eni.vpc_id,
            "AvailabilityZone": eni.zone,
            "Description": eni.description,
            "Status": self.status_of(eni),
            "MacAddress": eni.mac,
            "OwnerId": self.settings.account_id,
            "RequesterManaged": eni.requester_managed,
            "RequesterId": eni.requester_id,
            "InterfaceType": eni.interface_type,
            "SourceDestCheck": eni.source_dest_check,
            "PrivateIpAddress": eni.ips[0] if eni.ips else None,
            "PrivateDnsName": self._dns_of(eni, eni.ips[0]) if eni.ips else None,
            "PrivateIpAddresses": self.show_ips(eni),
            "Association": self.show_association(eni, eni.ips[0]) if eni.ips else None,
            "Groups": self.show_groups(eni),
            "Ipv6Address": eni.ipv6[0] if eni.ipv6 else None,
            "Ipv6Addresses": self.show_ips6(eni),
            "Ipv4Prefixes": self.shuffled({"Ipv4Prefix": each} for each in eni.prefixes4) or None,
            "Ipv6Prefixes": self.shuffled({"Ipv6Prefix": each} for each in eni.prefixes6) or None,
            "DenyAllIgwTraffic": True if eni.deny_igw else None,
            "Operator": {"Managed": eni.operator is not None, "Principal": eni.operator},
            "TagSet": self.tag_list(eni.tags),
        }
        if eni.connection_tracking:
            answer["ConnectionTrackingConfiguration"] = eni.connection_tracking
        if attachment := self.shown_attachment(eni):
            answer["Attachment"] = {
                **self.show_attachment(attachment),
                "InstanceId": attachment.instance_id,
                "InstanceOwnerId": attachment.owner_id,
            }
        return answer

    def show_ips(self, eni: Interface) -> list[Result]:
        return self.shuffled(
            {
                "Primary": position == 0,
                "PrivateIpAddress": address,
                "PrivateDnsName": self._dns_of(eni, address),
                "Association": self.show_association(eni, address),
            }
            for position, address in enumerate(eni.ips)
        )

    def _dns_of(self, eni: Interface, address: str) -> str | None:
        """EC2 docs: an interface has private DNS names where its VPC has DNS hostnames enabled."""
        return private_dns(address) if self.data.vpcs[eni.vpc_id].dns_hostnames else None

    def _public_dns_of(self, eni: Interface, address: str) -> str:
        """A public address has a DNS name under the same condition; without one, the name is empty."""
        return public_dns(address) if self.data.vpcs[eni.vpc_id].dns_hostnames else ""

    def show_attachment(self, attachment: Attachment) -> Result:
        """The attachment's own part of a row. A service's `ela-attach` shows neither its time nor its card."""
        by_service = attachment.id.startswith("ela-attach-")
        return {
            "AttachmentId": attachment.id,
            "DeviceIndex": attachment.device_index,
            "NetworkCardIndex": None if by_service or attachment.without_card else attachment.card,
            "DeleteOnTermination": attachment.delete_on_termination,
            "Status": attachment.status,
            "AttachTime": None if by_service else self.date(attachment.time),
        }

    def show_ips6(self, eni: Interface) -> list[Result]:
        return self.shuffled(
            {"Ipv6Address": address, "IsPrimaryIpv6": eni.primary_ipv6 and position == 0}
            for position, address in enumerate(eni.ipv6)
        )

    def show_groups(self, eni: Interface) -> list[Result]:
        return self.shuffled({"GroupId": each, "GroupName": self.data.groups[each].name} for each in eni.group_ids)

    def show_association(self, eni: Interface, address: str) -> Result | None:
        """The public face of a private address; EC2's own public address has no allocation."""
        if allocation := self.data.by_target.get((eni.id, address)):
            elastic = self.data.addresses[allocation]
            return {
                "AllocationId": elastic.id,
                "AssociationId": elastic.association_id,
                "IpOwnerId": self.settings.account_id,
                "PublicIp": elastic.public_ip,
                "PublicDnsName": self._public_dns_of(eni, elastic.public_ip),
            }
        if address == eni.ips[0] and eni.public_ip:
            return {
                "IpOwnerId": "amazon",
                "PublicIp": eni.public_ip,
                "PublicDnsName": self._public_dns_of(eni, eni.public_ip),
            }
        return None

    @operation
    def describe_network_interface_attribute(self, p: Params) -> Result:
        eni = self.interface(p["NetworkInterfaceId"])
        shown = self.show_interface(eni)
        values: dict[str, Result] = {
            "description": {"Description": {"Value": eni.description}},
            "groupSet": {"Groups": shown["Groups"]},
            "sourceDestCheck": {"SourceDestCheck": {"Value": eni.source_dest_check}},
            "attachment": {"Attachment": shown.get("Attachment")},
            "associatePublicIpAddress": {"AssociatePublicIpAddress": eni.auto_public},
        }
        if "Attribute" not in p:
            raise missing("Attribute")
        return {"NetworkInterfaceId": eni.id, **values[p["Attribute"]]}


def private_dns(address: str) -> str:
    return f"ip-{address.replace('.', '-')}.ec2.internal"


def public_dns(address: str) -> str:
    return f"ec2-{address.replace('.', '-')}.compute-1.amazonaws.com"
