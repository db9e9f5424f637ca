"""Invalid values, one at a time: the place of the problem, its message and its hint."""

from __future__ import annotations

import pytest

from tests.spec.reading import GROUP, HEAD, INSTANCE, INTERFACE, RULE, assert_refused, problems

TOP = [
    # snippet from line 3 on, line:column path, the message, the hint
    ("regoin: us-east-1", "3:1 regoin", "unknown key", "did you mean `region`?"),
    ("zzz: 1", "3:1 zzz", "unknown key", "choose from: account_id, "),
    (
        "region: us-east-1a",
        "3:9 region",
        "must be a Region, but 'us-east-1a' is an Availability Zone",
        "write us-east-1",
    ),
    ("region: us_east_1", "3:9 region", "must be a Region, not 'us_east_1'", "did you mean `us-east-1`?"),
    ("region: us-esat-1", "3:9 region", "must be a Region, not 'us-esat-1'", "did you mean `us-east-1`?"),
    ("region: us-east-9", "3:9 region", "'us-east-9' is no Region that boto3 knows", "did you mean `us-east-1`?"),
    ("region: us-east-1-lax-1a", "3:9 region", "must be a Region", "did you mean `us-east-1`?"),
    ("region: moon-1", "3:9 region", "must be a Region, not 'moon-1'", "for example us-east-1"),
    ("region: [us-east-1]", "3:9 region", "must be text, not a list", ""),
    ("account_id: 1234", "3:13 account_id", "must be the 12 digits", ""),
    ("account_id: 1234-5678-9012", "3:13 account_id", "must be the 12 digits", ""),
    ("assume_role_arn: admin", "3:18 assume_role_arn", "must be the ARN of an IAM role", "arn:aws:iam::"),
    ("tags: [a]", "3:7 tags", "must be a mapping, not a list", "`{}`"),
    ("tags: {aws:x: y}", "3:8 tags.aws:x", "`aws:` is reserved for AWS", "rename"),
    ("tags: {enireconcile:stack: y}", "3:8 tags.enireconcile:stack", "is reserved for enireconcile", "rename"),
    ("tags: {'': y}", "3:8 tags.''", "must have 1 to 128 characters; this one has 0", ""),
    (f"tags: {{{'k' * 129}: y}}", f"3:8 tags.'{'k' * 59}…'", "this one has 129", ""),
    (f"tags: {{k: {'v' * 257}}}", "3:11 tags.k", "at most 256 characters; this one has 257", ""),
    ("tags: {k: [1]}", "3:11 tags.k", "must be text, not a list", ""),
    ("security_groups: [a]", "3:18 security_groups", "must be a mapping, not a list", "`{}`"),
    (
        "elastic_ips: {ip: [a]}",
        "3:19 elastic_ips.ip",
        "must be a mapping, not a list",
        "or `{}` to use only defaults",
    ),
    ("elastic_ips: {a.b: {}}", "3:15 elastic_ips.'a.b'", "cannot be the name of a resource", "web-eth1"),
    (
        f"elastic_ips: {{{'a' * 128}: {{}}}}",
        f"3:15 elastic_ips.'{'a' * 59}…'",
        "cannot be the name of a resource: it is 128 characters long",
        "use at most 127",
    ),
    ("defaults: {instances: {zzz: 1}}", "3:24 defaults.instances.zzz", "unknown key", "enireconcile schema"),
    ("elastic_ips: {-a: {}}", "3:15 elastic_ips.-a", "cannot be the name of a resource", "web-eth1"),
    ("security_groups: {self: {}}", "3:19 security_groups.self", "cannot be the name of a group", "another"),
    ("security_groups: {sg-a: {}}", "3:19 security_groups.sg-a", "cannot be the name of a group", "another"),
    (
        "network_interfaces: {eni-12345678: {subnet: subnet-12345678}}",
        "3:22 network_interfaces.eni-12345678",
        "cannot be the name of an interface: it looks like an id",
        "another",
    ),
    ("security_groups: {pl-a: {}}", "3:19 security_groups.pl-a", "cannot be the name of a group", "another"),
]

HEADS = [
    ("stack: s", "1:1 version", "is missing", "begin the file with `version: 1`"),
    ("version: 1", "1:1 stack", "is missing", "write `stack: NAME`"),
    ("version: 1\nstack:", "2:1 stack", "has no value", "write `stack: NAME`"),
    ("version: \nstack: s", "1:1 version", "has no value", "begin the file with `version: 1`"),
    ("version: 2\nstack: s", "1:10 version", "this release reads spec version 1, not 2", "`version: 1`"),
    ('version: "1"\nstack: s', "1:10 version", "'1' in quotes", "write 1"),
    ("version: 1.0\nstack: s", "1:10 version", "must be a whole number", "write 1"),
    ("version: 1\nstack: Two", "2:8 stack", "must be 1 to 63 lower-case letters", "two-enis"),
    ("version: 1\nstack: " + "s" * 64, "2:8 stack", "1 to 63", "two-enis"),
    ("version: 1\nstack: 1st", "2:8 stack", "must be 1 to 63 lower-case letters", "two-enis"),
]

