// SPDX-License-Identifier: GPL-2.0-only
/*
 * Process 1 of a guest, and the small commands the harness runs in it.
 *
 *   init                       (as process 1) mounts, network, sshd, reaps for ever
 *   init hello SECONDS HEX     sets the clock, stirs the random pool, says who answers
 *   init case SEQ ID SECS CMD...  runs one test case between two markers on the console
 *   init kill SEQ              kills whatever case SEQ left running
 *   init off                   powers the guest off (QEMU exits)
 *
 * One static binary: nothing of the root file system but an SSH server and
 * what the tests themselves use is needed. Everything it has to say goes to
 * /dev/kmsg, so that on the console it is in exact order with the kernel's
 * own messages; lines start with "harness:".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/random.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CASE_DIR "/run/harness"
#define SSHD_LOG "/run/harness/sshd.log"
#define TIMEOUT_STATUS 124

/* One line in the kernel's log: level warning, so that no loglevel hides it. */
static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
	char line[900] = "<4>harness: ";
	size_t head = strlen(line);
	va_list args;
	int fd, length;

	va_start(args, format);
	length = vsnprintf(line + head, sizeof(line) - head - 1, format, args);
	va_end(args);
	if (length < 0)
		return;
	if ((size_t)length > sizeof(line) - head - 2)
		length = sizeof(line) - head - 2;
	line[head + length] = '\n';
	fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, line, head + length + 1) < 0) {
		/* Nowhere left to complain to. */
	}
	close(fd);
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t done;

	if (fd < 0)
		return -1;
	done = write(fd, text, strlen(text));
	close(fd);
	return done < 0 ? -1 : 0;
}

static ssize_t get(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t done;

	text[0] = '\0';
	if (fd < 0)
		return -1;
	while (have < room - 1 && (done = read(fd, text + have, room - 1 - have)) > 0)
		have += done;
	close(fd);
	text[have] = '\0';
	return have;
}

/* ---- process 1 ---------------------------------------------------------- */

static void attach(const char *what, const char *where, const char *type,
		   unsigned long flags, const char *options, int needed)
{
	mkdir(where, 0755);
	if (mount(what, where, type, flags, options) == 0 || errno == EBUSY)
		return;
	if (needed)
		say("error: mount %s on %s: %s", type, where, strerror(errno));
}

static void mount_all(void)
{
	/* devtmpfs first: say() needs /dev/kmsg. */
	attach("dev", "/dev", "devtmpfs", MS_NOSUID, NULL, 1);
	attach("proc", "/proc", "proc", 0, NULL, 1);
	attach("sys", "/sys", "sysfs", 0, NULL, 1);
	attach("devpts", "/dev/pts", "devpts", 0, "mode=620,ptmxmode=666", 1);
	attach("shm", "/dev/shm", "tmpfs", 0, "mode=1777", 1);
	attach("run", "/run", "tmpfs", 0, "mode=755", 1);
	attach("tmp", "/tmp", "tmpfs", 0, "mode=1777", 1);
	attach("root", "/root", "tmpfs", 0, "mode=700", 1);
	attach("debug", "/sys/kernel/debug", "debugfs", 0, NULL, 0);
	attach("trace", "/sys/kernel/tracing", "tracefs", 0, NULL, 0);
	attach("cgroup", "/sys/fs/cgroup", "cgroup2", 0, NULL, 0);
	put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	attach("/dev/vdb", "/tests", "ext2", MS_RDONLY, NULL, 0);
	/* Markers must never fall to the limit on what user space may log. */
	put("/proc/sys/kernel/printk_devkmsg", "on\n");
	/* The harness asks a hung guest for its state by sysrq on the serial line. */
	put("/proc/sys/kernel/sysrq", "1\n");
	mkdir(CASE_DIR, 0755);
	mkdir("/run/sshd", 0755);
}

