"""The interfaces that AWS services make in an account's subnets, as EC2 shows them."""

from __future__ import annotations

from dataclasses import dataclass

AWS_ACCOUNT = "727180483921"
"""RequesterId of a service is often the number of an account of AWS."""


@dataclass(frozen=True)
class Service:
    """What tells an interface of one service from one of the account's own."""

    description: str
    interface_type: str = "interface"
    requester_id: str = AWS_ACCOUNT
    requester_managed: bool = True
    attachment_prefix: str = "ela-attach"
    attachment_owner: str | None = "amazon-aws"
    """InstanceOwnerId of the attachment; None is the account itself."""


SERVICES: dict[str, Service] = {
    "elb": Service("ELB app/lb", requester_id="amazon-elb", attachment_owner="amazon-elb"),
    "nat_gateway": Service("Interface for NAT Gateway nat-0a1b2c3d4e5f60718", "nat_gateway"),
    "network_load_balancer": Service("ELB net/lb/0a1b2c3d4e5f6071", "network_load_balancer"),
    "vpc_endpoint": Service("VPC Endpoint Interface vpce-0a1b2c3d4e5f60718", "vpc_endpoint"),
    "efs": Service("EFS mount target for fs-0a1b2c3d4e5f60718 (fsmt-0a1b2c3d4e5f60718)", "efs"),
    "rds": Service(
        "RDSNetworkInterface",
        requester_id="amazon-rds",
        attachment_prefix="eni-attach",
        attachment_owner="amazon-rds",
    ),
    "ecs": Service(
        "arn:aws:ecs:us-east-1:123456789012:attachment/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
        attachment_prefix="eni-attach",
        attachment_owner=None,
    ),
    "lambda": Service(
        "AWS Lambda VPC ENI-web-0a1b2c3d",
        "lambda",
        requester_id="AROAIOSFODNN7EXAMPLE:web",
        requester_managed=False,
    ),
    "transit_gateway": Service(
        "Network Interface for Transit Gateway Attachment tgw-attach-0a1b2c3d4e5f60718",
        "transit_gateway",
        requester_managed=False,
    ),
}
