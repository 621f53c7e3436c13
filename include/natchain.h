/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel rewrites packets of translated connections only where a nat base chain exists; an
 * empty one is enough. Without it an entry with translation in the table changes nothing.
 */
#ifndef PFSYNC_NATCHAIN_H
#define PFSYNC_NATCHAIN_H

/*
 * 1 if this network namespace has one, of nf_tables or of legacy iptables, 0 if not, -errno if
 * that cannot be told, as for the tables of legacy iptables without root. Asks the kernel and waits
 * for its answer, which comes at once. Needs CAP_NET_ADMIN.
 */
int natchain_present(void);

#endif
