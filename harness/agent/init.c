// SPDX-License-Identifier: GPL-2.0-only
/*
 * Process 1 of a guest, and the small commands the harness runs in it.
 *
 *   init                       (as process 1) mounts, network, sshd, reaps for ever
 *   init adopt                 the same in a system that has a process 1: its root's shell says so
 *   init hello SECONDS HEX     sets the clock, stirs the random pool, says who answers
 *   init case SEQ ID SECS CMD...  runs one test case between two markers on the console
 *   init serve MARK            runs one case after another, as its input says
 *   init kill SEQ              kills whatever case SEQ left running
 *   init pace                  does a fixed work load, and says how many ms that took
 *   init off                   powers the guest off (QEMU exits)
 *
 * One static binary: nothing of the root file system but an SSH server and
 * what the tests themselves use is needed. Everything it has to say goes to
 * /dev/kmsg, so that on the console it is in exact order with the kernel's
 * own messages; lines start with "harness:".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

#include "common.h"

#define SSHD_LOG "/run/harness/sshd.log"

/* Where our process is not process 1, a system with mounts and an SSH server of its own runs. */
static int adopted;

static void attach(const char *what, const char *where, const char *type,
		   unsigned long flags, const char *options, int needed)
{
	mkdir(where, 0755);
	if (mount(what, where, type, flags, options) == 0 || errno == EBUSY)
		return;
	if (needed)
		say("error: mount %s on %s: %s", type, where, strerror(errno));
}

/* What an SSH server needs to start. */
static void mount_some(void)
{
	if (!adopted) {
		/* devtmpfs first: say() needs /dev/kmsg. */
		attach("dev", "/dev", "devtmpfs", MS_NOSUID, NULL, 1);
		attach("proc", "/proc", "proc", 0, NULL, 1);
		attach("run", "/run", "tmpfs", 0, "mode=755", 1);
	}
	attach("root", "/root", "tmpfs", 0, "mode=700", 1);
	mkdir(CASE_DIR, 0755);
	mkdir("/run/sshd", 0755);
}

static void mount_rest(void)
{
	if (!adopted) {
		attach("sys", "/sys", "sysfs", 0, NULL, 1);
		attach("devpts", "/dev/pts", "devpts", 0, "mode=620,ptmxmode=666", 1);
		attach("shm", "/dev/shm", "tmpfs", 0, "mode=1777", 1);
	}
	attach("tmp", "/tmp", "tmpfs", 0, "mode=1777", 1);
	attach("debug", "/sys/kernel/debug", "debugfs", 0, NULL, 0);
	attach("trace", "/sys/kernel/tracing", "tracefs", 0, NULL, 0);
	attach("cgroup", "/sys/fs/cgroup", "cgroup2", 0, NULL, 0);
	put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	attach("/dev/vdb", "/tests", "ext2", MS_RDONLY, NULL, 0);
	/* Markers must never fall to the limit on what user space may log. */
	put("/proc/sys/kernel/printk_devkmsg", "on\n");
	/* The harness asks a hung guest for its state by sysrq on the serial line. */
	put("/proc/sys/kernel/sysrq", "1\n");
}

/* udev may have renamed it. */
static void name_interface(char name[IFNAMSIZ])
{
	struct if_nameindex *all = if_nameindex();

	for (struct if_nameindex *one = all; one && one->if_index; one++)
		if (strcmp(one->if_name, "lo") != 0) {
			strcpy(name, one->if_name);
			break;
		}
	if_freenameindex(all);
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
	if (adopted)
		name_interface(request.ifr_name);
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
	key = strstr(command_line, WORD_KEY_OPTION);
	if (!key) {
		say("error: no " WORD_KEY_OPTION " on the kernel command line");
		return;
	}
	key += strlen(WORD_KEY_OPTION);
	key[strcspn(key, " \n")] = '\0';
	snprintf(keys, sizeof(keys), "ssh-ed25519 %s harness\n", key);
	mkdir("/root/.ssh", 0700);
	if (put("/root/.ssh/authorized_keys", keys) < 0)
		say("error: authorized_keys: %s", strerror(errno));
}

