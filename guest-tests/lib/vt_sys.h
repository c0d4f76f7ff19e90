/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's knobs: files of /proc and /sys, swap, control groups, CPUs.
 * Whatever is changed here is put back when the case ends, however it ends.
 */
#ifndef VT_SYS_H
#define VT_SYS_H

#include "vtest.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/swap.h>

/* 0 or -errno. */
static inline int vt_try_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static inline void vt_write(const char *path, const char *text)
{
	int ret = vt_try_write(path, text);

	VT_OR_ABANDON(vt_check(!ret, "write '%s' to %s: %s", text, path,
			       strerror(-ret)));
}

/* The whole of a file, as a string without its last newline. */
static inline size_t vt_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n;

	VT_OR_ABANDON(vt_check(fd >= 0, "open %s: %s", path, strerror(errno)));
	while ((n = read(fd, buf + have, size - 1 - have)) > 0)
		have += n;
	close(fd);
	VT_OR_ABANDON(vt_check(!n && have < size - 1, "%s: does not fit in %zu",
			       path, size));
	while (have && buf[have - 1] == '\n')
		have--;
	buf[have] = '\0';
	return have;
}

static inline long long vt_read_number(const char *path)
{
	char buf[64];

	vt_read(path, buf, sizeof(buf));
	return strtoll(buf, NULL, 0);
}

/* The number behind @key in a file of 'key number' lines; -1 if not there. */
static inline long long vt_try_key(const char *path, const char *key)
{
	char buf[16384];	/* not static: threads ask at the same time */
	size_t len = strlen(key);
	char *line;

	vt_read(path, buf, sizeof(buf));
	for (line = buf; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, len) && strchr(" \t:", line[len]))
			return strtoll(line + len + strspn(line + len, " \t:"),
				       NULL, 10);
	}
	return -1;
}

static inline long long vt_key(const char *path, const char *key)
{
	long long value = vt_try_key(path, key);

	VT_OR_ABANDON(vt_check(value >= 0, "no %s in %s", key, path));
	return value;
}

static inline void vt_undo_write(const char *arg)
{
	const char *value = strchr(arg, '\n') + 1;
	char path[VT_ARG_MAX];

	snprintf(path, sizeof(path), "%.*s", (int)(value - arg - 1), arg);
	if (vt_try_write(path, value))
		vt_check(false, "cannot put '%s' back into %s", value, path);
}

/* Set a knob for the time of this case. */
static inline void vt_set(const char *path, const char *value)
{
	char arg[VT_ARG_MAX], text[128], *old = text, *chosen;

	vt_read(path, text, sizeof(text));
	/* A choice like 'always [madvise] never' is set by its word. */
	chosen = strchr(text, '[');
	if (chosen) {
		old = chosen + 1;
		old[strcspn(old, "]")] = '\0';
	}
	snprintf(arg, sizeof(arg), "%s\n%s", path, old);
	vt_cleanup(vt_undo_write, arg);
	vt_write(path, value);
}

static inline void vt_undo_swapon(const char *dev)
{
	if (swapoff(dev) && errno != EINVAL)
		vt_check(false, "swapoff %s: %s", dev, strerror(errno));
}

static inline void vt_swapon(const char *dev)
{
	vt_cleanup(vt_undo_swapon, dev);
	VT_OR_ABANDON(vt_check(!swapon(dev, 0), "swapon %s: %s", dev,
			       strerror(errno)));
}

/* Use the raw swap disk that the host can read. */
static inline const char *vt_swap_disk(void)
{
	const char *dev = getenv("VTEST_SWAPDISK");

	VT_OR_ABANDON(vt_check(dev, "VTEST_SWAPDISK is not set"));
	vt_swapon(dev);
	return dev;
}

static inline void vt_undo_zram(const char *arg)
{
	(void)arg;
	vt_try_write("/sys/block/zram0/reset", "1");
}

