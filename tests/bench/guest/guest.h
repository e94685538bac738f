/* What the benchmark's programs inside the machine share. They use no C library, so that
 * nothing of one is counted. */
#include <asm/unistd.h>

static inline long call(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long result;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}

/* The processor's counter: under `-icount shift=0`, instructions since reset. */
static inline unsigned long stamp(void)
{
	unsigned low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (unsigned long)high << 32 | low;
}

/* Writes sixteen hexadecimal digits and a blank; gives what follows. */
static inline char *hex(char *out, unsigned long number)
{
	for (int digit = 15; digit >= 0; digit--, number >>= 4)
		out[digit] = "0123456789abcdef"[number & 15];
	out[16] = ' ';
	return out + 17;
}

/* Writes a word; gives what follows. */
static inline char *copy(char *out, const char *word)
{
	while (*word && *word != '\n')
		*out++ = *word++;
	return out;
}

/* Reads a file; gives its length, 0 when there is none. A zero follows the text. */
static inline long read_file(const char *path, char *text, long size)
{
	long file = call(__NR_open, (long)path, 0, 0, 0);
	long length = 0, more = 1;

	while (file >= 0 && more > 0) {
		more = call(__NR_read, file, (long)(text + length), size - 1 - length, 0);
		length += more > 0 ? more : 0;
	}
	text[length] = 0;
	call(__NR_close, file, 0, 0, 0);
	return length;
}

/* What follows `key` in a text that zeros may divide; "" when it is not there. */
static inline const char *find(const char *text, long length, const char *key)
{
	for (long at = 0; at < length; at++) {
		long same = 0;
		while (key[same] && at + same < length && text[at + same] == key[same])
			same++;
		if (!key[same])
			return text + at + same;
	}
	return "";
}

/* Writes the resident memory of PID 1, `1234 kB`; gives what follows. Counted over the
 * page tables: the kernel keeps VmRSS of /proc/1/status only to within some 32 pages of
 * each kind. */
static inline char *memory(char *out)
{
	char text[2048];
	long length = read_file("/proc/1/smaps_rollup", text, sizeof text);
	const char *resident = find(text, length, "\nRss:");

	while (*resident == ' ')
		resident++;
	return copy(out, resident);
}

/* Writes a line that ends at `end` to the console. */
static inline void tell(const char *line, char *end)
{
	long console = call(__NR_open, (long)"/dev/console", 1, 0, 0);

	*end++ = '\n';
	call(__NR_write, console, (long)line, end - line, 0);
	call(__NR_close, console, 0, 0, 0);
}

/* The first instruction of a program: reads the counter, then runs `run` with it and with
 * the stack that the kernel made, where argc, argv and the environment lie. */
#define ENTRY(run)                                                                                       \
	__asm__(".globl _start\n_start:\n\trdtsc\n\tshl $32, %rdx\n\tor %rdx, %rax\n\tmov %rax, %rdi\n"  \
		"\tmov %rsp, %rsi\n\tand $-16, %rsp\n\tcall " #run "\n\tud2\n")
