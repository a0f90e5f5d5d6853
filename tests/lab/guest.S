# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The smallest guest that shows what a console does: a boot sector, 512 bytes, real mode.
#
# It prints a banner on the VGA text screen and on COM1 and then echoes:
#   a key           on the screen, and as 'K' and the character on COM1
#   a serial byte   on the screen and on COM1
#   F1, serial 06   floods the screen (mode 13h, redrawn without end) until a key or a serial byte
#   serial 07       sends 65536 bytes on COM1
#   serial 05       sends bytes on COM1 without end, until a serial byte
#
# The text cursor is hidden: it blinks, and two pictures of the screen could not be compared.

        .code16
        .set COM1, 0x3f8
        .set LINE_STATUS, COM1 + 5
        .set KEY_HEAD, 0x41a            # BIOS data area: ring of typed keys
        .set KEY_TAIL, 0x41c

        .globl _start
_start:
        cli
        xor %ax, %ax
        mov %ax, %ds
        mov %ax, %ss
        mov $0x7c00, %sp
        cld
        sti

        # Without a UART every port of it reads 0xff, which looks like data for ever.
        movb $0, has_uart
        mov $LINE_STATUS, %dx
        in %dx, %al
        cmp $0xff, %al
        je screen
        incb has_uart

        movw $on_serial, 0x0c * 4       # IRQ 4; without it a byte waits for the next clock tick
        movw $0, 0x0c * 4 + 2
        mov $COM1 + 3, %dx
        mov $0x80, %al                  # divisor 1: 115200 baud
        out %al, %dx
        mov $COM1, %dx
        mov $1, %al
        out %al, %dx
        inc %dx
        mov $0, %al
        out %al, %dx
        mov $COM1 + 3, %dx
        mov $3, %al                     # 8N1
        out %al, %dx
        dec %dx
        mov $1, %al                     # FIFO on
        out %al, %dx
        mov $COM1 + 4, %dx
        mov $0x0b, %al                  # DTR, RTS, OUT2 (lets the interrupt through)
        out %al, %dx
        mov $COM1 + 1, %dx
        mov $1, %al                     # interrupt on received data
        out %al, %dx
        in $0x21, %al
        and $0xef, %al
        out %al, $0x21

screen:
        mov $0x0003, %ax
        int $0x10
        mov $0x01, %ah
        mov $0x2000, %cx
        int $0x10
        mov $banner, %si
1:      lodsb
        test %al, %al
        jz wait
        call both
        jmp 1b

wait:
        cli
        mov KEY_HEAD, %ax
        cmp KEY_TAIL, %ax
        jne key
        call serial_ready
        jnz serial
        sti                             # takes effect after hlt: nothing is missed in between
        hlt
        jmp wait

key:
        sti
        xor %ah, %ah
        int $0x16
        cmp $0x3b, %ah                  # F1
        je flood
        test %al, %al
        jz wait
        push %ax
        mov $'K', %al
        call send
        pop %ax
        call both
        jmp wait

serial:
        sti
        mov $COM1, %dx
        in %dx, %al
        cmp $6, %al
        je flood
        cmp $7, %al
        je flood_serial
        cmp $5, %al
        je endless
        call both
        jmp wait

flood_serial:
        xor %cx, %cx                    # loop wraps: 65536 times
1:      mov %cl, %al
        and $0x3f, %al
        add $0x30, %al
        call send
        loop 1b
        jmp wait

endless:
        mov $'.', %al
        call send
        call serial_ready
        jz endless
        mov $COM1, %dx
        in %dx, %al
        jmp screen

flood:
        mov $0x0013, %ax
        int $0x10
        mov $0xa000, %ax
        mov %ax, %es
frame:
        xor %di, %di
        mov $32000, %cx
        inc %bx
        mov %bx, %ax
1:      stosw
        add $0x0301, %ax
        loop 1b
        mov KEY_HEAD, %ax
        cmp KEY_TAIL, %ax
        jne end_by_key
        call serial_ready
        jz frame
        mov $COM1, %dx
        in %dx, %al
        jmp screen
end_by_key:
        xor %ah, %ah
        int $0x16
        jmp screen

# al to the screen and COM1; on the screen a carriage return alone moves to the next line
both:
        call send
        cmp $10, %al
        je 1f
        mov $0x0e, %ah
        mov $7, %bx
        int $0x10
        cmp $13, %al
        jne 1f
        mov $0x0e0a, %ax
        int $0x10
1:      ret

# al to COM1
send:
        cmpb $0, has_uart
        je 2f
        push %ax
        mov $LINE_STATUS, %dx
1:      in %dx, %al
        test $0x20, %al
        jz 1b
        pop %ax
        mov $COM1, %dx
        out %al, %dx
2:      ret

# not zero: a byte waits on COM1
serial_ready:
        cmpb $0, has_uart
        je 1f
        mov $LINE_STATUS, %dx
        in %dx, %al
        test $1, %al
1:      ret

on_serial:
        push %ax
        mov $0x20, %al
        out %al, $0x20
        pop %ax
        iret

banner: .asciz "LAB READY\r\n> "

        .org 510
        .word 0xaa55

        .set has_uart, 0x7e00           # right after the boot sector
