"""Elastic IPs and their associations."""

from __future__ import annotations

from typing import Any

from . import filters
from .errors import EC2Error, bad_combination, invalid_value, managed_by_service, missing, multiple_interfaces
from .interfaces import Interfaces
from .records import Address, Interface, Params, Result
from .state import operation


class Addresses(Interfaces):
    """EC2 docs: one Elastic IP on one private IPv4 address; a move is silent unless it is forbidden."""

    def address(self, allocation_id: str) -> Address:
        return self.lookup("eipalloc", self.data.addresses, allocation_id)

    def _own_address(self, p: Params) -> Address:
        """The address of a call, by allocation or by its public IP."""
        if "AllocationId" in p:
            address = self.address(p["AllocationId"])
        elif "PublicIp" in p:
            found = [a for a in self.seen(self.data.addresses) if a.public_ip == p["PublicIp"]]
            if not found:
                raise EC2Error("InvalidAddress.NotFound", f"Address '{p['PublicIp']}' not found.")
            address = found[0]
        else:
            raise missing("AllocationId")
        if address.service_managed:
            raise managed_by_service()
        return address

    @operation
    def allocate_address(self, p: Params) -> Result:
        """Not idempotent: each call allocates one more, up to 5 by default. BYOIP addresses do not count.

        EC2 docs: PublicIp is not in the answer for an address of one's own pool.
        """
        tags = self.tags_at_birth(p, "elastic-ip")["elastic-ip"]
        border = p.get("NetworkBorderGroup", self.settings.region)
        if border not in (self.settings.region, *self.settings.border_groups):
            raise invalid_value(f"The network border group '{border}' is not valid.")
        if p.get("Domain", "vpc") != "vpc":
            raise EC2Error("UnsupportedOperation", "EC2-Classic is not available")
        if p.get("Address") and p.get("PublicIpv4Pool"):
            raise bad_combination("The parameter PublicIpv4Pool cannot be used with the parameter Address")
        pool = p.get("PublicIpv4Pool") or self._pool_of(p.get("Address"))
        if pool != "amazon" and not pool.startswith("ipv4pool-ec2-"):
            raise invalid_value(f"invalid value for parameter pool: {pool}")
        if pool not in ("amazon", *self.data.pools):
            raise EC2Error("InvalidPublicIpv4PoolID.NotFound", f"The pool ID '{pool}' does not exist.")
        counted = [a for a in self.data.addresses.values() if a.pool == "amazon" and not a.service_managed]
        if pool == "amazon" and len(counted) >= self.settings.quotas.addresses:
            raise EC2Error("AddressLimitExceeded", "The maximum number of addresses has been reached.")
        address = self._allocate(self._public_ip(p, pool), pool, tags, border)
        answer = {
            "AllocationId": address.id,
            "PublicIp": address.public_ip,
            "Domain": "vpc",
            "PublicIpv4Pool": address.pool,
            "NetworkBorderGroup": address.border_group,
        }
        if pool != "amazon":
            del answer["PublicIp"]
        return answer

    def _pool_of(self, wanted: str | None) -> str:
        """EC2 finds the pool of an address that a call asks for; the call cannot name both."""
        return next((pool for pool, free in self.data.pools.items() if wanted in free), "amazon")

    def _public_ip(self, p: Params, pool: str) -> str:
        """EC2 docs: an address released lately may be asked for by name; its tags do not come back."""
        wanted = p.get("Address")
        available = self.data.released if pool == "amazon" else self.data.pools[pool]
        if wanted:
            if wanted not in available:
                raise EC2Error(
                    "InvalidAddress.NotFound",
                    f"The Elastic IP address '{wanted}' does not exist or is not available.",
                )
            available.remove(wanted)
            return str(wanted)
        if pool == "amazon":
            return self.new_public_ip()
        if not available:
            raise EC2Error("InsufficientAddressCapacity", f"The pool '{pool}' has no free address.", 500)
        return available.pop(0)

    def _allocate(
        self, public_ip: str, pool: str, tags: dict[str, str], border_group: str | None = None
    ) -> Address:
        border_group = border_group or self.settings.region
        address = self.born(Address(self.new_id("eipalloc"), public_ip, border_group, pool, tags=tags))
        self.data.addresses[address.id] = address
        return address

    @operation
    def release_address(self, p: Params) -> Result:
        """EC2 docs: refused while associated, unless in the default VPC, and while it is locked.

        A PTR record locks it, for longer than DescribeAddressesAttribute shows one: others have met
        InvalidAddress.PtrSet for minutes after the record was gone. Support may lock it, too.
        """
        address = self._own_address(p)
        if "AllocationId" not in p:
            raise invalid_value("You must specify an allocation id when releasing a VPC elastic IP address")
        if address.locked:
            raise EC2Error(
                "InvalidAddress.Locked",
                f"The address with allocation id [{address.id}] cannot be released because it is locked to "
                "your account.",
            )
        if (
            address.ptr is not None
            or (address.ptr_update and address.ptr_update[0])
            or self.now < address.ptr_until
        ):
            raise EC2Error(
                "InvalidAddress.PtrSet",
                f"The address with allocation id [{address.id}] has a reverse DNS record.",
            )
        self._check_holder(address)
        if address.interface_id is not None:
            vpc = self.data.vpcs[self.data.interfaces[address.interface_id].vpc_id]
            if not vpc.is_default:
                raise EC2Error("InvalidIPAddress.InUse", f"Address {address.public_ip} is in use.")
            self.drop_association(address)
        del self.data.addresses[address.id]
        if address.pool == "amazon":
            self.data.released.append(address.public_ip)
        else:
            self.data.pools[address.pool].append(address.public_ip)
        return {"Return": True}

    # -- association ---------------------------------------------------------------------------------

    @operation
    def associate_address(self, p: Params) -> Result:
        """EC2 docs: idempotent; moves an address silently unless AllowReassociation is false.

        An address that is on the target already is displaced: it stays allocated.
        """
        address = self._own_address(p)
        if "AllocationId" not in p:
            raise bad_combination("You must specify an allocation id when mapping an address to a VPC instance")
        eni = self._target(p)
        if not eni.ips:
            raise invalid_value(f"Interface {eni.id} has no private address")
        private_ip = p.get("PrivateIpAddress", eni.ips[0])
        if private_ip not in eni.ips:
            raise invalid_value(
                f"Invalid value '{private_ip}' for PrivateIpAddress. It is not assigned to {eni.id}"
            )
        if eni.deny_igw:
            raise EC2Error("UnsupportedOperation", f"Interface {eni.id} denies internet gateway traffic")
        if not self.has_gateway(eni.vpc_id):
            raise EC2Error("Gateway.NotAttached", f"Network {eni.vpc_id} is not attached to any internet gateway")
        if (address.interface_id, address.private_ip) == (eni.id, private_ip):
            return {"AssociationId": address.association_id}
        if address.border_group != self.settings.region:
            raise bad_combination(
                f"The network border group {address.border_group} of {address.id} is not that of {eni.id}"
            )
        self._check_holder(address)
        if address.association_id is not None:
            if p.get("AllowReassociation") is False:
                raise EC2Error(
                    "Resource.AlreadyAssociated",
                    f"resource {address.id} is already associated with associate-id {address.association_id}",
                )
            self.drop_association(address)
        self.bind(address, eni, private_ip)
        return {"AssociationId": address.association_id}

    def bind(self, address: Address, eni: Interface, private_ip: str) -> None:
        self.drop_target(eni.id, private_ip)
        address.association_id = self.new_id("eipassoc")
        address.interface_id, address.private_ip = eni.id, private_ip
        self.data.associations[address.association_id] = address.id
        self.data.by_target[(eni.id, private_ip)] = address.id
        self.refresh_public_ip(eni)

    def _check_holder(self, address: Address) -> None:
        """EC2 takes no address off an interface that a service manages, a NAT gateway's, say."""
        holder = self.data.interfaces.get(address.interface_id or "")
        if holder and (holder.requester_managed or holder.operator):
            raise managed_by_service()

    def _target(self, p: Params) -> Interface:
        """The interface meant; the instance form demands exactly one, and an instance past `pending`."""
        if "InstanceId" in p and "NetworkInterfaceId" in p:
            raise bad_combination("You may specify an instance or a network interface, but not both")
        if "NetworkInterfaceId" in p:
            eni = self.own_interface(p["NetworkInterfaceId"])
            holder = self._holder(eni)
            if holder is not None and holder.state == "pending":
                raise EC2Error(
                    "IncorrectInstanceState",
                    f"The pending-instance-creation instance to which '{eni.id}' is attached is not in a "
                    "valid state for this operation",
                )
            return eni
        if "InstanceId" not in p:
            raise missing("InstanceId")
        instance = self.lookup("i", self.data.instances, p["InstanceId"])
        if instance.state not in ("running", "stopping", "stopped"):
            raise EC2Error(
                "InvalidInstanceID",
                f"The {instance.state} instance '{instance.id}' is not in a valid state for this operation.",
            )
        if len(instance.interface_ids) != 1:
            raise multiple_interfaces(instance.id)
        return self.own_interface(instance.interface_ids[0])

    @operation
    def disassociate_address(self, p: Params) -> Result:
        """EC2 docs call it idempotent; in truth an association that is gone is InvalidAssociationID.NotFound."""
        if "AssociationId" in p:
            allocation = self.data.associations.get(p["AssociationId"])
            if allocation is None:
                raise EC2Error(
                    "InvalidAssociationID.NotFound",
                    f"The association ID '{p['AssociationId']}' does not exist",
                )
            address = self.data.addresses[allocation]
            if address.service_managed:
                raise managed_by_service()
        elif "PublicIp" in p:
            address = self._own_address({"PublicIp": p["PublicIp"]})
        else:
            raise missing("AssociationId")
        self._check_holder(address)
        self.drop_association(address)
        return {"Return": True}

    # -- reverse DNS ---------------------------------------------------------------------------------

    @operation
    def modify_address_attribute(self, p: Params) -> Result:
        """EC2 docs: asynchronous; PtrRecordUpdate tells how far it is. The name must lead to the address first."""
        address = self._own_address({"AllocationId": p["AllocationId"]})
        if "DomainName" not in p:
            raise missing("DomainName")
        name = p["DomainName"].rstrip(".")
        if self.settings.forward_dns and self.data.forward.get(name) != address.public_ip:
            raise invalid_value(f"The domain name {name} has no A record for {address.public_ip}.")
        return {"Address": self._update_ptr(address, name + ".")}

    @operation
    def reset_address_attribute(self, p: Params) -> Result:
        address = self._own_address({"AllocationId": p["AllocationId"]})
        if "Attribute" not in p:
            raise missing("Attribute")
        return {"Address": self._update_ptr(address, None)}

    def _update_ptr(self, address: Address, value: str | None) -> Result:
        if address.ptr_update is not None:
            raise EC2Error("InvalidState", f"Address '{address.id}' has a pending update of its attributes.")
        if value == address.ptr:
            return self._show_ptr(address)
        address.ptr_update = (value, self.now + self.settings.ptr_delay)
        self.later(self.settings.ptr_delay, "ptr", address.id)
        return self._show_ptr(address)

    def on_ptr(self, allocation_id: str, when: float) -> None:
        address = self.data.addresses.get(allocation_id)
        if address and address.ptr_update:
            if address.ptr is not None and address.ptr_update[0] is None:
                address.ptr_until = when + self.settings.ptr_linger_delay
            address.ptr = address.ptr_update[0]
            address.ptr_update = None

    def _show_ptr(self, address: Address) -> Result:
        answer: Result = {
            "PublicIp": address.public_ip,
            "AllocationId": address.id,
            "PtrRecord": address.ptr,
        }
        if address.ptr_update is not None:
            answer["PtrRecordUpdate"] = {"Value": address.ptr_update[0], "Status": "PENDING"}
        return answer

    @operation
    def describe_addresses_attribute(self, p: Params) -> Result:
        """An address without a record is not in the answer, asked for by its id or not."""
        ids = p.get("AllocationIds")
        found = self.listed("eipalloc", self.data.addresses, ids)
        found = [address for address in found if address.ptr is not None or address.ptr_update]
        shown, token = self.page("DescribeAddressesAttribute", p, found, None, low=1)
        return self.answer("Addresses", [self._show_ptr(address) for address in shown], token)

    # -- describe ------------------------------------------------------------------------------------

    @operation
    def describe_addresses(self, p: Params) -> Result:
        """EC2 docs: the whole inventory in one answer; there are no pages."""
        found = self.listed("eipalloc", self.data.addresses, p.get("AllocationIds"))
        if ips := p.get("PublicIps"):
            unknown = set(ips) - {address.public_ip for address in found}
            if unknown:
                raise EC2Error("InvalidAddress.NotFound", f"Address '{min(unknown)}' not found.")
            found = [address for address in found if address.public_ip in ips]
        known: filters.Extractors[Address] = {
            "allocation-id": lambda a: [a.id],
            "association-id": lambda a: [a.association_id],
            "public-ip": lambda a: [a.public_ip],
            "network-interface-id": lambda a: [a.interface_id],
            "network-interface-owner-id": lambda a: [self.settings.account_id] if a.interface_id else [],
            "private-ip-address": lambda a: [a.private_ip],
            "instance-id": lambda a: [self._instance_of(a)],
            "network-border-group": lambda a: [a.border_group],
            "domain": lambda _: ["vpc"],
        }
        shown = filters.select(found, p.get("Filters"), known)
        return {"Addresses": [self._show_address(address) for address in shown]}

    def _instance_of(self, address: Address) -> str | None:
        eni = self.data.interfaces.get(address.interface_id or "")
        return eni.attachment.instance_id if eni and eni.attachment else None

    def _show_address(self, address: Address) -> Result:
        answer: dict[str, Any] = {
            "AllocationId": address.id,
            "PublicIp": address.public_ip,
            "Domain": "vpc",
            "PublicIpv4Pool": address.pool,
            "NetworkBorderGroup": address.border_group,
            "ServiceManaged": address.service_managed,
            "Tags": self.tag_list(address.tags),
        }
        if address.association_id is not None:
            answer |= {
                "AssociationId": address.association_id,
                "NetworkInterfaceId": address.interface_id,
                "NetworkInterfaceOwnerId": self.settings.account_id,
                "PrivateIpAddress": address.private_ip,
                "InstanceId": self._instance_of(address),
            }
        return answer

    # -- helpers for tests ---------------------------------------------------------------------------

    def add_address(
        self,
        *,
        tags: dict[str, str] | None = None,
        service_managed: str | None = None,
        pool: str = "amazon",
        border_group: str | None = None,
    ) -> str:
        """A new allocation's id; `service_managed` is alb, nlb, rnat or rds. Quotas do not stand in the way."""
        with self.lock:
            address = self._allocate(self.new_public_ip(), pool, dict(tags or {}), border_group)
            address.visible_at = self.now
            address.service_managed = service_managed
            self._remember()
            return address.id

    def hand_over(self, allocation_id: str, interface_id: str) -> None:
        """Puts an address on an interface that a service manages, as making a NAT gateway does."""
        with self.lock:
            address, eni = self.data.addresses[allocation_id], self.data.interfaces[interface_id]
            self.bind(address, eni, eni.ips[0])
            self._remember()

    def lock_address(self, allocation_id: str) -> None:
        """From now on only Support can let go of it."""
        with self.lock:
            self.data.addresses[allocation_id].locked = True
            self._remember()

    def point(self, name: str, public_ip: str) -> None:
        """Adds an A record that leads from the name to the address."""
        with self.lock:
            self.data.forward[name] = public_ip
            self._remember()

    def add_pool(self, *public_ips: str) -> str:
        """The id of a public IPv4 pool that the account brought."""
        with self.lock:
            pool = self.new_id("ipv4pool-ec2")
            self.data.pools[pool] = list(public_ips)
            return pool
