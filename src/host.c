/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { LINE_SIZE = 256, ARP_COMPLETE = 0x02 };

/* "2\tsync : 1 V3" names the interface; "\t\t\t\tF00000E0 ..." is a group, as it lies in memory. */
static int in_group_v4(const char *interface, const uint8_t *group)
{
	FILE *f = fopen("/proc/net/igmp", "re");
	char line[LINE_SIZE], name[64];
	bool here = false;
	int found = 0;
	uint32_t want;

	if (!f)
		return -1;
	memcpy(&want, group, sizeof(want));
	while (!found && fgets(line, sizeof(line), f)) {
		unsigned number, there;

		if (sscanf(line, "%u %63[^: \t]", &number, name) == 2 && line[0] != '\t')
			here = !strcmp(name, interface);
		else if (here && sscanf(line, " %8X", &there) == 1)
			found = there == want;
	}
	fclose(f);
	return found;
}

/* "2    sync    ff1200000000000000000000000000f0     1 00000004 0" */
static int in_group_v6(const char *interface, const uint8_t *group)
{
	FILE *f = fopen("/proc/net/igmp6", "re");
	char line[LINE_SIZE], name[64], there[33], want[33] = "";
	int found = 0;

	if (!f)
		return -1;
	for (int i = 0; i < 16; i++)
		(void)snprintf(want + (ptrdiff_t)2 * i, 3, "%02x", group[i]);
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%*u %63s %32s", name, there) == 2 &&
			!strcmp(name, interface) && !strcmp(there, want);
	fclose(f);
	return found;
}

int host_in_group(const char *interface, const struct address *group)
{
	return group->family == 6 ? in_group_v6(interface, group->addr)
				  : in_group_v4(interface, group->addr);
}

int host_has_neighbour(const char *interface, const struct address *addr)
{
	char line[LINE_SIZE], ip[64], name[64], want[INET6_ADDRSTRLEN] = "";
	int found = -1;
	FILE *f;

	if (addr->family != 4)
		return -1;
	f = fopen("/proc/net/arp", "re");
	if (!f)
		return -1;
	(void)inet_ntop(AF_INET, addr->addr, want, sizeof(want));
	while (fgets(line, sizeof(line), f)) {
		unsigned flags;

		if (sscanf(line, "%63s %*s %x %*s %*s %63s", ip, &flags, name) == 3 &&
		    !strcmp(ip, want) && !strcmp(name, interface))
			found = !!(flags & ARP_COMPLETE);
	}
	fclose(f);
	return found;
}
