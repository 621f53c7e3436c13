#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The look of the files: an SPDX line in each, no file of src above 700 lines, nothing put off in
# a comment, and the format that .clang-format asks for.
set -u
srcdir=${srcdir:-.}
cd "$srcdir" || exit 1
bad=0
complain() { echo "$*" >&2; bad=1; }

for file in src/*.c include/*.h $(find tests -name '*.[ch]') bootstrap tests/run tests/install-deps tests/lint/*.sh \
	tests/bench/run tests/bench/*.py \
	$(find tests/lab tests/netns tests/package debian/tests -type f ! -name '*.pyc' ! -name control) .ci/run; do
	[ -f "$file" ] || continue
	[ "$file" = bootstrap ] || head -n 3 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0-or-later' ||
		complain "$file: no SPDX-License-Identifier in its first lines"
	# The words are put together here so that this file does not find itself.
	if grep -nE "\b(TO""DO|FIX""ME|X""XX)\b" "$file" >&2; then
		complain "$file: puts something off"
	fi
done
for file in src/*.c; do
	lines=$(wc -l <"$file")
	[ "$lines" -le 700 ] || complain "$file: $lines lines; 700 is the most"
done

[ $bad = 0 ] || exit 1
if ! command -v clang-format >/dev/null; then
	echo "clang-format is not installed"
	exit 77
fi
clang-format --dry-run -Werror src/*.c include/*.h $(find tests -name '*.[ch]')
