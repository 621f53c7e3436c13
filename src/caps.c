/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows libcap-ng. */
#include "caps.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

int caps_check(const char **missing)
{
	*missing = NULL;
	if (capng_get_caps_process() < 0)
		return -EIO;
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN))
		*missing = "CAP_NET_ADMIN";
	else if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_RAW))
		*missing = "CAP_NET_RAW";
	return *missing ? -EPERM : 0;
}

static bool has_others(void)
{
	for (unsigned c = 0; c <= CAP_LAST_CAP; c++)
		if (c != CAP_NET_ADMIN && c != CAP_NET_RAW &&
		    capng_have_capability(CAPNG_PERMITTED, c))
			return true;
	return false;
}

int caps_drop(const char **missing)
{
	capng_select_t set = CAPNG_SELECT_CAPS;
	int r = caps_check(missing);
	bool others;

	if (r)
		return r;
	others = has_others();
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		set = CAPNG_SELECT_BOTH;
	capng_clear(set);
	if (capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			  CAP_NET_ADMIN, CAP_NET_RAW, -1) < 0)
		return -EIO;
	/* A service manager that leaves nothing to give up may leave no call to do so either. */
	if (capng_apply(set) < 0 && others)
		return -EPERM;
	return 0;
}