GROUPS = [
    # a field of security_groups.a, at line 5, column 5
    ("descripton: x", "5:5 security_groups.a.descripton", "unknown key", "`description`"),
    (
        "adopt: sg-web",
        "5:12 security_groups.a.adopt",
        "'sg-web' is not a security group id",
        "sg-0123456789abcdef0",
    ),
    (
        "adopt: eni-12345678",
        "5:12 security_groups.a.adopt",
        "'eni-12345678' is not a security group id",
        "sg-0123",
    ),
    ("adopt: [sg-12345678]", "5:12 security_groups.a.adopt", "must be text, not a list", ""),
    ("group_name: sg-web", "5:17 security_groups.a.group_name", "must not begin with `sg-`", ""),
    ("group_name: Default", "5:17 security_groups.a.group_name", "`default` is reserved", ""),
    ("group_name: ''", "5:17 security_groups.a.group_name", "must not be empty", ""),
    ("group_name: 'web '", "5:17 security_groups.a.group_name", "ends with a space", "remove the space"),
    ("group_name: wéb", "5:17 security_groups.a.group_name", "EC2 does not allow the character 'é'", "letters"),
    (
        f"group_name: {'x' * 256}",
        "5:17 security_groups.a.group_name",
        "256 characters long; EC2 accepts at most 255",
        "",
    ),
    (
        "description: ''",
        "5:18 security_groups.a.description",
        "must not be empty",
        "leave it out to use 'Managed by enireconcile'",
    ),
    ("description: a|b", "5:18 security_groups.a.description", "does not allow the character '|'", "letters"),
    (f"description: {'x' * 256}", "5:18 security_groups.a.description", "256 characters long", ""),
    (
        "vpc: main",
        "5:10 security_groups.a.vpc",
        "'main' is not a VPC id",
        "write {tags: {Name: main}} for a Name tag, else default, vpc-",
    ),
    ("vpc: vpc-xyz", "5:10 security_groups.a.vpc", "'vpc-xyz' is not a VPC id", "vpc-0123456789abcdef0"),
    ("vpc: {id: vpc-12345678}", "5:11 security_groups.a.vpc.id", "unknown key", ""),
    ("vpc: {}", "5:10 security_groups.a.vpc", "exactly one of cidr, tags", "{cidr: "),
    ("vpc: {cidr: 10.0.0.0/16, tags: {a: b}}", "5:10 security_groups.a.vpc", "exactly one of", "{cidr: "),
    (
        "vpc: {tags: {}}",
        "5:17 security_groups.a.vpc.tags",
        "must not be empty: it would match every VPC",
        "at least one",
    ),
    ("vpc: {cidr: 10.0.1.0/16}", "5:17 security_groups.a.vpc.cidr", "host bits", "10.0.0.0/16"),
    (
        "vpc: {cidr: 10.0.0.0/8}",
        "5:17 security_groups.a.vpc.cidr",
        "/8 is not a valid size of a VPC",
        "/16 to /28",
    ),
    ("vpc: {cidr: fd00::/16}", "5:17 security_groups.a.vpc.cidr", "must be an IPv4 CIDR", "10.0.0.0/24"),
    ("ingress: {}", "5:14 security_groups.a.ingress", "must be a list, not a mapping", ""),
    ("ingress: [x]", "5:15 security_groups.a.ingress.0", "must be a mapping, not 'x'", "`key: value`"),
]

