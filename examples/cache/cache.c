// SPDX-License-Identifier: GPL-2.0-only
/*
 * A small cache of decoded images, on volatile ranges.
 *
 * A hidden image the kernel may take when memory is short. When it is shown again it is whole, or
 * it is decoded again. So the cache is as large as the system can afford; nobody chooses a size.
 *
 *	cc -O2 -o cache cache.c
 *	printf 'show 1\nhide 1\npeek 1\nshow 1\n' | ./cache volatile
 *
 * The recipe is the first half: volatile_hide(), volatile_show(), volatile_peek(). The second
 * half is the same cache with what else there is, to compare: madv-free, droppable, unmap, keep.
 * In a program with threads the jump buffer is to be __thread, and an image needs a lock.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* libc does not know them yet. madvise(NULL, 0, MADV_VOLATILE) is 0 where the kernel does. */
#ifndef MADV_VOLATILE
#define MADV_VOLATILE		26
#define MADV_NONVOLATILE	27
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE		0x08	/* Linux 6.11 */
#endif

#define IMAGES		48
#define PAGE		4096UL
#define PAGES		64UL		/* of an image: 256 x 256 pixels, 256 KiB */
#define BYTES		(PAGES * PAGE)
#define PIXELS		(BYTES / sizeof(uint32_t))
#define PAGE_PIXELS	(PAGE / sizeof(uint32_t))
#define OPAQUE		0xff000000U	/* each decoded pixel is: none is 0 */
#define DECODE_STEPS	2		/* of a pixel; a real decoder takes more or fewer */

