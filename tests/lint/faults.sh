#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# docs/faults.md names counters and tests that exist. Its rows: fault | what happens | counter | shown by, the last as
# "netns FILE: NAME, NAME; unit MODULE: NAME; sim: NAME".
set -u
srcdir=${srcdir:-.}
table=$srcdir/docs/faults.md
status=0

fail() {
	echo "faults: $*" >&2
	status=1
}

rows=$(grep '^| ' "$table" | grep -v '^| Fault |')
[ "$(echo "$rows" | wc -l)" -ge 30 ] || fail "$table: the rows were not found"
[ -z "$(echo "$rows" | awk -F '|' 'NF != 6')" ] || fail "$table: a row has not four columns"

for counter in $(echo "$rows" | cut -d '|' -f 4 | grep -o '`[^`]*`' | tr -d '\140' | sort -u); do
	grep -q "\"$counter\"," "$srcdir/include/counters.h" "$srcdir/include/reason.h" ||
		fail "there is no counter $counter"
done

# KIND FILE NAME, one a line
shown() {
	echo "$rows" | cut -d '|' -f 5 | tr ';' '\n' | sed 's/^ *//; s/ *$//' | grep -v '^–$' |
		while IFS=: read -r where names; do
			echo "$names" | tr ',' '\n' | while read -r name; do echo "$where:$name"; done
		done | sort -u
}

exists() {
	case $1 in
	netns\ *) grep -Eq "^def $(echo "$2" | tr - _)(_freebsd_13|_openbsd)?\(" "$srcdir/tests/netns/${1#* }" ;;
	unit\ *) grep -Fq "{\"$2\"," "$srcdir/tests/unit/test_${1#* }.c" ;;
	sim) grep -Fq ".name = \"$2\"" "$srcdir/tests/sim/simplan.c" ;;
	*) return 1 ;;
	esac
}

while IFS=: read -r where name; do
	exists "$where" "$name" 2>/dev/null || fail "there is no test $where: $name"
done <<END
$(shown)
END
exit $status
