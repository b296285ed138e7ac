# The guest of the KVM probe: enters 64-bit mode, does what an ordinary kernel does
# early and an emulated processor may not (cmpxchg16b, SSE2), and ends its VMM with a
# code through isa-debug-exit. A flat multiboot image that is loaded at 1 MiB.
#
#   as --64 -o kvm_guest.o kvm_guest.s
#   ld -m elf_x86_64 -Ttext=0x100000 --oformat binary -o kvm_guest.bin kvm_guest.o

        .set    MAGIC, 0x1BADB002
        .set    FLAGS, 0x00010000       # the addresses below are valid
        .set    LOAD, 0x100000
        .set    PML4, 0x101000
        .set    PDPT, 0x102000
        .set    PD, 0x103000
        .set    END, 0x104000           # the loader zeroes up to here
        .set    DEBUG_EXIT, 0xf4
        .set    WELL, 0x2a              # QEMU ends with 2 * code + 1

        .text
        .globl  _start
        .code32
_start:
        .long   MAGIC
        .long   FLAGS
        .long   -(MAGIC + FLAGS)
        .long   LOAD                    # where this header is
        .long   LOAD                    # where the file goes
        .long   0                       # all of the file
        .long   END
        .long   entry

        .balign 8
gdt:
        .quad   0
        .quad   0x00209a0000000000      # 64-bit code
gdt_register:
        .word   . - gdt - 1
        .long   gdt

entry:
        movl    $(PDPT + 3), PML4       # one page of 2 MiB, mapped to itself
        movl    $(PD + 3), PDPT
        movl    $0x83, PD
        movl    $PML4, %eax
        movl    %eax, %cr3
        movl    %cr4, %eax
        orl     $0x620, %eax            # PAE, OSFXSR, OSXMMEXCPT
        movl    %eax, %cr4
        movl    $0xc0000080, %ecx       # EFER
        rdmsr
        orl     $0x100, %eax            # LME
        wrmsr
        lgdt    gdt_register
        movl    %cr0, %eax
        andl    $~4, %eax               # not EM
        orl     $0x80000002, %eax       # PG, MP
        movl    %eax, %cr0
        ljmpl   $8, $long_mode

        .code64
long_mode:
        movl    $1, %eax
        cpuid
        movl    %ecx, %edi              # bit 13: there is a cmpxchg16b
        movl    $1000, %esi             # often enough to leave an emulator's first page
again:
        movq    first(%rip), %rax
        movq    %rax, target(%rip)
        movq    first+8(%rip), %rax
        movq    %rax, target+8(%rip)
        btl     $13, %edi
        jnc     without
        movq    first(%rip), %rax       # what is there
        movq    first+8(%rip), %rdx
        movq    second(%rip), %rbx      # what is to be there
        movq    second+8(%rip), %rcx
        lock cmpxchg16b target(%rip)
        jnz     bad
        cmpq    %rbx, target(%rip)
        jne     bad
        cmpq    %rcx, target+8(%rip)
        jne     bad
        lock cmpxchg16b target(%rip)    # it is not there any more
        jz      bad
        cmpq    %rbx, %rax
        jne     bad
        cmpq    %rcx, %rdx
        jne     bad

without:
        movq    second(%rip), %rbx
        movdqa  second(%rip), %xmm0
        psubq   first(%rip), %xmm0
        paddq   first(%rip), %xmm0
        movdqa  %xmm0, target(%rip)
        cmpq    %rbx, target(%rip)
        jne     bad
        decl    %esi
        jnz     again

        movb    $WELL, %al
        jmp     end
bad:
        movb    $1, %al
end:
        outb    %al, $DEBUG_EXIT
stop:
        hlt
        jmp     stop

        .balign 16
target: .quad   0x0123456789abcdef, 0xfedcba9876543210
first:  .quad   0x0123456789abcdef, 0xfedcba9876543210
second: .quad   0x5a5a5a5ac3c3c3c3, 0x1122334455667788