RULES = [
    # a rule of security_groups.a.ingress, at line 6, column 9
    ("{sources: [self]}", "6:9 ….protocol", "is missing", "add `protocol: …`"),
    ("{protocol: tcp}", "6:9 ….sources", "is missing", "add `sources: …`"),
    ("{protocol: tcp, destinations: [self], sources: [self]}", "6:25 ….destinations", "unknown key", ""),
    ("{protocol: tpc, sources: [self]}", "6:20 ….protocol", "'tpc' is not a protocol", "did you mean `tcp`?"),
    ("{protocol: 256, sources: [self]}", "6:20 ….protocol", "'256' is not a protocol", "0 to 255"),
    ("{protocol: 06, sources: [self]}", "6:20 ….protocol", "'06' is not a protocol", "0 to 255"),
    ("{protocol: [tcp], sources: [self]}", "6:20 ….protocol", "not a list", "tcp, udp"),
    ("{protocol: tcp, ports: http, sources: [self]}", "6:32 ….ports", "a port or a range", "write 80"),
    ("{protocol: tcp, ports: 080, sources: [self]}", "6:32 ….ports", "a port or a range", "write 80"),
    ("{protocol: tcp, ports: 0x50, sources: [self]}", "6:32 ….ports", "a port or a range", "write 80"),
    ("{protocol: tcp, ports: 22:23, sources: [self]}", "6:32 ….ports", "a port or a range", "write 22-23"),
    ("{protocol: tcp, ports: all, sources: [self]}", "6:32 ….ports", "a port or a range", "leave `ports` out"),
    ("{protocol: tcp, ports: [80, 443], sources: [self]}", "6:32 ….ports", "not a list", "a rule for each"),
    ("{protocol: tcp, ports: {first: 80, last: 80}, sources: [self]}", "6:32 ….ports", "not a mapping", ""),
    (
        "{protocol: tcp, ports: 65536, sources: [self]}",
        "6:32 ….ports",
        "must be at most 65535, not 65536",
        "8000-8010",
    ),
    (
        "{protocol: tcp, ports: 90-80, sources: [self]}",
        "6:32 ….ports",
        "the range 90-80 ends before it begins",
        "write 80-90",
    ),
    ("{protocol: all, ports: 80, sources: [self]}", "6:32 ….ports", "protocol all has no ports", "tcp or udp"),
    ("{protocol: 50, ports: 80, sources: [self]}", "6:31 ….ports", "protocol esp has no ports", "tcp or udp"),
    (
        "{protocol: icmp, ports: 256, sources: [self]}",
        "6:33 ….ports",
        "icmp takes a type from 0 to 255",
        "for example 8",
    ),
    (
        "{protocol: icmp, ports: 3/256, sources: [self]}",
        "6:33 ….ports",
        "icmp takes a type from 0 to 255, or a type and a code",
        '"3/4"',
    ),
    ("{protocol: icmp, ports: 3/04, sources: [self]}", "6:33 ….ports", "a port or a range", ""),
    (
        "{protocol: tcp, ports: 80/1, sources: [self]}",
        "6:32 ….ports",
        "tcp takes ports, not an ICMP type and code",
        '"8000-8010"',
    ),
    ("{protocol: all, ports: 3/4, sources: [self]}", "6:32 ….ports", "protocol all has no ports", "tcp or udp"),
    (
        "{protocol: icmpv6, ports: 1-2, sources: [self]}",
        "6:35 ….ports",
        "icmpv6 takes a type from 0 to 255",
        "for example 8",
    ),
    ("{protocol: tcp, sources: []}", "6:34 ….sources", "must not be empty", "at least one"),
    ("{protocol: tcp, sources: 10.0.0.0/8}", "6:34 ….sources", "must be a list", "`[10.0.0.0/8]`"),
    ("{protocol: tcp, sources: [10.0.0.1/8]}", "6:35 ….sources.0", "host bits", "10.0.0.0/8"),
    ("{protocol: tcp, sources: ['2001:db8::1/32']}", "6:35 ….sources.0", "host bits", "2001:db8::/32"),
    ("{protocol: tcp, sources: [10.0.0.1]}", "6:35 ….sources.0", "is an address, not a CIDR", "10.0.0.1/32"),
    ("{protocol: tcp, sources: ['2001:DB8::1']}", "6:35 ….sources.0", "an address", "2001:db8::1/128"),
    (
        "{protocol: tcp, sources: [010.0.0.0/8]}",
        "6:35 ….sources.0",
        "'010.0.0.0/8' is not a valid CIDR",
        "10.0.0.0/8",
    ),
    ("{protocol: tcp, sources: [10.0.0.0/33]}", "6:35 ….sources.0", "is not a valid CIDR", "10.0.0.0/8"),
    ("{protocol: tcp, sources: [10.0.0.0/08]}", "6:35 ….sources.0", "is not a valid CIDR", "10.0.0.0/8"),
    ("{protocol: tcp, sources: [10.0.0.0/255.0.0.0]}", "6:35 ….sources.0", "is not a valid CIDR", "10.0.0.0/8"),
    (
        "{protocol: tcp, sources: [12345/sg-12345678]}",
        "6:35 ….sources.0",
        "is not a security group of another account",
        "account id of 12 digits",
    ),
    (
        "{protocol: tcp, sources: [123456789012/sg-web]}",
        "6:35 ….sources.0",
        "is not a security group of another account",
        "123456789012/sg-0123456789abcdef0",
    ),
    (
        "{protocol: tcp, sources: [{}]}",
        "6:35 ….sources.0",
        "needs exactly one of tags, group_name, prefix_list_name",
        "{group_name: ops}",
    ),
    (
        "{protocol: tcp, sources: [{tags: {a: b}, group_name: c}]}",
        "6:35 ….sources.0",
        "needs exactly one of tags, group_name",
        "{tags: ",
    ),
    (
        "{protocol: tcp, sources: [{tags: {}}]}",
        "6:42 ….sources.0.tags",
        "must not be empty: it would match every security group",
        "at least one tag",
    ),
    (
        "{protocol: tcp, sources: [{group: c}]}",
        "6:36 ….sources.0.group",
        "unknown key",
        "did you mean `group_name`?",
    ),
    (
        "{protocol: tcp, sources: [{group_name: ''}]}",
        "6:48 ….sources.0.group_name",
        "must be the name of a security group",
        "for example default",
    ),
    (
        "{protocol: tcp, sources: [{prefix_list_name: é}]}",
        "6:54 ….sources.0.prefix_list_name",
        "must be the name of a prefix list",
        "com.amazonaws.",
    ),
    ("{protocol: tcp, sources: [[a]]}", "6:35 ….sources.0", "must be text, not a list", "a single value"),
    (
        "{protocol: tcp, sources: [sg-web]}",
        "6:35 ….sources.0",
        "'sg-web' is not a security group id",
        "sg-0123456789abcdef0",
    ),
    (
        "{protocol: tcp, sources: [pl-s3]}",
        "6:35 ….sources.0",
        "'pl-s3' is not a prefix list id",
        "pl-0123456789abcdef0",
    ),
    ("{protocol: tcp, sources: [[self]]}", "6:35 ….sources.0", "must be text, not a list", ""),
    ("{protocol: tcp, sources: [self], description: a|b}", "6:55 ….description", "the character '|'", "letters"),
    (
        f"{{protocol: tcp, sources: [self], description: {'x' * 256}}}",
        "6:55 ….description",
        "256 characters long",
        "",
    ),
]

