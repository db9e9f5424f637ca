# A policy for plans, for conftest or Open Policy Agent 1.0 or newer:
#
#   enireconcile plan --output json specs > plan.json
#   conftest test --policy docs/deploy/plan.rego plan.json
#
# An example: adapt the rules to what your organization allows.
package main

import rego.v1

# Ports that must not be open to the Internet.
closed := {22, 3389}

everywhere := {"0.0.0.0/0", "::/0"}

# Several specs are a list of plans.
plans := input if is_array(input)

plans := [input] if is_object(input)

deny contains message if {
	some plan in plans
	some change in plan.changes
	change.impact == "destructive"
	message := sprintf("stack %s: %s %s is destructive", [plan.stack, change.action, change.address])
}

deny contains message if {
	some plan in plans
	some change in plan.changes
	some field in change.fields
	field.field == "ingress"
	some rule in field.after
	not rule in {known | some known in field.before}
	rule.source in everywhere
	some port in closed
	opens(rule, port)
	message := sprintf("stack %s: %s opens port %d to %s", [plan.stack, change.address, port, rule.source])
}

deny contains message if {
	some plan in plans
	some error in plan.errors
	message := sprintf("%s:%d: %s: %s", [error.file, error.line, error.path, error.message])
}

warn contains message if {
	some plan in plans
	some broken in plan.interruptions
	message := sprintf("stack %s: %s is interrupted: %s", [plan.stack, broken.address, broken.what])
}

warn contains message if {
	some plan in plans
	some change in plan.changes
	startswith(change.address, "elastic_ips.")
	change.action == "create"
	message := sprintf("stack %s: %s is a public IPv4 address, which AWS charges for", [plan.stack, change.address])
}

# -1 is every protocol.
opens(rule, _) if rule.protocol == "-1"

opens(rule, _) if {
	rule.protocol == "tcp"
	rule.ports == null
}

opens(rule, port) if {
	rule.protocol == "tcp"
	bounds := split(rule.ports, "-")
	to_number(bounds[0]) <= port
	port <= to_number(bounds[count(bounds) - 1])
}
