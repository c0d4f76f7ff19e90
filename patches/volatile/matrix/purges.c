// SPDX-License-Identifier: GPL-2.0-only
/*
 * The only process of a 32-bit x86 kernel: marks memory, has it purged by
 * MADV_PAGEOUT, asks, and looks. Freestanding: there is no C library for it.
 */
typedef unsigned long ulong;
_Static_assert(sizeof(ulong) == 4, "system calls of 32-bit x86");

#define PAGE		4096u
#define PAGES		64u
#define LEN		(PAGES * PAGE)
#define MADV_PAGEOUT	21
#define MADV_VOLATILE	26
#define MADV_NONVOLATILE 27
#define CASE		"purges"
/* What the probe gives; less than 0: the feature must be absent. */
#ifndef PROBE
#define PROBE		0
#endif

static long sys(long nr, ulong a, ulong b, ulong c, ulong d, ulong e)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory");
	return ret;
}

static long sys_open(const char *path)
{
	return sys(5, (ulong)path, 0, 0, 0, 0);
}

static long sys_read(int fd, void *to, ulong size)
{
	return sys(3, fd, (ulong)to, size, 0, 0);
}

static long madvise(void *p, ulong len, ulong advice)
{
	return sys(219, (ulong)p, len, advice, 0, 0);
}

static void reboot(void)
{
	sys(88, 0xfee1dead, 672274793, 0x01234567, 0, 0);
	for (;;)
		;
}

static void say(const char *text)
{
	ulong n = 0;

	while (text[n])
		n++;
	sys(4, 1, (ulong)text, n, 0, 0);
}

static void say_number(long value)
{
	char digits[16], *p = digits + sizeof(digits) - 1;
	ulong left = value < 0 ? -value : value;

	*p = '\0';
	do {
		*--p = '0' + left % 10;
		left /= 10;
	} while (left);
	if (value < 0)
		*--p = '-';
	say(p);
}

static int failed;

static void expect(const char *what, int line, long is, long must)
{
	if (is == must)
		return;
	failed = 1;
	say("# purges.c:");
	say_number(line);
	say(": ");
	say(what);
	say(" is ");
	say_number(is);
	say(", must be ");
	say_number(must);
	say("\n");
}

#define EXPECT(what, must) expect(#what, __LINE__, (what), (must))

/* The old mmap of i386 takes its arguments in memory. */
static unsigned char *map(void)
{
	ulong args[6] = { 0, LEN, 3 /* read, write */, 0x22 /* private, anonymous */, -1, 0 };
	long p = sys(90, (ulong)args, 0, 0, 0, 0);

	if (p < 0 && p > -4096) {
		failed = 1;
		say("# purges.c:0: no memory\n");
		reboot();
	}
	return (unsigned char *)p;
}

static unsigned char tag(ulong at)
{
	return (at >> 12) * 7 + (at & 0xff) + 1;
}

static void fill(volatile unsigned char *p)
{
	ulong at;

	for (at = 0; at < LEN; at++)
		p[at] = tag(at);
}

/* How many pages are as written, and how many are all zero. */
static void count(const volatile unsigned char *p, ulong *intact, ulong *zero)
{
	ulong page, at;

	*intact = *zero = 0;
	for (page = 0; page < PAGES; page++) {
		int same = 1, none = 1;

		for (at = page * PAGE; at < (page + 1) * PAGE; at++) {
			same &= p[at] == tag(at);
			none &= !p[at];
		}
		*intact += same;
		*zero += none;
	}
}

/* Mappings with " vl" in smaps. */
static long marked(void)
{
	static char text[1 << 16];
	long fd = sys_open("/proc/self/smaps"), n, size = 0, found = 0, i;

	if (fd < 0)
		return fd;
	while ((n = sys_read(fd, text + size, sizeof(text) - size)) > 0)
		size += n;
	sys(6, fd, 0, 0, 0, 0);
	for (i = 0; i + 3 < size; i++)
		found += text[i] == ' ' && text[i + 1] == 'v' && text[i + 2] == 'l' &&
			 (text[i + 3] == ' ' || text[i + 3] == '\n');
	return found;
}

static void purges(void)
{
	unsigned char *p, *kept;
	ulong intact, zero;

	/* Without pressure nothing goes. */
	p = map();
	fill(p);
	EXPECT(madvise(p, LEN, MADV_VOLATILE), 0);
	EXPECT(marked(), 1);
	EXPECT(madvise(p, LEN, MADV_NONVOLATILE), 0);
	EXPECT(marked(), 0);
	count(p, &intact, &zero);
	EXPECT(intact, PAGES);

	/* MADV_PAGEOUT purges what is volatile, and that only. */
	kept = map();
	fill(kept);
	EXPECT(madvise(p, LEN, MADV_VOLATILE), 0);
	EXPECT(madvise(p, LEN, MADV_PAGEOUT), 0);
	EXPECT(madvise(kept, LEN, MADV_PAGEOUT), 0);
	EXPECT(madvise(p, LEN, MADV_NONVOLATILE), 1);
	count(p, &intact, &zero);
	say("# purged pages: ");
	say_number(zero);
	say("\n");
	EXPECT(zero, PAGES);
	EXPECT(madvise(kept, LEN, MADV_NONVOLATILE), 0);
	count(kept, &intact, &zero);
	EXPECT(intact, PAGES);

	/* Asked again, it has forgotten. */
	EXPECT(madvise(p, LEN, MADV_NONVOLATILE), 0);
}

void start(void);
void start(void)
{
	say("\nKTAP version 1\n1..1\n");
	EXPECT(sys(39, (ulong)"/proc", 0755, 0, 0, 0), 0);
	EXPECT(sys(21, (ulong)"proc", (ulong)"/proc", (ulong)"proc", 0, 0), 0);
	EXPECT(madvise(0, 0, MADV_VOLATILE), PROBE);
	EXPECT(madvise(0, 0, MADV_NONVOLATILE), PROBE);
	EXPECT(marked(), 0);
	if (PROBE == 0)
		purges();

	say(failed ? "not ok 1 " CASE "\n" : "ok 1 " CASE "\n");
	reboot();
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tand $-16, %esp\n\tcall start\n");