static void network_up(void)
{
	struct ifreq request;
	struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int bad = fd < 0;

	memset(&request, 0, sizeof(request));
	strcpy(request.ifr_name, "lo");
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	bad |= ioctl(fd, SIOCSIFFLAGS, &request) < 0;

	memset(&request, 0, sizeof(request));
	strcpy(request.ifr_name, "eth0");
	address->sin_family = AF_INET;
	/* QEMU's user network gives every guest this address. */
	address->sin_addr.s_addr = inet_addr("10.0.2.15");
	bad |= ioctl(fd, SIOCSIFADDR, &request) < 0;
	address->sin_addr.s_addr = inet_addr("255.255.255.0");
	bad |= ioctl(fd, SIOCSIFNETMASK, &request) < 0;
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	bad |= ioctl(fd, SIOCSIFFLAGS, &request) < 0;
	if (bad)
		say("error: network: %s", strerror(errno));
	close(fd);
}

/* The one key that may log in: harness.sshkey=BASE64 on the command line. */
static void authorize(void)
{
	static char command_line[4096], keys[1024];
	char *key;

	get("/proc/cmdline", command_line, sizeof(command_line));
	key = strstr(command_line, "harness.sshkey=");
	if (!key) {
		say("error: no harness.sshkey= on the kernel command line");
		return;
	}
	key += strlen("harness.sshkey=");
	key[strcspn(key, " \n")] = '\0';
	snprintf(keys, sizeof(keys), "ssh-ed25519 %s harness\n", key);
	mkdir("/root/.ssh", 0700);
	if (put("/root/.ssh/authorized_keys", keys) < 0)
		say("error: authorized_keys: %s", strerror(errno));
}

static pid_t start_sshd(void)
{
	static char *const dropbear[] = { "dropbear", "-F", "-E", "-s", "-r",
		"/harness/hostkey.dropbear", "-p", "22", NULL };
	/* sshd re-executes itself and insists on an absolute name. */
	static char *const openssh[] = { "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null",
		"-h", "/run/harness/hostkey.openssh", "-o", "PermitRootLogin=prohibit-password",
		"-o", "StrictModes=no", "-o", "AuthorizedKeysFile=/root/.ssh/authorized_keys", NULL };
	static char key[4096];
	pid_t pid;

	/* sshd wants its key private; the image may belong to an ordinary user. */
	if (get("/harness/hostkey.openssh", key, sizeof(key)) > 0)
		put("/run/harness/hostkey.openssh", key);
	pid = fork();
	if (pid == 0) {
		sigset_t none;
		int null = open("/dev/null", O_RDWR);
		int log = open(SSHD_LOG, O_WRONLY | O_CREAT | O_APPEND, 0600);

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid();
		dup2(null, 0);
		dup2(log, 1);
		dup2(log, 2);
		/* The way in must outlive a test that runs out of memory. */
		put("/proc/self/oom_score_adj", "-1000");
		chdir("/root");
		execv("/usr/sbin/dropbear", dropbear);
		execv(openssh[0], openssh);
		dprintf(2, "no /usr/sbin/dropbear and no /usr/sbin/sshd in the image\n");
		_exit(127);
	}
	return pid;
}

/* True once something listens on port 22 (0016, state 0A), read from /proc. */
static int sshd_listens(void)
{
	static char table[8192];
	static const char *const files[] = { "/proc/net/tcp", "/proc/net/tcp6" };

	for (size_t i = 0; i < 2; i++) {
		get(files[i], table, sizeof(table));
		for (char *at = table; (at = strstr(at, ":0016 ")); at++) {
			char *state = strchr(at + 1, ':');

			if (state && strncmp(state, ":0000 0A", 8) == 0)
				return 1;
		}
	}
	return 0;
}

static void tell_log(const char *path)
{
	static char text[4096];
	char *line, *rest = text;

	get(path, text, sizeof(text));
	while ((line = strsep(&rest, "\n")))
		if (*line)
			say("sshd: %s", line);
}

static void power_off(void)
{
	sync();
	say("off");
	/* QEMU runs with -no-reboot: a reset ends it on machines without ACPI too. */
	reboot(RB_AUTOBOOT);
}

