"""Public NAT gateways: each has an interface that it manages, with the Elastic IP that it was made with."""

from __future__ import annotations

from typing import Any

from . import filters
from .errors import EC2Error, missing
from .networks import Networks
from .records import Attachment, NatGateway, Params, Result
from .state import operation


class NatGateways(Networks):
    """EC2 docs: a public NAT gateway takes an Elastic IP that is associated with nothing, and frees it when it is
    deleted. It manages its interface.
    """

    @operation
    def create_nat_gateway(self, p: Params) -> Result:
        """EC2 docs: idempotent with a client token. It is `pending` at first."""
        if known := self.replay("CreateNatGateway", p):
            return {"NatGateway": self._show_nat_gateway(self.data.nat_gateways[known.ids[0]])}
        if p.get("ConnectivityType", "public") != "public":
            raise EC2Error("UnsupportedOperation", "This EC2 has public NAT gateways only.")
        if "AllocationId" not in p:
            raise missing("AllocationId")
        address = self.lookup("eipalloc", self.data.addresses, p["AllocationId"])
        if address.association_id is not None:
            raise EC2Error(
                "Resource.AlreadyAssociated",
                f"Elastic IP address [{address.id}] is already associated",
            )
        subnet = self.subnet(p["SubnetId"])
        if not self.has_gateway(subnet.vpc_id):
            raise EC2Error("Gateway.NotAttached", f"Network {subnet.vpc_id} has no Internet gateway attached")
        tags = self.tags_at_birth(p, "natgateway")["natgateway"]
        gateway = self.born(NatGateway(self.new_id("nat"), subnet.id, subnet.vpc_id, tags=tags))
        eni = self.make_interface({"Description": f"Interface for NAT Gateway {gateway.id}"}, subnet, [], {})
        eni.interface_type, eni.requester_managed = "nat_gateway", True
        attachment = self.new_id("ela-attach")
        eni.attachment = Attachment(attachment, None, 1, 0, False, "attached", self.now, "amazon-aws")
        eni.source_dest_check = False
        gateway.interface_id, gateway.allocation_id = eni.id, address.id
        self.bind(address, eni, eni.ips[0])
        self.data.nat_gateways[gateway.id] = gateway
        self.later(self.settings.attach_delay, "nat_gateway_ready", gateway.id)
        self.keep_token("CreateNatGateway", p, [gateway.id])
        return {"NatGateway": self._show_nat_gateway(gateway), "ClientToken": p.get("ClientToken")}

    def on_nat_gateway_ready(self, gateway_id: str, when: float) -> None:
        gateway = self.data.nat_gateways[gateway_id]
        if gateway.state == "pending":
            gateway.state = "available"

    @operation
    def delete_nat_gateway(self, p: Params) -> Result:
        """EC2 docs: routes to it stay as black holes; its Elastic IP is disassociated, and not released."""
        gateway = self.lookup("nat", self.data.nat_gateways, p["NatGatewayId"])
        if gateway.state in ("pending", "available"):
            gateway.state = "deleting"
            self.later(self.settings.detach_delay, "nat_gateway_gone", gateway.id)
        return {"NatGatewayId": gateway.id}

    def on_nat_gateway_gone(self, gateway_id: str, when: float) -> None:
        gateway = self.data.nat_gateways[gateway_id]
        gateway.state = "deleted"
        if address := self.data.addresses.get(gateway.allocation_id):
            self.drop_association(address)
        if eni := self.data.interfaces.get(gateway.interface_id):
            eni.attachment = None
            self.remove_interface(eni)

    @operation
    def describe_nat_gateways(self, p: Params) -> Result:
        """EC2 docs: those deleted stay visible for about an hour."""
        ids = p.get("NatGatewayIds")
        gateways = self.listed("nat", self.data.nat_gateways, ids)
        extractors: filters.Extractors[NatGateway] = {
            "nat-gateway-id": lambda g: [g.id],
            "state": lambda g: [g.state],
            "subnet-id": lambda g: [g.subnet_id],
            "vpc-id": lambda g: [g.vpc_id],
        }
        found = filters.select(gateways, p.get("Filter"), extractors)
        shown, token = self.page("DescribeNatGateways", p, found, ids)
        return self.answer("NatGateways", [self._show_nat_gateway(each) for each in shown], token)

    def _show_nat_gateway(self, gateway: NatGateway) -> Result:
        address, eni = (
            self.data.addresses.get(gateway.allocation_id),
            self.data.interfaces.get(gateway.interface_id),
        )
        told: dict[str, Any] = {"AllocationId": gateway.allocation_id, "NetworkInterfaceId": gateway.interface_id}
        if address is not None and eni is not None:
            told |= {"PublicIp": address.public_ip, "PrivateIp": eni.ips[0], "IsPrimary": True}
        return {
            "NatGatewayId": gateway.id,
            "State": gateway.state,
            "SubnetId": gateway.subnet_id,
            "VpcId": gateway.vpc_id,
            "ConnectivityType": "public",
            "NatGatewayAddresses": [told],
            "Tags": self.tag_list(gateway.tags),
        }
