/* The floor: the least that a PID 1 does which mounts what a node mounts and starts one
 * program. */
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	mount("proc", "/proc", "proc", 0, 0);
	mount("sysfs", "/sys", "sysfs", 0, 0);
	mount("devtmpfs", "/dev", "devtmpfs", 0, 0);
	mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, 0);
	if (fork() == 0) {
		execl("/bench/payload", "/bench/payload", (char *)0);
		_exit(127);
	}
	for (;;)
		wait(0);
}
