/* SPDX-License-Identifier: Apache-2.0 */

/* Reads configuration files into a list of assignments. inih parses; but it cuts long lines and long section names silently, goes
 * on in the previous section after an unclosed header, takes an indented line for another value of the key before, cuts values at
 * " ;", and does not tell line numbers. So the reader below sees every line first: it counts, refuses what inih would get wrong,
 * keeps the section, and gives inih an empty line in place of what was refused. Indentation has no meaning, lines cannot be
 * continued, and a comment has its own line.
 *
 * Reads root's files at start and reload only; memory is bounded by CONF_ASSIGNMENTS_MAX, DROPINS_MAX and CONF_LINE_MAX. */

#include "conf.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <ini.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "conf-internal.h"

#define DROPINS_MAX 256
#define SNAPSHOT_MAX (CONF_ASSIGNMENTS_MAX * 2 * (CONF_LINE_MAX + 1))
#define SNAPSHOT_NAME "configuration of the manager"
#define WHITESPACE " \t"

/* ---- the list ---- */

Conf *conf_free(Conf *c)
{
    if (!c)
        return NULL;
    for (size_t i = 0; i < c->n_assignments; i++) {
        free((char *) c->assignments[i].section);
        free((char *) c->assignments[i].name);
        free((char *) c->assignments[i].key);
        free((char *) c->assignments[i].value);
    }
    free(c->assignments);
    conf_strv_free(c->files);
    free(c);
    return NULL;
}

static int conf_new(Conf **ret)
{
    _cleanup_(conf_freep) Conf *c = NULL;

    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->files = calloc(DROPINS_MAX + 2, sizeof(*c->files));
    if (!c->files)
        return -ENOMEM;
    *ret = TAKE_PTR(c);
    return 0;
}

static int conf_add_file(Conf *c, const char *path, const char **ret)
{
    char *copy = strdup(path);

    if (!copy)
        return -ENOMEM;
    c->files[c->n_files++] = copy;
    *ret = copy;
    return 0;
}

static int conf_add_assignment(Conf *c, const ConfAssignment *a)
{
    ConfAssignment *slot;

    if (c->n_assignments == c->n_allocated) {
        size_t n = MAX(2 * c->n_allocated, 32u);

        slot = reallocarray(c->assignments, n, sizeof(*slot));
        if (!slot)
            return -ENOMEM;
        c->assignments = slot;
        c->n_allocated = n;
    }
    slot = &c->assignments[c->n_assignments++]; /* counted first: conf_free() copes with the half of it */
    *slot = (ConfAssignment) {.file = a->file, .line = a->line};
    slot->section = strdup(a->section);
    slot->name = a->name ? strdup(a->name) : NULL;
    slot->key = strdup(a->key);
    slot->value = strdup(a->value);
    return slot->section && slot->key && slot->value && (slot->name || !a->name) ? 0 : -ENOMEM;
}

/* ---- one file ---- */

typedef struct Reader {
    Conf *conf;
    ConfReport *report;
    FILE *stream;
    const char *file;
    unsigned line;
    char header[CONF_LINE_MAX + 1]; /* of the current section, cut into the two below */
    const char *section;            /* NULL: none yet, or its header was refused */
    const char *name;
    bool refused; /* the header was: its keys are skipped, one complaint is enough */
    int error;
} Reader;

static void complain(Reader *r, const char *message)
{
    int k = conf_report_add(r->report, CONF_ERROR, r->file, r->line, "%s", message);

    if (k < 0 && r->error == 0)
        r->error = k;
}

/* Reads a line without its end into buffer; returns false at the end of the file. What cannot be given to inih is complained
 * about and becomes "". */
static bool read_raw_line(Reader *r, char buffer[static CONF_LINE_MAX + 1])
{
    bool control = false;
    size_t length = 0;
    int c;

    while ((c = getc(r->stream)) != EOF && c != '\n') {
        if (length < CONF_LINE_MAX)
            buffer[length] = (char) c;
        control = control || (c < 0x20 && c != '\t' && c != '\r') || c == 0x7f;
        length++;
    }
    if (c == EOF && length == 0)
        return false;
    r->line++;
    buffer[MIN(length, (size_t) CONF_LINE_MAX)] = '\0';
    if (length > CONF_LINE_MAX) {
        (void) conf_report_add(r->report, CONF_ERROR, r->file, r->line,
                "Line of %zu bytes is too long, at most %d are read; divide a list into several assignments of its key", length,
                CONF_LINE_MAX);
        buffer[0] = '\0';
    } else if (control) {
        complain(r, "Line contains a control character; remove it");
        buffer[0] = '\0';
    }
    return true;
}

