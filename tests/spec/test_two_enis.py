"""specs/two-enis.yaml, field by field."""

from __future__ import annotations

from pathlib import Path

from enireconcile.spec import (
    Association,
    Attachment,
    Document,
    ElasticIp,
    Image,
    IngressRule,
    Instance,
    NetworkInterface,
    Ports,
    SecurityGroup,
    Selector,
    load,
)

TWO_ENIS = Path(__file__).parents[2] / "specs" / "two-enis.yaml"


def interface(group: str, index: int) -> NetworkInterface:
    return NetworkInterface(
        subnet=Selector(default_for_az="us-east-1a"),
        security_groups=(group,),
        attachment=Attachment(instance="web", device_index=index),
    )


def test_two_enis() -> None:
    """One instance, two interfaces with a group and an Elastic IP each; port 80 is open on the first only."""
    (loaded,) = load([str(TWO_ENIS)])
    http = IngressRule(protocol="tcp", ports=Ports(first=80, last=80), sources=("0.0.0.0/0",), description="http")
    assert loaded.document == Document(
        version=1,
        stack="two-enis",
        region="us-east-1",
        tags={"Project": "testing-eni"},
        security_groups={
            "my-sg-1": SecurityGroup(description="Web traffic", ingress=(http,)),
            "my-sg-2": SecurityGroup(),
        },
        instances={
            "web": Instance(
                image=Image(ssm="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"),
                instance_type="t2.micro",
                user_data=(
                    "#!/bin/bash\n"
                    'dnf -y install httpd && echo "Testing ENI" > /var/www/html/index.html'
                    " && systemctl enable --now httpd\n"
                ),
            )
        },
        network_interfaces={"web-eth0": interface("my-sg-1", 0), "web-eth1": interface("my-sg-2", 1)},
        elastic_ips={
            "web-1": ElasticIp(association=Association(network_interface="web-eth0")),
            "web-2": ElasticIp(association=Association(network_interface="web-eth1")),
        },
    )
