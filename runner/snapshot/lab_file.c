#include "snapshot/lab_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"

#define NAME_LEN_MAX 63
#define FILE_LEN_MAX 255

static int wrong(const char *what, const char *key, struct err *e)
{
    return err_set(e, EINVAL, "%s: `%s` is missing or not what it should be", what, key);
}

enum kind { TEXT, INTEGER, BOOLEAN, ARRAY, NAMES, NAME, FILE_NAME };
#define OPTIONAL 16

struct field {
    const char *key;
    unsigned kind; /* enum kind, and OPTIONAL when it may be missing */
};

/* Of a VM, bridge or sub-lab. */
static bool is_name(const char *s)
{
    size_t n = strlen(s);
    if (!n || n > NAME_LEN_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f || s[i] == '/')
            return false;
    return true;
}

/* Of an entry of the directory: nothing that leads elsewhere. */
static bool is_file_name(const char *s)
{
    return *s && strlen(s) <= FILE_LEN_MAX && strcmp(s, ".") && strcmp(s, "..") && strcmp(s, LAB_FILE) &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-%") == strlen(s);
}

static bool are_names(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *text = json_string_value(one);
        if (!text || strlen(text) != json_string_length(one) || !is_name(text))
            return false;
    }
    return true;
}

static bool fits(const json_t *value, unsigned kind)
{
    const char *text = json_string_value(value);
    bool whole = text && strlen(text) == json_string_length(value);
    switch ((enum kind)(kind & ~OPTIONAL)) {
    case TEXT:
        return whole;
    case INTEGER:
        return json_is_integer(value);
    case BOOLEAN:
        return json_is_boolean(value);
    case ARRAY:
        return json_is_array(value);
    case NAMES:
        return json_is_array(value) && are_names(value);
    case NAME:
        return whole && is_name(text);
    case FILE_NAME:
        return whole && is_file_name(text);
    }
    return false;
}

static int check_fields(const char *what, const json_t *object, const struct field *fields, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(object, fields[i].key);
        if (value ? !fits(value, fields[i].kind) : !(fields[i].kind & OPTIONAL))
            return wrong(what, fields[i].key, e);
    }
    return 0;
}

/* Each element of the array has the fields, and a name of its own. */
static int check_list(const json_t *object, const char *key, const struct field *fields, size_t count, struct err *e)
{
    const json_t *list = json_object_get(object, key), *one;
    json_t *seen = json_object();
    int result = 0;
    size_t i;
    json_array_foreach(list, i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (check_fields(key, one, fields, count, e) < 0)
            result = -1;
        else if (name && json_object_get(seen, name))
            result = err_set(e, EINVAL, "%s: `%s` is there twice", key, name);
        if (result)
            break;
        if (name)
            json_object_set_new(seen, name, json_true());
    }
    json_decref(seen);
    return result;
}

static int check_nics(const json_t *vms, struct err *e)
{
    static const struct field fields[] = {{"bridge", NAME}, {"mac", TEXT}, {"ip", TEXT | OPTIONAL}, {"link", BOOLEAN}};
    const json_t *vm;
    size_t i;
    json_array_foreach(vms, i, vm) {
        if (check_list(vm, "nics", fields, ARRAY_SIZE(fields), e) < 0)
            return -1;
    }
    return 0;
}

static int check_lists(const json_t *lab, struct err *e)
{
    static const struct field vm[] = {{"name", NAME},         {"profile", TEXT},         {"file", FILE_NAME | OPTIONAL},
                                      {"state", TEXT},        {"memory_bytes", INTEGER}, {"cpus", INTEGER},
                                      {"kernel_cmdline", TEXT}, {"rng_seed", INTEGER | OPTIONAL}, {"nics", ARRAY},
                                      {"disks", ARRAY}};
    static const struct field bridge[] = {{"name", NAME},       {"saved", TEXT},        {"members", NAMES}, {"partitions", ARRAY},
                                          {"isolated", NAMES}, {"impairments", ARRAY}, {"routes", NAMES}};
    static const struct field sub_lab[] = {{"name", NAME}, {"dir", FILE_NAME}};
    if (check_list(lab, "vms", vm, ARRAY_SIZE(vm), e) < 0 || check_nics(json_object_get(lab, "vms"), e) < 0 ||
        check_list(lab, "bridges", bridge, ARRAY_SIZE(bridge), e) < 0 ||
        check_list(lab, "sub_labs", sub_lab, ARRAY_SIZE(sub_lab), e) < 0)
        return -1;
    return 0;
}

static void collect(const json_t *lab, const char *list, const char *key, struct strv *to)
{
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(lab, list), i, one) {
        const char *name = json_string_value(json_object_get(one, key));
        if (to && name)
            strv_add(to, name);
    }
}

static int check(const json_t *lab, struct strv *files, struct strv *directories, struct err *e)
{
    static const struct field own[] = {{"lab", NAME},  {"agent", TEXT},    {"hypervisor", TEXT},
                                       {"vms", ARRAY}, {"bridges", ARRAY}, {"sub_labs", ARRAY}};
    const json_t *format = json_object_get(lab, "format");
    if (!json_is_integer(format))
        return wrong("the lab", "format", e);
    if (json_integer_value(format) != LAB_FORMAT)
        return err_set(e, EINVAL, "format %lld; this provium reads format %d", (long long)json_integer_value(format),
                       LAB_FORMAT);
    if (check_fields("the lab", lab, own, ARRAY_SIZE(own), e) < 0 || check_lists(lab, e) < 0)
        return -1;
    collect(lab, "vms", "file", files);
    collect(lab, "sub_labs", "dir", directories);
    return 0;
}

int lab_file_check(const char *text, size_t n, struct strv *files, struct strv *directories, struct err *e)
{
    json_error_t problem;
    json_t *lab = json_loadb(text, n, JSON_REJECT_DUPLICATES, &problem);
    int result = lab ? check(lab, files, directories, e)
                     : err_set(e, EINVAL, "line %d: %s", problem.line, problem.text);
    json_decref(lab);
    return result;
}

static int check_entries(int directory_fd, const struct strv *names, mode_t type, struct err *e)
{
    struct stat st;
    for (size_t i = 0; i < names->count; i++) {
        if (fstatat(directory_fd, names->items[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
            return err_errno(e, "`%s`", names->items[i]);
        if ((st.st_mode & S_IFMT) != type)
            return err_set(e, EINVAL, "`%s` is not a %s", names->items[i], type == S_IFDIR ? "directory" : "regular file");
    }
    return 0;
}

int lab_file_read(const char *directory, struct buf *text, struct strv *files, struct strv *directories, struct err *e)
{
    _cleanup_close_ int at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd = at < 0 ? -1 : openat(at, LAB_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    _cleanup_strv_ struct strv found_files = STRV_INIT, found_directories = STRV_INIT;
    if (fd < 0)
        return err_errno(e, "lab snapshot `%s`: %s", directory, at < 0 ? "open" : LAB_FILE);
    if (fd_read_all(fd, text, e) < 0 ||
        lab_file_check((const char *)buf_head(text), text->len, &found_files, &found_directories, e) < 0)
        return err_prefix(e, "lab snapshot `%s`: " LAB_FILE, directory);
    if (check_entries(at, &found_files, S_IFREG, e) < 0 || check_entries(at, &found_directories, S_IFDIR, e) < 0)
        return err_prefix(e, "lab snapshot `%s`", directory);
    for (size_t i = 0; files && i < found_files.count; i++)
        strv_add(files, found_files.items[i]);
    for (size_t i = 0; directories && i < found_directories.count; i++)
        strv_add(directories, found_directories.items[i]);
    return 0;
}
