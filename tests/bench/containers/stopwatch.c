/* stopwatch [PATIENCE [end]]: runs commands and tells what they cost. With `end` it kills all that is left in its PID
 * namespace afterwards, so that should be its own. A line on standard input asks for one measurement: words divided by
 * tabs, of which the first is
 *
 *     measure   until everything that the commands started has ended, ahead of what else runs
 *     work      the same at ordinary priority, for commands whose work others do
 *     leave     until the commands have ended; what they started stays
 *
 * and `--` divides commands that run one after another. The answer is a line:
 *
 *     STATUS WALL CPU PEAK
 *
 * the first exit status that is not 0 (-1 after PATIENCE seconds), nanoseconds of the commands alone,
 * nanoseconds of user and system time of all their processes, KiB of the greatest of them. Small and
 * static, since the kernel counts the memory of who executes a program to that program's peak. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_WORDS = 256 };

static unsigned patience = 20;
static volatile pid_t running;
static volatile int late;

static void give_up(int signal)
{
	(void)signal;
	late = 1;
	kill(running, SIGKILL);
}

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000 + time.tv_nsec;
}

static int run(char **words)
{
	int status = 0;

	running = vfork();
	if (running == 0) {
		execv(words[0], words);
		_exit(127);
	}
	while (waitpid(running, &status, 0) < 0 && late == 0)
		;
	return late ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static long nanoseconds(struct timeval time)
{
	return time.tv_sec * 1000000000 + time.tv_usec * 1000;
}

/* A process of its own, so that the kernel's sums begin at nothing. */
static void measure(char **words, int count)
{
	struct sched_param first = { .sched_priority = 1 };
	struct rusage usage;
	int status = 0, leave = strcmp(words[0], "leave") == 0, null = open("/dev/null", O_RDWR);
	long wall = 0;

	prctl(PR_SET_CHILD_SUBREAPER, !leave);
	dup2(null, 0);
	signal(SIGALRM, give_up);
	alarm(patience);
	/* Ahead of what else this machine does; refused in some cgroups, and then all wait alike. */
	if (strcmp(words[0], "measure") == 0)
		sched_setscheduler(0, SCHED_RR, &first);
	for (int from = 1, to = 1; to <= count; to++) {
		int out;
		long before;

		if (to < count && strcmp(words[to], "--") != 0)
			continue;
		words[to] = 0;
		out = dup(1);
		fcntl(out, F_SETFD, FD_CLOEXEC);
		dup2(null, 1);
		before = now();
		int one = run(words + from);
		wall += now() - before;
		dup2(out, 1);
		close(out);
		status = status ? status : one;
		from = to + 1;
	}
	while (!leave && wait(0) > 0)
		;
	getrusage(RUSAGE_CHILDREN, &usage);
	printf("%d %ld %ld %ld\n", status, wall, nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime),
	       usage.ru_maxrss);
	fflush(stdout);
	_exit(0);
}

int main(int count_of_words, char **own)
{
	static char line[8192];
	char *words[MOST_WORDS];

	if (count_of_words > 1)
		patience = strtoul(own[1], 0, 10);
	setvbuf(stdin, 0, _IONBF, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	while (fgets(line, sizeof line, stdin)) {
		int count = 0;
		pid_t worker;

		for (char *word = strtok(line, "\t\n"); word && count < MOST_WORDS - 1; word = strtok(0, "\t\n"))
			words[count++] = word;
		worker = fork();
		if (worker == 0)
			measure(words, count);
		waitpid(worker, 0, 0);
		while (waitpid(-1, 0, WNOHANG) > 0)
			;
	}
	if (count_of_words > 2 && strcmp(own[2], "end") == 0) {
		kill(-1, SIGKILL);
		while (wait(0) > 0)
			;
	}
	return 0;
}
