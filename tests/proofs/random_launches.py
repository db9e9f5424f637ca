"""What launches of instances can say, at random, as far as EC2 takes it together.

``prepared`` makes what they name. Ids are fixed, since specs are drawn before there is an account.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.ec2 import World
from tests.ec2.records import Reserved

Keys = dict[str, Any]
TYPES = ("t3.medium", "m5.large", "m5.xlarge")
SNAPSHOT = "snap-0123456789abcdef0"
HOSTS = {kind: f"h-0123456789abcdef{number}" for number, kind in enumerate(TYPES)}
RESERVATIONS = {kind: f"cr-0123456789abcdef{number}" for number, kind in enumerate(TYPES)}
"""One for each type."""
KMS_KEY, ALIAS = "1234abcd-12ab-34cd-56ef-1234567890ab", "alias/disks"
GROUP_ARN = "arn:aws:resource-groups:us-east-1:123456789012:group/reserved"
_ENCRYPTIONS: st.SearchStrategy[Keys] = st.sampled_from(
    [
        {},
        {"encrypted": False},
        *({"encrypted": True, **key} for key in ({}, {"kms_key_id": KMS_KEY}, {"kms_key_id": ALIAS})),
    ]
)


def prepared(world: World) -> None:
    """The account has what the launches name."""
    for name, strategy in (("rack", "partition"), ("apart", "spread")):
        world.add_placement_group(name, strategy)
    data = world.data
    data.snapshots[SNAPSHOT] = 8
    data.hosts |= {each: Reserved(each, kind, "us-east-1a", "available") for kind, each in HOSTS.items()}
    data.reservations |= {
        each: Reserved(each, kind, "us-east-1a", "active") for kind, each in RESERVATIONS.items()
    }
    data.kms_keys[KMS_KEY] = "Enabled"
    data.kms_aliases[ALIAS] = KMS_KEY


def maybe(key: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Keys]:
    """A mapping with the key, or an empty one."""
    return st.one_of(st.just({}), st.fixed_dictionaries({key: values}))


@st.composite
def _volumes(draw: st.DrawFn, encrypted: bool = False) -> Keys:
    """A volume of 20 to 30 GiB that may be ``encrypted``, or has to."""
    kind: Keys = draw(
        st.sampled_from(
            [
                {},
                {"type": "gp2"},
                {"type": "gp3"},
                {"type": "gp3", "iops": 4000},
                {"type": "gp3", "iops": 4000, "throughput": 500},
                {"type": "io2", "iops": 1000},
            ]
        )
    )
    volume: Keys = {"size_gib": draw(st.sampled_from([20, 30])), **kind}
    volume |= draw(maybe("delete_on_termination", st.booleans()))
    return {**volume, **draw(_ENCRYPTIONS.filter(lambda each: each.get("encrypted") or not encrypted))}


@st.composite
def _disks(draw: st.DrawFn) -> list[Keys]:
    names = draw(st.sampled_from([(), ("/dev/sdf",), ("/dev/sdf", "/dev/sdg")]))
    return [
        {"device_name": name, **draw(_volumes()), **draw(maybe("snapshot_id", st.just(SNAPSHOT)))}
        for name in names
    ]


@st.composite
def _placements(draw: st.DrawFn, replaced: bool, kind: str, spot: Keys | None) -> Keys:
    """A partition needs its group, and a host takes one type. A Spot Instance is on no host."""
    placement: Keys = draw(
        st.sampled_from([{"group": ""}, {"group": "apart"}, {"group": "rack"}, {"group": "rack", "partition": 2}])
    )
    tenancies: list[Keys] = [{}, {"tenancy": "default"}, {"tenancy": "dedicated"}]
    if replaced and spot is None:
        host = {"host_id": HOSTS[kind]}
        tenancies += [{"tenancy": "host"}, host, {"tenancy": "host", **host}]
    return {**placement, **draw(st.sampled_from(tenancies))}


@st.composite
def _spots(draw: st.DrawFn, hibernates: bool, stopped: bool) -> Keys:
    """EC2 stops persistent ones only, and hibernates what can hibernate."""
    behavior = "hibernate" if hibernates else draw(st.sampled_from(["stop", "hibernate"]))
    persistent = {"spot_instance_type": "persistent", "instance_interruption_behavior": behavior}
    kinds: list[Keys] = [persistent, {**persistent, "valid_until": "2040-01-31T12:00:00Z"}]
    once: list[Keys] = [{}, {"spot_instance_type": "one-time"}]
    if not hibernates:
        once.append({"instance_interruption_behavior": "terminate"})
    kind: Keys = draw(st.sampled_from([*kinds, *([] if stopped else once)]))
    return {**kind, **draw(maybe("max_price", st.just("0.05")))}


def _reservations(replaced: bool, kind: str, spot: Keys | None) -> st.SearchStrategy[Keys]:
    preferences = ["open", "none", *([] if spot is not None else ["capacity-reservations-only"])]
    targets: list[Keys] = [{"capacity_reservation_resource_group_arn": GROUP_ARN}]
    if replaced:
        targets.append({"capacity_reservation_id": RESERVATIONS[kind]})
    choices: list[Keys] = [{"capacity_reservation_preference": each} for each in preferences]
    if spot is None:
        choices += [{"capacity_reservation_target": each} for each in targets]
    return st.sampled_from(choices)


@st.composite
def launches(draw: st.DrawFn, *, replaced: bool) -> Keys:
    """The row of an instance, without its image.

    EC2 takes some of it at launch only, and some never for a Spot Instance: a row for an instance that is not
    ``replaced`` leaves out what such an instance could not become.
    """
    kind, state = draw(st.sampled_from(TYPES)), draw(st.sampled_from(["running", "running", "stopped"]))
    row: Keys = {"instance_type": kind, "state": state, "on_change": "replace" if replaced else "restart"}
    hibernates = draw(st.booleans())
    root = draw(_volumes(encrypted=True)) if hibernates else draw(_volumes() | st.none())
    row |= {"root_volume": root} if root else {}
    row |= {"hibernation": {"configured": True}} if hibernates else draw(maybe("hibernation", st.just(False)))
    enclaves = st.booleans() if kind == "m5.xlarge" and not hibernates else st.just(False)
    row |= draw(maybe("enclave", enclaves))
    spot: Keys | None = draw(_spots(hibernates, state == "stopped") | st.none()) if replaced else None
    row |= {"spot": spot} if spot is not None else {}
    if kind.startswith("t"):
        row |= draw(maybe("cpu_credits", st.sampled_from(["standard", "unlimited"])))
    options: list[Keys] = [{"core_count": 1, "threads_per_core": each} for each in (1, 2)]
    row |= draw(maybe("cpu_options", st.sampled_from([*options, {"amd_sev_snp": "disabled"}])))
    row |= draw(maybe("placement", _placements(replaced, kind, spot)))
    row |= draw(maybe("capacity_reservation", _reservations(replaced, kind, spot)))
    row |= draw(maybe("volumes", _disks()))
    row |= draw(maybe("volume_tags", st.just({"Backup": "daily"})))
    row |= draw(maybe("iam_instance_profile", st.just("web")))
    if replaced:
        row |= draw(maybe("key_name", st.just("ops")))
    for key in ("monitoring", "auto_recovery", "ebs_optimized"):
        row |= draw(maybe(key, st.booleans()))
    # With either of them on, EC2 would not let a proof end the instance.
    for key in ("termination_protection", "stop_protection"):
        row |= draw(maybe(key, st.just(False)))
    row |= draw(maybe("shutdown_behavior", st.sampled_from(["stop", "terminate"])))
    switch = st.sampled_from(["enabled", "disabled"])
    metadata = st.fixed_dictionaries(
        {"http_tokens": st.sampled_from(["required", "optional"])},
        optional={
            "http_endpoint": switch,
            "http_put_response_hop_limit": st.integers(1, 3),
            "instance_metadata_tags": switch,
        },
    )
    return row | draw(maybe("metadata_options", metadata)) | draw(maybe("tags", st.just({"Team": "a"})))
