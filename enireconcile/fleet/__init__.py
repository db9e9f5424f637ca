"""A fleet: one file with accounts, Regions and specs, whose every combination is a unit, a stack of its own."""