VOLUME = "8:15 instances.web.volumes.0"
LAUNCHES = [
    # what a launch says, at line 8, column 5
    ("monitoring: yes", "8:17 instances.web.monitoring", "must be `true` or `false`", "`true`"),
    ("auto_recovery: default", "8:20 instances.web.auto_recovery", "must be `true` or `false`", ""),
    ("shutdown_behavior: halt", "8:24 instances.web.shutdown_behavior", "must be `stop` or `terminate`", ""),
    ("cpu_credits: some", "8:18 instances.web.cpu_credits", "must be `standard` or `unlimited`", ""),
    ("root_volume: {}", "8:18 instances.web.root_volume", "must not be empty", "size_gib"),
    ("root_volume: 20", "8:18 instances.web.root_volume", "must be a mapping, not '20'", "size_gib: 20"),
    ("root_volume: {size: 20}", "8:19 instances.web.root_volume.size", "unknown key", "`size_gib`"),
    ("root_volume: {type: gp4}", "8:25 instances.web.root_volume.type", "must be `gp3`", "gp"),
    ("root_volume: {type: st1}", "8:25 instances.web.root_volume.type", "st1 cannot be a root volume", "gp3"),
    ("root_volume: {size_gib: 0}", "8:29 instances.web.root_volume.size_gib", "from 1 to 65536 GiB", ""),
    (
        "root_volume: {size_gib: 20000, type: gp2}",
        "8:29 instances.web.root_volume.size_gib",
        "must be from 1 to 16384 GiB for gp2, not 20000",
        "",
    ),
    ("root_volume: {iops: 3000}", "8:25 instances.web.root_volume.iops", "needs `type`: gp3, io1 or io2", ""),
    ("root_volume: {type: gp2, iops: 3000}", "8:36 instances.web.root_volume.iops", "gp2 takes no `iops`", ""),
    (
        "root_volume: {type: gp3, iops: 2999}",
        "8:36 instances.web.root_volume.iops",
        "must be from 3000 to 80000 for gp3, not 2999",
        "",
    ),
    (
        "root_volume: {type: gp3, size_gib: 8, iops: 4001}",
        "8:49 instances.web.root_volume.iops",
        "must be from 3000 to 4000 for gp3 of 8 GiB, not 4001",
        "500 IOPS for each GiB",
    ),
    ("root_volume: {type: io2}", "8:25 instances.web.root_volume.type", "io2 needs `iops`", "iops: 3000"),
    (
        "root_volume: {type: gp3, throughput: 2001}",
        "8:42 instances.web.root_volume.throughput",
        "from 125 to 2000 MiB/s",
        "",
    ),
    (
        "root_volume: {type: gp3, throughput: 751}",
        "8:42 instances.web.root_volume.throughput",
        "751 MiB/s needs at least 3004 IOPS, and the volume has 3000",
        "`iops: 3004` or more",
    ),
    (
        "root_volume: {type: io1, iops: 100, throughput: 125}",
        "8:53 instances.web.root_volume.throughput",
        "io1 takes no `throughput`",
        "only gp3",
    ),
    (
        "root_volume: {kms_key_id: alias/a}",
        "8:31 instances.web.root_volume.kms_key_id",
        "needs `encrypted: true`",
        "",
    ),
    (
        "root_volume: {encrypted: true, kms_key_id: a key}",
        "8:48 instances.web.root_volume.kms_key_id",
        "the id, alias or ARN of a KMS key",
        "alias/ebs",
    ),
    ("volumes: {}", "8:14 instances.web.volumes", "must be a list, not a mapping", ""),
    ("volumes: [{size_gib: 1}]", f"{VOLUME}.device_name", "is missing", "add `device_name: …`"),
    ("volumes: [{device_name: sdf, size_gib: 1}]", "8:29 instances.web.volumes.0.device_name", "/dev/sdf", ""),
    ("volumes: [{device_name: /dev/sdf}]", VOLUME, "needs `size_gib` or `snapshot_id`", "size_gib: 100"),
    (
        "volumes: [{device_name: /dev/sdf, size_gib: 100, type: st1}]",
        "8:49 instances.web.volumes.0.size_gib",
        "must be from 125 to 16384 GiB for st1, not 100",
        "",
    ),
    (
        "volumes: [{device_name: /dev/sdf, size_gib: 1}, {device_name: /dev/sdf, size_gib: 2}]",
        "8:67 instances.web.volumes.1.device_name",
        "'/dev/sdf' is the device name of two volumes",
        "another",
    ),
    ("volume_tags: {'aws:x': y}", "8:19 instances.web.volume_tags.aws:x", "is reserved for AWS", "rename"),
    ("placement: {}", "8:16 instances.web.placement", "must not be empty", "group"),
    ("placement: {tenancy: shared}", "8:26 instances.web.placement.tenancy", "must be `default`", ""),
    ("placement: {partition: 1}", "8:28 instances.web.placement.partition", "needs `group`", ""),
    (
        "placement: {tenancy: dedicated, host_id: h-12345678}",
        "8:46 instances.web.placement.host_id",
        "cannot be combined with `tenancy: dedicated`",
        "`tenancy: host`",
    ),
    ("cpu_options: {core_count: 1}", "8:18 instances.web.cpu_options", "needs `threads_per_core`", "both or"),
    (
        "cpu_options: {core_count: 1, threads_per_core: 3}",
        "8:52 instances.web.cpu_options.threads_per_core",
        "must be from 1 to 2, not 3",
        "multithreading",
    ),
    ("hibernation: maybe", "8:18 instances.web.hibernation", "must be `true` or `false`", ""),
    (
        "capacity_reservation: {}",
        "8:27 instances.web.capacity_reservation",
        "needs either `capacity_reservation_preference` or `capacity_reservation_target`",
        "one of the two",
    ),
    ("spot: true", "8:11 instances.web.spot", "must be a mapping, not 'true'", "{}"),
    ("spot: {max_price: cheap}", "8:23 instances.web.spot.max_price", "a price in dollars an hour", ""),
    ("spot: {max_price: 0.001}", "8:23 instances.web.spot.max_price", "must be more than 0.001", "current"),
    (
        "spot: {spot_instance_type: persistent}",
        "8:32 instances.web.spot.spot_instance_type",
        "needs the interruption behavior stop or hibernate",
        "stop",
    ),
    (
        "spot: {valid_until: 2030-01-31T12:00:00Z}",
        "8:25 instances.web.spot.valid_until",
        "needs `spot_instance_type: persistent`",
        "",
    ),
    (
        "spot: {}\n    state: stopped",
        "9:12 instances.web.state",
        "EC2 cannot stop a one-time Spot Instance",
        "persistent",
    ),
    (
        "spot: {}\n    on_change: restart",
        "9:16 instances.web.on_change",
        "restart stops the instance, and EC2 cannot stop a one-time Spot Instance",
        "`on_change: replace`",
    ),
    (
        "stop_protection: true\n    spot: {}",
        "8:22 instances.web.stop_protection",
        "EC2 does not protect Spot Instances",
        "",
    ),
    (
        "stop_protection: true\n    state: stopped",
        "8:22 instances.web.stop_protection",
        "EC2 refuses to stop the instance",
        "",
    ),
    (
        "hibernation: true\n    enclave: true",
        "9:14 instances.web.enclave",
        "cannot be combined with hibernation",
        "",
    ),
]

