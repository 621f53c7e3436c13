/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pfsyncdump: shows the pfsync packets of a capture file or of an interface, as text or JSON.
 * Needs no daemon and changes nothing. What a damaged file holds before the damage is printed,
 * then the damage is told and the exit status is 1.
 */
#include "config.h"

#include "frame.h"

#include <errno.h>
#include <getopt.h>
#include <pcap/pcap.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 64, SNAP_LEN = 65535 };

struct options {
	const char *file, *interface;
	unsigned long count; /* 0: no end */
	bool json, verbose;
};

static pcap_t *capture;

static void on_signal(int number)
{
	pcap_breakloop(capture);
}

static void usage(FILE *to)
{
	fputs("usage: pfsyncdump [-j] [-v] (-r FILE | -i IFACE) [-c COUNT]\n"
	      "  -r FILE   read packets from a pcap or pcapng file, - for standard input\n"
	      "  -i IFACE  show packets as they come and go on an interface\n"
	      "  -c COUNT  end after COUNT pfsync packets\n"
	      "  -j        one JSON object for each packet\n"
	      "  -v        every field of every message\n"
	      "  -V        print the version\n"
	      "  -h        print this\n",
	      to);
}

static bool options_read(struct options *o, int argc, char **argv)
{
	char *end;
	int c;

	while ((c = getopt(argc, argv, "jvr:i:c:Vh")) != -1) {
		switch (c) {
		case 'j':
			o->json = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'r':
			o->file = optarg;
			break;
		case 'i':
			o->interface = optarg;
			break;
		case 'c':
			errno = 0;
			o->count = strtoul(optarg, &end, 10);
			if (errno || *end || optarg[0] < '0' || optarg[0] > '9' || !o->count) {
				fprintf(stderr, "pfsyncdump: -c %s: not a count\n", optarg);
				return false;
			}
			break;
		case 'V':
			puts("pfsyncdump " PACKAGE_VERSION);
			exit(EXIT_SUCCESS);
		case 'h':
			usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			return false;
		}
	}
	return optind == argc && !o->file != !o->interface;
}

/* Only pfsync is copied to us where the link type allows the question; else all is looked at. */
static void filter_set(pcap_t *p)
{
	struct bpf_program program;

	if (pcap_compile(p, &program, "ip proto 240 or ip6 proto 240", 1, PCAP_NETMASK_UNKNOWN))
		return;
	(void)pcap_setfilter(p, &program);
	pcap_freecode(&program);
}

static pcap_t *interface_open(const char *name)
{
	char error[PCAP_ERRBUF_SIZE] = "";
	pcap_t *p = pcap_create(name, error);
	int status;

	if (!p) {
		fprintf(stderr, "pfsyncdump: %s: %s\n", name, error);
		return NULL;
	}
	(void)pcap_set_snaplen(p, SNAP_LEN);
	(void)pcap_set_promisc(p, 0);
	(void)pcap_set_immediate_mode(p, 1);
	status = pcap_activate(p);
	if (status < 0) {
		const char *why = pcap_geterr(p);

		fprintf(stderr, "pfsyncdump: %s: %s\n", name,
			*why ? why : pcap_statustostr(status));
		pcap_close(p);
		return NULL;
	}
	filter_set(p);
	return p;
}

static pcap_t *file_open(const char *name)
{
	char error[PCAP_ERRBUF_SIZE] = "";
	pcap_t *p = pcap_open_offline(name, error);

	if (!p)
		fprintf(stderr, "pfsyncdump: %s\n", error);
	return p;
}

/* False if standard output takes no more. */
static bool packet_print(const struct options *o, struct text *t, const struct show_meta *m,
			 const uint8_t *payload, size_t len)
{
	text_clear(t);
	if (o->json)
		show_json(t, m, payload, len);
	else
		show_text(t, m, payload, len, o->verbose);
	text_add(t, "\n");
	if (t->failed) {
		fprintf(stderr, "pfsyncdump: out of memory\n");
		return false;
	}
	(void)fwrite(t->s, 1, t->len, stdout);
	if (o->interface)
		(void)fflush(stdout);
	return !ferror(stdout);
}

static int packets_show(const struct options *o)
{
	struct text t = {.s = NULL};
	struct pcap_pkthdr *head;
	const u_char *data;
	const uint8_t *payload;
	size_t len;
	unsigned long shown = 0;
	int link = pcap_datalink(capture), got = 0;

	if (!frame_known(link)) {
		fprintf(stderr, "pfsyncdump: no way to read link type %d\n", link);
		return EXIT_FAILURE;
	}
	while ((!o->count || shown < o->count) &&
	       (got = pcap_next_ex(capture, &head, &data)) >= 0) {
		struct show_meta m = {.sec = 0};

		if (!got || !frame_find(link, data, head->caplen, &m, &payload, &len))
			continue;
		m.sec = (uint64_t)head->ts.tv_sec;
		m.usec = (uint32_t)head->ts.tv_usec;
		if (!packet_print(o, &t, &m, payload, len))
			break;
		shown++;
	}
	text_free(&t);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "pfsyncdump: cannot write: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	if (got != PCAP_ERROR)
		return EXIT_SUCCESS;
	fprintf(stderr, "pfsyncdump: %s: %s\n", o->file ? o->file : o->interface,
		pcap_geterr(capture));
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct options o = {.file = NULL};
	int status;

	if (!options_read(&o, argc, argv)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	capture = o.file ? file_open(o.file) : interface_open(o.interface);
	if (!capture)
		return EXIT_FAILURE;
	if (o.interface) {
		(void)sigaction(SIGINT, &action, NULL);
		(void)sigaction(SIGTERM, &action, NULL);
	}
	status = packets_show(&o);
	pcap_close(capture);
	return status;
}
