# SPDX-License-Identifier: GPL-2.0-or-later
# Reads the default configuration (kind=conf) or its manual (kind=man) and prints what they say of
# each keyword: section|keyword|default|range|example|value, value being what the file shows, or
# the default again. Of timeouts only the default differs: timeouts|keyword|default.

function after(text, label, end,    i, j) {
	i = index(text, label)
	if (!i)
		return "?"
	text = substr(text, i + length(label))
	j = end == "" ? 0 : index(text, end)
	if (j)
		text = substr(text, 1, j - 1)
	sub(/[. ]+$/, "", text)
	return text
}

function keyword_ends(value,    before) {
	if (key == "")
		return
	before = index(text, "Default: ")
	if (section == "timeouts")
		printf "timeouts|%s|%s\n", key, value
	else if (before < 10)	# nothing says what it means
		printf "%s|%s|?\n", section, key
	else
		printf "%s|%s|%s|%s|%s|%s\n", section, key, after(text, "Default: ", " Range: "),
			after(text, " Range: ", " Example: "), after(text, " Example: ", ""),
			kind == "man" ? after(text, "Default: ", " Range: ") : value
	key = text = ""
}

# ---- the file: a paragraph of comment, then the keyword, commented out if that is its default

kind == "conf" {
	line = $0
	sub(/^[ \t]+/, "", line)
	if (line ~ /^#interface "eth0" \{ pf-name = /) {	# a section in one line
		section = "interface"
		key = "pf-name"
		keyword_ends("none; it must be set")
	} else if (line ~ /^#interface "eth1" \{ .* mark = /) {
		section = "interface"
		key = "mark"
		keyword_ends("0")
	} else if (line ~ /^#?[a-z][a-z.-]* = /) {
		value = line
		required = line !~ /^#/
		sub(/^#?[a-z.-]* = /, "", value)
		key = line
		sub(/^#/, "", key)
		sub(/ = .*/, "", key)
		keyword_ends(required ? "none; it must be set" : value)
	} else if (line ~ /^#/) {
		sub(/^# ?/, "", line)
		text = text " " line
	} else {
		text = ""
		if (line ~ /^[a-z]+ .*\{$/) {
			section = line
			sub(/ .*/, "", section)
		} else if (line == "}") {
			section = ""
		}
	}
	next
}

# ---- the manual

/^\.S[sh] / {
	keyword_ends("")
	section = $2 == "Outside" ? "" : $2
	next
}
/^\.It Ic / && $4 == "Ta" {
	key = $3
	keyword_ends($5)
	next
}
/^\.It Ic / {
	keyword_ends("")
	key = $3
	next
}
/^\.El/ {
	keyword_ends("")
	next
}
{
	line = $0
	gsub(/\\\(dq/, "\"", line)
	sub(/^\.(Dl|Li|Ql) /, "", line)
	if (line !~ /^\./)
		text = text " " line
}
