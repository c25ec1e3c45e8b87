#!/usr/bin/env bash
# kadm (the admin client of franz-go): what a console of Kafka asks for its pages, and what its buttons do.
. "$(dirname "$0")/../lib/common.sh"
client kadm "$(sed -n 's/.*franz-go\/pkg\/kadm v//p' "$COMPAT/kadm/go.mod")"
need go_program "$COMPAT/kadm"
broker
result_lines timeout 200 "$GO_PROGRAM" "$KAFKA"
finish