static pid_t start_sshd(void)
{
	static char port[] = "22", adopted_port[] = "2222";
	char *const dropbear[] = { "dropbear", "-F", "-E", "-s", "-r",
		"/harness/hostkey.dropbear", "-p", adopted ? adopted_port : port, NULL };
	/* sshd re-executes itself and insists on an absolute name. */
	char *const openssh[] = { "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null",
		"-p", adopted ? adopted_port : port, "-h", "/run/harness/hostkey.openssh", "-o", "PermitRootLogin=prohibit-password",
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

/* True once something listens on port 22 (0016), adopted: 2222 (08AE), state 0A, read from /proc. */
static int sshd_listens(void)
{
	static char table[8192];
	static const char *const files[] = { "/proc/net/tcp", "/proc/net/tcp6" };

	for (size_t i = 0; i < 2; i++) {
		get(files[i], table, sizeof(table));
		for (char *at = table; (at = strstr(at, adopted ? ":08AE " : ":0016 ")); at++) {
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
			say(WORD_SSHD "%s", line);
}

static void power_off(void)
{
	sync();
	say("off");
	/* QEMU runs with -no-reboot: a reset ends it on machines without ACPI too. */
	reboot(RB_AUTOBOOT);
}

/*
 * The console as a second way in: '?' asks whether anybody is there, and a line
 * "!WORD COMMAND" has a shell run COMMAND there ("!WORD ": a shell to talk to); WORD is in
 * the line that tells the end of it.
 * Having it open is also what makes the serial driver hear a break, and so sysrq.
 */
struct console {
	int fd, in_line;
	pid_t shell;
	size_t length;
	char line[512];
	struct termios raw;
};

static void open_console(struct console *console)
{
	memset(console, 0, sizeof(*console));
	console->fd = open("/dev/console", O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (console->fd < 0 || tcgetattr(console->fd, &console->raw) < 0)
		return;
	cfmakeraw(&console->raw);
	console->raw.c_iflag |= IGNBRK;
	tcsetattr(console->fd, TCSANOW, &console->raw);
}

static void start_shell(struct console *console)
{
	char *command = strchr(console->line, ' ');
	struct termios mode = console->raw;
	sigset_t none;

	if (command)
		*command++ = '\0';
	console->shell = fork();
	if (console->shell > 0)
		return;
	if (console->shell < 0) {
		console->shell = 0;
		say(WORD_RAN " %s -1", console->line);
		return;
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* A file of its own: whoever reads from ours must not wait. */
	close(console->fd);
	setsid();
	for (int fd = 0; fd < 3; fd++) {
		close(fd);
		if (open("/dev/console", O_RDWR | O_NOCTTY) < 0)
			_exit(126);
	}
	ioctl(0, TIOCSCTTY, 1);
	mode.c_iflag |= ICRNL;
	mode.c_oflag |= OPOST | ONLCR;
	mode.c_lflag |= ISIG | ICANON | IEXTEN;
	if (!command || !*command)
		mode.c_lflag |= ECHO | ECHOE | ECHOK;
	tcsetattr(0, TCSANOW, &mode);
	setenv("HOME", "/root", 1);
	setenv("TERM", "vt100", 0);
	chdir("/root");
	if (command && *command)
		execl("/bin/sh", "sh", "-c", command, NULL);
	else
		execl("/bin/sh", "sh", "-i", NULL);
	_exit(127);
}

static void shell_ended(struct console *console, int status)
{
	/* What it printed is still on its way; the line that tells the end is not to overtake it. */
	tcdrain(console->fd);
	tcsetattr(console->fd, TCSANOW, &console->raw);
	say(WORD_RAN " %s %d", console->line, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	console->shell = 0;
}

/* One byte: what comes after a command's line is for the shell. */
static void hear(struct console *console)
{
	char typed;

	if (read(console->fd, &typed, 1) <= 0) {
		console->fd = -1; /* hung up: it would wake us for ever */
	} else if (console->in_line && typed == '\n') {
		console->line[console->length] = '\0';
		console->in_line = 0;
		start_shell(console);
	} else if (console->in_line) {
		if (console->length < sizeof(console->line) - 1)
			console->line[console->length++] = typed;
	} else if (typed == '!') {
		console->in_line = 1;
		console->length = 0;
	} else {
		say(WORD_HERE);
	}
}

static void __attribute__((noreturn)) watch_over(void)
{
	sigset_t watched;
	struct pollfd wait_for[2] = { { .events = POLLIN }, { .events = POLLIN } };
	struct console console;
	pid_t sshd;
	int ready = 0, tries = 0;

	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGHUP); /* a shell that takes the console away, see start_shell() */
	sigprocmask(SIG_BLOCK, &watched, NULL);
	wait_for[0].fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
	mount_some();
	if (!adopted)
		sethostname("guest", 5);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	authorize();
	/* It takes longer to start than all that follows, and there is a second CPU. */
	sshd = start_sshd();
	mount_rest();
	say("mounted");
	network_up();
	say("network up");
	open_console(&console);
	for (;;) {
		struct signalfd_siginfo got;
		pid_t gone;
		int status;

		/* A shell has the console for itself. */
		wait_for[1].fd = console.shell ? -1 : console.fd;
		wait_for[1].revents = 0;
		poll(wait_for, 2, ready ? -1 : 10);
		if (read(wait_for[0].fd, &got, sizeof(got)) == sizeof(got) &&
		    got.ssi_signo == SIGTERM)
			power_off();
		if (wait_for[1].revents)
			hear(&console);
		while ((gone = waitpid(-1, &status, WNOHANG)) > 0) {
			if (gone == console.shell)
				shell_ended(&console, status);
			if (gone != sshd)
				continue;
			tell_log(SSHD_LOG);
			say(WORD_SSHD_ENDED " with status 0x%x", status);
			ready = 1;
		}
		if (!ready && sshd_listens()) {
			say(WORD_READY);
			ready = 1;
		} else if (!ready && ++tries % 500 == 0) {
			say("sshd does not listen yet");
		}
	}
}

int main(int argc, char **argv)
{
	if (getpid() == 1)
		watch_over();
	if (argc == 2 && strcmp(argv[1], "adopt") == 0) {
		adopted = 1;
		watch_over();
	}
	if (argc == 4 && strcmp(argv[1], "hello") == 0)
		return hello(argv[2], argv[3]);
	if (argc > 5 && strcmp(argv[1], "case") == 0)
		return run_case(argv[2], argv[3], strtod(argv[4], NULL), argv + 5);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2]);
	if (argc == 3 && strcmp(argv[1], "kill") == 0)
		return kill_case(argv[2]);
	if (argc == 2 && strcmp(argv[1], "benchmark") == 0)
		return benchmark();
	if (argc == 2 && strcmp(argv[1], "off") == 0)
		return kill(1, SIGTERM) ? 1 : 0;
	fprintf(stderr, "usage: init {adopt | hello SECONDS HEX | case SEQ ID SECONDS CMD... | serve MARK | kill SEQ | benchmark | off}\n");
	return 2;
}
