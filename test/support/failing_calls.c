// Makes one system call of a process fail, come short, or kill the process: what a full or broken disk, a
// signal or a power switch would do at that moment. Preloaded by test/end-to-end/failing_calls.py.
//
//   FAIL_CALL=write    which calls are counted; the names stand in `hit`'s callers below
//   FAIL_AT=7          the call of that number, from 1; 0 counts alone
//   FAIL_HOW=EIO       an errno by name, SHORT (a write of half the bytes), KILL (before the call),
//                      KILL_AFTER (behind it, a write after half its bytes), SLOW (20 ms later)
//   FAIL_AGAIN=1       every later call of the name as well
//   NO_EXCHANGE=1      renameat2 is unknown, as on file systems that cannot exchange two names
//   FAIL_LOG=path      gets a line when the call is met, and the number of calls at the end
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum how { NOTHING, ERROR, SHORT, KILL, KILL_AFTER, SLOW };

static struct {
  const char *call, *log;
  long at;
  enum how how;
  int code, again, exchange;
} plan;
static atomic_long calls;

static void note(const char *text, long number) {
  if (!plan.log)
    return;
  char line[64];
  int length = snprintf(line, sizeof line, "%s %ld\n", text, number);
  int fd = (int)syscall(SYS_openat, AT_FDCWD, plan.log, O_WRONLY | O_CREAT | O_APPEND, 0666);
  syscall(SYS_write, fd, line, (size_t)length);
  syscall(SYS_close, fd);
}

__attribute__((constructor)) static void begin(void) {
  static const struct {
    const char *name;
    enum how how;
    int code;
  } hows[] = {{"EIO", ERROR, EIO},     {"ENOSPC", ERROR, ENOSPC}, {"EINTR", ERROR, EINTR},
              {"SHORT", SHORT, 0},     {"KILL", KILL, 0},         {"KILL_AFTER", KILL_AFTER, 0},
              {"SLOW", SLOW, 0}};
  const char *call = getenv("FAIL_CALL"), *at = getenv("FAIL_AT"), *how = getenv("FAIL_HOW");
  plan.exchange = !getenv("NO_EXCHANGE");
  plan.again = getenv("FAIL_AGAIN") != NULL;
  plan.log = getenv("FAIL_LOG");
  plan.at = at ? atol(at) : 0;
  for (size_t i = 0; how && i < sizeof hows / sizeof *hows; ++i)
    if (!strcmp(how, hows[i].name)) {
      plan.how = hows[i].how;
      plan.code = hows[i].code;
    }
  plan.call = call; // last: no call is counted before
}

__attribute__((destructor)) static void end(void) {
  if (plan.call && !plan.at)
    note("calls", atomic_load(&calls));
}

// What is to be done at this call. It has happened already where the process has to die before.
static enum how hit(const char *call) {
  if (!plan.call || strcmp(call, plan.call))
    return NOTHING;
  long number = atomic_fetch_add(&calls, 1) + 1;
  if (!plan.at || number < plan.at || (number > plan.at && !plan.again))
    return NOTHING;
  note(call, number);
  if (plan.how == KILL)
    kill(getpid(), SIGKILL);
  if (plan.how == SLOW)
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  errno = plan.code;
  return plan.how;
}

static void leave(enum how how) {
  if (how == KILL_AFTER)
    kill(getpid(), SIGKILL);
}

// The function of that name behind ours.
#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define WRAP(type, name, call, parameters, arguments)                                                        \
  type name parameters {                                                                                     \
    NEXT(name);                                                                                              \
    enum how how = hit(call);                                                                                \
    if (how == ERROR)                                                                                        \
      return -1;                                                                                             \
    type result = next arguments;                                                                            \
    leave(how);                                                                                              \
    return result;                                                                                           \
  }

WRAP(int, fsync, "fsync", (int fd), (fd))
WRAP(int, rename, "rename", (const char *from, const char *to), (from, to))
WRAP(int, mkdir, "mkdir", (const char *path, mode_t mode), (path, mode))
WRAP(int, unlink, "unlink", (const char *path), (path))
WRAP(int, unlinkat, "unlink", (int folder, const char *path, int flags), (folder, path, flags))
WRAP(int, rmdir, "unlink", (const char *path), (path))
WRAP(int, remove, "unlink", (const char *path), (path))
WRAP(ssize_t, pread, "pread", (int fd, void *bytes, size_t count, off_t at), (fd, bytes, count, at))
WRAP(ssize_t, pread64, "pread", (int fd, void *bytes, size_t count, off64_t at), (fd, bytes, count, at))
WRAP(int, fstat, "fstat", (int fd, struct stat *info), (fd, info))
WRAP(int, flock, "flock", (int fd, int operation), (fd, operation))

int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
  NEXT(renameat2);
  if (!plan.exchange) {
    errno = EINVAL;
    return -1;
  }
  enum how how = hit("renameat2");
  if (how == ERROR)
    return -1;
  int result = next(a, from, b, to, flags);
  leave(how);
  return result;
}

// A file is closed also where close fails.
int close(int fd) {
  NEXT(close);
  enum how how = fd > 2 ? hit("close") : NOTHING;
  int code = errno, result = next(fd);
  leave(how);
  if (how != ERROR)
    return result;
  errno = code;
  return -1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
  NEXT(write);
  enum how how = fd > 2 ? hit("write") : NOTHING; // what a terminal gets is no file
  if (how == ERROR)
    return -1;
  ssize_t result = next(fd, bytes, (how == SHORT || how == KILL_AFTER) && count > 1 ? count / 2 : count);
  leave(how);
  return result;
}

// Files of the system's own are not on a disk.
static int onDisk(const char *path) {
  return strncmp(path, "/proc/", 6) && strncmp(path, "/sys/", 5) && strncmp(path, "/dev/", 5);
}

ssize_t read(int fd, void *bytes, size_t count) {
  NEXT(read);
  struct statfs system;
  int disk = fd > 2 && syscall(SYS_fstatfs, fd, &system) == 0 && system.f_type != PROC_SUPER_MAGIC;
  enum how how = disk ? hit("read") : NOTHING;
  if (how == ERROR)
    return -1;
  ssize_t result = next(fd, bytes, count);
  leave(how);
  return result;
}

#define OPEN(name, parameters, arguments)                                                                    \
  int name parameters {                                                                                      \
    NEXT(name);                                                                                              \
    mode_t mode = 0;                                                                                         \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                     \
      va_list more;                                                                                          \
      va_start(more, flags);                                                                                 \
      mode = va_arg(more, mode_t);                                                                           \
      va_end(more);                                                                                          \
    }                                                                                                        \
    int writes = (flags & O_ACCMODE) != O_RDONLY;                                                            \
    enum how how = onDisk(path) ? hit(writes ? "openw" : "openr") : NOTHING;                                 \
    if (how == ERROR)                                                                                        \
      return -1;                                                                                             \
    int result = next arguments;                                                                             \
    leave(how);                                                                                              \
    return result;                                                                                           \
  }

OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
OPEN(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
