#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The layers hold: a file of a row includes only headers of its own row or of rows above it, the
# core needs nothing but libc's memory and text functions, and only adapters reach the system.
set -u
srcdir=${srcdir:-.} builddir=${builddir:-.}
bad=0
complain() { echo "$*" >&2; bad=1; }

# ---- rows ----
# A new file has to be put into one of them.
row0="bytes counters hash list reason text"
row1="builder dialect flow frame headers layout outgoing packet pfstate show show_json show_text timeouts"
row2="actions ctstate xlat"
row3="announce bulk carry commit defer engine engine_internal import local merge names peer probe receive refresh relay sendq sides table view wheel"
row4="settings settings_hint settings_keyword settings_print settings_use control control_doctor control_filter
	control_health control_metrics control_view ctl_text health"
row5="caps ctlsock ctnl ctnl_build ctnl_msg host log loop natchain netif nfqueue nft notify queuerule routes sync_socket sysctl tap"
row6="ctl_daemon ctl_live ctl_top daemon daemon_control daemon_defer daemon_health daemon_internal daemon_ops main notes pfsyncctl pfsyncdump"

row_of() {
	local row name
	for row in 0 1 2 3 4 5 6; do
		local list=row$row
		for name in ${!list}; do
			if [ "$name" = "$1" ]; then
				echo $row
				return
			fi
		done
	done
}

for file in "$srcdir"/src/*.c "$srcdir"/include/*.h; do
	name=$(basename "${file%.*}")
	row=$(row_of "$name")
	if [ -z "$row" ]; then
		complain "$file stands in no row of this script"
		continue
	fi
	for header in $(sed -n 's/^#include "\(.*\)\.h"$/\1/p' "$file"); do
		[ "$header" = config ] && continue
		other=$(row_of "$header")
		if [ "${other:-0}" -gt "$row" ]; then
			complain "$file (row $row) includes $header.h (row $other)"
		fi
	done
	if [ "$row" -le 3 ]; then
		for header in $(sed -n 's/^#include <\(.*\)>$/\1/p' "$file"); do
			case $header in
			assert.h | errno.h | inttypes.h | limits.h | stdarg.h | stdbool.h | stddef.h | stdint.h | stdio.h | \
				stdlib.h | string.h | arpa/inet.h | sys/socket.h) ;;
			*) complain "$file (row $row) includes <$header>" ;;
			esac
		done
	fi
done

# ---- one library per file, and nobody else opens anything ----
for file in "$srcdir"/src/*.c; do
	libraries=$(grep -oE '^#include <(libmnl|libnetfilter_conntrack|netlink|event2?|confuse|jansson|pcap|cap-ng|systemd|n?curses)' "$file" |
		sed 's/^#include <//' | sort -u | tr '\n' ' ')
	if [ "$(echo $libraries | wc -w)" -gt 1 ]; then
		complain "$file knows more than one library: $libraries"
	fi
	name=$(basename "$file" .c)
	case $(row_of "$name") in
	5 | 6) continue ;;
	esac
	case $name in
	settings | settings_use) continue ;; # read the configuration and /etc/machine-id
	esac
	if sed 's@/\*.*\*/@@; /^[ \t]*\*/d; s/"[^"]*"//g' "$file" |
		grep -nE '(^|[^_a-zA-Z0-9>.])(socket|open|openat|fopen|popen|system|exit|_exit|abort|time|clock_gettime|gettimeofday)[ ]?\(' |
		grep . >&2; then
		complain "$file does what only adapters do"
	fi
done

# ---- libc ----
allowed="__assert_fail bcmp __errno_location __stack_chk_fail _GLOBAL_OFFSET_TABLE_
	calloc free malloc realloc qsort bsearch abort
	memchr memcmp memcpy memmove memset strchr strcmp strlen strncmp strnlen strncpy strrchr strtol strtoul strtoull
	snprintf vsnprintf vasprintf inet_ntop inet_pton isprint isxdigit toupper tolower
	__memcpy_chk __memmove_chk __memset_chk __snprintf_chk __vsnprintf_chk __strncpy_chk __strcpy_chk __strcat_chk
	__isoc99_sscanf __isoc23_strtol __isoc23_strtoul __isoc23_strtoull"
core=$builddir/libcore.a
if [ -f "$core" ]; then
	# Instrumented builds need their runtime.
	foreign=$(comm -23 <(nm -u "$core" 2>/dev/null | awk '$1 == "U" { print $2 }' | sort -u) \
		<(nm --defined-only "$core" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u))
	for symbol in $foreign; do
		case $symbol in
		__asan_* | __ubsan_* | __sanitizer_* | __sancov_* | __gcov_* | __llvm_*) continue ;;
		esac
		found=no
		for name in $allowed; do
			if [ "$symbol" = "$name" ]; then
				found=yes
			fi
		done
		[ $found = yes ] || complain "libcore.a needs $symbol, which is not in the list of what the core may use"
	done
else
	complain "$core is not built"
fi
exit $bad
