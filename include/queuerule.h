/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is there a rule that sends packets to a queue? */
#ifndef PFSYNC_QUEUERULE_H
#define PFSYNC_QUEUERULE_H

/*
 * 1 if a rule of nf_tables queues to this number, be it one among several, or iptables-nft's
 * NFQUEUE; 0 if not; -errno if that cannot be told. Needs CAP_NET_ADMIN.
 */
int queuerule_present(unsigned number);

#endif
