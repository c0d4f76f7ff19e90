// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU's TCG: marks which of the addresses that it is given have run.
 *
 *   -plugin marks.so,addresses=FILE,marks=FILE
 *
 * addresses: 64-bit words in ascending order. marks: a byte for each, which becomes 1 each time
 * the block of code runs that has the address. Whoever reads the file may set them to 0 meanwhile.
 *
 * The prototypes are those of qemu-plugin.h, versions 1 (QEMU 7.2) to 7 (QEMU 11) of the
 * interface; distributions do not ship that header.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;

extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
		void (*runs)(unsigned int cpu, void *data), int flags, void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t n);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static const uint64_t *addresses;
static size_t number;
static uint8_t *marks;

/* The first address that is not below another one; their number where all are. */
static size_t not_below(uint64_t other)
{
	size_t low = 0, high = number;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (addresses[middle] < other)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The first address in the upper, their number in the lower half of the word. */
static void runs(unsigned int cpu, void *data)
{
	uintptr_t which = (uintptr_t)data;

	(void)cpu;
	memset(marks + (which >> 32), 1, (uint32_t)which);
}

static void translated(struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb);
	uint64_t from = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
	uint64_t to = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, count - 1));
	size_t first = not_below(from), end = not_below(to + 1);

	if (first < end)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, runs, 0,
				(void *)((uintptr_t)first << 32 | (end - first)));
}

#if QEMU_PLUGIN_VERSION >= 7
/* Who is told of a new block gets data of his own, and not the id of the plugin. */
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
		void (*told)(struct qemu_plugin_tb *tb, void *data), void *data);

static void told(struct qemu_plugin_tb *tb, void *data)
{
	(void)data;
	translated(tb);
}

static void ask_for_blocks(plugin_id id)
{
	qemu_plugin_register_vcpu_tb_trans_cb(id, told, NULL);
}
#else
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
		void (*told)(plugin_id id, struct qemu_plugin_tb *tb));

static void told(plugin_id id, struct qemu_plugin_tb *tb)
{
	(void)id;
	translated(tb);
}

static void ask_for_blocks(plugin_id id)
{
	qemu_plugin_register_vcpu_tb_trans_cb(id, told);
}
#endif

static void *mapped(const char *path, int mode, int protection, size_t *size)
{
	struct stat about;
	int fd = open(path, mode);
	void *at;

	if (fd < 0 || fstat(fd, &about)) {
		perror(path);
		return NULL;
	}
	*size = about.st_size;
	at = mmap(NULL, *size, protection, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED) {
		perror(path);
		return NULL;
	}
	return at;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	size_t size = 0, places = 0;

	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "addresses=", 10))
			addresses = mapped(argv[i] + 10, O_RDONLY, PROT_READ, &size);
		else if (!strncmp(argv[i], "marks=", 6))
			marks = mapped(argv[i] + 6, O_RDWR, PROT_READ | PROT_WRITE, &places);
	}
	number = size / sizeof(*addresses);
	if (!addresses || !marks || !number || number != places) {
		fprintf(stderr, "addresses=FILE and marks=FILE, a byte for each address\n");
		return -1;
	}
	ask_for_blocks(id);
	return 0;
}