INSTANCES = [
    # a further field of instances.web, at line 8, column 5
    ("keyname: ops", "8:5 instances.web.keyname", "unknown key", "`key_name`"),
    ("user_data_flie: x", "8:5 instances.web.user_data_flie", "unknown key", "`user_data_file`"),
    ("state: runing", "8:12 instances.web.state", "must be `running` or `stopped`", "did you mean `running`?"),
    ("state: true", "8:12 instances.web.state", "must be `running` or `stopped`", "choose from: running, stopped"),
    (
        "on_change: rebuild",
        "8:16 instances.web.on_change",
        "must be `refuse`, `restart` or `replace`",
        "choose from: ",
    ),
    (
        "termination_protection: yes",
        "8:29 instances.web.termination_protection",
        "must be `true` or `false`",
        "`true`",
    ),
    (
        "metadata_options: {http_tokens: maybe}",
        "8:37 instances.web.metadata_options.http_tokens",
        "must be `required` or `optional`",
        "choose from: ",
    ),
    (
        "metadata_options: {http_put_response_hop_limit: 65}",
        "8:53 instances.web.metadata_options.http_put_response_hop_limit",
        "from 1 to 64",
        "2 for containers",
    ),
    *LAUNCHES,
    ("key_name: ''", "8:15 instances.web.key_name", "the name of a key pair", ""),
    ("iam_instance_profile: a b", "8:27 instances.web.iam_instance_profile", "name or the ARN", "profile's name"),
    (
        "iam_instance_profile: arn:aws:iam::123456789012:role/web",
        "8:27 instances.web.iam_instance_profile",
        "name or the ARN",
        "this is a role",
    ),
    ("user_data: [a]", "8:16 instances.web.user_data", "must be text, not a list", ""),
    (
        f"user_data: {'x' * 16385}",
        "8:16 instances.web.user_data",
        "16385 bytes long; EC2 accepts at most 16384",
        "at boot",
    ),
    (f"user_data: {'é' * 8193}", "8:16 instances.web.user_data", "16386 bytes long", "at boot"),
    ("tags: {enireconcile:name: x}", "8:12 instances.web.tags.enireconcile:name", "is reserved", "rename"),
]

IMAGES = [
    # the image of an instance
    ("t3", "'t3' is not an AMI id", "ami-0123456789abcdef0"),
    ("[ami-12345678]", "must be an image selector, not a list", "ami-0123456789abcdef0"),
    ("{name: 'al2023-*'}", "`name` needs `owner`", "owner: amazon"),
    ("{owner: self}", "either `ssm`, or `name` and `owner`", "owner: amazon"),
    ("{}", "either `ssm`, or `name` and `owner`", "owner: amazon"),
    ("{ssm: /a, name: b, owner: self}", "either `ssm`, or `name` and `owner`", "owner: amazon"),
]

IMAGE_PARTS = [
    # the image of an instance, where in it the problem is
    (
        "{id: ami-12345678}",
        "7:13 instances.web.image.id",
        "unknown key",
        "choose from: architecture, name, owner, ssm",
    ),
    ("{ssm: a b}", "7:18 instances.web.image.ssm", "the name of an SSM parameter", "/team/ami"),
    ("{name: '', owner: self}", "7:19 instances.web.image.name", "a pattern of image names", "al2023"),
    ("{name: a, owner: me}", "7:29 instances.web.image.owner", "`amazon`, `self` or an account id", ""),
]