static size_t word_length(const char *s)
{
    size_t n = 0;

    while (isalnum((unsigned char) s[n]) || s[n] == '-' || s[n] == '_')
        n++;
    return n;
}

/* Takes "[Section]" or "[Section name]", trimmed. Returns NULL, or what is wrong with it. */
static const char *open_section(Reader *r, const char *line)
{
    char *end, *name;
    size_t n;

    r->section = r->name = NULL;
    r->refused = true;
    strcpy(r->header, line + 1); /* header is as large as a line */
    end = strchr(r->header, ']');
    if (!end)
        return "Section header without ']'";
    if (end[1] != '\0')
        return "Text behind the ']' of a section header; put it on a line of its own";
    while (end > r->header && strchr(WHITESPACE, end[-1]))
        end--;
    *end = '\0';
    n = word_length(r->header);
    if (n == 0 || (r->header[n] != '\0' && !strchr(WHITESPACE, r->header[n])))
        return "Section header is not [Section] or [Section name]";
    name = r->header + n + strspn(r->header + n, WHITESPACE);
    r->header[n] = '\0';
    r->section = r->header;
    r->name = *name != '\0' ? name : NULL;
    r->refused = false;
    return NULL;
}

/* What is wrong with a trimmed line that is neither blank, comment nor header, or NULL. */
static const char *check_assignment(const Reader *r, const char *line)
{
    size_t n = word_length(line);

    if (n == 0 || line[n + strspn(line + n, WHITESPACE)] != '=')
        return "Line is not 'Key=Value', '[Section]' or a comment";
    if (!r->section)
        return "Assignment before the first [Section]";
    if (strstr(line, " ;") || strstr(line, "\t;"))
        return "' ;' within a line; a comment needs a line of its own";
    if (line[strlen(line) - 1] == '\\')
        return "Lines cannot be continued with '\\'; assign the rest of a list to the same key again";
    return NULL;
}

/* fgets() of inih. */
static char *read_line(char *str, int size, void *userdata)
{
    char raw[CONF_LINE_MAX + 1];
    const char *wrong = NULL;
    Reader *r = userdata;
    size_t length;
    char *line;

    if (r->error < 0 || !read_raw_line(r, raw))
        return NULL;
    line = raw + strspn(raw, WHITESPACE);
    if (r->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0) /* byte order mark */
        line += 3;
    length = strlen(line);
    while (length > 0 && strchr(WHITESPACE "\r", line[length - 1]))
        line[--length] = '\0';

    if (*line == '[')
        wrong = open_section(r, line);
    else if (*line == '\0' || *line == '#' || *line == ';' || r->refused)
        *line = '\0', length = 0;
    else
        wrong = check_assignment(r, line);
    if (!wrong && length + 2 > (size_t) size)
        wrong = "Line is longer than this build of inih can read";
    if (wrong) {
        complain(r, wrong);
        length = 0;
    }
    memcpy(str, line, length);
    memcpy(str + length, "\n", 2);
    return str;
}

static int take_assignment(void *userdata, const char *section, const char *key, const char *value)
{
    Reader *r = userdata;

    if (r->error < 0 || !r->section)
        return 0;
    if (r->conf->n_assignments == CONF_ASSIGNMENTS_MAX) {
        complain(r, "Too many assignments in all files together");
        r->error = r->error < 0 ? r->error : -EBADMSG;
        return 0;
    }
    r->error = conf_add_assignment(r->conf, &(ConfAssignment) {
        .file = r->file,
        .line = r->line,
        .section = r->section,
        .name = r->name,
        .key = key,
        .value = value,
    });
    return r->error >= 0;
}

