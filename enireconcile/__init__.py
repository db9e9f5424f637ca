"""enireconcile: keep EC2 interfaces, addresses, groups and instances as one YAML file says."""

__version__ = "0.1.0"