INTERFACES = [
    # a further field of network_interfaces.eth0, at line 6, column 5
    ("secgroups: []", "6:5 ….secgroups", "unknown key", "`security_groups`"),
    ("adopt: i-12345678", "6:12 ….adopt", "'i-12345678' is not a network interface id", "eni-0123456789abcdef0"),
    ("ipv6_addresses: [172.31.0.9]", "6:22 ….ipv6_addresses.0", "must be an IPv6 address", "2001:db8::10"),
    ("ipv6_addresses: ['fe80::1%eth0']", "6:22 ….ipv6_addresses.0", "must be an IPv6 address", "2001:db8::10"),
    ("ipv6_addresses: ['2001:db8::/64']", "6:22 ….ipv6_addresses.0", "must be an IPv6 address", "2001:db8::10"),
    ("ipv6_addresses: 2001:db8::1", "6:21 ….ipv6_addresses", "must be a list", "`[2001:db8::1]`"),
    (
        "ipv6_address_count: 65",
        "6:25 ….ipv6_address_count",
        "must be from 0 to 64, not 65",
        "no instance type supports more",
    ),
    (
        "ipv4_prefixes: [172.31.0.16/29]",
        "6:21 ….ipv4_prefixes.0",
        "/29 is not a valid length of an IPv4 prefix",
        "/28",
    ),
    ("ipv4_prefixes: [172.31.0.17/28]", "6:21 ….ipv4_prefixes.0", "host bits", "172.31.0.16/28"),
    ("ipv4_prefixes: [172.31.0.16]", "6:21 ….ipv4_prefixes.0", "must be an IPv4 prefix", "172.31.0.16/28"),
    ("ipv4_prefixes: ['2001:db8::/80']", "6:21 ….ipv4_prefixes.0", "must be an IPv4 prefix", "172.31.0.16/28"),
    ("ipv4_prefix_count: 64", "6:24 ….ipv4_prefix_count", "must be from 0 to 63", ""),
    (
        "ipv6_prefixes: ['2001:db8::/64']",
        "6:21 ….ipv6_prefixes.0",
        "/64 is not a valid length of an IPv6 prefix",
        "/80",
    ),
    ("ipv6_prefixes: [10.0.0.16/28]", "6:21 ….ipv6_prefixes.0", "must be an IPv6 prefix", "2001:db8:0:0:1::/80"),
    ("ipv6_prefix_count: -1", "6:24 ….ipv6_prefix_count", "must be from 0 to 64", ""),
    (
        "interface_type: EFA",
        "6:21 ….interface_type",
        "must be `interface`, `efa`, `efa-only`, `trunk` or `branch`",
        "efa-only",
    ),
    ("connection_tracking: {}", "6:26 ….connection_tracking", "must not be empty", "tcp_established_timeout"),
    ("connection_tracking: 60", "6:26 ….connection_tracking", "must be a mapping", "`key: value`"),
    (
        "connection_tracking: {tcp_timeout: 60}",
        "6:27 ….connection_tracking.tcp_timeout",
        "unknown key",
        "`udp_timeout`",
    ),
    *(
        (
            f"connection_tracking: {{{key}: {value}}}",
            f"6:{29 + len(key)} ….connection_tracking.{key}",
            f"must be from {least} to {most} seconds",
            "",
        )
        for key, least, most in (
            ("tcp_established_timeout", 60, 432000),
            ("udp_stream_timeout", 60, 180),
            ("udp_timeout", 30, 60),
        )
        for value in (least - 1, most + 1)
    ),
    ("secondary_private_ips: [172.31.0.300]", "6:29 ….secondary_private_ips.0", "172.31.0.300", ""),
    ("secondary_private_ip_count: 64", "6:33 ….secondary_private_ip_count", "must be from 0 to 63", ""),
    ("secondary_private_ip_count: -1", "6:33 ….secondary_private_ip_count", "must be from 0 to 63", ""),
    ("security_groups: []", "6:22 ….security_groups", "must not be empty", "default group"),
    ("security_groups: sg-12345678", "6:22 ….security_groups", "must be a list", "`[sg-12345678]`"),
    ("security_groups: [sg-web]", "6:23 ….security_groups.0", "'sg-web' is not a security group id", "sg-0123"),
    (
        "security_groups: [{group_name: a}, {group_name: a}]",
        "6:40 ….security_groups.1",
        "'a' is listed twice",
        "remove",
    ),
    (
        "security_groups: [{prefix_list_name: a}]",
        "6:24 ….security_groups.0.prefix_list_name",
        "is allowed only in rules",
        "{group_name: ops}",
    ),
    (
        "security_groups: [123456789012/sg-12345678]",
        "6:23 ….security_groups.0",
        "an interface cannot be in a group of another account",
        "in a rule",
    ),
    ("security_groups: [sg-12345678, sg-12345678]", "6:36 ….security_groups.1", "is listed twice", "remove"),
    (
        "security_groups: [" + ", ".join(f"sg-{n:08x}" for n in range(17)) + "]",
        "6:22 ….security_groups",
        "17 groups; EC2 accepts at most 16",
        "default quota is 5",
    ),
    ("private_ip: 10.0.0.256", "6:17 ….private_ip", "must be an IPv4 address", "172.31.0.10"),
    ("private_ip: 10.0.0.010", "6:17 ….private_ip", "must be an IPv4 address", "172.31.0.10"),
    ("private_ip: '2001:db8::1'", "6:17 ….private_ip", "must be an IPv4 address", "172.31.0.10"),
    (r'description: "a\tb"', "6:18 ….description", "the control character '\\t'", "remove it"),
    ("source_dest_check: no", "6:24 ….source_dest_check", "must be `true` or `false`", "write `false`"),
    ("source_dest_check: On", "6:24 ….source_dest_check", "must be `true` or `false`", "write `true`"),
    ("source_dest_check: True", "6:24 ….source_dest_check", "must be `true` or `false`", "write `true`"),
    ("source_dest_check: 0", "6:24 ….source_dest_check", "must be `true` or `false`", "write `false`"),
    ("source_dest_check: 'false'", "6:24 ….source_dest_check", "in quotes", "without quotes"),
    ("source_dest_check: maybe", "6:24 ….source_dest_check", "must be `true` or `false`", ""),
    ("source_dest_check: {}", "6:24 ….source_dest_check", "not a mapping", ""),
    ("attachment: web", "6:17 ….attachment", "must be a mapping", "{instance: web, device_index: 1}"),
    (
        "attachment:\n      device_index: 1",
        "6:5 ….attachment",
        "needs either `instance` or `instances`",
        "failover",
    ),
    ("attachment: {instance: web}", "6:17 ….attachment.device_index", "is missing", "add `device_index: …`"),
    (
        "attachment: {instance: web, device_index: 1, card: 0}",
        "6:50 ….attachment.card",
        "unknown key",
        "choose from: ",
    ),
]

FAILOVERS = [
    # failover as written, the value's path, the message, the hint
    ("{force_detach_after: 60}", ".force_detach_after", "must be a duration, not '60'", "write 60s for seconds"),
    ("{force_detach_after: 1:30}", ".force_detach_after", "must be a duration, not '1:30'", "write 90s"),
    ("{force_detach_after: 0s}", ".force_detach_after", "must be a duration, not '0s'", "for example 60s"),
    ("{force_detach_after: 500ms}", ".force_detach_after", "must be a duration", "for example 60s"),
    (
        "{force_detach_after: 2h}",
        ".force_detach_after",
        "must be at most 1h, not 7200s",
        "to never force a detach",
    ),
    ("{force_detach_after: true}", ".force_detach_after", "must be", ""),
    ("{health: ping}", ".health", "must be `status_checks`, `running` or `none`", ""),
]

