// The C face of toml++: the only C++ of the project. Compiled without exceptions, so none can cross; running
// out of memory ends the process, as everywhere.
//
// toml++ parses and destroys nested values recursively, and dotted keys nest without limit. Nesting is bounded
// here before it sees the text: by its own limit for brackets, and by a limit of dots on one line outside
// strings and comments (a key can't span lines).
#define TOML_EXCEPTIONS         0
#define TOML_ENABLE_FORMATTERS  0
#define TOML_HEADER_ONLY        1
#define TOML_MAX_NESTED_VALUES  16
#include <toml++/toml.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

extern "C" {
#include "base/alloc.h"
#include "config/toml.h"
}

static constexpr unsigned dots_per_line_max = 64;

static int check_dots(std::string_view text, struct err *e)
{
    std::string_view quote; // what ends the string we are in
    bool comment = false;
    unsigned dots = 0, line = 1;
    for (size_t i = 0; i < text.size(); i++) {
        char c = text[i];
        if (c == '\n') {
            line++;
            dots = 0;
            comment = false;
            if (quote.size() == 1)
                quote = {};
        } else if (comment) {
            continue;
        } else if (!quote.empty()) {
            if (c == '\\' && quote[0] == '"' && i + 1 < text.size() && text[i + 1] != '\n') {
                i++;
            } else if (text.substr(i, quote.size()) == quote) {
                i += quote.size() - 1;
                quote = {};
            }
        } else if (c == '"' || c == '\'') {
            std::string_view triple = c == '"' ? "\"\"\"" : "'''";
            quote = text.substr(i, 3) == triple ? triple : triple.substr(0, 1);
            i += quote.size() - 1;
        } else if (c == '#') {
            comment = true;
        } else if (c == '.' && ++dots > dots_per_line_max) {
            return err_set(e, EINVAL, "keys nested too deeply (line %u, column 1)", line);
        }
    }
    return 0;
}

static char *copy_text(std::string_view s)
{
    char *copy = static_cast<char *>(xmalloc(s.size() + 1));
    s.copy(copy, s.size());
    copy[s.size()] = '\0';
    return copy;
}

static void convert(const toml::node &from, struct toml_value *to);

static void convert_items(const toml::node &from, struct toml_value *to)
{
    if (const toml::table *table = from.as_table()) {
        to->type = TOML_TABLE;
        to->items = static_cast<struct toml_value *>(xcalloc(table->size(), sizeof(struct toml_value)));
        for (auto &&[key, value] : *table) {
            struct toml_value *item = &to->items[to->count++];
            item->key = copy_text(key.str());
            item->key_length = key.str().size();
            item->key_line = key.source().begin.line;
            item->key_column = key.source().begin.column;
            convert(value, item);
        }
    } else if (const toml::array *array = from.as_array()) {
        to->type = TOML_ARRAY;
        to->items = static_cast<struct toml_value *>(xcalloc(array->size(), sizeof(struct toml_value)));
        for (auto &&value : *array)
            convert(value, &to->items[to->count++]);
    }
}

static void convert(const toml::node &from, struct toml_value *to)
{
    to->line = from.source().begin.line;
    to->column = from.source().begin.column;
    if (const auto *string = from.as_string()) {
        to->type = TOML_STRING;
        to->string = copy_text(string->get());
        to->length = string->get().size();
    } else if (const auto *integer = from.as_integer()) {
        to->type = TOML_INTEGER;
        to->integer = integer->get();
    } else if (const auto *number = from.as_floating_point()) {
        to->type = TOML_FLOAT;
        to->number = number->get();
    } else if (const auto *boolean = from.as_boolean()) {
        to->type = TOML_BOOLEAN;
        to->boolean = boolean->get();
    } else if (from.is_table() || from.is_array()) {
        convert_items(from, to);
    } else {
        to->type = TOML_DATE_TIME;
    }
}

struct toml_value *toml_parse(const char *text, size_t length, struct err *e)
{
    std::string_view view(text, length);
    if (length > TOML_TEXT_MAX) {
        err_set(e, EFBIG, "more than %d bytes (line 1, column 1)", TOML_TEXT_MAX);
        return nullptr;
    }
    if (check_dots(view, e) < 0)
        return nullptr;
    toml::parse_result result = toml::parse(view);
    if (!result) {
        std::string what(result.error().description());
        err_set(e, EINVAL, "%s (line %u, column %u)", what.c_str(),
                static_cast<unsigned>(result.error().source().begin.line),
                static_cast<unsigned>(result.error().source().begin.column));
        return nullptr;
    }
    auto *root = static_cast<struct toml_value *>(xcalloc(1, sizeof(struct toml_value)));
    convert(result.table(), root);
    return root;
}

static void release(struct toml_value *value)
{
    for (size_t i = 0; i < value->count; i++)
        release(&value->items[i]);
    free(value->items);
    free(value->key);
    free(value->string);
}

void toml_free(struct toml_value *root)
{
    if (!root)
        return;
    release(root);
    free(root);
}

const char *toml_type_name(enum toml_type type)
{
    static const char *const names[] = {"a table",  "an array",  "a string", "an integer",
                                        "a float", "a boolean", "a date or time"};
    return names[type];
}