static void __attribute__((noreturn)) process_one(void)
{
	sigset_t watched;
	struct pollfd wait_for = { .events = POLLIN };
	pid_t sshd;
	int ready = 0, tries = 0;

	mount_all();
	say("mounted");
	sethostname("guest", 5);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	network_up();
	authorize();
	say("network up");

	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigaddset(&watched, SIGTERM);
	sigprocmask(SIG_BLOCK, &watched, NULL);
	wait_for.fd = signalfd(-1, &watched, SFD_CLOEXEC);
	sshd = start_sshd();
	for (;;) {
		struct signalfd_siginfo got;
		pid_t gone;
		int status;

		if (poll(&wait_for, 1, ready ? -1 : 10) > 0 &&
		    read(wait_for.fd, &got, sizeof(got)) == sizeof(got) &&
		    got.ssi_signo == SIGTERM)
			power_off();
		while ((gone = waitpid(-1, &status, WNOHANG)) > 0) {
			if (gone != sshd)
				continue;
			tell_log(SSHD_LOG);
			say("error: sshd ended with status 0x%x", status);
			ready = 1;
		}
		if (!ready && sshd_listens()) {
			say("ready");
			ready = 1;
		} else if (!ready && ++tries % 500 == 0) {
			say("sshd does not listen yet");
		}
	}
}

/* ---- hello --------------------------------------------------------------- */

/*
 * The first command after boot and after each restore. A restored guest has the
 * clock and the random state of its snapshot, and so have all its siblings.
 */
static int hello(const char *seconds, const char *hex)
{
	static char boot_id[64], tainted[32];
	struct { struct rand_pool_info head; unsigned char bytes[64]; } seed;
	struct timeval now = { 0 };
	struct utsname name;
	unsigned int byte, count = 0;
	double wanted = strtod(seconds, NULL);
	int fd;

	now.tv_sec = (time_t)wanted;
	now.tv_usec = (suseconds_t)((wanted - (double)now.tv_sec) * 1e6);
	settimeofday(&now, NULL);
	while (count < sizeof(seed.bytes) && sscanf(hex + 2 * count, "%2x", &byte) == 1)
		seed.bytes[count++] = byte;
	seed.head.entropy_count = count * 8;
	seed.head.buf_size = count;
	fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		ioctl(fd, RNDADDENTROPY, &seed);
		ioctl(fd, RNDRESEEDCRNG);
		close(fd);
	}
	uname(&name);
	get("/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id));
	get("/proc/sys/kernel/tainted", tainted, sizeof(tainted));
	boot_id[strcspn(boot_id, "\n")] = '\0';
	tainted[strcspn(tainted, "\n")] = '\0';
	printf("%s %s %s\n", boot_id, tainted, name.release);
	return 0;
}

/* ---- one test case -------------------------------------------------------- */

