/* SPDX-License-Identifier: Apache-2.0 */

/* Runs a fuzz target over its corpus as an ordinary test: every file of the directories given. An input has memory of exactly its
 * size, so that sanitizers and valgrind see each byte read too far. */

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "fuzz.h"

static int replay(int directory, const char *name)
{
    _cleanup_close_ int fd = -EBADF;
    _cleanup_free_ uint8_t *data = NULL;
    struct stat st;
    ssize_t n;

    fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return negative_errno();
    if (!S_ISREG(st.st_mode))
        return 0;
    data = malloc((size_t) st.st_size);
    if (!data && st.st_size > 0)
        return -ENOMEM;
    n = read(fd, data, (size_t) st.st_size);
    if (n != st.st_size)
        return n < 0 ? -errno : -EIO;
    fprintf(stderr, "%s\n", name); /* the last line before a crash */
    (void) LLVMFuzzerTestOneInput(data, (size_t) n);
    return 1;
}

int main(int argc, char *argv[])
{
    unsigned n = 0;

    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        struct dirent *entry;

        if (!d) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        while ((entry = readdir(d))) {
            int r = replay(dirfd(d), entry->d_name);

            if (r < 0) {
                fprintf(stderr, "%s/%s: %s\n", argv[i], entry->d_name, strerror(-r));
                return EXIT_FAILURE;
            }
            n += (unsigned) r;
        }
        (void) closedir(d);
    }
    fprintf(stderr, "%u inputs\n", n);
    return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
