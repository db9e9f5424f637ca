"""The spec file: from YAML to a validated ``Document``, with the line and column of every value.

The only side effect is reading the named files; botocore and boto3 are not imported. ``spec.schema`` makes the
JSON Schema, ``spec.render`` turns a ``Document`` back into YAML.
"""

from enireconcile.spec.checks import references_in
from enireconcile.spec.expand import Given
from enireconcile.spec.loading import STDIN, Disk, Spec, load, read_stdin, variables_from, variables_of
from enireconcile.spec.places import Path, Place, Places
from enireconcile.spec.rows import (
    ADDRESS_KEYS,
    EFA_TYPES,
    NUMBERED_PROTOCOLS,
    PROTOCOL_NAMES,
    SECTIONS,
    Association,
    Attachment,
    Check,
    ConnectionTracking,
    Document,
    EgressRule,
    ElasticIp,
    ExternalInstance,
    Failover,
    IngressRule,
    Instance,
    Lifecycle,
    MetadataOptions,
    NetworkInterface,
    Peer,
    Resource,
    Route,
    SecurityGroup,
    WebProbe,
    without_selectors,
)
from enireconcile.spec.shapes import ForeignSelector, Image, InstanceSelector, Ports, RouteTableSelector, Selector

__all__ = [
    "ADDRESS_KEYS",
    "EFA_TYPES",
    "NUMBERED_PROTOCOLS",
    "PROTOCOL_NAMES",
    "SECTIONS",
    "STDIN",
    "Association",
    "Attachment",
    "Check",
    "ConnectionTracking",
    "Disk",
    "Document",
    "EgressRule",
    "ElasticIp",
    "ExternalInstance",
    "Failover",
    "ForeignSelector",
    "Given",
    "Image",
    "IngressRule",
    "Instance",
    "InstanceSelector",
    "Lifecycle",
    "MetadataOptions",
    "NetworkInterface",
    "Path",
    "Peer",
    "Place",
    "Places",
    "Ports",
    "Resource",
    "Route",
    "RouteTableSelector",
    "SecurityGroup",
    "Selector",
    "Spec",
    "WebProbe",
    "load",
    "read_stdin",
    "references_in",
    "variables_from",
    "variables_of",
    "without_selectors",
]