static pid_t parent_of(pid_t pid)
{
	char path[64], text[1024], *after;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (get(path, text, sizeof(text)) < 0)
		return 0;
	after = strrchr(text, ')');
	if (!after || sscanf(after + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

static int descends(pid_t pid, pid_t ancestor)
{
	for (int depth = 0; pid > 1 && depth < 64; depth++) {
		pid = parent_of(pid);
		if (pid == ancestor)
			return 1;
	}
	return 0;
}

static void show(pid_t pid, const char *name)
{
	char path[64], text[4096];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	if (get(path, text, sizeof(text)) > 0)
		fprintf(stderr, "harness: %s:\n%s", path, text);
}

/* Calls for every process below `ancestor`: a signal, or (0) a look at its stack. */
static int each_below(pid_t ancestor, int sig)
{
	DIR *all = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	while (all && (entry = readdir(all))) {
		pid_t pid = atoi(entry->d_name);

		if (pid <= 1 || !descends(pid, ancestor))
			continue;
		count++;
		if (sig) {
			kill(pid, sig);
			continue;
		}
		show(pid, "stat");
		show(pid, "stack");
	}
	if (all)
		closedir(all);
	return count;
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Kills all below `ancestor` and reaps what is ours; false: something cannot die. */
static int kill_below(pid_t ancestor)
{
	long long give_up = now_ms() + 1500;

	while (each_below(ancestor, SIGKILL)) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (now_ms() > give_up)
			return 0;
		usleep(2000);
	}
	return 1;
}

static int run_case(const char *seq, const char *id, double seconds, char **argv)
{
	char path[64], text[64], tainted[32];
	long long deadline = now_ms() + (long long)(seconds * 1000);
	struct pollfd wait_for = { .events = POLLIN };
	int status = 0, timed_out = 0, over = 0, result;
	sigset_t watched, before;
	pid_t child;

	/* A WARN_ON_ONCE speaks once per boot: every case deserves its own. */
	put("/sys/kernel/debug/clear_warn_once", "1");
	put("/proc/self/oom_score_adj", "-1000");
	/* What a case leaves behind becomes ours, so that it can be found and killed. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	snprintf(path, sizeof(path), CASE_DIR "/case-%s", seq);
	snprintf(text, sizeof(text), "%d\n", getpid());
	put(path, text);
	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigprocmask(SIG_BLOCK, &watched, &before);
	wait_for.fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);

	say("begin %s %s", seq, id);
	child = fork();
	if (child == 0) {
		int null = open("/dev/null", O_RDONLY);

		setsid();
		sigprocmask(SIG_SETMASK, &before, NULL);
		dup2(null, 0);
		put("/proc/self/oom_score_adj", "0");
		execvp(argv[0], argv);
		fprintf(stderr, "harness: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	while (!over && !timed_out) {
		struct signalfd_siginfo got;
		long long left = deadline - now_ms();
		pid_t gone;
		int one;

		if (left <= 0) {
			timed_out = 1;
			break;
		}
		poll(&wait_for, 1, left > 1000000 ? 1000000 : (int)left);
		if (read(wait_for.fd, &got, sizeof(got)) < 0) {
			/* Woken by the clock. */
		}
		while ((gone = waitpid(-1, &one, WNOHANG)) > 0) {
			if (gone == child) {
				over = 1;
				status = one;
			}
		}
	}
	if (timed_out) {
		fprintf(stderr, "harness: timed out after %g s; what was running:\n", seconds);
		each_below(getpid(), 0);
	}
	fflush(stderr);
	if (!kill_below(getpid()))
		say("stuck %s: a process of the case cannot be killed", seq);
	unlink(path);
	get("/proc/sys/kernel/tainted", tainted, sizeof(tainted));
	tainted[strcspn(tainted, "\n")] = '\0';
	if (timed_out)
		result = TIMEOUT_STATUS;
	else
		result = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (!timed_out && WIFSIGNALED(status))
		say("end %s signal=%d tainted=%s", seq, WTERMSIG(status), tainted);
	else
		say("end %s %s=%d tainted=%s", seq, timed_out ? "timeout" : "exit", result,
		    tainted);
	return result;
}

static int kill_case(const char *seq)
{
	char path[64], text[64];
	pid_t pid;

	snprintf(path, sizeof(path), CASE_DIR "/case-%s", seq);
	if (get(path, text, sizeof(text)) < 0)
		return 0;
	pid = atoi(text);
	return pid > 1 && kill_below(pid) ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (getpid() == 1)
		process_one();
	if (argc == 4 && strcmp(argv[1], "hello") == 0)
		return hello(argv[2], argv[3]);
	if (argc > 5 && strcmp(argv[1], "case") == 0)
		return run_case(argv[2], argv[3], strtod(argv[4], NULL), argv + 5);
	if (argc == 3 && strcmp(argv[1], "kill") == 0)
		return kill_case(argv[2]);
	if (argc == 2 && strcmp(argv[1], "off") == 0)
		return kill(1, SIGTERM) ? 1 : 0;
	fprintf(stderr, "usage: init {hello SECONDS HEX | case SEQ ID SECONDS CMD... | kill SEQ | off}\n");
	return 2;
}
