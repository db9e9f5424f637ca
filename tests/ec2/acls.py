"""Network ACLs: their entries, and which subnets they guard."""

from __future__ import annotations

from . import filters
from .errors import EC2Error, invalid_value, missing
from .records import AclEntry, NetworkAcl, Params, Result, Vpc
from .routes import Routes
from .state import operation

LAST_RULE = 32767
"""The number under which EC2 shows the rule that denies all else."""
_ANY = "0.0.0.0/0"
_PROTOCOLS = {"tcp": "6", "udp": "17", "icmp": "1", "all": "-1"}


class NetworkAcls(Routes):
    """EC2 docs: a VPC has a default network ACL, which allows all; it guards each subnet that has no other."""

    def _acl(self, acl_id: str) -> NetworkAcl:
        return self.lookup("acl", self.data.network_acls, acl_id)

    def make_default_acl(self, vpc: Vpc) -> NetworkAcl:
        """Its id is made from the VPC's, so that a VPC takes one random number only."""
        acl = self.born(NetworkAcl(vpc.id.replace("vpc-", "acl-"), vpc.id, is_default=True))
        for egress in (False, True):
            acl.entries[egress, 100] = AclEntry("-1", "allow", _ANY)
        self.data.network_acls[acl.id] = acl
        return acl

    @operation
    def create_network_acl(self, p: Params) -> Result:
        """EC2 docs: denies all, until it has entries."""
        tags = self.tags_at_birth(p, "network-acl")["network-acl"]
        acl = self.born(NetworkAcl(self.new_id("acl"), self.vpc(p["VpcId"]).id, tags=tags))
        self.data.network_acls[acl.id] = acl
        return {"NetworkAcl": self._show_acl(acl)}

    @operation
    def delete_network_acl(self, p: Params) -> Result:
        acl = self._acl(p["NetworkAclId"])
        if acl.is_default:
            raise invalid_value(f"cannot delete default network ACL {acl.id}")
        if acl.subnets:
            raise EC2Error(
                "DependencyViolation", f"The networkAcl '{acl.id}' has dependencies and cannot be deleted."
            )
        del self.data.network_acls[acl.id]
        return {}

    # -- entries -------------------------------------------------------------------------------------

    @operation
    def create_network_acl_entry(self, p: Params) -> Result:
        acl, key = self._acl(p["NetworkAclId"]), (bool(p.get("Egress")), int(p["RuleNumber"]))
        if key in acl.entries:
            raise EC2Error(
                "NetworkAclEntryAlreadyExists", f"The network acl entry identified by {key[1]} already exists."
            )
        acl.entries[key] = _entry(p)
        return {}

    @operation
    def replace_network_acl_entry(self, p: Params) -> Result:
        acl = self._acl(p["NetworkAclId"])
        acl.entries[self._entry_key(acl, p)] = _entry(p)
        return {}

    @operation
    def delete_network_acl_entry(self, p: Params) -> Result:
        acl = self._acl(p["NetworkAclId"])
        del acl.entries[self._entry_key(acl, p)]
        return {}

    @staticmethod
    def _entry_key(acl: NetworkAcl, p: Params) -> tuple[bool, int]:
        key = (bool(p.get("Egress")), int(p["RuleNumber"]))
        if key not in acl.entries:
            raise EC2Error(
                "InvalidNetworkAclEntry.NotFound", f"no rule with number {key[1]} in network ACL {acl.id}"
            )
        return key

    # -- associations --------------------------------------------------------------------------------

    @operation
    def replace_network_acl_association(self, p: Params) -> Result:
        """EC2 docs: the association gets a new id. Each subnet always has one ACL."""
        acl = self._acl(p["NetworkAclId"])
        for other in self.data.network_acls.values():
            subnet_id = self._guarded(other).get(p["AssociationId"])
            if subnet_id is None:
                continue
            if self.subnet(subnet_id).vpc_id != acl.vpc_id:
                raise invalid_value(f"network ACL {acl.id} and subnet {subnet_id} belong to different networks")
            other.subnets.pop(p["AssociationId"], None)
            association = _default_association(subnet_id) if acl.is_default else self.new_id("aclassoc")
            if not acl.is_default:
                acl.subnets[association] = subnet_id
            return {"NewAssociationId": association}
        raise EC2Error(
            "InvalidAssociationID.NotFound", f"The association ID '{p['AssociationId']}' does not exist"
        )

    def _guarded(self, acl: NetworkAcl) -> dict[str, str]:
        """Association ids and the subnets that an ACL guards."""
        if not acl.is_default:
            return acl.subnets
        others = {subnet for each in self.data.network_acls.values() for subnet in each.subnets.values()}
        mine = (each.id for each in self.data.subnets.values() if each.vpc_id == acl.vpc_id)
        return {_default_association(each): each for each in mine if each not in others}

    # -- describe ------------------------------------------------------------------------------------

    @operation
    def describe_network_acls(self, p: Params) -> Result:
        ids = p.get("NetworkAclIds")
        known: filters.Extractors[NetworkAcl] = {
            "network-acl-id": lambda acl: [acl.id],
            "vpc-id": lambda acl: [acl.vpc_id],
            "default": lambda acl: [acl.is_default],
            "association.subnet-id": lambda acl: self._guarded(acl).values(),
            "association.association-id": self._guarded,
        }
        found = filters.select(self.listed("acl", self.data.network_acls, ids), p.get("Filters"), known)
        self.rng.shuffle(found)
        shown, token = self.page("DescribeNetworkAcls", p, found, ids)
        return self.answer("NetworkAcls", [self._show_acl(acl) for acl in shown], token)

    def _show_acl(self, acl: NetworkAcl) -> Result:
        last = AclEntry("-1", "deny", _ANY)
        entries = {**acl.entries, (False, LAST_RULE): last, (True, LAST_RULE): last}
        return {
            "NetworkAclId": acl.id,
            "VpcId": acl.vpc_id,
            "OwnerId": self.settings.account_id,
            "IsDefault": acl.is_default,
            "Associations": self.shuffled(
                {"NetworkAclAssociationId": each, "NetworkAclId": acl.id, "SubnetId": subnet}
                for each, subnet in self._guarded(acl).items()
            ),
            "Entries": self.shuffled(_show_entry(*key, entry) for key, entry in entries.items()),
            "Tags": self.tag_list(acl.tags),
        }


