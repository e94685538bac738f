/* A kernel of a few instructions: writes the counter, as a machine has it when a kernel's first
 * instruction runs, to the serial port, as `entry: ` and sixteen hexadecimal digits.
 *
 * Assembled twice: with PVH for a machine that starts an ELF file by its PVH entry (xen's
 * pvh.pandoc), without as the setup code of a bzImage, in real mode (the kernel's boot.rst). */

.macro tell
	rdtsc
	xor %ecx, %ecx		/* `loop` counts in all of it in 32 bits */
	mov %eax, %esi
	mov %edx, %edi
	mov $0x3f8, %dx
	.irp letter, 'e', 'n', 't', 'r', 'y', ':', ' '
	mov $\letter, %al
	out %al, %dx
	.endr
	/* The high half, then the low one, a digit at a time from the top. */
	mov $2, %bx
1:	mov $8, %cx
2:	rol $4, %edi
	mov %edi, %eax
	and $15, %al
	cmp $10, %al
	jb 3f
	add $39, %al
3:	add $48, %al
	out %al, %dx
	loop 2b
	mov %esi, %edi
	dec %bx
	jnz 1b
	mov $10, %al
	out %al, %dx
4:	hlt
	jmp 4b
.endm

#ifdef PVH
	.section .note, "a", @note
	/* XEN_ELFNOTE_PHYS32_ENTRY */
	.long 4, 4, 18
	.asciz "Xen"
	.long _start
	.text
	.code32
	.globl _start
_start:	tell
#else
	.text
	.code16
	.globl _start
_start:	.org 0x1f1
	.byte 1			/* sectors of setup code */
	.org 0x1fe
	.word 0xaa55
	jmp begin		/* 0x200: where the loader jumps to */
	.org 0x202
	.ascii "HdrS"
	.word 0x20c		/* version of the protocol */
	.org 0x211
	.byte 1			/* loaded high */
	.org 0x214
	.long 0x100000
	.org 0x22c
	.long 0x7fffffff	/* how high an initramfs may lie */
	.long 0x200000
	.org 0x238
	.long 2047		/* how long a command line may be */
	.org 0x260
	.long 0x100000
	.org 0x280
begin:	tell
	.org 0x400
	.fill 512		/* what would be the kernel */
#endif
