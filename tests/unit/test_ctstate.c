/* SPDX-License-Identifier: GPL-2.0-or-later */
/* conntrack's states and pf's, each way. */
#include "check.h"
#include "ctstate.h"
#include "flow.h"
#include "pfstate.h"
#include "timeouts.h"

static void tcp_to_pf(void)
{
	static const struct {
		uint8_t ct, src, dst, timeout;
	} table[] = {
		{CT_TCP_SYN_SENT, 2, 0, PFTM_TCP_FIRST},
		{CT_TCP_SYN_SENT2, 2, 2, PFTM_TCP_OPENING},
		{CT_TCP_SYN_RECV, 4, 2, PFTM_TCP_OPENING},
		{CT_TCP_ESTABLISHED, 4, 4, PFTM_TCP_ESTABLISHED},
		{CT_TCP_FIN_WAIT, 7, 4, PFTM_TCP_CLOSING},
		{CT_TCP_CLOSE_WAIT, 9, 4, PFTM_TCP_CLOSING},
		{CT_TCP_LAST_ACK, 9, 7, PFTM_TCP_FINWAIT},
		{CT_TCP_TIME_WAIT, 9, 9, PFTM_TCP_CLOSED},
		{CT_TCP_CLOSE, 10, 10, PFTM_TCP_CLOSED},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct pf_pair p = ctstate_to_pf(PROTO_TCP, table[i].ct, false, 0);

		CHECK_EQ(p.src, table[i].src);
		CHECK_EQ(p.dst, table[i].dst);
		CHECK_EQ(p.timeout, table[i].timeout);
		p = ctstate_to_pf(PROTO_TCP, table[i].ct, true, 0); /* the server closed first */
		CHECK_EQ(p.src, table[i].src >= 7 ? table[i].dst : table[i].src);
		CHECK_EQ(p.dst, table[i].src >= 7 ? table[i].src : table[i].dst);
		CHECK_EQ(p.timeout, table[i].timeout);
	}
}

static void check_pair(uint8_t proto, uint32_t status, uint8_t src, uint8_t dst, uint8_t timeout)
{
	struct pf_pair p = ctstate_to_pf(proto, 0, false, status);

	CHECK_EQ(p.src, src);
	CHECK_EQ(p.dst, dst);
	CHECK_EQ(p.timeout, timeout);
}

static void others_to_pf(void)
{
	check_pair(PROTO_UDP, 0, 1, 0, PFTM_UDP_FIRST);
	check_pair(PROTO_UDP, CT_STATUS_SEEN_REPLY, 2, 1, PFTM_UDP_SINGLE);
	check_pair(PROTO_UDP, CT_STATUS_SEEN_REPLY | CT_STATUS_ASSURED, 2, 2, PFTM_UDP_MULTIPLE);
	check_pair(PROTO_ICMP, 0, 0, 0, PFTM_ICMP_FIRST);
	check_pair(PROTO_ICMPV6, CT_STATUS_SEEN_REPLY, 0, 0, PFTM_ICMP_ERROR);
	check_pair(47, 0, 1, 0, PFTM_OTHER_FIRST);
	check_pair(47, CT_STATUS_SEEN_REPLY, 2, 1, PFTM_OTHER_SINGLE);
	check_pair(47, CT_STATUS_ASSURED, 2, 2, PFTM_OTHER_MULTIPLE);
}

/* There and back is the same state. */
static void there_and_back(void)
{
	for (uint8_t ct = CT_TCP_SYN_RECV; ct < CT_TCP_SYN_SENT2; ct++)
		for (int reply = 0; reply < 2; reply++) {
			struct pf_pair p = ctstate_to_pf(PROTO_TCP, ct, reply, 0);

			CHECK_EQ(ctstate_from_pf(p.src, p.dst), ct);
		}
}

/* Whatever pf says, the entry must pass the packets of a connection that is established meanwhile.
 */
static void never_syn_sent(void)
{
	for (uint8_t src = 0; src <= PF_PEER_STATE_MAX; src++)
		for (uint8_t dst = 0; dst <= PF_PEER_STATE_MAX; dst++) {
			uint8_t ct = ctstate_from_pf(src, dst);

			CHECK(ct >= CT_TCP_SYN_RECV && ct <= CT_TCP_CLOSE);
			CHECK_EQ(ct, ctstate_from_pf(dst, src));
		}
	CHECK_EQ(ctstate_from_pf(0, 0), CT_TCP_ESTABLISHED); /* pf relearns it */
	CHECK_EQ(ctstate_from_pf(2, 0), CT_TCP_SYN_RECV);
	CHECK_EQ(ctstate_from_pf(4, 4), CT_TCP_ESTABLISHED);
	CHECK_EQ(ctstate_from_pf(10, 10), CT_TCP_CLOSE);
}

static void status(void)
{
	CHECK_EQ(ctstatus_from_pf(PROTO_TCP, 4, PFTM_TCP_ESTABLISHED),
		 CT_STATUS_CONFIRMED | CT_STATUS_SEEN_REPLY);
	CHECK_EQ(ctstatus_from_pf(PROTO_UDP, 0, PFTM_UDP_FIRST), CT_STATUS_CONFIRMED);
	CHECK_EQ(ctstatus_from_pf(PROTO_UDP, 1, PFTM_UDP_SINGLE),
		 CT_STATUS_CONFIRMED | CT_STATUS_SEEN_REPLY);
	CHECK_EQ(ctstatus_from_pf(PROTO_ICMP, 0, PFTM_ICMP_FIRST), CT_STATUS_CONFIRMED);
	CHECK_EQ(ctstatus_from_pf(PROTO_ICMP, 0, PFTM_ICMP_ERROR),
		 CT_STATUS_CONFIRMED | CT_STATUS_SEEN_REPLY);
}

static void names(void)
{
	CHECK_STR(ct_tcp_name(CT_TCP_ESTABLISHED), "ESTABLISHED");
	CHECK_STR(ct_tcp_name(CT_TCP_SYN_SENT2), "SYN_SENT2");
	CHECK(ct_tcp_name(CT_TCP_COUNT) == NULL);
}

int main(void)
{
	static const struct check_test tests[] = {
		{"TCP to pf", tcp_to_pf},
		{"other protocols to pf", others_to_pf},
		{"there and back", there_and_back},
		{"never SYN_SENT", never_syn_sent},
		{"status bits", status},
		{"names", names},
	};

	return check_main("ctstate", tests, sizeof(tests) / sizeof(tests[0]));
}
