"""The pure core and the machinery around it, without any EC2: tables, golden triples and properties."""
