/* A plugin of QEMU's (docs/devel/tcg-plugins.rst) that counts the instructions which the processor has executed when a
 * program's first one comes, and writes the count to the file that its one argument names.
 *
 * On a counted machine the clock goes on for each of them, and is put forward where there is nothing to do: what the
 * clock is ahead was waited for. The kernel's own account of idle time is none before its tick is tuned to need: it
 * takes what happens while it starts itself for idleness. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What is needed of qemu-plugin.h, version 1, which Debian has in no package. */
int qemu_plugin_version = 1;
struct qemu_plugin_tb;
typedef uint64_t qemu_plugin_id_t;
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t,
					   void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
enum { ADD };

/* Programs of the benchmark are linked there; the firmware, which runs below the kernel too, is done by then. */
enum { FIRST = 0x400000, LAST = 0x500000, KERNEL = 1000000 };

static uint64_t executed;
static const char *path;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
	uint64_t address = qemu_plugin_tb_vaddr(block);
	FILE *file;

	if (path && executed > KERNEL && address >= FIRST && address < LAST) {
		file = fopen(path, "w");
		if (file) {
			fprintf(file, "%lu\n", executed);
			fclose(file);
		}
		path = NULL;
	}
	qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, &executed, qemu_plugin_tb_n_insns(block));
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count, char **arguments)
{
	static char name[4096];

	if (count != 1)
		return 1;
	snprintf(name, sizeof name, "%s", arguments[0]);
	path = name + (sizeof "to=" - 1);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