/* Use compressed memory as swap: mkswap, then swapon. */
static inline const char *vt_swap_zram(unsigned int mb)
{
	static const char dev[] = "/dev/zram0";
	uint32_t page[1024] = { 0 };
	char size[32];
	int fd;

	if (access(dev, F_OK))
		vt_skip("no zram in this kernel");
	vt_cleanup(vt_undo_zram, "");
	snprintf(size, sizeof(size), "%uM", mb);
	vt_write("/sys/block/zram0/disksize", size);
	page[256] = 1;				/* version */
	page[257] = mb * 256 - 1;		/* last page */
	memcpy((char *)page + sizeof(page) - 10, "SWAPSPACE2", 10);
	fd = open(dev, O_WRONLY | O_CLOEXEC);
	REQUIRE(fd >= 0);
	REQUIRE_EQ(write(fd, page, sizeof(page)), sizeof(page));
	close(fd);
	vt_swapon(dev);
	return dev;
}

static inline void vt_undo_cgroup(const char *dir)
{
	char path[VT_ARG_MAX + 32], state[64];
	struct pollfd p = { .events = POLLPRI };
	ssize_t n;

	/* A killed process leaves its group when it is reaped, a bit later. */
	snprintf(path, sizeof(path), "%s/cgroup.kill", dir);
	vt_try_write(path, "1");
	while (waitpid(-1, NULL, 0) > 0)
		;
	snprintf(path, sizeof(path), "%s/cgroup.events", dir);
	p.fd = open(path, O_RDONLY | O_CLOEXEC);
	while ((n = pread(p.fd, state, sizeof(state) - 1, 0)) > 0) {
		state[n] = '\0';
		if (strstr(state, "populated 0") || poll(&p, 1, 2000) <= 0)
			break;
	}
	close(p.fd);
	if (rmdir(dir) && errno != ENOENT)
		vt_check(false, "rmdir %s: %s", dir, strerror(errno));
}

/* A new control group below the root one. Returns its directory. */
static inline const char *vt_cgroup(const char *name)
{
	static char dirs[4][64];
	static int n;
	char *dir = dirs[n++];

	REQUIRE(n <= 4);
	snprintf(dir, sizeof(dirs[0]), "/sys/fs/cgroup/%s", name);
	VT_OR_ABANDON(vt_check(!mkdir(dir, 0755), "mkdir %s: %s", dir,
			       strerror(errno)));
	vt_cleanup(vt_undo_cgroup, dir);
	return dir;
}

static inline const char *vt_cgroup_path(const char *dir, const char *file)
{
	static char path[VT_ARG_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	return path;
}

/* Put the calling process in. */
static inline void vt_cgroup_enter(const char *dir)
{
	vt_write(vt_cgroup_path(dir, "cgroup.procs"), "0");
}

static inline int vt_cgroup_try_write(const char *dir, const char *file,
				      long long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", value);
	return vt_try_write(vt_cgroup_path(dir, file), text);
}

static inline void vt_cgroup_write(const char *dir, const char *file,
				   long long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", value);
	vt_write(vt_cgroup_path(dir, file), text);
}

/* Stay on one CPU: what is touched and what is called share its caches. */
static inline void vt_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	REQUIRE_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* The multi-generational LRU or the classic one, for the time of this case. */
static inline void vt_mglru(bool on)
{
	static const char knob[] = "/sys/kernel/mm/lru_gen/enabled";

	if (!access(knob, F_OK))
		vt_set(knob, on ? "y" : "n");
	else if (on)
		vt_skip("no CONFIG_LRU_GEN in this kernel");
}

/* A gate that one process opens and another waits at. */
struct vt_gate {
	int fd[2];
};

static inline struct vt_gate vt_gate(void)
{
	struct vt_gate gate;

	REQUIRE_EQ(pipe2(gate.fd, O_CLOEXEC), 0);
	return gate;
}

static inline void vt_gate_open(struct vt_gate *gate)
{
	REQUIRE_EQ(write(gate->fd[1], "", 1), 1);
}

static inline void vt_gate_wait(struct vt_gate *gate)
{
	char c;

	REQUIRE_EQ(TEMP_FAILURE_RETRY(read(gate->fd[0], &c, 1)), 1);
}

#endif
