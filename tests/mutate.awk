# Mutants of a C file. -v list=1: one line each, "LINE COLUMN LENGTH REPLACEMENT"; -v line=L -v column=C -v len=N -v with=TEXT: the file
# with that one replacement. Comments, strings, preprocessor lines and assertions are left
# alone.
#
# Mutations: < <= > >= == != to their neighbours; + 1 and - 1 (and 1 - x) to the other sign and to 0; the roles and axes below to
# their counterparts; a wrap flag that is read to its opposite.
BEGIN {
    n = split("before after own rival own other rest rival label target lb t lo hi rows columns top left height width " \
              "wrap_rows wrap_columns true false heaviest overlapping heaviest total tail head", words, " ")
    for (i = 1; i <= n; i += 2) {
        roles[words[i]] = roles[words[i]] " " words[i + 1]
        roles[words[i + 1]] = roles[words[i + 1]] " " words[i]
    }
    swap["<"] = "<="; swap["<="] = "<"; swap[">"] = ">="; swap[">="] = ">"; swap["=="] = "!="; swap["!="] = "=="
}

function emit(column, len, with) { print NR, column, len, with }

function token_at(text, i,    two) {
    two = substr(text, i, 2)
    if (two == "->" || two == "<<" || two == ">>" || two == "<=" || two == ">=" || two == "==" || two == "!=")
        return two
    return substr(text, i, 1)
}

# Blanks out strings, characters and comments, keeping columns.
function code_of(text,    i, c, out, quote) {
    out = ""
    quote = ""
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (in_comment) {
            if (substr(text, i, 2) == "*/") { in_comment = 0; out = out "  "; i++ } else out = out " "
        } else if (quote != "") {
            if (c == "\\") { out = out "  "; i++ } else { out = out " "; if (c == quote) quote = "" }
        } else if (substr(text, i, 2) == "/*") { in_comment = 1; out = out "  "; i++ }
        else if (c == "\"" || c == "'") { quote = c; out = out " " }
        else out = out c
    }
    return out
}

function mutate(code,    i, token, word, rest, k, m, others) {
    for (i = 1; i <= length(code); i += length(token)) {
        rest = substr(code, i)
        if (match(rest, /^[A-Za-z_0-9]+/)) {
            token = word = substr(rest, 1, RLENGTH)
            if (word in roles) {
                m = split(roles[word], others, " ")
                for (k = 1; k <= m; k++)
                    emit(i, length(word), others[k])
            }
            if (word == "1" && substr(code, i + 1, 3) == " - ")
                emit(i, 1, "0")
            if (match(rest, /^[A-Za-z_]+->(rows\.|columns\.)?wrap[^A-Za-z_]/))
                emit(i, 0, "!")
            continue
        }
        token = token_at(code, i)
        if (token in swap)
            emit(i, length(token), swap[token])
        if ((token == "+" || token == "-") && substr(code, i + 1, 2) == " 1" && substr(code, i + 3, 1) !~ /[A-Za-z0-9_.]/) {
            emit(i, 3, (token == "+" ? "-" : "+") " 1")
            emit(i, 3, token " 0")
        }
    }
}

list {
    skip = continued || $0 ~ /^#/
    continued = skip && $0 ~ /\\$/
    code = code_of($0)
    if (!skip && code !~ /^ *assert\(/)
        mutate(code)
    next
}
NR == line { $0 = substr($0, 1, column - 1) with substr($0, column + len) }
{ print }
