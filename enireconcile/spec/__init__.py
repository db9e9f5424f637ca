"""The spec file: YAML to a ``Document`` with places.

Pure but for reading the files that were named; loads neither botocore nor boto3. Its JSON Schema is in
``spec.schema``, the way back to YAML in ``spec.render``.
"""

from enireconcile.spec.loading import Spec, load
from enireconcile.spec.places import Path, Place, Places
from enireconcile.spec.rows import (
    EFA_TYPES,
    FURTHER,
    SECTIONS,
    Association,
    Attachment,
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
    Resource,
    SecurityGroup,
)
from enireconcile.spec.shapes import Image, InstanceSelector, Ports, Selector

__all__ = [
    "EFA_TYPES",
    "FURTHER",
    "SECTIONS",
    "Association",
    "Attachment",
    "ConnectionTracking",
    "Document",
    "EgressRule",
    "ElasticIp",
    "ExternalInstance",
    "Failover",
    "Image",
    "IngressRule",
    "Instance",
    "InstanceSelector",
    "Lifecycle",
    "MetadataOptions",
    "NetworkInterface",
    "Path",
    "Place",
    "Places",
    "Ports",
    "Resource",
    "SecurityGroup",
    "Selector",
    "Spec",
    "load",
]