static int read_stream(Conf *c, FILE *stream, const char *file, ConfReport *report)
{
    Reader r = {.conf = c, .report = report, .stream = stream, .file = file};
    int k;

    k = ini_parse_stream(read_line, &r, take_assignment, &r);
    if (r.error < 0)
        return r.error == -EBADMSG ? 0 : r.error; /* it is in the report */
    if (ferror(stream))
        return conf_report_add(report, CONF_ERROR, file, r.line, "Reading failed");
    if (k < 0)
        return -ENOMEM;
    if (k > 0)
        return conf_report_add(report, CONF_ERROR, file, (unsigned) k, "Line cannot be parsed");
    return 0;
}

/* must_exist: a drop-in that was listed. A file that masks, or is missing and may be, adds nothing. */
static int read_file(Conf *c, const char *path, bool must_exist, ConfReport *report)
{
    _cleanup_fclose_ FILE *stream = NULL;
    _cleanup_close_ int fd = -EBADF;
    const char *file;
    struct stat st;
    int r;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT && !must_exist && lstat(path, &st) < 0)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return conf_report_add(report, CONF_ERROR, path, 0, "Cannot be opened: %s", strerror(errno));
    if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) /* a link to /dev/null */
        return 0;
    if (!S_ISREG(st.st_mode))
        return conf_report_add(report, CONF_ERROR, path, 0, "Is not a regular file");
    r = conf_add_file(c, path, &file);
    if (r < 0)
        return r;
    stream = fdopen(fd, "r");
    if (!stream)
        return -errno;
    (void) TAKE_FD(fd);
    return read_stream(c, stream, file, report);
}

/* ---- the files ---- */

typedef struct DropIn {
    char *base; /* file name, by which they are sorted */
    char *path;
} DropIn;

typedef struct DropIns {
    DropIn items[DROPINS_MAX];
    size_t n;
} DropIns;

static DropIns *dropins_free(DropIns *d)
{
    if (!d)
        return NULL;
    for (size_t i = 0; i < d->n; i++) {
        free(d->items[i].base);
        free(d->items[i].path);
    }
    free(d);
    return NULL;
}
DEFINE_CLEANUP(DropIns, dropins_free);

static void closedirp(DIR **d)
{
    if (*d)
        (void) closedir(*d);
}

static bool dropins_contain(const DropIns *d, const char *base)
{
    for (size_t i = 0; i < d->n; i++)
        if (streq(d->items[i].base, base))
            return true;
    return false;
}

static int dropins_add(DropIns *d, const char *directory, const char *base)
{
    DropIn *item = &d->items[d->n];

    item->base = strdup(base);
    if (asprintf(&item->path, "%s/%s", directory, base) < 0)
        item->path = NULL;
    d->n++; /* freed with the rest, whatever there is of it */
    return item->base && item->path ? 0 : -ENOMEM;
}

static int dropins_scan(DropIns *d, const char *directory, ConfReport *report)
{
    _cleanup_(closedirp) DIR *dir = NULL;
    struct dirent *entry;
    int r;

    dir = opendir(directory);
    if (!dir && errno == ENOENT)
        return 0;
    if (!dir)
        return conf_report_add(report, CONF_ERROR, directory, 0, "Cannot be opened: %s", strerror(errno));
    while ((errno = 0, entry = readdir(dir))) {
        size_t n = strlen(entry->d_name);

        if (entry->d_name[0] == '.' || n < strlen(".conf") || !streq(entry->d_name + n - strlen(".conf"), ".conf"))
            continue;
        if (dropins_contain(d, entry->d_name))
            continue; /* a directory of higher rank has it */
        if (d->n == DROPINS_MAX)
            return conf_report_add(report, CONF_ERROR, directory, 0, "More than %d drop-ins", DROPINS_MAX);
        r = dropins_add(d, directory, entry->d_name);
        if (r < 0)
            return r;
    }
    return -errno;
}

static int compare_dropins(const void *a, const void *b)
{
    return strcmp(((const DropIn *) a)->base, ((const DropIn *) b)->base);
}

