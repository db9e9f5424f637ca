"""The spec file: YAML to a ``Document`` with places, its JSON Schema, and back to YAML.

Pure but for reading the files that were named; loads neither botocore nor boto3.
"""

from enireconcile.spec.loading import Spec, load
from enireconcile.spec.places import Path, Place, Places
from enireconcile.spec.render import render
from enireconcile.spec.rows import (
    SECTIONS,
    Association,
    Attachment,
    Document,
    EgressRule,
    ElasticIp,
    IngressRule,
    Instance,
    NetworkInterface,
    SecurityGroup,
)
from enireconcile.spec.schema import json_schema
from enireconcile.spec.shapes import Image, Ports, Selector

__all__ = [
    "SECTIONS",
    "Association",
    "Attachment",
    "Document",
    "EgressRule",
    "ElasticIp",
    "Image",
    "IngressRule",
    "Instance",
    "NetworkInterface",
    "Path",
    "Place",
    "Places",
    "Ports",
    "SecurityGroup",
    "Selector",
    "Spec",
    "json_schema",
    "load",
    "render",
]
