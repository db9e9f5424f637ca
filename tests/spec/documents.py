"""Hypothesis strategies for valid documents."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from enireconcile.spec import (
    Association,
    Attachment,
    Check,
    ConnectionTracking,
    Document,
    EgressRule,
    ElasticIp,
    Failover,
    ForeignSelector,
    Image,
    IngressRule,
    Instance,
    MetadataOptions,
    NetworkInterface,
    Peer,
    Ports,
    Route,
    RouteTableSelector,
    SecurityGroup,
    Selector,
)
from enireconcile.spec.checks import unreadable_in_metadata
from enireconcile.spec.launch import (
    CapacityReservation,
    CpuOptions,
    Enclave,
    Hibernation,
    Placement,
    RootVolume,
    Volume,
)
from enireconcile.spec.rows import ADDRESS_KEYS

# Words and numbers that some YAML reader converts to another type, among ordinary text.
TRAPS = [
    "on",
    "No",
    "y",
    "null",
    "Null",
    "TRUE",
    "012",
    "1_000",
    "1e3",
    "0x1f",
    "1.10",
    "12:30",
    "1",
    "2024-01-01",
]
ODD_TEXTS = [
    "~",
    "",
    " ",
    "a: b",
    "a #b",
    "- a",
    "'",
    '"',
    "\\",
    "*a",
    "&a",
    "!a",
    "%a",
    "@a",
    "{a",
    "a,b",
    "a]",
    "?",
    "é",
]

ids = st.integers(0, 16**8 - 1).map(lambda number: f"{number:08x}")
lines = st.one_of(
    st.sampled_from(TRAPS + ODD_TEXTS),
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=30),
)
group_texts = st.text("abcXYZ019. _-:/()#,@[]+=&;{}!$*", max_size=30)
names = st.one_of(st.sampled_from(TRAPS), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True)).filter(
    lambda name: name.replace("-", "").replace("_", "").isalnum() and name.isascii()
)
user_data = st.one_of(
    lines,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.lists(st.text("ab #:-\t'\"", max_size=6), max_size=6).map("\n".join),
)
tags = st.dictionaries(
    lines.filter(lambda key: key and not key.lower().startswith(("aws:", "enireconcile:"))), lines, max_size=3
)
search_tags = st.dictionaries(lines.filter(bool), lines, min_size=1, max_size=2)
cidrs = st.integers(0, 240).map(lambda number: f"10.{number}.0.0/24")
zones = st.sampled_from("abc").map(lambda letter: f"us-east-1{letter}")
vpcs = st.one_of(
    st.just(Selector(default=True)),
    ids.map(lambda number: Selector(id=f"vpc-{number}")),
    cidrs.map(lambda cidr: Selector(cidr=cidr)),
    search_tags.map(lambda tags: Selector(tags=tags)),
)
subnets = st.one_of(
    ids.map(lambda number: Selector(id=f"subnet-{number}")),
    cidrs.map(lambda cidr: Selector(cidr=cidr)),
    search_tags.map(lambda tags: Selector(tags=tags)),
)
resource_names = lines.filter(lambda name: name and name.isascii())
foreign_groups = st.one_of(
    search_tags.map(lambda tags: ForeignSelector(tags=tags)),
    resource_names.map(lambda name: ForeignSelector(group_name=name)),
)
foreign_peers = foreign_groups | resource_names.map(lambda name: ForeignSelector(prefix_list_name=name))
images = st.one_of(
    ids.map(lambda number: Image(id=f"ami-{number}")),
    st.just(Image(ssm="/aws/service/x")),
    st.builds(
        Image, name=st.sampled_from(["al2023-*", "on", "a: b"]), owner=st.sampled_from(["self", "012345678901"])
    ),
)
ports = st.tuples(st.integers(0, 60000), st.integers(0, 60000)).map(
    lambda pair: Ports(first=min(pair), last=max(pair))
)
protocols = st.one_of(
    st.tuples(st.sampled_from(["tcp", "udp"]), st.none() | ports),
    st.tuples(
        st.sampled_from(["icmp", "icmpv6"]),
        st.none()
        | st.tuples(st.integers(0, 255), st.none() | st.integers(0, 255)).map(
            lambda pair: Ports(first=pair[0], last=pair[0], code=pair[1])
        ),
    ),
    st.tuples(st.sampled_from(["-1", "esp", "132"]), st.none()),
)


switches = st.sampled_from(["enabled", "disabled"])
metadata_options = st.builds(
    MetadataOptions,
    http_tokens=st.sampled_from(["required", "optional"]),
    http_endpoint=switches,
    http_put_response_hop_limit=st.none() | st.integers(1, 64),
    instance_metadata_tags=switches,
)


launches: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("monitoring", "auto_recovery"), st.none() | st.booleans()),
    "shutdown_behavior": st.none() | st.sampled_from(["stop", "terminate"]),
    "root_volume": st.none()
    | st.just(RootVolume(size_gib=20, type="gp3", iops=4000, encrypted=True, kms_key_id="alias/on")),
    "volumes": st.none() | st.just(()) | st.just((Volume(device_name="/dev/sdf", snapshot_id="snap-12345678"),)),
    "volume_tags": st.none() | tags,
    "placement": st.none() | st.sampled_from([Placement(group="on"), Placement(group="", tenancy="host")]),
    "cpu_options": st.none() | st.just(CpuOptions(core_count=1, threads_per_core=2)),
    "hibernation": st.none() | st.booleans().map(lambda value: Hibernation(configured=value)),
    "enclave": st.none() | st.just(Enclave(enabled=False)),
    "capacity_reservation": st.none() | st.just(CapacityReservation(capacity_reservation_preference="none")),
}
"""What a launch says, without what excludes other keys."""


@st.composite
def peers(draw: st.DrawFn, others: list[str]) -> tuple[Peer, ...]:
    pool = ["0.0.0.0/0", "10.0.0.0/8", "::/0", "2001:db8::/32", "self", "sg-12345678", "pl-12345678", *others]
    more = st.sampled_from([*pool, "123456789012/sg-87654321"]) | foreign_peers
    return tuple(draw(st.lists(more, min_size=1, max_size=4, unique_by=repr)))


@st.composite
def security_groups(draw: st.DrawFn) -> dict[str, SecurityGroup]:
    usable = names.filter(lambda name: name.lower() not in ("self", "default") and name[:3] not in ("sg-", "pl-"))
    found = draw(st.lists(usable, max_size=3, unique_by=str.lower))
    result = {}
    for name in found:
        others = [other for other in found if other != name]
        ingress, egress = (draw(st.lists(protocols, max_size=3, unique_by=repr)) for _ in range(2))
        result[name] = SecurityGroup(
            group_name=draw(st.none() | st.just(f"{name} (x)")),
            description=draw(group_texts.filter(bool)),
            vpc=draw(vpcs),
            ingress=tuple(
                IngressRule(
                    protocol=protocol, ports=ports, sources=draw(peers(others)), description=draw(group_texts)
                )
                for protocol, ports in ingress
            ),
            egress=draw(
                st.none()
                | st.just(
                    tuple(
                        EgressRule(protocol=protocol, ports=ports, destinations=draw(peers(others)))
                        for protocol, ports in egress
                    )
                )
            ),
            tags=draw(tags),
        )
    return result


failovers = st.builds(
    Failover,
    health=st.sampled_from(["status_checks", "running", "none"]),
    preempt=st.booleans(),
    force_detach_after=st.none() | st.sampled_from(["1s", "60s", "3600s"]),
)


timeouts = st.fixed_dictionaries(
    {"tcp_established_timeout": st.integers(60, 432000)},
    optional={"udp_stream_timeout": st.integers(60, 180), "udp_timeout": st.integers(30, 60)},
).map(lambda words: ConnectionTracking(**words))


@st.composite
def further(draw: st.DrawFn, prefix: str, number: int) -> dict[str, Any]:
    """Secondary addresses and prefixes: listed, counted or left out, without duplicates."""
    lists = {
        "secondary_private_ips": (f"{prefix}.{number + 100}", f"{prefix}.{number + 110}"),
        "ipv6_addresses": (f"2001:db8::{number + 10:x}", f"2001:db8::1:{number:x}"),
        "ipv4_prefixes": (f"{prefix}.{16 * number + 128}/28",),
        "ipv6_prefixes": (f"2001:db8:0:0:{number + 1:x}::/80",),
    }
    found: dict[str, Any] = {}
    for many, count in ADDRESS_KEYS:
        how = draw(st.sampled_from(["left out", "listed", "counted"]))
        if how == "listed":
            found[many] = tuple(draw(st.lists(st.sampled_from(lists[many]), unique=True)))
        elif how == "counted":
            found[count] = draw(st.integers(0, 63))
    return found


@st.composite
def interfaces(
    draw: st.DrawFn, subnet: Selector, number: int, groups: list[str], instance: str | None, index: int
) -> NetworkInterface:
    prefix = subnet.cidr.removesuffix(".0/24") if subnet.cidr else "10.0.0"
    listed: list[Peer] = [*groups, "sg-12345678", draw(foreign_groups)]
    floats = index > 0 and draw(st.booleans())
    attachment = instance and Attachment(
        instance=None if floats else instance,
        instances=(instance,) if floats else None,
        failover=draw(st.none() | failovers) if floats else None,
        device_index=index,
        network_card_index=draw(st.integers(0, 3)) if index else 0,
        delete_on_termination=draw(st.booleans()),
    )
    more = draw(further(prefix, number))
    with_ipv6 = more.get("ipv6_addresses") != () and more.get("ipv6_address_count") != 0
    return NetworkInterface(
        **more,
        associate_public_ip_address=draw(st.none() | st.booleans()) if attachment and not index else None,
        primary_ipv6=draw(st.sampled_from([None, True])) if with_ipv6 else None,
        connection_tracking=draw(st.none() | timeouts),
        interface_type=draw(
            st.sampled_from(["interface", "trunk"] if attachment else ["interface", "efa", "branch"])
        ),
        subnet=subnet,
        security_groups=draw(st.none() | st.permutations(listed).map(tuple)),
        private_ip=draw(st.none() | st.just(f"{prefix}.{number + 10}")),
        description=draw(lines),
        source_dest_check=draw(st.booleans()),
        attachment=attachment or None,
        routes=draw(routes(number)),
        tags=draw(tags),
    )


@st.composite
def routes(draw: st.DrawFn, number: int) -> tuple[Route, ...]:
    """Routes that no other interface has."""
    tables = [
        RouteTableSelector(id=f"rtb-{number:08x}"),
        RouteTableSelector(tags={"Name": f"private {number}"}),
        RouteTableSelector(subnet=Selector(cidr=f"10.{number}.0.0/24")),
        RouteTableSelector(main_of=Selector(id=f"vpc-{number:08x}")),
    ]
    destinations: list[Any] = [
        "0.0.0.0/0",
        "2001:db8::/32",
        "pl-12345678",
        ForeignSelector(prefix_list_name="x: y"),
    ]
    pairs = draw(st.lists(st.tuples(st.sampled_from(tables), st.sampled_from(destinations)), max_size=2))
    made = {route.key: route for table, to in pairs for route in [Route(route_table=table, destination=to)]}
    return tuple(made.values())


ways: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "reverse_dns": st.sampled_from(["", "www.example.com", "xn--wb-bja.example"]),
        "public_ipv4_pool": st.sampled_from(["amazon", "ipv4pool-ec2-12345678"]),
        "network_border_group": st.sampled_from(["us-east-1", "us-east-1-bos-1"]),
    },
)
"""The optional keys of an Elastic IP, without its association."""


port_numbers = st.integers(1, 65535)
requests = st.fixed_dictionaries(
    {},
    optional={
        "port": port_numbers,
        "path": st.sampled_from(["/", "/health?a=1&b", "/%20", "/on"]),
        "status": st.sampled_from([200, 404]),
        "contains": st.sampled_from([*TRAPS, "Testing ENI", "${var.x}", "é"]),
        "host": st.just("www.example.com"),
    },
)
withins = st.sampled_from(["30s", "90s", "5m"])
questions = st.one_of(
    st.fixed_dictionaries({"http": requests}, optional={"within": withins}),
    st.fixed_dictionaries({"https": requests}),
    st.fixed_dictionaries(
        {"tcp": port_numbers}, optional={"expect": st.sampled_from(["refused", "silent"]), "within": withins}
    ),
)
"""What a check asks, and what it expects."""


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A complete stack with valid references, and without conflicts between rows."""
    groups = draw(security_groups())
    instances: dict[str, Instance] = {}
    cards: dict[str, NetworkInterface] = {}
    for owner in [*draw(st.lists(names, max_size=2, unique=True)), None]:
        zone = draw(zones)
        if owner is not None:
            instances[owner] = draw(
                st.builds(
                    Instance,
                    image=images,
                    instance_type=st.sampled_from(["t3.micro", "u-6tb1.112xlarge", "mac2-m2pro.metal"]),
                    key_name=st.none() | st.sampled_from(["ops", "on", "my key", "012", "a: b"]),
                    iam_instance_profile=st.none()
                    | st.sampled_from(["web", "012", "arn:aws:iam::123456789012:instance-profile/a/b"]),
                    user_data=st.none() | user_data,
                    state=st.sampled_from(["running", "stopped"]),
                    termination_protection=st.none() | st.booleans(),
                    ebs_optimized=st.none() | st.booleans(),
                    **launches,
                    metadata_options=metadata_options,
                    on_change=st.sampled_from(["refuse", "restart", "replace"]),
                    tags=tags,
                )
            )
        for index in range(draw(st.integers(1 if owner is not None else 0, 2))):
            name = draw(names.filter(lambda name: name not in cards))
            subnet = draw(subnets | st.just(Selector(default_for_az=zone)))
            cards[name] = draw(interfaces(subnet, len(cards), list(groups), owner, index))
    common = draw(tags)
    for name, row in instances.items():
        # What the instance metadata cannot show is refused while it shows tags.
        if unreadable_in_metadata({**common, **row.tags}):
            hidden = row.metadata_options.model_copy(update={"instance_metadata_tags": "disabled"})
            instances[name] = row.model_copy(update={"metadata_options": hidden})
    addresses = draw(st.dictionaries(names, st.booleans(), max_size=4))
    targets = iter([Association(network_interface=name) for name in cards])
    if draw(st.booleans()):
        targets = iter([Association(network_interface="eni-12345678", private_ip="10.0.0.9"), *targets])
    named = {"elastic_ip": sorted(addresses), "network_interface": sorted(cards)}
    wheres = st.sampled_from([(key, name) for key, found in named.items() for name in found] or [("", "")])
    checked = draw(st.dictionaries(names, wheres, max_size=3)) if addresses or cards else {}
    return Document(
        version=1,
        stack=draw(st.sampled_from(["s", "two-enis", "on", "null", "true"])),
        region=draw(st.none() | st.just("us-east-1")),
        account_id=draw(st.none() | st.just("012345678901")),
        assume_role_arn=draw(st.none() | st.just("arn:aws:iam::012345678901:role/ops/admin")),
        tags=common,
        security_groups=groups,
        instances=instances,
        network_interfaces=cards,
        elastic_ips={
            name: ElasticIp(association=next(targets, None) if wanted else None, tags=draw(tags), **draw(ways))
            for name, wanted in addresses.items()
        },
        checks={
            name: Check.model_validate({key: asked, **draw(questions)}) for name, (key, asked) in checked.items()
        },
    )
