/* Features of the kernel that no command of a small system asks for: `call NAME` does so and
 * ends with 0, or says what failed. Part of tests/kernel/features. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/fsverity.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Ends with the name of what failed and why, unless the result is a success. */
static long must(long result, const char *action)
{
	if (result < 0) {
		printf("%s: %s\n", action, strerror(errno));
		exit(1);
	}
	return result;
}

static void wanted(int truth, const char *what)
{
	if (!truth) {
		printf("%s\n", what);
		exit(1);
	}
}

/* getppid(2) is answered with EXDEV, other calls are left alone. */
static long filter(unsigned verdict, unsigned flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, verdict),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges");
	return must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program), "load the filter");
}

static void seccomp_filter(char **argument)
{
	filter(SECCOMP_RET_ERRNO | EXDEV, SECCOMP_FILTER_FLAG_LOG);
	wanted(syscall(SYS_getppid) == -1 && errno == EXDEV, "the filter does not filter");
}

static void seccomp_notify(char **argument)
{
	wanted(filter(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER) > 0, "no listener");
}

/* Nothing but /dev/null may be opened in the cgroup. */
static void device_filter(char **argument)
{
	struct bpf_insn code[] = {
		{ BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(struct bpf_cgroup_dev_ctx, minor), 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0 },
		{ BPF_JMP | BPF_JNE | BPF_K, 2, 0, 1, 3 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insns = (unsigned long)code,
				.insn_cnt = sizeof code / sizeof *code, .license = (unsigned long)"GPL" };
	union bpf_attr attach = { .attach_type = BPF_CGROUP_DEVICE, .attach_flags = BPF_F_ALLOW_MULTI };
	char path[256];
	int status;

	attach.attach_bpf_fd = must(syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load), "load the program");
	attach.target_fd = must(open(argument[0], O_DIRECTORY), "open the cgroup");
	must(syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach), "attach the program");
	snprintf(path, sizeof path, "%s/cgroup.procs", argument[0]);
	if (!fork()) {
		int procs = must(open(path, O_WRONLY), "open cgroup.procs");
		must(write(procs, "0", 1), "enter the cgroup");
		must(open("/dev/null", O_RDWR), "open /dev/null");
		wanted(open("/dev/zero", O_RDWR) == -1 && errno == EPERM, "/dev/zero opens");
		exit(0);
	}
	wait(&status);
	wanted(status == 0, "the filter does not filter");
}

static void landlock(char **argument)
{
	wanted(must(syscall(444, NULL, 0, 1), "landlock_create_ruleset") >= 5, "landlock is older than its version 5");
}

static void io_uring(char **argument)
{
	char parameters[120] = { 0 };
	must(syscall(SYS_io_uring_setup, 4, parameters), "io_uring_setup");
}

static void fanotify(char **argument)
{
	must(fanotify_init(FAN_CLASS_NOTIF, O_RDONLY), "fanotify_init");
}

static void memfd_secret(char **argument)
{
	must(syscall(447, 0), "memfd_secret");
}

static void keyring(char **argument)
{
	must(syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL), "keyctl");
}

static void memory_policy(char **argument)
{
	unsigned long nodes = 1;
	must(syscall(SYS_set_mempolicy, 2 /* MPOL_BIND */, &nodes, 8), "set_mempolicy");
}

static void pidfd(char **argument)
{
	must(syscall(SYS_pidfd_open, getpid(), 0), "pidfd_open");
}

static void vsock(char **argument)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_port = 7, .svm_cid = VMADDR_CID_ANY };
	int listener = must(socket(AF_VSOCK, SOCK_STREAM, 0), "socket");
	must(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
	must(listen(listener, 1), "listen");
}

static void packet(char **argument)
{
	must(socket(AF_PACKET, SOCK_RAW, 0), "socket");
}

static void tun(char **argument)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int device;
	mkdir("/dev/net", 0755);
	device = must(open("/dev/net/tun", O_RDWR), "open /dev/net/tun");
	must(ioctl(device, TUNSETIFF, &request), "TUNSETIFF");
}

/* Gives the loopback device a queueing discipline of each kind. */
static void qdisc(char **argument)
{
	const char *kinds[] = { "fq", "fq_codel", "pfifo" };
	for (unsigned at = 0; at < 3; at++) {
		struct {
			struct nlmsghdr header;
			struct tcmsg message;
			struct rtattr kind;
			char name[16];
		} request = { { 0, RTM_NEWQDISC, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, 1, 0 },
			      { .tcm_family = AF_UNSPEC, .tcm_ifindex = 1, .tcm_parent = TC_H_ROOT } };
		char answer[1024];
		int link = must(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), "socket");
		strcpy(request.name, kinds[at]);
		request.kind.rta_type = TCA_KIND;
		request.kind.rta_len = RTA_LENGTH(strlen(kinds[at]) + 1);
		request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.message) + RTA_ALIGN(request.kind.rta_len);
		must(send(link, &request, request.header.nlmsg_len, 0), "send");
		must(recv(link, answer, sizeof answer, 0), "receive");
		errno = -((struct nlmsgerr *)NLMSG_DATA(answer))->error;
		must(errno ? -1 : 0, kinds[at]);
	}
}

static void xattr(char **argument)
{
	must(setxattr(argument[0], "trusted.x", "y", 1, 0), "a trusted attribute");
	must(setxattr(argument[0], "user.x", "y", 1, 0), "an attribute of users");
}

static void fs_verity(char **argument)
{
	struct fsverity_enable_arg enable = { .version = 1, .hash_algorithm = FS_VERITY_HASH_ALG_SHA256, .block_size = 4096 };
	int file = must(open(argument[0], O_RDONLY), "open");
	must(ioctl(file, FS_IOC_ENABLE_VERITY, &enable), "FS_IOC_ENABLE_VERITY");
}

/* Mounted with no block device between. */
static void erofs_file(char **argument)
{
	must(mount(argument[0], argument[1], "erofs", MS_RDONLY, NULL), "mount");
}

/* As a time service says that the clock is right. */
static void clock_is_right(char **argument)
{
	struct timex request = { .modes = ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR };
	must(adjtimex(&request), "adjtimex");
}

static const struct {
	const char *name;
	void (*call)(char **);
} calls[] = {
	{ "seccomp-filter", seccomp_filter }, { "seccomp-notify", seccomp_notify },
	{ "device-filter", device_filter }, { "landlock", landlock },
	{ "io-uring", io_uring }, { "fanotify", fanotify },
	{ "memfd-secret", memfd_secret }, { "keyring", keyring },
	{ "user-memory-policy", memory_policy }, { "pidfd", pidfd },
	{ "vsock", vsock }, { "packet", packet },
	{ "tun", tun }, { "qdisc", qdisc },
	{ "xattr", xattr }, { "fs-verity", fs_verity },
	{ "mount-erofs-file", erofs_file }, { "clock-is-right", clock_is_right },
};

int main(int count, char **words)
{
	for (unsigned at = 0; count > 1 && at < sizeof calls / sizeof *calls; at++)
		if (!strcmp(words[1], calls[at].name)) {
			calls[at].call(words + 2);
			return 0;
		}
	printf("no such call\n");
	return 2;
}
