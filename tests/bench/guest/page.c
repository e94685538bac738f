/* A service that waits for the web page of the node that it runs on. It writes
 *
 *     bench: START FIRST CLOCK
 *     served: ANSWER CLOCK KIB kB
 *
 * PID 1's counter, its own first and the one when the page was there, each with the
 * kernel's clock (CLOCK_MONOTONIC, which the times on the console are of) in nanoseconds,
 * all in hexadecimal; and PID 1's resident memory. */
#include "guest.h"

ENTRY(run);

static char text[4096];
static char line[128];

static const char question[] = "GET / HTTP/1.0\r\n\r\n";

/* 127.0.0.1, port 80, as struct sockaddr_in. */
static const unsigned char address[16] = { 2, 0, 0, 80, 127, 0, 0, 1 };

static unsigned long clock(void)
{
	long time[2];

	call(__NR_clock_gettime, 1, (long)time, 0, 0);
	return time[0] * 1000000000 + time[1];
}

/* Whether the page was answered with status 200. */
static int served(void)
{
	long socket = call(__NR_socket, 2, 1, 0, 0);
	long length = 0;

	if (call(__NR_connect, socket, (long)address, sizeof address, 0) == 0) {
		call(__NR_write, socket, (long)question, sizeof question - 1, 0);
		length = call(__NR_read, socket, (long)text, sizeof text, 0);
	}
	call(__NR_close, socket, 0, 0, 0);
	return length > 0 && *find(text, length, "HTTP/1.1 200");
}

void run(unsigned long first)
{
	unsigned long time = clock();
	long pause[2] = { 0, 2000000 };
	char *out = copy(line, "bench: ");
	long length = read_file("/proc/1/environ", text, sizeof text);

	out = copy(out, find(text, length, "BENCH_START="));
	tell(line, hex(hex(out, first), time));
	while (!served())
		call(__NR_nanosleep, (long)pause, 0, 0, 0);
	first = stamp();
	out = hex(hex(copy(line, "served: "), first), clock());
	tell(line, memory(out));
	for (;;)
		call(__NR_pause, 0, 0, 0, 0);
}
