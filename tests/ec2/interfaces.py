"""Network interfaces: their life, their attachments, and what EC2 refuses to do with them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_network
from typing import Any

from .catalogue import InstanceType
from .errors import EC2Error, bad_combination, invalid_value, managed_by_service, missing, not_permitted
from .interface_views import InterfaceViews
from .private_ips import AMOUNTS4, AMOUNTS6, one_of
from .records import Address, Attachment, Instance, Interface, Params, Replay, Result, Subnet
from .services import SERVICES
from .state import operation

EFA_TYPES = ("efa", "efa-only")
TIMEOUTS = {
    "TcpEstablishedTimeout": (60, 432000),
    "UdpStreamTimeout": (60, 180),
    "UdpTimeout": (30, 60),
}
"""EC2 docs: seconds that connection tracking may wait, least and most."""
MODIFIABLE = (
    "Groups",
    "Description",
    "SourceDestCheck",
    "Attachment",
    "EnaSrdSpecification",
    "ConnectionTrackingSpecification",
    "EnablePrimaryIpv6",
    "AssociatePublicIpAddress",
    "AssociatedSubnetIds",
)


class Interfaces(InterfaceViews):
    """EC2 docs: an interface lives in one subnet for good and takes its addresses wherever it is moved."""

    # -- create and delete ---------------------------------------------------------------------------

    @operation
    def create_network_interface(self, p: Params) -> Result:
        """EC2 docs: idempotent with a client token; SourceDestCheck and the like need a later Modify."""
        if known := self.replay("CreateNetworkInterface", p):
            return self._recreated(known)
        if p.get("TagSpecifications") and (p.get("Ipv4Prefixes") or p.get("Ipv6Prefixes")):
            # Terraform's AWS provider tags such an interface later, since EC2 has been seen to answer so.
            raise EC2Error("InternalError", "An internal error has occurred", 500)
        tags = self.tags_at_birth(p, "network-interface")["network-interface"]
        subnet = self.subnet(p["SubnetId"])
        self._check_groups_exist(p.get("Groups", []))
        group_ids = self.groups_for(p.get("Groups"), subnet.vpc_id)
        eni = self.make_interface(p, subnet, group_ids, tags)
        eni.requester_id = "AIDAIOSFODNN7EXAMPLE"
        if self.settings.eni_pending_delay > 0:
            eni.pending = True
            self.later(self.settings.eni_pending_delay, "eni_ready", eni.id)
        shown = self.show_interface(eni) | {"Status": "pending"}
        answer = {"NetworkInterface": shown, "ClientToken": p.get("ClientToken")}
        self.keep_token("CreateNetworkInterface", p, [eni.id], answer=answer)
        return answer

    def _recreated(self, known: Replay) -> Result:
        """The answer to a known token. No source says what AWS answers once the interface is deleted."""
        (interface_id,) = known.ids
        if eni := self.data.interfaces.get(interface_id):
            return {**known.answer, "NetworkInterface": self.show_interface(eni)}
        if self.settings.replays_deleted:
            return known.answer
        raise EC2Error(
            "InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID '{interface_id}' does not exist"
        )

    def _check_groups_exist(self, group_ids: Sequence[str]) -> None:
        """CreateNetworkInterface has a code of its own for a group that EC2 does not know."""
        for group_id in group_ids:
            self.check_id("sg", group_id)
            group = self.data.groups.get(group_id)
            if group is None or not self.visible(group):
                raise EC2Error(
                    "InvalidSecurityGroupID.NotFound", f"The securityGroup ID '{group_id}' does not exist"
                )

    def on_eni_ready(self, interface_id: str, when: float) -> None:
        if eni := self.data.interfaces.get(interface_id):
            eni.pending = False

    def make_interface(self, p: Params, subnet: Subnet, group_ids: list[str], tags: dict[str, str]) -> Interface:
        """A new interface with the addresses that `p` asks for; checks all before it takes any."""
        if len(self.data.interfaces) >= self.settings.quotas.interfaces:
            raise EC2Error(
                "NetworkInterfaceLimitExceeded", "The maximum number of network interfaces has been reached."
            )
        if bare := p.get("InterfaceType") == "efa-only":
            _refuse_addresses(p)
        ips = [] if bare else self.wanted_ips(p, subnet)
        ips6 = [] if bare else self.wanted_ips6(p, subnet)
        for address in ips6:
            if address in subnet.used6:
                raise EC2Error("InvalidIPAddress.InUse", "The specified address is already in use.")
        prefixes4, prefixes6 = self.wanted_prefixes(p, subnet, 4), self.wanted_prefixes(p, subnet, 6)
        if p.get("EnablePrimaryIpv6") and not ips6:
            raise bad_combination("EnablePrimaryIpv6 needs an IPv6 address")
        eni = self.born(
            Interface(
                self.new_id("eni"),
                subnet.id,
                subnet.vpc_id,
                subnet.zone,
                group_ids,
                ":".join(f"{byte:02x}" for byte in (0x0E, *self.rng.randbytes(5))),
                ips,
                description=p.get("Description", ""),
                interface_type=p.get("InterfaceType", "interface"),
                ipv6=ips6,
                primary_ipv6=bool(p.get("EnablePrimaryIpv6", False)),
                prefixes4=prefixes4,
                prefixes6=prefixes6,
                connection_tracking=_timeouts(p.get("ConnectionTrackingSpecification", {})),
                tags=tags,
            )
        )
        self.data.interfaces[eni.id] = eni
        subnet.used.update(dict.fromkeys(ips, eni.id))
        subnet.used6.update(dict.fromkeys(ips6, eni.id))
        subnet.reserved_prefixes.update(dict.fromkeys([*prefixes4, *prefixes6], eni.id))
        return eni

    @operation
    def delete_network_interface(self, p: Params) -> Result:
        eni = self.own_interface(p["NetworkInterfaceId"])
        if eni.attachment is not None:
            raise invalid_value(f"Network interface '{eni.id}' is currently in use.")
        self.remove_interface(eni)
        return {"Return": True}

    def remove_interface(self, eni: Interface) -> None:
        """EC2 docs: its addresses are free again; an Elastic IP on it stays allocated."""
        subnet = self.data.subnets[eni.subnet_id]
        for address in eni.ips:
            self.drop_target(eni.id, address)
            subnet.used.pop(address, None)
        for address in eni.ipv6:
            subnet.used6.pop(address, None)
        for prefix in (*eni.prefixes4, *eni.prefixes6):
            subnet.reserved_prefixes.pop(prefix, None)
        del self.data.interfaces[eni.id]

    def drop_target(self, interface_id: str, private_ip: str) -> None:
        """Takes the Elastic IP, if there is one, off a private address."""
        if allocation := self.data.by_target.get((interface_id, private_ip)):
            self.drop_association(self.data.addresses[allocation])

    def drop_association(self, address: Address) -> None:
        if address.association_id is None or address.interface_id is None or address.private_ip is None:
            return
        self.data.associations.pop(address.association_id, None)
        self.data.by_target.pop((address.interface_id, address.private_ip), None)
        eni = self.data.interfaces.get(address.interface_id)
        address.association_id = address.interface_id = address.private_ip = None
        if eni is not None:
            self.refresh_public_ip(eni)

    def refresh_public_ip(self, eni: Interface) -> None:
        """EC2 docs: EC2's own public address goes when an Elastic IP comes, or the instance does not run.

        A new one comes back, unless a second interface, or a secondary address with an Elastic IP, is there.
        """
        instance = self.data.instances.get(eni.attachment.instance_id or "") if eni.attachment else None
        running = instance is not None and instance.state in ("pending", "running")
        if not eni.auto_public or not running or (eni.id, eni.ips[0]) in self.data.by_target:
            eni.public_ip = None
        elif eni.public_ip is None:
            assert instance is not None
            alone = len(instance.interface_ids) == 1
            secondary = any((eni.id, address) in self.data.by_target for address in eni.ips[1:])
            if alone and not secondary:
                eni.public_ip = self.new_public_ip()

    def new_public_ip(self) -> str:
        if self.settings.public_network:
            self.data.public_ips += 1
            return str(ip_network(self.settings.public_network)[self.data.public_ips])
        return f"{self.rng.choice((3, 18, 34, 52, 54))}.{'.'.join(str(b) for b in self.rng.randbytes(3))}"

    # -- attach and detach ---------------------------------------------------------------------------

    @operation
    def attach_network_interface(self, p: Params) -> Result:
        """EC2 docs: same zone, a free index on the card, room within the type's limits; the VPC may differ."""
        eni = self.own_interface(p["NetworkInterfaceId"])
        instance = self.lookup("i", self.data.instances, p["InstanceId"])
        kind = self.instance_type(instance.instance_type)
        if instance.operator:
            raise not_permitted(f"The instance '{instance.id}' is managed by {instance.operator}.")
        if instance.state not in ("running", "stopped"):
            raise EC2Error(
                "IncorrectState",
                f"Instance '{instance.id}' is in state '{instance.state}', not 'running' or 'stopped'.",
            )
        if eni.attachment is not None:
            raise EC2Error("InvalidNetworkInterface.InUse", f"Interface: [{eni.id}] in use.")
        if eni.pending:
            raise EC2Error("IncorrectState", f"Network interface '{eni.id}' is in state 'pending'.")
        if eni.zone != instance.zone:
            raise bad_combination(
                "You may not attach a network interface to an instance if they are not in the same "
                "availability zone"
            )
        card: int = p.get("NetworkCardIndex", 0)
        attached = self.interfaces_of(instance)
        # Without NetworkCardIndex EC2 has been seen to judge the index by the wrong card of several.
        same_card = attached if "NetworkCardIndex" not in p else [e for e in attached if _card(e) == card]
        blocked = (card, p["DeviceIndex"]) in instance.blocked
        if blocked or any(_index(e) == p["DeviceIndex"] for e in same_card):
            raise invalid_value(
                f"Instance '{instance.id}' already has an interface attached at device index '{p['DeviceIndex']}'."
            )
        self.check_cards(kind, [*((_card(e), e) for e in attached), (card, eni)])
        self.check_slots(kind, eni, "PrivateIpAddressLimitExceeded")
        if eni.interface_type in EFA_TYPES and instance.state != "stopped":
            raise EC2Error(
                "IncorrectInstanceState",
                f"The instance '{instance.id}' must be stopped to attach an Elastic Fabric Adapter.",
            )
        attachment = self.fasten(eni, instance, p["DeviceIndex"], card, delete_on_termination=False)
        attachment.status = "attaching"
        self.later(self.settings.attach_delay, "attached", attachment.id)
        return {"AttachmentId": attachment.id, "NetworkCardIndex": card}

    def check_cards(self, kind: InstanceType, placed: Sequence[tuple[int, Interface | None]]) -> None:
        """Interfaces per type and per card; at most one Elastic Fabric Adapter per card."""
        if len(placed) > kind.interfaces:
            raise EC2Error(
                "AttachmentLimitExceeded", f"Interface count {len(placed)} exceeds the limit for {kind.name}"
            )
        for card, _ in placed:
            if not 0 <= card < len(kind.per_card):
                raise invalid_value(f"Network card index {card} exceeds the limit for {kind.name}")
            on_card = [eni for each, eni in placed if each == card]
            if len(on_card) > kind.per_card[card]:
                raise EC2Error(
                    "AttachmentLimitExceeded",
                    f"Interface count {len(on_card)} exceeds the limit for network card {card} of {kind.name}",
                )
            if len([eni for eni in on_card if eni and eni.interface_type in EFA_TYPES]) > 1:
                raise EC2Error(
                    "AttachmentLimitExceeded", f"Network card {card} already has an Elastic Fabric Adapter"
                )

    def check_slots(self, kind: InstanceType, eni: Interface, code: str, more4: int = 0, more6: int = 0) -> None:
        """EC2 docs: addresses per interface depend on the type; IPv4 and IPv6 are counted apart."""
        if eni.slots4 + more4 > kind.addresses or eni.slots6 + more6 > kind.addresses6:
            raise EC2Error(code, "Number of private addresses will exceed limit.")
        if (eni.prefixes4 or eni.prefixes6) and not kind.nitro:
            raise EC2Error("UnsupportedOperation", f"Prefixes are not supported for {kind.name}")
        if eni.interface_type in EFA_TYPES and not kind.efa:
            raise EC2Error("UnsupportedOperation", f"{eni.interface_type} is not supported for {kind.name}")

    def fasten(
        self, eni: Interface, instance: Instance, index: int, card: int, *, delete_on_termination: bool
    ) -> Attachment:
        attachment = Attachment(
            self.new_id("eni-attach"),
            instance.id,
            index,
            card,
            delete_on_termination,
            "attached",
            self.now,
            self.settings.account_id,
        )
        eni.attachment = attachment
        instance.interface_ids.append(eni.id)
        self.data.attachments[attachment.id] = eni.id
        return attachment

    def on_attached(self, attachment_id: str, when: float) -> None:
        eni = self.data.interfaces.get(self.data.attachments.get(attachment_id, ""))
        if eni and eni.attachment and eni.attachment.status == "attaching":
            eni.attachment.status = "attached"

    @operation
    def detach_network_interface(self, p: Params) -> Result:
        """EC2 docs: the primary interface never comes off; the flag on the attachment is lost with it.

        With Force, also out of `detaching`: "you might not be able to attach a different network interface to the
        same index on the instance without first stopping and starting the instance".
        """
        attachment_id = p["AttachmentId"]
        if attachment_id.startswith("ela-attach-"):
            raise not_permitted("You are not allowed to manage 'ela-attach' attachments.")
        eni = self.data.interfaces.get(self.data.attachments.get(attachment_id, ""))
        if eni is None or eni.attachment is None:
            raise EC2Error("InvalidAttachmentID.NotFound", f"The attachment '{attachment_id}' does not exist")
        if eni.requester_managed or eni.operator:
            raise managed_by_service()
        attachment = eni.attachment
        if (attachment.device_index, attachment.card) == (0, 0):
            raise not_permitted(
                "The network interface at device index 0 and networkCard index 0 cannot be detached."
            )
        instance = self.data.instances[attachment.instance_id or ""]
        forced = bool(p.get("Force"))
        if attachment.status != "attached" and not (forced and attachment.status == "detaching"):
            raise EC2Error(
                "IncorrectState",
                f"Attachment '{attachment_id}' is in state '{attachment.status}', not 'attached'.",
            )
        if instance.state in ("pending", "shutting-down", "terminated"):
            raise EC2Error(
                "IncorrectState",
                f"Instance '{instance.id}' is in state '{instance.state}', not 'running' or 'stopped'.",
            )
        if eni.interface_type in EFA_TYPES and instance.state == "running":
            raise EC2Error(
                "IncorrectInstanceState",
                f"The instance '{instance.id}' must be stopped to detach an Elastic Fabric Adapter.",
            )
        attachment.status = "detaching"
        if forced and instance.state != "stopped":
            instance.blocked.add((attachment.card, attachment.device_index))
        if forced or not instance.clings or instance.state == "stopped":
            self.later(0.0 if forced else self.settings.detach_delay, "detached", attachment_id)
        return {"Return": True}

    def on_detached(self, attachment_id: str, when: float) -> None:
        eni = self.data.interfaces.get(self.data.attachments.get(attachment_id, ""))
        if eni is not None:
            self.unfasten(eni)

    def unfasten(self, eni: Interface) -> None:
        """The interface is free: EC2 docs, `Attachment` is absent from its description from now on."""
        attachment = eni.attachment
        if attachment is None:
            return
        self.data.attachments.pop(attachment.id, None)
        if instance := self.data.instances.get(attachment.instance_id or ""):
            instance.interface_ids.remove(eni.id)
        attachment.status = "detached"
        eni.ghost = (attachment, self.now + self.settings.detached_delay)
        eni.attachment = None
        eni.public_ip = None

    # -- modify --------------------------------------------------------------------------------------

    @operation
    def modify_network_interface_attribute(self, p: Params) -> Result:
        """EC2 docs: exactly one attribute in a call."""
        eni = self.own_interface(p["NetworkInterfaceId"])
        asked = [name for name in MODIFIABLE if name in p]
        if len(asked) != 1:
            listed = ", ".join(asked) or "none"
            raise bad_combination(
                f"Exactly one network interface attribute must be specified in a call, not: {listed}"
            )
        match asked[0]:
            case "Groups":
                if not p["Groups"]:
                    raise missing("SecurityGroupId")
                eni.group_ids = self.groups_for(p["Groups"], eni.vpc_id)
            case "Description":
                eni.description = p["Description"].get("Value", "")
            case "SourceDestCheck":
                eni.source_dest_check = p["SourceDestCheck"]["Value"]
            case "Attachment":
                self._modify_attachment(eni, p["Attachment"])
            case "EnablePrimaryIpv6":
                if not p["EnablePrimaryIpv6"]:
                    raise invalid_value("EnablePrimaryIpv6 cannot be disabled once it is enabled")
                if not eni.ipv6:
                    raise bad_combination(f"Network interface '{eni.id}' has no IPv6 address")
                eni.primary_ipv6 = True
            case "AssociatePublicIpAddress":
                if eni.attachment is None or eni.attachment.device_index != 0:
                    raise invalid_value("A public address can be associated with a primary interface only")
                eni.auto_public = p["AssociatePublicIpAddress"]
                self.refresh_public_ip(eni)
            case "ConnectionTrackingSpecification":
                # Whether EC2 keeps the timeouts that are not named is not documented; this one forgets them.
                eni.connection_tracking = _timeouts(p["ConnectionTrackingSpecification"])
            case "EnaSrdSpecification":
                eni.ena_srd = dict(p["EnaSrdSpecification"])
            case other:
                raise EC2Error("UnsupportedOperation", f"{other} is not supported")
        return {"Return": True}

    def _modify_attachment(self, eni: Interface, asked: dict[str, Any]) -> None:
        if "AttachmentId" not in asked:
            raise missing("Attachment.AttachmentId")
        if eni.attachment is None or eni.attachment.id != asked["AttachmentId"]:
            raise EC2Error(
                "InvalidAttachmentID.NotFound", f"The attachment '{asked['AttachmentId']}' does not exist"
            )
        if "DeleteOnTermination" in asked:
            eni.attachment.delete_on_termination = asked["DeleteOnTermination"]

    # -- private addresses ---------------------------------------------------------------------------

    @operation
    def assign_private_ip_addresses(self, p: Params) -> Result:
        """All or nothing. A count adds every time; an address that is here already is no error."""
        eni = self.own_interface(p["NetworkInterfaceId"])
        subnet = self.data.subnets[eni.subnet_id]
        if not one_of(p, AMOUNTS4):
            raise missing("PrivateIpAddresses")
        if not eni.ips:
            _refuse_addresses(p)
        wanted = list(dict.fromkeys(p.get("PrivateIpAddresses", [])))
        moved: list[tuple[Interface, str]] = []
        for address in wanted:
            holder_id = subnet.used.get(address)
            if holder_id is not None and holder_id != eni.id:
                moved.append((self._movable(address, holder_id, p), address))
            self.check_ip(subnet, address, holder_id or eni.id)
        fresh = [address for address in wanted if address not in eni.ips]
        if len(fresh) - len(moved) > subnet.free:
            raise EC2Error(
                "InsufficientFreeAddressesInSubnet",
                "The specified subnet does not have enough free addresses to satisfy the request.",
            )
        fresh += self.free_ips(subnet, p.get("SecondaryPrivateIpAddressCount", 0), fresh)
        prefixes = self.wanted_prefixes(p, subnet, 4)
        if instance := self._holder(eni):
            kind = self.instance_type(instance.instance_type)
            self.check_slots(kind, eni, "PrivateIpAddressLimitExceeded", len(fresh) + len(prefixes))
        for holder, address in moved:
            self._move_ip(holder, address, eni)
        eni.ips += [address for address in fresh if address not in eni.ips]
        eni.prefixes4 += prefixes
        subnet.used.update(dict.fromkeys(fresh, eni.id))
        subnet.reserved_prefixes.update(dict.fromkeys(prefixes, eni.id))
        return {
            "NetworkInterfaceId": eni.id,
            "AssignedPrivateIpAddresses": [{"PrivateIpAddress": each} for each in fresh],
            "AssignedIpv4Prefixes": [{"Ipv4Prefix": each} for each in prefixes],
        }

    def _movable(self, address: str, holder_id: str, p: Params) -> Interface:
        holder = self.data.interfaces[holder_id]
        if not p.get("AllowReassignment"):
            raise invalid_value(f"[{address}] assigned, but move is not allowed.")
        if address == holder.ips[0]:
            raise invalid_value(f"The primary address {address} of '{holder.id}' cannot be moved")
        if holder.requester_managed:
            raise managed_by_service()
        return holder

    def _move_ip(self, holder: Interface, address: str, eni: Interface) -> None:
        """EC2 docs: an Elastic IP moves with the private address that it is on."""
        holder.ips.remove(address)
        eni.ips.append(address)
        if allocation := self.data.by_target.pop((holder.id, address), None):
            self.data.addresses[allocation].interface_id = eni.id
            self.data.by_target[(eni.id, address)] = allocation

    def _holder(self, eni: Interface) -> Instance | None:
        return self.data.instances.get(eni.attachment.instance_id or "") if eni.attachment else None

    @operation
    def unassign_private_ip_addresses(self, p: Params) -> Result:
        eni = self.own_interface(p["NetworkInterfaceId"])
        subnet = self.data.subnets[eni.subnet_id]
        addresses, prefixes = p.get("PrivateIpAddresses", []), p.get("Ipv4Prefixes", [])
        if not addresses and not prefixes:
            raise missing("PrivateIpAddresses")
        if set(addresses) - set(eni.ips) or set(prefixes) - set(eni.prefixes4):
            raise invalid_value(f"Some of the specified addresses are not assigned to interface {eni.id}")
        if eni.ips[0] in addresses:
            raise invalid_value(f"The primary private IP address of '{eni.id}' cannot be unassigned")
        for address in addresses:
            self.drop_target(eni.id, address)
            subnet.used.pop(address, None)
        for prefix in prefixes:
            subnet.reserved_prefixes.pop(prefix, None)
        eni.ips = [each for each in eni.ips if each not in addresses]
        eni.prefixes4 = [each for each in eni.prefixes4 if each not in prefixes]
        return {}

    @operation
    def assign_ipv6_addresses(self, p: Params) -> Result:
        """EC2 docs: an IPv6 address cannot be reassigned, only unassigned and assigned anew."""
        eni = self.own_interface(p["NetworkInterfaceId"])
        subnet = self.data.subnets[eni.subnet_id]
        if not one_of(p, AMOUNTS6):
            raise missing("Ipv6Addresses")
        if not eni.ips:
            _refuse_addresses(p)
        wanted = self.choose_ips6(
            subnet, subnet.network6, list(p.get("Ipv6Addresses", [])), p.get("Ipv6AddressCount", 0)
        )
        for address in wanted:
            if subnet.used6.get(address, eni.id) != eni.id:
                raise EC2Error("InvalidIPAddress.InUse", "The specified address is already in use.")
        fresh = [address for address in wanted if address not in eni.ipv6]
        prefixes = self.wanted_prefixes(p, subnet, 6)
        if instance := self._holder(eni):
            kind = self.instance_type(instance.instance_type)
            self.check_slots(kind, eni, "PrivateIpAddressLimitExceeded", more6=len(fresh) + len(prefixes))
        eni.ipv6 += fresh
        eni.prefixes6 += prefixes
        subnet.used6.update(dict.fromkeys(fresh, eni.id))
        subnet.reserved_prefixes.update(dict.fromkeys(prefixes, eni.id))
        return {
            "NetworkInterfaceId": eni.id,
            "AssignedIpv6Addresses": fresh,
            "AssignedIpv6Prefixes": prefixes,
        }

    @operation
    def unassign_ipv6_addresses(self, p: Params) -> Result:
        eni = self.own_interface(p["NetworkInterfaceId"])
        subnet = self.data.subnets[eni.subnet_id]
        addresses = [str(IPv6Address(each)) for each in p.get("Ipv6Addresses", [])]
        prefixes = p.get("Ipv6Prefixes", [])
        if not addresses and not prefixes:
            raise missing("Ipv6Addresses")
        if set(addresses) - set(eni.ipv6) or set(prefixes) - set(eni.prefixes6):
            raise invalid_value(f"Some of the specified addresses are not assigned to interface {eni.id}")
        if eni.primary_ipv6 and eni.ipv6[0] in addresses:
            raise not_permitted(f"The primary IPv6 address {eni.ipv6[0]} of '{eni.id}' cannot be unassigned.")
        for address in addresses:
            subnet.used6.pop(address, None)
        for prefix in prefixes:
            subnet.reserved_prefixes.pop(prefix, None)
        eni.ipv6 = [each for each in eni.ipv6 if each not in addresses]
        eni.prefixes6 = [each for each in eni.prefixes6 if each not in prefixes]
        return {
            "NetworkInterfaceId": eni.id,
            "UnassignedIpv6Addresses": addresses,
            "UnassignedIpv6Prefixes": prefixes,
        }

    # -- helpers for tests ---------------------------------------------------------------------------

    def add_service_interface(
        self,
        subnet_id: str,
        service: str = "elb",
        *,
        description: str | None = None,
        attached: bool = True,
        group_ids: Sequence[str] = (),
    ) -> str:
        """The id of an interface that an AWS service made; `services.SERVICES` names the services."""
        made_by = SERVICES[service]
        with self.lock:
            subnet = self.data.subnets[subnet_id]
            groups = self.groups_for(group_ids, subnet.vpc_id)
            eni = self.make_interface({"Description": description or made_by.description}, subnet, groups, {})
            eni.visible_at = self.now
            eni.interface_type = made_by.interface_type
            eni.requester_managed = made_by.requester_managed
            eni.requester_id = made_by.requester_id
            if attached:
                owner = made_by.attachment_owner or self.settings.account_id
                attachment_id = self.new_id(made_by.attachment_prefix)
                eni.attachment = Attachment(attachment_id, None, 1, 0, False, "attached", self.now, owner)
            self._remember()
            return eni.id

    def forget_card(self, interface_id: str) -> None:
        """Makes an attachment one of the time before network cards, which shows no NetworkCardIndex."""
        with self.lock:
            attachment = self.data.interfaces[interface_id].attachment
            assert attachment is not None
            attachment.without_card = True
            self._remember()


def _card(eni: Interface) -> int:
    return eni.attachment.card if eni.attachment else 0


def _index(eni: Interface) -> int:
    return eni.attachment.device_index if eni.attachment else -1


def _refuse_addresses(p: Params) -> None:
    """EC2 docs: an EFA-only interface does not support IP addresses."""
    for name in ("PrivateIpAddress", *AMOUNTS4, *AMOUNTS6):
        if p.get(name):
            raise bad_combination(f"An interface of type efa-only does not support {name}")


def _timeouts(asked: dict[str, int]) -> dict[str, int]:
    for name, value in asked.items():
        least, most = TIMEOUTS[name]
        if not least <= value <= most:
            raise invalid_value(f"Value ({value}) for parameter {name} is invalid: from {least} to {most}")
    return dict(asked)
