#!/bin/sh
# report.sh PROGRAM [FOLDER]: the page of `report` in Debian's Chromium, headless and driven by chromedriver: no errors on its
# console, nothing loaded, sorting by mouse and keyboard, a width of 390 pixels. Screenshots are left in FOLDER. PAGE in the environment:
# another page to look at, without the checks of its contents. The last line counts like tests/run.sh.
set -u
[ $# -ge 1 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
program=$(realpath "$1")
base=$(mktemp -d "${TMPDIR:-/tmp}/patchgauge-report-XXXXXX") || exit 4
out=${2:-$base}
mkdir -p "$out" || exit 4
out=$(realpath "$out")
passed=0 failed=0 driver='' session=''
port=$((20000 + $$ % 20000))

stop() {
    [ -z "$session" ] || curl -s -X DELETE "$session" >"$base/end"
    [ -z "$driver" ] || kill "$driver" 2>"$base/end"
    wait
    rm -rf "$base"
}
trap 'stop; exit 1' INT TERM
trap stop EXIT

check() { # name, got, wanted
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
        echo "ok      report: $1"
    else
        failed=$((failed + 1))
        echo "FAILED  report: $1: got '$2', wanted '$3'"
    fi
}

post() { curl -s -H 'Content-Type: application/json' -d "$2" "$session/$1"; }
value() { sed -E 's/^\{"value":"?(.*[^"])?"?\}$/\1/'; }
js() { post execute/sync "{\"script\":\"$1\",\"args\":[]}" | value; } # no double quotes in scripts
click() { # JavaScript of an element
    js "$1.click()" >"$base/clicked"
}
shot() { curl -s "$session/screenshot" | value | base64 -d >"$out/$1.png"; }
complaints() { # what the browser has to say of the page
    post se/log '{"type":"browser"}' | value
}

browse() { # width, mobile, colours: a new session
    [ -z "$session" ] || curl -s -X DELETE "$session" >"$base/end"
    session="http://127.0.0.1:$port/session"
    args="\"--headless=new\",\"--disable-gpu\",\"--hide-scrollbars\",\"--user-data-dir=$base/profile.$1\",\"--window-size=$1,1800\"$3"
    [ "$(id -u)" != 0 ] || args="$args,\"--no-sandbox\""
    id=$(curl -s -H 'Content-Type: application/json' "$session" -d "{\"capabilities\":{\"alwaysMatch\":{\"goog:loggingPrefs\":
        {\"browser\":\"ALL\"},\"goog:chromeOptions\":{$2\"args\":[$args]}}}}" | sed -nE 's/.*"sessionId":"([0-9a-f]+)".*/\1/p')
    [ -n "$id" ] || { echo "FAILED  report: Chromium does not start"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
    session="$session/$id"
    post url "{\"url\":\"file://$page\"}" >"$base/opened"
}

make_page() { # the text of a file is what somebody wrote who means harm
    mkdir "$base/run" && cd "$base/run" || exit 4
    cat >m.toml <<'END'
name = "<img src=x onerror=alert(1)><script>alert(2)</script>"
[fixed]
dataset = "synthetic:test"
weights = "null"
images = "0:64"
batch = 8
[axes]
defense = ["mean", "ds", "median", "robust-masking"]
patch = [2, 5]
attack = ["none", "random-search"]
"random-search.steps" = 4
"robust-masking.threshold" = [0, 0.2]
"robust-masking.scope" = ["per-class", "predicted"]
END
    "$program" run m.toml --quiet && "$program" report m.toml -o page.html || exit 1
    cd - >"$base/end" || exit 4
    page=$base/run/page.html
}

column() { # number of a heading: the values below it in the first table, in order
    js "return [...document.querySelector('table.cells').tBodies].map(b=>b.rows[0].cells[$1].dataset.v).filter(v=>v).join(' ')"
}
sort_state() { js "return document.querySelector('table.cells').tHead.rows[0].cells[$1].getAttribute('aria-sort')"; }
button="document.querySelectorAll('table.cells thead button')[3]"
numbers() { tr ' ' '\n' | sort -g "$@" | tr '\n' ' ' | sed 's/ $//'; }

page=${PAGE:-}
[ -n "$page" ] || make_page
chromedriver --port="$port" >"$base/driver.log" 2>&1 &
driver=$!
for _ in $(seq 100); do
    curl -s "http://127.0.0.1:$port/status" | grep -q '"ready":true' && break
    sleep 0.2
done

browse 1280 '' ''
check "no complaint of the browser" "$(complaints)" "[]"
check "nothing is loaded but the page" "$(js "return performance.getEntriesByType('resource').filter(e=>!e.name.startsWith('data:')).length")" 0
check "every picture is shown" "$(js "return [...document.images].filter(i=>!i.naturalWidth && !i.closest('details:not([open])')).length")" 0
if [ -z "${PAGE:-}" ]; then
    check "a hostile name is text" "$(js "return document.querySelector('h2').textContent.startsWith('<img src=x onerror=alert(1)><script>alert(2)</script>')")" true
    check "and no element" "$(js "return document.querySelectorAll('img[src=x],h2 script').length")" 0
    check "there are pictures" "$(js "return document.images.length > 8")" true
fi
all=$(column 3)
check "not sorted at first" "$(sort_state 3)" none
click "$button"
check "a click sorts numbers downwards" "$(column 3)" "$(echo "$all" | numbers -r)"
check "and says so" "$(sort_state 3)" descending
js "$button.focus()" >"$base/clicked"
post actions '{"actions":[{"type":"key","id":"k","actions":[{"type":"keyDown","value":"\uE007"},{"type":"keyUp","value":"\uE007"}]}]}' >"$base/clicked"
check "the enter key sorts upwards" "$(column 3)" "$(echo "$all" | numbers)"
check "and says it too" "$(sort_state 3)" ascending
check "what is folded moves with its row" "$(js "return [...document.querySelectorAll('table.cells > tbody')].every(b=>b.rows.length===2&&b.rows[1].querySelector('details dl dd').textContent.startsWith(b.rows[1].querySelector('summary code').textContent))")" true
js "document.querySelector('table.cells details').open = true" >"$base/clicked"
check "a row opens" "$(js "return document.querySelector('.origin').getBoundingClientRect().height > 100")" true
click "document.querySelector('.origin details summary')"
shot desktop
check "no complaint after all that" "$(complaints)" "[]"

phone='"mobileEmulation":{"deviceMetrics":{"width":390,"height":1800,"pixelRatio":1.5,"mobile":true}},'
browse 390 "$phone" ',"--blink-settings=preferredColorScheme=0"'
check "390 pixels wide" "$(js "return innerWidth+' '+document.documentElement.scrollWidth")" "390 390"
shot phone
js "for (const d of document.querySelectorAll('details')) d.open = true" >"$base/clicked"
check "with all rows open too" "$(js "return innerWidth+' '+document.documentElement.scrollWidth")" "390 390"
check "a table scrolls in its own box" "$(js "const b=document.querySelector('.box'); return b.scrollWidth > b.clientWidth")" true
check "what a row opens to is no wider than the page" "$(js "return [...document.querySelectorAll('.origin')].every(o=>o.getBoundingClientRect().width<=390)")" true
shot phone-open
check "no complaint on a phone" "$(complaints)" "[]"
check "dark where the system is" "$(js "return getComputedStyle(document.body).backgroundColor")" "rgb(22, 24, 27)"

echo "screenshots: $out/desktop.png phone.png phone-open.png"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
