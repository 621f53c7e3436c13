#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What the program knows and what is written of it are the same: every keyword with its default,
# range and example, in the grammar, in the default configuration and in the manual; every command
# and option; every reason. Nothing is described that does not exist. The manuals lint.
set -u
srcdir=${srcdir:-.} builddir=${builddir:-.}
grammar=$builddir/tests/lint/grammar
conf=$srcdir/conf/pfsync-linux.conf
manual=$srcdir/man/pfsync-linux.conf.5
status=0

fail() {
	echo "docs: $*" >&2
	status=1
}

# Two lists that must be equal; < is what only the first has, > what only the second.
same() { # FILE FILE WHAT
	if ! diff "$1" "$2" >"$dir/diff"; then
		grep '^[<>]' "$dir/diff" >&2
		fail "$3"
	fi
}

if [ ! -x "$grammar" ]; then
	echo "docs: $grammar is not built; make check does it" >&2
	exit 1
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP

# ---- the configuration ----
"$grammar" >"$dir/grammar" || fail "the grammar is not printed"
awk -v kind=conf -f "$srcdir/tests/lint/docs.awk" "$conf" >"$dir/conf"
awk -v kind=man -f "$srcdir/tests/lint/docs.awk" "$manual" >"$dir/man"
[ "$(wc -l <"$dir/grammar")" -ge 40 ] || fail "the grammar has only $(wc -l <"$dir/grammar") keywords"

cut -d'|' -f1,2 "$dir/grammar" >"$dir/keywords"
cut -d'|' -f1,2 "$dir/conf" >"$dir/conf.keywords"
same "$dir/keywords" "$dir/conf.keywords" "keywords of the grammar (<) and of $conf (>), in order"
same "$dir/conf" "$dir/man" "default, range, example or order in $conf (<) and $manual (>)"

while IFS='|' read -r section keyword range; do
	line=$(grep "^$section|$keyword|" "$dir/conf") || continue
	default=$(echo "$line" | cut -d'|' -f3)
	said=$(echo "$line" | cut -d'|' -f4)
	example=$(echo "$line" | cut -d'|' -f5)
	[ "$section" = timeouts ] && continue
	[ "$default" = "$(echo "$line" | cut -d'|' -f6)" ] ||
		fail "$conf: the default of $section $keyword is said to be $default and shown otherwise"
	case $said in
	"?" | "") fail "$conf: $section $keyword has no range" ;;
	"$range" | "$range;"* | "$range "*) ;;
	*) [ -z "$range" ] || fail "$conf: the range of $section $keyword is $range, not $said" ;;
	esac
	case $section in
	"") echo "$example sync x { interface = e0 }" ;;
	sync) [ "$keyword" = interface ] && echo "sync x { $example }" || echo "sync x { interface = e0 $example }" ;;
	interface) # the two that need each other, and the name
		echo "sync x { interface = e0 } conntrack { interface-mark = \"0xff00/0xff\" }"
		[ "$keyword" = pf-name ] && echo "interface e1 { mark = 1 $example }" || echo "interface e1 { pf-name = p1 $example }"
		;;
	conntrack) echo "sync x { interface = e0 } $section { $example }"
		[ "$keyword" != interface-mark ] || echo "interface e1 { pf-name = p1 mark = 1 }" ;;
	*) echo "sync x { interface = e0 } $section { $example }" ;;
	esac >"$dir/example"
	"$grammar" "$dir/example" >/dev/null || fail "the example of $section $keyword is wrong: $example"
done <"$dir/grammar"

range=$(grep '^timeouts|tcp.first|' "$dir/grammar" | cut -d'|' -f3)
for file in "$conf" "$manual"; do
	tr '\n' ' ' <"$file" | sed 's/ # / /g; s/ \.Li / /g; s/ ,/,/g' | grep -qF "$range" ||
		fail "$file does not say that timeouts go from $range"
done

