#!/bin/sh
# report.sh PROGRAM [FOLDER]: the pages of `report` and `gallery` in Debian's Chromium, headless and driven by chromedriver: no errors on its
# console, nothing loaded, sorting by mouse and keyboard, filters, figures saved, a width of 390 pixels. Screenshots are left in
# FOLDER. PAGE in the environment: another page to look at, without the checks of its contents. The last line counts like tests/run.sh.
set -u
[ $# -ge 1 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
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
        {\"browser\":\"ALL\"},\"goog:chromeOptions\":{\"prefs\":{
        \"download.default_directory\":\"$base/saved\",\"profile.default_content_setting_values.automatic_downloads\":1},$2\"args\":[$args]}}}}" | sed -nE 's/.*"sessionId":"([0-9a-f]+)".*/\1/p')
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
    "$program" run m.toml --quiet && "$program" run m.toml -S patch=3 -S attack=none --quiet || exit 1
    "$program" audit m.toml -S images=0:8 -S patch=2 -S attack=none --quiet >"$base/end" || exit 1
    "$program" report m.toml -o page.html || exit 1
    cd - >"$base/end" || exit 4
    page=$base/run/page.html
}

column() { # number of a heading: the values below it in the first table, in order
    js "return [...document.querySelector('table.cells').tBodies].map(b=>b.rows[0].cells[$1].dataset.v).filter(v=>v).join(' ')"
}
sort_state() { js "return document.querySelector('table.cells').tHead.rows[0].cells[$1].getAttribute('aria-sort')"; }
saved() { # name of a file: its first bytes, when it has come
    for _ in $(seq 100); do
        [ -s "$base/saved/$1" ] && break
        sleep 0.1
    done
    head -c 5 "$base/saved/$1" 2>"$base/end" | tail -c 4
}
shown() { js "return [...document.querySelector('table.cells').tBodies].filter(b=>b.getBoundingClientRect().height>0).length"; }
choose() { # key, value: in the first bar of menus
    js "for (const l of document.querySelector('.filter').querySelectorAll('label')) if (l.firstChild.textContent==='$1') { const s=l.querySelector('select'); s.value='$2'; s.dispatchEvent(new Event('change')); }" >"$base/clicked"
}
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
    check "a row each at first" "$(shown)" 28
    choose defense =robust-masking
    check "a menu filters by a setting" "$(shown)" 16
    choose robust-masking.threshold =0.2
    check "and another one, too" "$(shown)" 8
    check "and counts" "$(js "return document.querySelector('.filter [role=status]').textContent")" "8 of 28 cells"
    shot filtered
    choose defense ''
    choose robust-masking.threshold ''
    check "all are shown again" "$(shown)" 28
    click "document.querySelector('.figures a[download]')"
    check "a figure is saved as SVG" "$(saved accuracy.svg)" "?xml"
    click "document.querySelector('.figures .save button')"
    check "and as PNG" "$(saved accuracy.png)" "PNG$(printf '\r')"
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
check "a wide table scrolls in its own box" "$(js "return [...document.querySelectorAll('.origin .box')].some(b => b.scrollWidth > b.clientWidth)")" true
check "accuracies are on the screen of a phone" "$(js "return [...document.querySelectorAll('table.cells td.n')].every(c=>c.getBoundingClientRect().right<=390)")" true
check "before anything else of their cell" "$(js "const r=document.querySelector('table.cells tbody tr'); return r.querySelector('[data-l=clean]').getBoundingClientRect().bottom <= r.lastElementChild.getBoundingClientRect().top")" true
check "what a row opens to is no wider than the page" "$(js "return [...document.querySelectorAll('.origin')].every(o=>o.getBoundingClientRect().width<=390)")" true
shot phone-open
check "no complaint on a phone" "$(complaints)" "[]"
check "dark where the system is" "$(js "return getComputedStyle(document.body).backgroundColor")" "rgb(22, 24, 27)"

if [ -z "${PAGE:-}" ]; then
    "$program" --db "$base/run/patchgauge.db" gallery --only patch=5 --only defense=robust-masking --only defense=ds --most 20 \
        -o "$base/run/gallery.html" || exit 1
    page=$base/run/gallery.html
    all="[...document.querySelectorAll('figure')]"
    seen="$all.filter(f=>f.getBoundingClientRect().height>0)"
    browse 1280 '' ''
    check "gallery: no complaint of the browser" "$(complaints)" "[]"
    check "gallery: every picture can be shown" "$(js "return Promise.all([...document.images].map(i=>i.decode())).then(()=>$all.length===$seen.length && document.images.length>100)")" true
    certified=$(js "return $all.filter(f=>f.dataset.verdict==='certified').length")
    choose verdict =certified
    check "gallery: certified images alone" "$(js "return $seen.length+' '+$seen.every(f=>f.dataset.verdict==='certified')")" "$certified true"
    class=$(js "return $seen[0].dataset.class")
    choose class "=$class"
    check "gallery: of one class" "$(js "return $seen.length>0 && $seen.every(f=>f.dataset.verdict==='certified' && f.dataset.class==='$class')")" true
    choose defense =ds
    check "gallery: of one defense" "$(js "return [...document.querySelectorAll('section')].filter(s=>s.getBoundingClientRect().height>0).every(s=>s.querySelector('h2').textContent.startsWith('ds'))")" true
    shot gallery
    browse 390 "$phone" ''
    check "gallery: 390 pixels wide" "$(js "return innerWidth+' '+document.documentElement.scrollWidth")" "390 390"
    shot gallery-phone
    check "gallery: no complaint on a phone" "$(complaints)" "[]"
fi

echo "screenshots: $out/desktop.png filtered.png phone.png phone-open.png gallery.png gallery-phone.png"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