struct image {
	uint32_t number;
	uint32_t *pixels;		/* NULL: never decoded, or dropped */
	uint32_t *shown;		/* droppable: the copy that is on the screen */
	uint64_t sum;			/* of its pixels, to see that none is wrong */
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint32_t *map(int flags)
{
	void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

/* Stands for a decoder: pixels from the image's number. */
static void decode(struct image *image, uint32_t *pixels)
{
	uint64_t x = image->number + 1;
	unsigned int step;
	size_t i;

	image->sum = 0;
	for (i = 0; i < PIXELS; i++) {
		for (step = 0; step < DECODE_STEPS; step++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		pixels[i] = OPAQUE | (x & 0xffffff);
		image->sum += pixels[i];
	}
}

/* Stands for painting: reads every pixel, when it is told to and not before (volatile). */
static uint64_t sum(const volatile uint32_t *pixels)
{
	uint64_t total = 0;
	size_t i;

	for (i = 0; i < PIXELS; i++)
		total += pixels[i];
	return total;
}

/* --- The recipe: a cache on volatile ranges ----------------------------------------------- */

/* Hidden: the kernel may take it. One call, however many pages; nothing is written or freed. */
static void volatile_hide(struct image *image)
{
	/*
	 * It is only an offer: EAGAIN (the mapping cannot be split just now) is no harm, the
	 * image just stays. EINVAL would be a kernel without volatile ranges, or locked memory.
	 */
	if (madvise(image->pixels, BYTES, MADV_VOLATILE))
		perror("MADV_VOLATILE: the image stays");
}

/*
 * Shown: first the call, then the look. After 0 each byte is as it was written, and stays.
 * After 1 at least one page is gone and reads as zeros now, the others are as they were: a cache
 * of tiles could look for those, an image is decoded again.
 */
static bool volatile_show(struct image *image)
{
	int lost = madvise(image->pixels, BYTES, MADV_NONVOLATILE);

	if (lost < 0)
		die("MADV_NONVOLATILE");
	return !lost;	/* not whole: show() decodes it again */
}

static sigjmp_buf gone;
static const char *volatile peeked_at;	/* NULL: a SIGBUS is a defect */

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	const char *at = info->si_addr, *from = peeked_at;

	(void)context;
	if (from && info->si_code == BUS_ADRERR && at >= from && at < from + BYTES)
		siglongjmp(gone, 1);	/* that sigsetjmp() returns 1; the signal mask is as it was */
	signal(number, SIG_DFL);	/* not ours: it is repeated, and ends the program */
}

/*
 * A look at an image that stays hidden, as for a thumbnail: it is read as it lies there, and a
 * page that is gone raises SIGBUS. So nothing has to be taken back and marked again.
 */
static bool volatile_peek(struct image *image)
{
	if (sigsetjmp(gone, 1)) {
		peeked_at = NULL;
		return false;
	}
	peeked_at = (const char *)image->pixels;
	if (sum(image->pixels) != image->sum)
		die("a wrong pixel, and no SIGBUS");
	peeked_at = NULL;
	return true;
}

static void volatile_init(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	if (madvise(NULL, 0, MADV_VOLATILE))
		die("this kernel has no volatile ranges");
	if (sigaction(SIGBUS, &action, NULL))
		die("sigaction");
}

/* --- The same cache with what else there is, to compare ----------------------------------- */

static void free_hide(struct image *image)
{
	if (madvise(image->pixels, BYTES, MADV_FREE))
		die("MADV_FREE");
}

/*
 * A page may go until it is written to, and reads as zeros then. So each page is written to,
 * with what its last pixel is for certain, and then its first pixel tells.
 */
static bool free_show(struct image *image)
{
	volatile uint8_t *bytes = (volatile uint8_t *)image->pixels;
	bool whole = true;
	size_t at;

	for (at = 0; at < BYTES; at += PAGE) {
		bytes[at + PAGE - 1] = OPAQUE >> 24;
		whole &= bytes[at + 3] == OPAQUE >> 24;
	}
	return whole;
}

/* Nothing keeps a droppable page, shown or hidden: what is on the screen has to be a copy. */
static bool droppable_show(struct image *image)
{
	bool whole = true;
	size_t at;

	image->shown = map(MAP_PRIVATE);
	memcpy(image->shown, image->pixels, BYTES);
	for (at = 0; at < PIXELS; at += PAGE_PIXELS)
		whole &= image->shown[at] && image->shown[at + PAGE_PIXELS - 1];
	return whole;
}

static void droppable_hide(struct image *image)
{
	munmap(image->shown, BYTES);
	image->shown = NULL;
}

static void unmap_hide(struct image *image)
{
	munmap(image->pixels, BYTES);
	image->pixels = NULL;
}

static bool keep_show(struct image *image)
{
	return image->pixels;
}

/* Without a signal or a verdict of the kernel only a checksum tells whether an image is whole. */
static bool sum_peek(struct image *image)
{
	return sum(image->pixels) == image->sum;
}

/* --- What is done with it ------------------------------------------------------------------ */

static const struct way {
	const char *name;
	int flags;				/* of the mapping */
	void (*hide)(struct image *image);	/* NULL: nothing to be done */
	bool (*show)(struct image *image);	/* nothing takes it any more: is it whole? */
	bool (*peek)(struct image *image);	/* is it whole? */
} ways[] = {
	{ "volatile", MAP_PRIVATE, volatile_hide, volatile_show, volatile_peek },
	{ "madv-free", MAP_PRIVATE, free_hide, free_show, sum_peek },
	{ "droppable", MAP_DROPPABLE, droppable_hide, droppable_show, sum_peek },
	{ "unmap", MAP_PRIVATE, unmap_hide, keep_show, sum_peek },
	{ "keep", MAP_PRIVATE, NULL, keep_show, sum_peek },
};

static unsigned long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Prints whether it was whole, and after how long its first and its last byte could be used. */
static void show(const struct way *way, struct image *image)
{
	unsigned long long start = now_ns(), first;
	bool new = !image->pixels, whole;
	uint32_t *pixels;

	if (new)
		image->pixels = map(way->flags);
	whole = way->show(image) && !new;
	pixels = image->shown ? image->shown : image->pixels;
	if (!whole) {
		decode(image, pixels);
		if (image->shown)
			memcpy(image->pixels, image->shown, BYTES);
	}
	(void)*(volatile uint32_t *)pixels;
	first = now_ns() - start;
	if (sum(pixels) != image->sum)
		die("a wrong pixel was shown");
	printf("%s %llu %llu\n", whole ? "hit" : "miss", first, now_ns() - start);
}

int main(int argc, char **argv)
{
	static struct image images[IMAGES];
	const struct way *way = ways, *end = ways + sizeof(ways) / sizeof(*ways);
	unsigned long long start;
	char verb[8];
	unsigned int n;

	while (way < end && (argc != 2 || strcmp(way->name, argv[1])))
		way++;
	if (way == end)
		return fprintf(stderr, "usage: cache volatile|madv-free|droppable|unmap|keep\n"), 2;
	if (way->show == volatile_show)
		volatile_init();
	setlinebuf(stdout);
	while (scanf("%7s %u", verb, &n) == 2 && n < IMAGES) {
		images[n].number = n;
		if (!strcmp(verb, "show")) {
			show(way, &images[n]);
		} else if (!strcmp(verb, "hide")) {
			start = now_ns();
			if (way->hide)
				way->hide(&images[n]);
			printf("hidden %llu\n", now_ns() - start);
		} else {	/* peek */
			puts(images[n].pixels && way->peek(&images[n]) ? "there" : "gone");
		}
	}
	return 0;
}
