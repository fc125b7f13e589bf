// The only C++ of the harness: toml++ behind the C functions of toml.h. No exception leaves this file.
extern "C" {
#include "harness/plan/toml.h"
}

#include <stdexcept>

// toml++ asserts what its grammar takes for granted, and some files break that ("[[[a" in 3.3): thrown, it is a fault of the
// file.
[[noreturn]] static void assumption_broken(const char *truth) { throw std::logic_error(truth); }
#undef NDEBUG
#define TOML_ASSERT(truth)     ((truth) ? static_cast<void>(0) : assumption_broken(#truth))
#define TOML_EXCEPTIONS        1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

namespace
{

using value_list = std::vector<std::pair<std::string, int>>; // texts and lines

struct item {
    std::string section, key;
    int table, line, column;
    bool array;
    value_list values;
};

struct problem {
    int line;
    std::string text;
};

int line_of(const toml::node &node) { return static_cast<int>(node.source().begin.line); }

std::string number_text(int64_t value) { return std::to_string(value); }

// The shortest text that is the same number, without an exponent where options of six decimals may read it.
std::string number_text(double value)
{
    char digits[64];
    double size = std::fabs(value);
    auto form = size == 0 || (size >= 1e-7 && size < 1e15) ? std::chars_format::fixed : std::chars_format::general;
    auto end = std::to_chars(digits, digits + sizeof digits, value, form).ptr;
    return std::string(digits, end);
}

// Text of a scalar; throws `problem` for what is none.
std::string scalar_text(const toml::node &node)
{
    if (auto text = node.as_string())
        return text->get();
    if (auto integer = node.as_integer())
        return number_text(integer->get());
    if (auto decimal = node.as_floating_point())
        return std::isinf(decimal->get()) ? (decimal->get() < 0 ? "-inf" : "inf") : number_text(decimal->get());
    if (auto truth = node.as_boolean())
        return truth->get() ? "true" : "false";
    throw problem{line_of(node), "expected a string, a number, true or false, or a list of them"};
}

// {range = [FIRST, LAST]}, an inline table of this one key; NULL: something else.
const toml::node *range_of(const toml::node &node)
{
    const toml::table *table = node.as_table();
    return table && table->is_inline() && table->size() == 1 ? table->get("range") : nullptr;
}

// In units of `scale`: 1, or the millionth where a number of the range is no whole one, as options have six decimals.
int64_t range_number(const toml::node &node, int64_t scale)
{
    int64_t whole;
    if (auto integer = node.as_integer()) {
        if (!__builtin_mul_overflow(integer->get(), scale, &whole))
            return whole;
    } else if (auto decimal = node.as_floating_point()) {
        double units = decimal->get() * static_cast<double>(scale);
        if (std::fabs(units) < 1e15 && std::fabs(units - std::round(units)) < 1e-3)
            return std::llround(units);
    }
    throw problem{line_of(node), "a range takes numbers with at most 6 decimals"};
}

// The numbers of a range, the first and the last included.
void add_range(value_list &values, const toml::node &node)
{
    static const char right[] = "a range is {range = [FIRST, LAST]}, or {range = [FIRST, LAST, STEP]}";
    const toml::array *ends = node.as_array();
    int line = line_of(node);
    if (!ends || ends->size() < 2 || ends->size() > 3)
        throw problem{line, right};
    int64_t scale = 1;
    for (auto &&end : *ends)
        scale = end.is_floating_point() ? 1000000 : scale;
    int64_t first = range_number(*ends->get(0), scale), last = range_number(*ends->get(1), scale), length, value;
    int64_t step = ends->size() == 3 ? range_number(*ends->get(2), scale) : scale;
    if (first > last || step <= 0)
        throw problem{line, std::string(right) + ", with FIRST <= LAST and STEP > 0"};
    if (__builtin_sub_overflow(last, first, &length) || length / step >= PG_TOML_RANGE_MAX)
        throw problem{line, "a range of more than " + std::to_string(PG_TOML_RANGE_MAX) + " numbers"};
    if (length % step != 0)
        throw problem{line, "the steps of a range end at its last number; these pass it"};
    for (int64_t i = 0; i <= length / step; i++) {
        value = first + i * step;
        values.emplace_back(value % scale ? number_text(static_cast<double>(value) / static_cast<double>(scale))
                                          : number_text(value / scale),
                            line);
    }
}

void add_value(std::vector<item> &items, const std::string &section, int table, const std::string &name, const toml::key &key,
               const toml::node &node)
{
    const toml::node *range = range_of(node);
    if (range) {
        item made{section, name, table, static_cast<int>(key.source().begin.line), static_cast<int>(key.source().begin.column),
                  true,    {}};
        add_range(made.values, *range);
        items.push_back(std::move(made));
        return;
    }
    if (auto nested = node.as_table()) { // robust-masking.threshold = 0 without quotes
        for (auto &&[k, v] : *nested)
            add_value(items, section, table, name + "." + std::string(k.str()), k, v);
        return;
    }
    item made{
        section,         name, table, static_cast<int>(key.source().begin.line), static_cast<int>(key.source().begin.column),
        node.is_array(), {}};
    if (auto list = node.as_array()) {
        for (auto &&element : *list)
            if (auto inner = range_of(element))
                add_range(made.values, *inner);
            else
                made.values.emplace_back(scalar_text(element), line_of(element));
    } else {
        made.values.emplace_back(scalar_text(node), line_of(node));
    }
    items.push_back(std::move(made));
}

// toml++ makes a table of every part of a dotted key, and frees them one inside the other: too many parts end the stack.
constexpr int parts_max = 64;

// Keys of too many parts, found before toml++ reads the text. Counts the dots between what separates keys and values, outside
// of strings and comments.
void check_parts(std::string_view text)
{
    int line = 1, dots = 0;
    for (size_t i = 0; i < text.size(); i++) {
        char c = text[i];
        if (c == '"' || c == '\'') {
            bool longer = text.substr(i, 3) == std::string(3, c);
            std::string_view end = text.substr(i, longer ? 3 : 1);
            for (i += end.size(); i < text.size() && text.substr(i, end.size()) != end && (longer || text[i] != '\n'); i++) {
                i += c == '"' && text[i] == '\\' && i + 1 < text.size() && text[i + 1] != '\n';
                line += text[i] == '\n';
            }
            i += longer && i < text.size() ? 2 : 0;
            line += i < text.size() && text[i] == '\n';
            continue;
        }
        if (c == '#')
            i = std::min(text.find('\n', i), text.size()) - 1;
        else if (c == '.' && ++dots >= parts_max)
            throw problem{line, "a key of more than " + std::to_string(parts_max) + " parts"};
        else if (c == '\n' || c == '=' || c == ',' || c == '[' || c == ']' || c == '{' || c == '}')
            dots = 0;
        line += c == '\n';
    }
}

void add_table(std::vector<item> &items, const std::string &section, int table, const toml::table &from)
{
    if (from.empty())
        items.push_back(item{section, "", table, line_of(from), static_cast<int>(from.source().begin.column), false, {}});
    for (auto &&[k, v] : from)
        add_value(items, section, table, std::string(k.str()), k, v);
}

std::vector<item> flatten(const toml::table &root)
{
    std::vector<item> items;
    for (auto &&[k, v] : root) {
        std::string name(k.str());
        if (auto table = v.as_table()) {
            add_table(items, name, -1, *table);
        } else if (v.is_array_of_tables()) {
            int n = 0;
            for (auto &&element : *v.as_array())
                add_table(items, name, n++, *element.as_table());
        } else {
            add_value(items, "", -1, name, k, v);
        }
    }
    std::stable_sort(items.begin(), items.end(),
                     [](const item &a, const item &b) { return a.line != b.line ? a.line < b.line : a.column < b.column; });
    return items;
}

char *copy(const std::string &text)
{
    char *made = static_cast<char *>(std::malloc(text.size() + 1));
    if (!made)
        throw std::bad_alloc();
    std::memcpy(made, text.c_str(), text.size() + 1);
    return made;
}

void give(const std::vector<item> &items, pg_toml *out)
{
    out->entries = static_cast<pg_toml_entry *>(std::calloc(items.size() + 1, sizeof *out->entries));
    if (!out->entries)
        throw std::bad_alloc();
    for (const item &from : items) {
        pg_toml_entry &to = out->entries[out->n++];
        if (from.section.find('\0') != std::string::npos || from.key.find('\0') != std::string::npos)
            throw problem{from.line, "a zero byte in a key"};
        to.section = copy(from.section);
        to.key = copy(from.key);
        to.table = from.table;
        to.line = from.line;
        to.array = from.array;
        to.values = static_cast<pg_toml_value *>(std::calloc(from.values.size() + 1, sizeof *to.values));
        if (!to.values)
            throw std::bad_alloc();
        for (const auto &[text, line] : from.values) {
            if (text.find('\0') != std::string::npos)
                throw problem{line, "a zero byte in a string"};
            to.values[to.n].text = copy(text);
            to.values[to.n++].line = line;
        }
    }
}

} // namespace

