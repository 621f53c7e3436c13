#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What can be configured and asked is documented: every keyword of the grammar in the default
# configuration and in the manual, every timeout, every command of pfsyncctl; the manuals lint.
set -u
srcdir=${srcdir:-.}
status=0

fail() {
	echo "docs: $*" >&2
	status=1
}

conf=$srcdir/conf/pfsync-linux.conf
manual=$srcdir/man/pfsync-linux.conf.5

# Keywords stand in one table, {IN_SECTION, "name", ...}; the sections in another.
keywords=$(sed -n 's/.*{IN_[A-Z]*, "\([a-z0-9-]*\)", AS_.*/\1/p' "$srcdir/src/settings_keyword.c")
sections=$(grep -o '\[IN_[A-Z]*\] = "[a-z]*"' "$srcdir/src/settings_keyword.c" |
	sed 's/.*"\(.*\)"/\1/' | grep .)
timeouts=$(grep -v '^#include' "$srcdir/src/timeouts.c" | grep -o '"[a-z]*\.[a-z]*"' | tr -d '"')
commands=$(sed -n '/^static const struct command commands/,/^};/s/.*{"\([a-z]*\)", .*/\1/p' \
	"$srcdir/src/pfsyncctl.c")
[ "$(echo "$keywords" | wc -l)" -ge 25 ] || fail "the table of keywords was not found"
[ "$(echo "$sections" | wc -l)" -eq 7 ] || fail "the table of sections was not found"
[ "$(echo "$timeouts" | wc -l)" -ge 14 ] || fail "the table of timeouts was not found"
[ "$(echo "$commands" | wc -l)" -ge 12 ] || fail "the table of commands was not found"

for word in $keywords $timeouts; do
	pattern=$(echo "$word" | sed 's/\./\\./g')
	grep -Eq "^[[:space:]]*#?(interface \"eth0\" \{ )?$pattern = " "$conf" ||
		fail "$conf does not show $word"
	grep -Eq "^\.It Ic $pattern( |\$)" "$manual" || fail "$manual does not explain $word"
done
for word in $sections; do
	grep -Eq "^#?$word ?(\"[a-z0-9]*\" )?\{" "$conf" || fail "$conf does not show section $word"
	grep -Eq "^\.Ss $word( |\$)" "$manual" || fail "$manual does not explain section $word"
done
for word in $commands; do
	grep -Eq "^\.It Cm $word( |\$)" "$srcdir/man/pfsyncctl.8" ||
		fail "pfsyncctl.8 does not explain $word"
done

for page in pfsync-linux.8 pfsyncctl.8 pfsyncdump.1 pfsync-linux.conf.5; do
	if [ ! -s "$srcdir/man/$page" ]; then
		fail "man/$page does not exist"
	elif command -v mandoc >/dev/null; then
		# Matters of style depend on which pages are installed on this host.
		mandoc -T lint -W warning "$srcdir/man/$page" >&2 || fail "man/$page does not lint"
	fi
done
exit $status
