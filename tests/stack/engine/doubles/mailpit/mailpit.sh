#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The health check is a program of its own, as quick as Mailpit's: one that loaded Python and its libraries each time
# ran out of its five seconds on a busy machine.
[ "${1:-}" = readyz ] && exec wget -q -O /dev/null http://127.0.0.1:8025/readyz
exec python /mailpit.py
