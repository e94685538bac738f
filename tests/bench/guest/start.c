/* /init of the benchmark: notes the counter in the environment and becomes the PID 1 that
 * is measured, /bench/init. Its exec is counted for every PID 1 alike.
 *
 * SETTLE is how many seconds it sleeps first: a kernel finishes in its first idle moments
 * what it put off during its boot, and that is no PID 1's work. */
#include "guest.h"

ENTRY(run);

static char note[] = "BENCH_START=0123456789abcdef ";

void run(unsigned long entered, char **stack)
{
	long seconds[2] = { SETTLE, 0 };
	char *environment[32], **from = stack + *(long *)stack + 2;
	int count = 0;

	environment[count++] = note;
	while (*from && count < 31)
		environment[count++] = *from++;
	environment[count] = 0;
	if (SETTLE) {
		call(__NR_nanosleep, (long)seconds, 0, 0, 0);
		entered = stamp();
	}
	hex(note + sizeof "BENCH_START=" - 1, entered);
	call(__NR_execve, (long)"/bench/init", (long)(stack + 1), (long)environment, 0);
	call(__NR_exit, 1, 0, 0, 0);
}
