"""From live resources to a spec as a person would write it. Pure.

``live.selection`` reads the resources, ``export.document`` writes the spec; the other modules have a concern each.
"""
