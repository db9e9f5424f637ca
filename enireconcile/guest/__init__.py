"""What a guest has to configure for its network interfaces, in the formats that guests read. Pure.

``model`` has the routes, rules and marks; a module for each format turns them into files. ``kinds.guests`` makes a
Guest from the spec and the live state.
"""
