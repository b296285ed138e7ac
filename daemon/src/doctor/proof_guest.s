# The guest of the doctor's proof: says a line on the serial port and resets the machine,
# which ends a VMM that does not reboot. A flat multiboot image that is loaded at 1 MiB.
#
#   as --64 -o proof_guest.o proof_guest.s
#   ld -m elf_x86_64 -Ttext=0x100000 --oformat binary -o proof_guest.bin proof_guest.o

        .set    MAGIC, 0x1BADB002
        .set    FLAGS, 0x00010000       # the addresses below are valid
        .set    LOAD, 0x100000
        .set    END, 0x101000           # the loader zeroes up to here
        .set    SERIAL, 0x3f8
        .set    LINE_STATUS, 0x3fd
        .set    EMPTY, 0x20             # the transmitter takes a byte
        .set    KEYBOARD, 0x64
        .set    RESET, 0xfe

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

entry:
        movl    $words, %esi
next:
        movw    $LINE_STATUS, %dx
wait:
        inb     %dx, %al
        testb   $EMPTY, %al
        jz      wait
        lodsb
        testb   %al, %al
        jz      end
        movw    $SERIAL, %dx
        outb    %al, %dx
        jmp     next
end:
        movb    $RESET, %al
        outb    %al, $KEYBOARD
stop:
        hlt
        jmp     stop

words:  .asciz  "banger: a guest runs\r\n"
