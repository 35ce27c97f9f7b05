/* SPDX-License-Identifier: Apache-2.0 */

/* Reads the credential, once, at the start. Its bytes are in secure memory only. */

#include "key-credential.h"

#include <fcntl.h>

#include "read-fd.h"
#include "secure-memory.h"

int key_credential_load(const char *directory, const char *name, char **ret, const char **reterr_reason)
{
    _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
    _cleanup_(secure_freep) char *s = NULL;
    size_t n;
    int r;

    if (!directory)
        return 0;
    *reterr_reason = "it cannot be opened";
    dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd >= 0)
        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : negative_errno();
    r = read_fd(fd, KEY_CREDENTIAL_MAX, &s, &n, reterr_reason);
    if (r < 0)
        return r == -EFBIG ? -EBADMSG : r;
    /* The end that an editor gave it; `openssl -passin` leaves that out, too. */
    if (n > 0 && s[n - 1] == '\n')
        s[--n] = '\0';
    if (n == 0 || strlen(s) != n || strchr(s, '\n')) {
        *reterr_reason = n == 0 ? "it is empty" : "it is not one line of text";
        return -EBADMSG;
    }
    *ret = TAKE_PTR(s);
    return 1;
}