extern "C" int pg_toml_parse(const char *path, const char *text, size_t size, pg_toml *out)
{
    *out = pg_toml{};
    try {
        check_parts(std::string_view(text, size));
        give(flatten(toml::parse(std::string_view(text, size), std::string_view(path))), out);
        return PG_OK;
    } catch (const toml::parse_error &error) {
        return pg_fail(PG_EINPUT, "%s:%d: %s", path, static_cast<int>(error.source().begin.line),
                       std::string(error.description()).c_str());
    } catch (const problem &fault) {
        pg_toml_release(out);
        return pg_fail(PG_EINPUT, "%s:%d: %s", path, fault.line, fault.text.c_str());
    } catch (const std::bad_alloc &) {
        pg_toml_release(out);
        return pg_fail(PG_ENOMEM, "%s: out of memory", path);
    } catch (...) {
        pg_toml_release(out);
        return pg_fail(PG_EINPUT,
                       "%s: cannot be read as TOML; right would be lines of key = value below [fixed], [axes], [[zip]] and "
                       "[[exclude]]",
                       path);
    }
}

extern "C" void pg_toml_release(pg_toml *toml)
{
    for (size_t i = 0; i < toml->n; i++) {
        pg_toml_entry &entry = toml->entries[i];
        for (size_t k = 0; k < entry.n; k++)
            std::free(entry.values[k].text);
        std::free(entry.values);
        std::free(entry.section);
        std::free(entry.key);
    }
    std::free(toml->entries);
    *toml = pg_toml{};
}