def _entry(p: Params) -> AclEntry:
    cidr = str(p.get("CidrBlock") or p.get("Ipv6CidrBlock") or "")
    if not cidr:
        raise missing("cidrBlock or ipv6CidrBlock")
    if not 1 <= int(p["RuleNumber"]) < LAST_RULE:
        raise invalid_value(f"Value ({p['RuleNumber']}) for parameter ruleNumber is invalid.")
    protocol = str(_PROTOCOLS.get(p["Protocol"], p["Protocol"]))
    ports = p.get("PortRange")
    if protocol in ("6", "17") and not ports:
        raise missing("portRange")
    return AclEntry(
        protocol, str(p["RuleAction"]), cidr, (int(ports["From"]), int(ports["To"])) if ports else None
    )


def _show_entry(egress: bool, number: int, entry: AclEntry) -> Result:
    cidr = "Ipv6CidrBlock" if ":" in entry.cidr else "CidrBlock"
    shown = {
        "Egress": egress,
        "RuleNumber": number,
        "Protocol": entry.protocol,
        "RuleAction": entry.action,
        cidr: entry.cidr,
    }
    return {**shown, "PortRange": {"From": entry.ports[0], "To": entry.ports[1]}} if entry.ports else shown


def _default_association(subnet_id: str) -> str:
    return subnet_id.replace("subnet-", "aclassoc-")
