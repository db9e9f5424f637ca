"""A few instance types with their true limits, in DescribeInstanceTypes' shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class InstanceType:
    """The limits that bear on interfaces, and what else a description needs."""

    name: str
    vcpus: int
    memory: int
    """MiB."""
    per_card: tuple[int, ...]
    """Interfaces on each network card."""
    addresses: int
    """IPv4 addresses per interface; the IPv6 limit is the same wherever there is IPv6."""
    nitro: bool = True
    arm: bool = False
    efa: int = 0
    threads: int = 2
    ipv6: bool = True
    current: bool = True
    reachable: bool = True
    """Whether an instance of another type can be changed to this one."""
    performance: str = "Up to 10 Gigabit"

    @property
    def interfaces(self) -> int:
        return sum(self.per_card)

    @property
    def addresses6(self) -> int:
        return self.addresses if self.ipv6 else 0

    @property
    def architectures(self) -> list[str]:
        if self.arm:
            return ["arm64"]
        return ["x86_64"] if self.nitro else ["i386", "x86_64"]

    @property
    def boot_modes(self) -> list[str]:
        if self.arm:
            return ["uefi"]
        return ["legacy-bios", "uefi"] if self.nitro else ["legacy-bios"]

    @property
    def cores(self) -> int:
        return max(1, self.vcpus // self.threads)

    @property
    def strategies(self) -> list[str]:
        """EC2 docs: burstable types are in no cluster placement group."""
        return ["partition", "spread"] if self.burstable else ["cluster", "partition", "spread"]

    @property
    def hibernates(self) -> bool:
        return self.nitro and self.memory <= 153600

    @property
    def enclaves(self) -> bool:
        """EC2 docs: Nitro types with four vCPUs or more, but no burstable ones."""
        return self.nitro and not self.burstable and self.vcpus >= 4

    @property
    def burstable(self) -> bool:
        return self.name.startswith("t")


def _old(name: str, vcpus: int, memory: int, interfaces: int, addresses: int, **more: Any) -> InstanceType:
    return InstanceType(
        name, vcpus, memory, (interfaces,), addresses, nitro=False, threads=1,
        performance="Low to Moderate", **more,
    )  # fmt: skip


def _nitro(name: str, vcpus: int, memory: int, interfaces: int, addresses: int, **more: Any) -> InstanceType:
    return InstanceType(name, vcpus, memory, (interfaces,), addresses, **more)


TYPES: dict[str, InstanceType] = {
    each.name: each
    for each in (
        _old("m1.small", 1, 1740, 2, 4, ipv6=False, current=False),
        _old("t2.nano", 1, 512, 2, 2),
        _old("t2.micro", 1, 1024, 2, 2),
        _old("t2.small", 1, 2048, 3, 4),
        _old("t2.medium", 2, 4096, 3, 6),
        _nitro("t3.nano", 2, 512, 2, 2),
        _nitro("t3.micro", 2, 1024, 2, 2),
        _nitro("t3.small", 2, 2048, 3, 4),
        _nitro("t3.medium", 2, 4096, 3, 6),
        _nitro("t3.large", 2, 8192, 3, 12),
        _nitro("t4g.nano", 2, 512, 2, 2, arm=True, threads=1),
        _nitro("t4g.micro", 2, 1024, 2, 2, arm=True, threads=1),
        _nitro("t4g.small", 2, 2048, 3, 4, arm=True, threads=1),
        _nitro("m5.large", 2, 8192, 3, 10),
        _nitro("m5.xlarge", 4, 16384, 4, 15),
        _nitro("m5.4xlarge", 16, 65536, 8, 30),
        _nitro("m6i.large", 2, 8192, 3, 10),
        _nitro("c5.large", 2, 4096, 3, 10),
        _nitro("c5n.18xlarge", 72, 196608, 15, 50, efa=1, performance="100 Gigabit"),
        InstanceType("c6in.32xlarge", 128, 262144, (8, 8), 50, efa=2, performance="200 Gigabit"),
        InstanceType(
            "p4d.24xlarge", 96, 1179648, (15, 15, 15, 15), 50, efa=4, reachable=False, performance="4x 100 Gigabit"
        ),
    )
}


def describe(each: InstanceType) -> dict[str, Any]:
    """The row that DescribeInstanceTypes answers for a type."""
    ena = "required" if each.nitro else "unsupported"
    kinds = ["interface", "efa", "efa-only"] if each.efa else ["interface"]
    network: dict[str, Any] = {
        "NetworkPerformance": each.performance,
        "MaximumNetworkInterfaces": each.interfaces,
        "MaximumNetworkCards": len(each.per_card),
        "DefaultNetworkCardIndex": 0,
        "NetworkCards": [
            {
                "NetworkCardIndex": index,
                "NetworkPerformance": each.performance,
                "MaximumNetworkInterfaces": count,
                "InterfaceTypes": kinds,
            }
            for index, count in enumerate(each.per_card)
        ],
        "Ipv4AddressesPerInterface": each.addresses,
        "Ipv6AddressesPerInterface": each.addresses6,
        "Ipv6Supported": each.ipv6,
        "EnaSupport": ena,
        "EfaSupported": bool(each.efa),
        "EncryptionInTransitSupported": False,
        "EnaSrdSupported": bool(each.efa),
    }
    if each.efa:
        network["EfaInfo"] = {"MaximumEfaInterfaces": each.efa}
    return {
        "InstanceType": each.name,
        "CurrentGeneration": each.current,
        "FreeTierEligible": each.name in ("t2.micro", "t3.micro"),
        "SupportedUsageClasses": ["on-demand", "spot"],
        "SupportedRootDeviceTypes": ["ebs"],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": False,
        "Hypervisor": "nitro" if each.nitro else "xen",
        "ProcessorInfo": {
            "SupportedArchitectures": each.architectures,
            "Manufacturer": "AWS" if each.arm else "Intel",
        },
        "VCpuInfo": {
            "DefaultVCpus": each.vcpus,
            "DefaultCores": each.cores,
            "DefaultThreadsPerCore": each.threads,
            **(
                {"ValidCores": list(range(1, each.cores + 1)), "ValidThreadsPerCore": [1, each.threads]}
                if each.nitro and not (each.burstable and each.arm)
                else {}
            ),
        },
        "MemoryInfo": {"SizeInMiB": each.memory},
        "InstanceStorageSupported": False,
        "EbsInfo": {
            "EbsOptimizedSupport": "default" if each.nitro else "unsupported",
            "EncryptionSupport": "supported",
            "NvmeSupport": "required" if each.nitro else "unsupported",
        },
        "NetworkInfo": network,
        "PlacementGroupInfo": {"SupportedStrategies": each.strategies},
        "HibernationSupported": each.hibernates,
        "BurstablePerformanceSupported": each.burstable,
        "DedicatedHostsSupported": each.nitro,
        "AutoRecoverySupported": True,
        "SupportedBootModes": each.boot_modes,
        "NitroEnclavesSupport": "supported" if each.enclaves else "unsupported",
        "NitroTpmSupport": "unsupported",
    }
