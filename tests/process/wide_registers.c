/*
 * User-Mode Linux, as of 6.1, hands the host a register area of a fixed size, and panics with "ptrace set fp regs
 * failed" on processors whose area is larger (those with AMX). Loaded before its own, this `ptrace` hands over an area
 * of the host's size, of which User-Mode Linux fills in the beginning. The rest stays as it is; nothing there uses it.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define ALL_REGISTERS ((void *) 0x202) /* NT_X86_XSTATE of <elf.h> */

static char area[65536];

long ptrace(enum __ptrace_request request, ...) {
    va_list arguments;
    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    if (request == PTRACE_SETREGSET && address == ALL_REGISTERS) {
        struct iovec *given = data, whole = {area, sizeof area};
        if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, address, &whole) == 0 && whole.iov_len > given->iov_len) {
            memcpy(area, given->iov_base, given->iov_len);
            return syscall(SYS_ptrace, request, pid, address, &whole);
        }
    }
    if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
        long word, result = syscall(SYS_ptrace, request, pid, address, &word);
        if (result < 0)
            return result;
        errno = 0;
        return word;
    }
    return syscall(SYS_ptrace, request, pid, address, data);
}