LIFECYCLES = [
    # lifecycle as written, the value's path, the message, the hint
    ("true", "", "must be a mapping, not 'true'", "`key: value`"),
    ("{prevent_destroy: yes}", ".prevent_destroy", "must be `true` or `false`", "write `true`"),
    ("{prevent: true}", ".prevent", "unknown key", "did you mean `prevent_destroy`?"),
    ("{ignore: attachment}", ".ignore", "must be a list", "`[attachment]`"),
    (
        "{ignore: [atachment]}",
        ".ignore.0",
        "'atachment' is not an attribute that can be ignored",
        "did you mean `attachment`?",
    ),
    (
        "{ignore: [tags, state]}",
        ".ignore.1",
        "'state' is not an attribute that can be ignored",
        "choose from: associate_public_ip_address, attachment",
    ),
    ("{ignore: [tags, tags]}", ".ignore.1", "'tags' is listed twice", "remove one"),
    ("{ignore: [adopt]}", ".ignore.0", "'adopt' is not an attribute that can be ignored", ""),
    ("{ignore: [lifecycle]}", ".ignore.0", "'lifecycle' is not an attribute that can be ignored", ""),
]

ADDRESSES = [
    # a field of elastic_ips.a, at line 5, column 5
    (
        "association: {}",
        "5:18 ….association",
        "needs either `network_interface` or `instance`",
        "exactly one of the two",
    ),
    (
        "association: {network_interface: eni-12345678, instance: fw}",
        "5:18 ….association",
        "needs either `network_interface` or `instance`",
        "exactly one of the two",
    ),
    ("association: eni-12345678", "5:18 ….association", "must be a mapping", "{network_interface: web-eth0}"),
    ("address: x", "5:14 ….address", "must be an IPv4 address, not 'x'", "for example 203.0.113.7"),
    ("reverse_dns: localhost", "5:18 ….reverse_dns", "must be a domain name, not 'localhost'", "www.example.com"),
    ("reverse_dns: -a.example.com", "5:18 ….reverse_dns", "must be a domain name", '"" for none'),
    ("reverse_dns: a..example.com", "5:18 ….reverse_dns", "must be a domain name", ""),
    ("reverse_dns: .", "5:18 ….reverse_dns", "must be a domain name", ""),
    (f"reverse_dns: {'a' * 64}.example.com", "5:18 ….reverse_dns", "must be a domain name", ""),
    (f"reverse_dns: {'a.' * 126}com", "5:18 ….reverse_dns", "must be a domain name", ""),
    ("reverse_dns: wéb.example.com", "5:18 ….reverse_dns", "must be a domain name", ""),
    ("reverse_dns: [a.example.com]", "5:18 ….reverse_dns", "must be text, not a list", ""),
    ("address: 10.0.0.7", "5:14 ….address", "10.0.0.7 is a private address", "an Elastic IP is a public address"),
    ("address: 172.31.255.255", "5:14 ….address", "is a private address", "an Elastic IP is a public address"),
    ("address: 192.168.0.1", "5:14 ….address", "is a private address", "an Elastic IP is a public address"),
    ("address: '2001:db8::1'", "5:14 ….address", "must be an IPv4 address", ""),
    ("public_ipv4_pool: mine", "5:23 ….public_ipv4_pool", "must be `amazon` or the id of a", "ipv4pool-ec2-0123"),
    ("network_border_group: lax", "5:27 ….network_border_group", "must be a network border group", "us-east-1"),
    ("domain: vpc", "5:5 ….domain", "unknown key", "choose from: "),
]

INDEXES = [
    # a device index as written, the message, the hint
    ("'1'", "must be a whole number, not '1' in quotes", "write 1"),
    ("'one'", "must be a whole number, not 'one' in quotes", "without quotes"),
    ("012", "must be a whole number, not '012'", "write 12; YAML 1.1 would read a leading 0 as octal"),
    ("0x1f", "must be a whole number, not '0x1f'", "write 31"),
    ("0o17", "must be a whole number, not '0o17'", "write 15"),
    ("0b11", "must be a whole number, not '0b11'", "write 3"),
    ("1_000", "must be a whole number, not '1_000'", "write 1000"),
    ("1:30", "must be a whole number, not '1:30'", "base-60"),
    ("1e3", "must be a whole number, not '1e3'", "write 1000"),
    ("1.0", "must be a whole number, not '1.0'", "write 1"),
    ("+1", "must be a whole number, not '+1'", "write 1"),
    ("8o", "must be a whole number, not '8o'", "decimal digits"),
    ("true", "must be a whole number, not 'true'", "decimal digits"),
    ("99999999999", "must be a whole number", "a smaller number"),
    ("[1]", "must be a whole number, not a list", ""),
    ("-1", "must not be negative, but is -1", "indexes start at 0"),
    ("1001", "must be at most 1000, not 1001", "no instance type"),
]

SUBNETS = [
    # a subnet as written at line 5, column 13, line:column path below it, the message, the hint
    ("default", "5:13", "'default' is not a subnet id", "default_for_az"),
    ("vpc-12345678", "5:13", "'vpc-12345678' is not a subnet id", "subnet-0123456789abcdef0"),
    ("{default_for_az: us-east-1}", "5:30 .default_for_az", "'us-east-1' is a Region", "us-east-1a"),
    ("{default_for_az: use1-az1}", "5:30 .default_for_az", "the name of an Availability Zone", "us-east-1a"),
    ("{availability_zone: us-east-1a}", "5:14 .availability_zone", "unknown key", "choose from: cidr, "),
    ("{cidr: 10.0.0.0/29}", "5:20 .cidr", "/29 is not a valid size", "/16 to /28"),
    ("{tags: {Name: [a]}}", "5:27 .tags.Name", "must be text, not a list", ""),
    ("[subnet-12345678]", "5:13", "must be a subnet selector, not a list", "subnet-0123456789abcdef0"),
]


