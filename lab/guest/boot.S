/* Entry of the lab guest: multiboot header, first stack, and the trampoline
   that brings the second CPU from real mode into the same 32-bit code. */

        .set MAGIC, 0x1BADB002
        .set FLAGS, 0x00000003          /* page-aligned modules, memory sizes */

        .section .multiboot, "a"
        .align 4
        .long MAGIC, FLAGS, -(MAGIC + FLAGS)

        .text
        .global start
start:
        cli
        cld
        movl $boot_stack_top, %esp
        lgdt gdt_pointer
        ljmp $0x08, $1f
1:      movw $0x10, %cx
        movw %cx, %ds
        movw %cx, %es
        movw %cx, %fs
        movw %cx, %gs
        movw %cx, %ss
        pushl %ebx                      /* multiboot information */
        pushl %eax                      /* multiboot magic */
        call guest_main
2:      cli
        hlt
        jmp 2b

/* Copied to TRAMPOLINE (0x8000); position-dependent parts are computed from there. */
        .global trampoline, trampoline_end
        .code16
trampoline:
        cli
        cld
        xorw %ax, %ax
        movw %ax, %ds
        lgdtl 0x8000 + (trampoline_gdt - trampoline)
        movl %cr0, %eax
        orl $1, %eax
        movl %eax, %cr0
        ljmpl $0x08, $second_cpu
        .align 4
trampoline_gdt:
        .word gdt_end - gdt - 1
        .long gdt
trampoline_end:

        .code32
second_cpu:
        movw $0x10, %cx
        movw %cx, %ds
        movw %cx, %es
        movw %cx, %fs
        movw %cx, %gs
        movw %cx, %ss
        movl $second_stack_top, %esp
        call second_main
3:      cli
        hlt
        jmp 3b

        .section .rodata
        .align 8
gdt:    .quad 0
        .quad 0x00CF9A000000FFFF        /* 0x08 code, flat */
        .quad 0x00CF92000000FFFF        /* 0x10 data, flat */
gdt_end:
gdt_pointer:
        .word gdt_end - gdt - 1
        .long gdt

        .bss
        .align 4096
        .skip 8192
boot_stack_top:
        .skip 8192
second_stack_top:

        .section .note.GNU-stack, "", @progbits