# What is commented out is the default: without the # nothing changes. The one section that is
# commented out whole is an example.
echo 'sync "pf" { interface = "eth2" }' >"$dir/minimal"
sed 's/^\([[:space:]]*\)#\([a-z][a-z.-]* = \)/\1\2/' "$conf" >"$dir/shown"
"$grammar" "$dir/minimal" >"$dir/minimal.config"
"$grammar" "$conf" >"$dir/conf.config" || fail "$conf is wrong"
"$grammar" "$dir/shown" >"$dir/shown.config" || fail "$conf is wrong without its comment signs"
same "$dir/minimal.config" "$dir/conf.config" "defaults (<) and what $conf sets (>)"
same "$dir/minimal.config" "$dir/shown.config" "defaults (<) and what $conf says they are (>)"
"$grammar" "$dir/shown.config" >"$dir/again.config" || fail "what is printed is no configuration"
same "$dir/shown.config" "$dir/again.config" "what is printed (<) and what it means (>)"

# ---- commands and options ----
items() { sed -n "/^\.Sh DIAGNOSTICS/q;s/^\.It $1 \([a-zA-Z-]*\).*/\1/p" "$srcdir/man/$2"; }
sed -n '/^static const struct command commands/,/^};/s/.*{"\([a-z]*\)", .*/\1/p' "$srcdir/src/pfsyncctl.c" >"$dir/commands"
items Cm pfsyncctl.8 >"$dir/said"
[ "$(wc -l <"$dir/commands")" -ge 12 ] || fail "the table of commands was not found"
same "$dir/commands" "$dir/said" "commands of pfsyncctl (<) and of pfsyncctl.8 (>), in order"
for program in main:pfsync-linux.8 pfsyncctl:pfsyncctl.8 pfsyncdump:pfsyncdump.1; do
	page=${program#*:}
	sed -n 's/.*getopt(argc, argv, "+\{0,1\}\([a-zA-Z:]*\)").*/\1/p' "$srcdir/src/${program%:*}.c" |
		tr -d : | fold -w1 | sort >"$dir/options"
	items Fl "$page" | sort >"$dir/said"
	[ -s "$dir/options" ] || fail "the options in ${program%:*}.c were not found"
	same "$dir/options" "$dir/said" "options of ${program%:*}.c (<) and of $page (>)"
done

# ---- reasons: each with its meaning, and with more than that: what to do ----
tr '\n' ' ' <"$srcdir/include/reason.h" | tr '\t' ' ' | sed 's/X(/\n/g' |
	sed -n 's/^[A-Z_]*, *"\([a-z-]*\)", *\\\{0,1\} *"\([^"]*\)").*/\1|\2/p' >"$dir/reasons"
sed -n '/^\.Sh DIAGNOSTICS/,/^\.Sh /p' "$srcdir/man/pfsync-linux.8" | awk '
	function ends() { if (word != "") print word "|" text; text = "" }
	/^\.It Cm / { ends(); word = $3; next }
	/^\.El/ { ends(); word = "" }
	/^\.Fx/ { $0 = "FreeBSD" }
	{ sub(/^\.[A-Z][a-z] /, ""); sub(/ \.$/, "."); text = text (text == "" ? "" : " ") $0 }' >"$dir/said"
[ "$(wc -l <"$dir/reasons")" -eq "$(grep -c 'X([A-Z_]*, "' "$srcdir/include/reason.h")" ] ||
	fail "not every reason was found"
cut -d'|' -f1 "$dir/reasons" >"$dir/reasons.words"
cut -d'|' -f1 "$dir/said" >"$dir/said.words"
same "$dir/reasons.words" "$dir/said.words" "reasons (<) and the DIAGNOSTICS of pfsync-linux.8 (>), in order"
while IFS='|' read -r word text; do
	said=$(grep "^$word|" "$dir/said" | cut -d'|' -f2-)
	rest=${said#?"${text#?}."} # a capital letter begins it
	if [ "$rest" = "$said" ]; then
		fail "pfsync-linux.8 does not begin $word with: $text."
	elif [ "$word" != none ] && [ -z "$rest" ]; then
		fail "pfsync-linux.8 does not say what to do about $word"
	fi
done <"$dir/reasons"

# ---- the pages ----
for page in pfsync-linux.8 pfsyncctl.8 pfsyncdump.1 pfsync-linux.conf.5; do
	if [ ! -s "$srcdir/man/$page" ]; then
		fail "man/$page does not exist"
	elif command -v mandoc >/dev/null; then
		# Matters of style depend on which pages are installed on this host.
		mandoc -T lint -W warning "$srcdir/man/$page" >&2 || fail "man/$page does not lint"
	fi
done
exit $status