@pytest.mark.parametrize(("snippet", "place", "message", "hint"), HEADS)
def test_the_first_lines(snippet: str, place: str, message: str, hint: str) -> None:
    """Every file needs a version and a stack."""
    assert_refused(snippet + "\n", place, message, hint)


@pytest.mark.parametrize(("snippet", "place", "message", "hint"), TOP)
def test_the_top_level(snippet: str, place: str, message: str, hint: str) -> None:
    """Keys, settings, tags, sections and the names in them."""
    assert_refused(HEAD + snippet + "\n", place, message, hint)


@pytest.mark.parametrize(("snippet", "place", "message", "hint"), ADDRESSES)
def test_elastic_ips(snippet: str, place: str, message: str, hint: str) -> None:
    """The keys of an Elastic IP."""
    text = HEAD + "elastic_ips:\n  a:\n    " + snippet + "\ninstances: {fw: {external: i-12345678}}\n"
    assert_refused(text, place.replace("…", "elastic_ips.a"), message, hint)


@pytest.mark.parametrize(("snippet", "place", "message", "hint"), GROUPS)
def test_a_security_group(snippet: str, place: str, message: str, hint: str) -> None:
    """EC2's rules for names and descriptions, and the selectors of a VPC."""
    assert_refused(GROUP + snippet + "\n", place, message, hint)


@pytest.mark.parametrize(("snippet", "place", "message", "hint"), RULES)
def test_a_rule_of_a_group(snippet: str, place: str, message: str, hint: str) -> None:
    """Protocols, ports, sources and destinations."""
    path = "security_groups.a.ingress.0"
    assert_refused(RULE + snippet + "\n", place.replace("…", path), message, hint)


@pytest.mark.parametrize(("snippet", "place", "message", "hint"), INSTANCES)
def test_an_instance(snippet: str, place: str, message: str, hint: str) -> None:
    """Its optional keys."""
    assert_refused(INSTANCE + snippet + "\n", place, message, hint)


@pytest.mark.parametrize(
    ("snippet", "place", "message", "hint"),
    [(image, "7:12 instances.web.image", message, hint) for image, message, hint in IMAGES] + IMAGE_PARTS,
)
def test_an_image(snippet: str, place: str, message: str, hint: str) -> None:
    """It is at line 7, column 12; a problem inside it is placed at the inner value."""
    text = INSTANCE.replace("    image: ami-12345678\n", "").rstrip(" ") + f"    image: {snippet}\n"
    assert_refused(text, place, message, hint)


def test_an_instance_type_has_a_family_and_a_size() -> None:
    """EC2 would refuse `t3micro` only after the interfaces are created."""
    text = INSTANCE.replace("t3.micro", "t3micro").rstrip() + "\n"
    assert_refused(text, "7:20 instances.web.instance_type", "must be an instance type", "t3.micro")


@pytest.mark.parametrize(("snippet", "place", "message", "hint"), INTERFACES)
def test_a_network_interface(snippet: str, place: str, message: str, hint: str) -> None:
    """Groups, address, flags, attachment."""
    path = "network_interfaces.eth0"
    text = INTERFACE + snippet + "\ninstances: {web: {external: i-12345678}}\n"
    assert_refused(text, place.replace("…", path), message, hint)


def test_a_name_may_be_that_of_a_field() -> None:
    """A row may be named like a key of another row; if it has nothing of a row, it is meant to be that key."""
    text = HEAD + "network_interfaces:\n  attachment: {description: x}\n"
    assert_refused(text, "4:15 network_interfaces.attachment.subnet", "is missing", "add `subnet: …`")
    text = HEAD + "elastic_ips:\n  association: {network_interface: eth0}\n"
    message = "is a key of an Elastic IP, not the name of one"
    assert_refused(text, "4:3 elastic_ips.association", message, "indent it under the row that it is for")


@pytest.mark.parametrize(("written", "message", "hint"), INDEXES)
def test_a_number_has_one_spelling(written: str, message: str, hint: str) -> None:
    """YAML 1.1 has seven spellings, which readers interpret differently."""
    text = INTERFACE + f"attachment: {{instance: web, device_index: {written}}}\n"
    text += "instances: {web: {external: i-12345678}}\n"
    assert_refused(text, "6:47 network_interfaces.eth0.attachment.device_index", message, hint)


@pytest.mark.parametrize(("written", "where", "message", "hint"), FAILOVERS)
def test_a_failover(written: str, where: str, message: str, hint: str) -> None:
    """A duration needs a unit."""
    text = INSTANCE.replace("}}}", "}}, eth1: {subnet: subnet-12345678, attachment: *}}").rstrip() + "\n"
    text = text.replace("*", f"{{instances: [web], device_index: 1, failover: {written}}}")
    column = text.splitlines()[2].index(f"{where[1:]}: ") + len(where) + 2
    assert_refused(text, f"3:{column} network_interfaces.eth1.attachment.failover{where}", message, hint)


@pytest.mark.parametrize(("written", "place", "message", "hint"), SUBNETS)
def test_a_subnet(written: str, place: str, message: str, hint: str) -> None:
    """There are four selectors."""
    where, _, below = place.partition(" ")
    text = INTERFACE.replace("subnet-12345678", written).rstrip() + "\n"
    assert_refused(text, f"{where} network_interfaces.eth0.subnet{below}", message, hint)


@pytest.mark.parametrize(("snippet", "path", "message", "hint"), LIFECYCLES)
def test_a_lifecycle(snippet: str, path: str, message: str, hint: str) -> None:
    """Only attributes of the resource can be ignored, by the names of their keys."""
    found = problems(INTERFACE + f"lifecycle: {snippet}\n")
    assert len(found) == 1, found
    where, what, how = found[0].split(" | ")
    assert where.split(" ")[1] == f"network_interfaces.eth0.lifecycle{path}"
    assert message in what
    assert hint in how
