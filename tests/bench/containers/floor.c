/* The floor: the least that makes the benchmark's container. Six namespaces, a cgroup, the
 * same mounts, devices, links, masks, capabilities, a filter, exec; then it waits and removes
 * the cgroup. No file is read, nothing is checked, nothing is kept.
 *
 *     floor ROOTFS CGROUP PROGRAM */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEAVES = 228, QUIET = MS_NOSUID | MS_NOEXEC | MS_NODEV };

/* Docker's fourteen. */
static const unsigned long kept = 1 << CAP_CHOWN | 1 << CAP_DAC_OVERRIDE | 1 << CAP_FSETID | 1 << CAP_FOWNER |
				  1 << CAP_MKNOD | 1 << CAP_NET_RAW | 1 << CAP_SETGID | 1 << CAP_SETUID |
				  1UL << CAP_SETFCAP | 1 << CAP_SETPCAP | 1 << CAP_NET_BIND_SERVICE |
				  1 << CAP_SYS_CHROOT | 1 << CAP_KILL | 1 << CAP_AUDIT_WRITE;

static const char *const masked[] = { "proc/acpi",	    "proc/asound",	"proc/interrupts",
				      "proc/kcore",	    "proc/keys",	"proc/latency_stats",
				      "proc/timer_list",    "proc/timer_stats", "proc/sched_debug",
				      "proc/scsi",	    "sys/firmware",	"sys/devices/virtual/powercap" };
static const char *const closed[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger" };

static struct sock_filter filter[2 * LEAVES];
static unsigned short length;

/* A search tree over the numbers of system calls, of the size that the usual profile needs. */
static void tree(unsigned from, unsigned to)
{
	unsigned middle = (from + to) / 2, at = length++;

	if (to - from == 1) {
		filter[at] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
		return;
	}
	tree(from, middle);
	filter[at] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, middle * 2, length - at - 1, 0);
	tree(middle, to);
}

static void load_filter(void)
{
	struct sock_fprog program = { .filter = filter };

	filter[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
	tree(0, LEAVES);
	program.len = length;
	syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ioctl(socket_, SIOCSIFFLAGS, &request);
	close(socket_);
}

static void make_dev(void)
{
	static const struct {
		const char *name;
		int major, minor;
	} nodes[] = { { "dev/null", 1, 3 },   { "dev/zero", 1, 5 },	{ "dev/full", 1, 7 },
		      { "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 } };

	for (int at = 0; at < 6; at++)
		mknod(nodes[at].name, S_IFCHR | 0666, makedev(nodes[at].major, nodes[at].minor));
	symlink("/proc/self/fd", "dev/fd");
	symlink("/proc/self/fd/0", "dev/stdin");
	symlink("/proc/self/fd/1", "dev/stdout");
	symlink("/proc/self/fd/2", "dev/stderr");
	symlink("pts/ptmx", "dev/ptmx");
}

static void mount_all(const char *root)
{
	mount(0, "/", 0, MS_SLAVE | MS_REC, 0);
	mount(root, root, 0, MS_BIND | MS_REC, 0);
	chdir(root);
	mount("proc", "proc", "proc", QUIET, 0);
	mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
	mkdir("dev/pts", 0755);
	mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
	mount("sysfs", "sys", "sysfs", QUIET | MS_RDONLY, 0);
	mount("cgroup", "sys/fs/cgroup", "cgroup2", QUIET | MS_RDONLY, 0);
	mkdir("dev/mqueue", 0755);
	mount("mqueue", "dev/mqueue", "mqueue", QUIET, 0);
	mkdir("dev/shm", 0755);
	mount("shm", "dev/shm", "tmpfs", QUIET, "mode=1777,size=67108864");
	make_dev();
}

static void hide(void)
{
	for (unsigned at = 0; at < sizeof masked / sizeof *masked; at++)
		if (mount("/dev/null", masked[at], 0, MS_BIND, 0) != 0)
			mount("tmpfs", masked[at], "tmpfs", MS_RDONLY, "nr_inodes=2");
	for (unsigned at = 0; at < sizeof closed / sizeof *closed; at++)
		if (mount(closed[at], closed[at], 0, MS_BIND | MS_REC, 0) == 0)
			mount(0, closed[at], 0, QUIET | MS_BIND | MS_REMOUNT | MS_RDONLY, 0);
}

static void give_up_rights(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	unsigned low = kept;
	struct __user_cap_data_struct data[2] = { { low, low, 0 }, { kept >> 32, kept >> 32, 0 } };

	for (int one = 0; one <= CAP_LAST_CAP; one++)
		if (!(kept >> one & 1))
			prctl(PR_CAPBSET_DROP, one);
	load_filter();
	syscall(SYS_capset, &header, data);
}

static void become(const char *root, char *program)
{
	char *words[] = { program, 0 }, *none[] = { 0 };

	setsid();
	unshare(CLONE_NEWCGROUP);
	loopback_up();
	sethostname("bench", 5);
	umask(0);
	mount_all(root);
	hide();
	syscall(SYS_pivot_root, ".", ".");
	umount2(".", MNT_DETACH);
	chdir("/");
	umask(022);
	give_up_rights();
	execve(program, words, none);
	_exit(127);
}

int main(int count, char **words)
{
	struct clone_args args = {
		.flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
	};
	int status = 0;
	pid_t child;

	if (count != 4 || mkdir(words[2], 0755) != 0)
		return 126;
	args.cgroup = open(words[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	child = syscall(SYS_clone3, &args, sizeof args);
	if (child == 0)
		become(words[1], words[3]);
	waitpid(child, &status, 0);
	rmdir(words[2]);
	return WEXITSTATUS(status);
}