static int read_dropins(Conf *c, const char *root, const char *name, ConfReport *report)
{
    static const char *const directories[] = {"/etc/postern", "/run/postern", "/usr/local/lib/postern", "/usr/lib/postern"};
    _cleanup_(dropins_freep) DropIns *dropins = NULL;
    int r;

    dropins = calloc(1, sizeof(*dropins));
    if (!dropins)
        return -ENOMEM;
    for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
        _cleanup_free_ char *directory = NULL;

        if (asprintf(&directory, "%s%s/%s.conf.d", root, directories[i], name) < 0) {
            directory = NULL;
            return -ENOMEM;
        }
        r = dropins_scan(dropins, directory, report);
        if (r < 0)
            return r;
    }
    qsort(dropins->items, dropins->n, sizeof(dropins->items[0]), compare_dropins);
    for (size_t i = 0; i < dropins->n; i++) {
        r = read_file(c, dropins->items[i].path, /* must_exist= */ true, report);
        if (r < 0)
            return r;
    }
    return 0;
}

int conf_read(Conf **ret, const char *root, const char *name, ConfReport *report)
{
    _cleanup_(conf_freep) Conf *c = NULL;
    _cleanup_free_ char *path = NULL;
    int r;

    r = conf_new(&c);
    if (r < 0)
        return r;
    if (asprintf(&path, "%s/etc/postern/%s.conf", root, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    r = read_file(c, path, /* must_exist= */ false, report);
    if (r < 0)
        return r;
    r = read_dropins(c, root, name, report);
    if (r < 0)
        return r;
    if (conf_report_has_errors(report))
        return -EBADMSG;
    *ret = TAKE_PTR(c);
    return 0;
}

/* ---- snapshots ---- */

/* Reads all of fd from its start, whatever its offset is, so that one descriptor serves several workers. */
static int read_all(int fd, char **ret, size_t *ret_size)
{
    _cleanup_free_ char *text = NULL;
    size_t size, have = 0;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size < 0 || st.st_size > SNAPSHOT_MAX)
        return -EFBIG;
    size = (size_t) st.st_size;
    text = malloc(size + 1);
    if (!text)
        return -ENOMEM;
    while (have < size) {
        ssize_t n = pread(fd, text + have, size - have, (off_t) have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        have += (size_t) n;
    }
    *ret = TAKE_PTR(text);
    *ret_size = size;
    return 0;
}

int conf_read_snapshot(Conf **ret, int fd, ConfReport *report)
{
    _cleanup_(conf_freep) Conf *c = NULL;
    _cleanup_fclose_ FILE *stream = NULL;
    _cleanup_free_ char *text = NULL;
    const char *file;
    size_t size = 0;
    int r;

    r = conf_new(&c);
    if (r < 0)
        return r;
    r = conf_add_file(c, SNAPSHOT_NAME, &file);
    if (r < 0)
        return r;
    r = read_all(fd, &text, &size);
    if (r < 0)
        return r;
    if (size > 0) {
        stream = fmemopen(text, size, "r");
        if (!stream)
            return -errno;
        r = read_stream(c, stream, file, report);
        if (r < 0)
            return r;
    }
    if (conf_report_has_errors(report))
        return -EBADMSG;
    *ret = TAKE_PTR(c);
    return 0;
}

static bool same_section(const ConfAssignment *a, const ConfAssignment *b)
{
    return streq(a->section, b->section) && streq(a->name ?: "", b->name ?: "");
}

static int print_snapshot(const Conf *c, FILE *f)
{
    for (size_t i = 0; i < c->n_assignments; i++) {
        const ConfAssignment *a = &c->assignments[i];

        if (i == 0 || !same_section(a - 1, a))
            fprintf(f, "[%s%s%s]\n", a->section, a->name ? " " : "", a->name ?: "");
        fprintf(f, "%s=%s\n", a->key, a->value);
    }
    return fflush(f) == EOF || ferror(f) ? -EIO : 0;
}

int conf_snapshot(const Conf *c)
{
    _cleanup_close_ int fd = -EBADF, copy = -EBADF;
    _cleanup_fclose_ FILE *f = NULL;
    int r;

    fd = memfd_create("postern-configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return -errno;
    f = fdopen(copy, "w");
    if (!f)
        return -errno;
    (void) TAKE_FD(copy);
    r = print_snapshot(c, f);
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -errno;
    return TAKE_FD(fd);
}
