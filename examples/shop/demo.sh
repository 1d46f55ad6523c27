#!/usr/bin/env bash
# Shows Belay at work on this shop: starts a server on free ports, deploys, calls, breaks and repairs, and cleans up.
# Every answer is checked; the exit status is 0 only when all of them were right.
#
#   BELAY_BIN=target/release/belay examples/shop/demo.sh
#
# Everything happens in a temporary directory, which is removed at the end. BELAY_CACHE may name a directory that keeps
# the engine's machine code from run to run.
set -euo pipefail

shop=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
belay=${BELAY_BIN:-belay}
case $belay in
  */*) belay=$(cd "$(dirname "$belay")" && pwd)/$(basename "$belay") ;;
esac
python=${BELAY_PYTHON:-python3}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/belay-demo.XXXXXX")
server=
provider=

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' cyan=$'\e[36m' plain=$'\e[0m'
else
  bold='' dim='' green='' red='' cyan='' plain=''
fi

end() {
  if [ -n "$1" ]; then
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
  fi
}

cleanup() {
  touch "$tmp/enough"
  end "$server"
  end "$provider"
  rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

fail() {
  printf '\n%s✗ %s%s\n' "$red" "$1" "$plain" >&2
  [ $# -lt 2 ] || printf '%s\n' "$2" >&2
  if [ -s "$tmp/server.log" ]; then
    printf '%slast lines of the server:%s\n' "$dim" "$plain" >&2
    tail -n 20 "$tmp/server.log" >&2
  fi
  exit 1
}

section() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
say() { printf '%s\n' "$1"; }
now_us() { printf '%s' "${EPOCHREALTIME//[.,]/}"; }

# run STATUS COMMAND…: shows a command, runs it, shows its output and how long it took; the output is in $out.
# STATUS is the exit status it must have. `belay` and `curl -s` are shown as a person would type them.
run() {
  local expected=$1 start status=0
  shift
  printf '%s$ %s%s\n' "$cyan" "$(shown "$@")" "$plain"
  start=$(now_us)
  out=$("$@" 2>&1) || status=$?
  took_us=$(($(now_us) - start))
  [ -z "$out" ] || printf '%s\n' "$out"
  printf '%s  %d.%d ms%s\n' "$dim" $((took_us / 1000)) $((took_us / 100 % 10)) "$plain"
  [ "$status" -eq "$expected" ] || fail "that ended with status $status instead of $expected"
}

shown() {
  local words=() word
  for word in "$@"; do
    case $word in
      "$belay") word=belay ;;
      -s | --fail-with-body | opening) continue ;;
      *[!A-Za-z0-9_./:=@,-]* | '') word="'$word'" ;;
    esac
    words+=("$word")
  done
  printf '%s' "${words[*]}"
}

# opening COMMAND…: what it prints before its first empty line.
opening() { "$@" | sed '/^$/,$d'; }

# expect WHAT PATTERN: $out must match the extended regular expression.
expect() {
  if grep -Eq -- "$2" <<<"$out"; then
    printf '%s✓ %s%s\n' "$green" "$1" "$plain"
  else
    fail "$1: the answer does not match /$2/" "$out"
  fi
}

# field NAME: a member of the JSON object in $out.
field() {
  node -e 'process.stdout.write(String(JSON.parse(require("fs").readFileSync(0, "utf8"))[process.argv[1]] ?? ""))' "$1" \
    <<<"$out"
}

need() { command -v "$1" >/dev/null || fail "the demo needs $1"; }

need curl
need node
need "$belay"

# A copy, so that breaking the code on purpose leaves the original alone.
mkdir -p "$tmp/shop" "$tmp/data" "$tmp/cache"
cp "$shop"/demo/*.mjs "$tmp"
cp -R "$shop/src" "$shop/belay.toml" "$shop/package.json" "$shop/package-lock.json" "$shop/.npmrc" "$tmp/shop"
if [ -d "$shop/node_modules" ]; then
  cp -R "$shop/node_modules" "$tmp/shop"
else
  need npm
  say "installing zod, dayjs and nanoid from npm"
  npm ci --omit=dev --silent --prefix "$tmp/shop" || fail "npm could not install the shop's packages"
fi
cd "$tmp"

# The payment provider of section 11. The shop of the demo calls it where it listens.
node provider.mjs >provider.port 2>provider.log &
provider=$!
start=$(now_us)
until [ -s provider.port ]; do
  kill -0 "$provider" 2>/dev/null || fail "the payment provider did not start" "$(cat provider.log)"
  [ $(($(now_us) - start)) -lt 20000000 ] || fail "the payment provider takes more than twenty seconds to start"
  sleep 0.02
done
payments=http://127.0.0.1:$(<provider.port)
sed -i "s/127\.0\.0\.1:8899/${payments#http://}/" shop/belay.toml

section "1. A server, with everything it needs in one process"
printf '%s$ belay up%s\n' "$cyan" "$plain"
start=$(now_us)
"$belay" up --json --http 127.0.0.1:0 --control 127.0.0.1:0 --data "$tmp/data" --cache "${BELAY_CACHE:-$tmp/cache}" \
  >"$tmp/up.json" 2>"$tmp/server.log" &
server=$!
until [ -s "$tmp/up.json" ]; do
  kill -0 "$server" 2>/dev/null || fail "the server did not start"
  [ $(($(now_us) - start)) -lt 120000000 ] || fail "the server takes more than two minutes to start"
  sleep 0.02
done
out=$(<"$tmp/up.json")
http=$(field http)
BELAY_CONTROL=$(field control)
export BELAY_CONTROL
printf 'calls %s   control %s\n' "$http" "$BELAY_CONTROL"
printf '%s  %d ms%s\n' "$dim" $((($(now_us) - start) / 1000)) "$plain"

section "2. Deploy a TypeScript app with real npm packages"
run 0 "$belay" deploy --now shop
expect "nine functions and an event handler are live" 'shop version 1'

section "3. Call it over HTTP"
run 0 curl -s "$http/fn/shop.catalog/rope-60"
expect "the price is there, and four are left" '"price":"189.00 EUR","left":4'
order='{"customer":{"name":"Ada","email":"ada@example.org"},"items":[{"sku":"rope-60","quantity":3}]}'
run 0 curl -s -X POST -d "$order" "$http/fn/shop.checkout/"
expect "three ropes are ten per cent off" '"total":"510.30 EUR"'
id=$(field id)
run 0 curl -s "$http/fn/shop.orders/$id"
expect "the order is stored" '"email":"ada@example.org"'
say ""
say "What does not make sense is refused by the shop itself (zod), and stock is never oversold (kv transaction):"
run 0 curl -s -X POST -d '{"customer":{"name":"Eve","email":"nope"},"items":[]}' "$http/fn/shop.checkout/"
expect "the address is not one" 'Invalid email'
run 0 curl -s -X POST -d "$order" "$http/fn/shop.checkout/"
expect "three more cannot be had" 'only 1 of Single rope, 60 m left'

section "4. Call it as AWS Lambda"
run 0 curl -s -X POST -d '{"items":[{"sku":"chalk","quantity":2}]}' "$http/2015-03-31/functions/shop.quote/invocations"
expect "the Invoke API answers" '"total":"13.80 EUR"'
if "$python" -c 'import boto3' 2>/dev/null; then
  cat >boto.py <<'PY'
import boto3, json, sys
client = boto3.client("lambda", endpoint_url=sys.argv[1], region_name="local",
                      aws_access_key_id="any", aws_secret_access_key="any")
answer = client.invoke(FunctionName="shop.receipt", Payload=json.dumps({"order": sys.argv[2]}))
print(json.load(answer["Payload"])["text"])
PY
  run 0 "$python" boto.py "$http" "$id"
  expect "boto3, unmodified, gets a receipt made with dayjs" 'total 510.30 EUR, to be paid by'
else
  say "${dim}boto3 is not installed for $python; asking without it${plain}"
  run 0 "$belay" invoke shop.receipt "{\"order\":\"$id\"}"
  expect "a receipt made with dayjs" 'total 510.30 EUR, to be paid by'
fi

section "5. A failure names the line in your own file"
run 1 "$belay" invoke shop.refund "{\"order\":\"$id\"}"
expect "the TypeScript line is named" 'src/payments\.ts:6:'

section "6. An event: queued, then handled"
run 0 "$belay" invoke shop.notify "{\"order\":\"$id\"}" --event
start=$(now_us)
until out=$("$belay" logs shop.notify 2>&1) && grep -q outbox <<<"$out"; do
  [ $(($(now_us) - start)) -lt 20000000 ] || fail "the event was not handled within 20 seconds" "$out"
  sleep 0.05
done
run 0 "$belay" logs shop.notify
expect "its log tells of the mail" 'mail is in the outbox'

section "7. A mistake is refused before it can hurt"
sed -i.orig 's/"zod"/"zodd"/' shop/src/quote.ts
run 3 "$belay" deploy --now shop
expect "the place is shown" 'src/quote\.ts:1:'
mv shop/src/quote.ts.orig shop/src/quote.ts
run 0 "$belay" invoke shop.quote '{"items":[{"sku":"chalk","quantity":3}]}'
expect "version 1 goes on answering" '18\.63 EUR'

section "8. Version 2: three edits that have nothing to do with each other, and one of them is wrong"
sed -i 's/full \* 0\.9/full * 0.09/' shop/src/quote.ts
sed -i 's/placed\.add(14, "day")/placed.add(30, "day")/' shop/src/receipt.ts
sed -i 's/SoldOut(`only/SoldOut(`sorry, only/' shop/src/checkout.ts
run 0 "$belay" deploy --now shop
expect "both versions are in one program, with a switch for each edit" 'change shop/2 from 1, 3 parts'
run 0 "$belay" invoke shop.quote '{"items":[{"sku":"chalk","quantity":3}]}'
expect "the discount is far too good" '1\.86 EUR'
out=$("$belay" show shop/2 --json)
part=$(node -e '
  const change = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const wrong = (part) => part.hunks.some((hunk) => hunk.after_text.includes("0.09"));
  process.stdout.write(change.contents.find(wrong).id);
' <<<"$out")
run 0 "$belay" show "shop/2:$part"
expect "the wrong edit is a part of its own" 'full \* 0\.09'

section "9. Only that one is taken back, while requests come in"
traffic() {
  local status
  while [ ! -e "$tmp/enough" ]; do
    status=$(curl -s -o /dev/null -w '%{http_code}' -X POST -d '{"items":[{"sku":"chalk","quantity":3}]}' \
      "$http/2015-03-31/functions/shop.quote/invocations") || status=none
    echo "$status" >>"$tmp/traffic"
  done
}
traffic &
traffic=$!
until [ -e "$tmp/traffic" ] && [ "$(wc -l <"$tmp/traffic")" -ge 20 ]; do sleep 0.02; done
run 0 "$belay" take-back "shop/2:$part"
run 0 "$belay" invoke shop.quote '{"items":[{"sku":"chalk","quantity":3}]}'
expect "the next request has the old price" '18\.63 EUR'
before=$(wc -l <"$tmp/traffic")
until [ "$(wc -l <"$tmp/traffic")" -ge $((before + 20)) ]; do sleep 0.02; done
touch "$tmp/enough"
wait "$traffic"
out=$(sort "$tmp/traffic" | uniq -c)
printf 'requests meanwhile, by status:\n%s\n' "$out"
[ "$(sort -u "$tmp/traffic")" = 200 ] || fail "a request failed while the part was taken back" "$out"
run 0 "$belay" invoke shop.receipt "{\"order\":\"$id\"}"
days="$(LC_ALL=C date -u -d '+30 days' '+%-d %B %Y')|$(LC_ALL=C date -u -d '+31 days' '+%-d %B %Y')"
expect "the other edits stay: there are 30 days to pay" "to be paid by ($days)"
run 0 curl -s -X POST -d "$order" "$http/fn/shop.checkout/"
expect "and the shop is sorry" 'sorry, only 1 of'
run 0 "$belay" diff shop --effective
expect "the patch that brings your files to what runs" '^\+.*full \* 0\.9\)'
git -C shop apply <<<"$out"
run 0 "$belay" deploy --now shop
expect "the patch was applied: the files are what runs" 'shop version 3'
run 0 "$belay" changes shop
expect "the change, with what was taken back of it" "shop/2.*-$part"

section "10. Version 4, and nobody watches: four edits, two of which are wrong"
run 0 "$belay" policy shop 'canary.ramp=[20, 50]' canary.step_min=1s judge.harmless_below=5
expect "shorter steps than usual, so that you need not wait" 'canary.step_min +"1s" +set here'
rm -f "$tmp/enough"
cat >customers.mjs <<'JS'
// Customers who ask for quotes and receipts; in the season some of them want very many ropes.
import { existsSync } from "node:fs";
const [url, order, season, enough] = process.argv.slice(2);
const call = (name, event) =>
  fetch(`${url}/2015-03-31/functions/shop.${name}/invocations`, { method: "POST", body: JSON.stringify(event) })
    .then(async (response) => [response.status, await response.text()]);
let asked = 0;
async function customer() {
  while (!existsSync(enough)) {
    const some = { sku: "chalk", quantity: ++asked % 7 ? 3 : 12 };
    const many = { sku: "rope-60", quantity: 20 };
    await call("quote", { items: [asked % 5 === 0 && existsSync(season) ? many : some] });
    await call("receipt", { order });
  }
}
await Promise.all([customer(), customer(), customer(), customer()]);
console.log(asked);
JS
node customers.mjs "$http" "$id" "$tmp/season" "$tmp/enough" >customers.log 2>&1 &
traffic=$!
start=$(now_us)
until [ "$(curl -s "$BELAY_CONTROL/metrics" | sed -n 's/^belay_tapes{.*} //p')" -ge 100 ]; do
  [ $(($(now_us) - start)) -lt 20000000 ] || fail "nothing is recorded"
  sleep 0.05
done
say "Requests are recorded, and what is secret in them is left out. A deploy is tried on them before it gets any."
sed -i 's/return sum + (quantity >= 3/if (quantity > 10) throw new Error("no such discount");\n    return sum + (quantity >= 3/' shop/src/quote.ts
sed -i 's/^  return { cents, total: money(cents) };/  if (cents > 300_000) throw new Error("does not fit");\n&/' shop/src/quote.ts
sed -i 's/to be paid by/please pay by/' shop/src/receipt.ts
run 0 "$belay" deploy --yes shop
expect "the edit that fails for twelve is found on them, and gets no request" 'does worse on recorded requests and gets none'
expect "a fifth of the requests run the others" '20 % of the requests run it now'
touch "$tmp/season"
start=$(now_us)
until out=$("$belay" explain shop/4 --json) && [ "$(field state)" = live ]; do
  [ $(($(now_us) - start)) -lt 120000000 ] || fail "the change did not get live within two minutes" "$out"
  kill -0 "$traffic" 2>/dev/null || fail "the customers went away" "$(cat customers.log)"
  sleep 0.2
done
touch "$tmp/enough"
wait "$traffic" || fail "the customers gave up" "$(cat customers.log)"
run 0 "$belay" explain shop/4
expect "one edit was taken back before it got a request" 'took back part [a-d], before it got a request'
expect "the other one by the failures that it made of live ones" 'exception: before [0-9]+/[0-9]+, after [0-9]+/[0-9]+'
expect "the rest is live" 'live: all requests run it'
run 0 "$belay" invoke shop.quote '{"items":[{"sku":"rope-60","quantity":20}]}'
expect "who wants very many gets a price" '3402\.00 EUR'

section "11. A transfer whose payment provider turns slow"
say "Booking a transfer and having it paid is one transaction: that is what stands above the function."
run 0 sed -n '/@transaction/,/^}/p' shop/src/transfer.ts
run 0 node transfers.mjs "$http" answers paid 20
expect "the provider is quick, transfers are paid" 'paid × 20$'
say ""
say "Now the provider takes a minute. A transfer asks three times, and waits for a quarter of a second each time."
run 0 curl -s -X PUT -d 60000 "$payments/latency"
run 0 node transfers.mjs "$http" answers later 10
expect "then they go by transferLater, before they could fail" 'later × 10$'
failed=$(grep -c '"status":"failed"' answers) || true
[ "$failed" -le 15 ] || fail "$failed transfers failed, which are too many"
printf '%s✓ %s failed in all%s\n' "$green" "$failed" "$plain"
run 0 node audit.mjs "$http" answers "$payments"
expect "for those that went another way the provider was not called" '[ ,]0 for the later ones'
run 0 "$belay" tx list
expect "the provider is left alone" '127\.0\.0\.1:[0-9]+ .*left alone'
out=$(tail -n 1 answers)
request=$(field request)
run 0 "$belay" tx explain "$request"
expect "why the last of them went another way: what was foreseen, and what ran ahead of it" 'done about it: divert'
say ""
say "What that has cost and brought; the list of transactions that follows is left out here:"
run 0 opening "$belay" tx show shop/transfer
expect "what looking ahead takes of the machine" 'overhead +[0-9.]+ ms a mirror'
expect "failures that were avoided" 'failures avoided +(about|at most) [1-9]'
expect "what was said of transactions, and what came of them" 'calibration +said +[0-9]+ %, came'
say ""
say "The provider recovers. Nobody tells Belay: now and then it lets a transfer try, and when three went well, all."
run 0 curl -s -X PUT -d 0 "$payments/latency"
run 0 node transfers.mjs "$http" answers paid 20
expect "transfers are paid again, by themselves" 'paid × 20$'
run 0 node audit.mjs "$http" answers "$payments"
expect "nothing is lost, nothing is done twice" 'the books are right'
say ""
say "What was put off is made up for:"
start=$(now_us)
until run 0 "$belay" invoke shop.settle '{}' && grep -q '"waiting":0' <<<"$out"; do
  [ $(($(now_us) - start)) -lt 60000000 ] || fail "not all was settled within a minute"
done
run 0 node audit.mjs "$http" answers "$payments"
expect "all of it is paid, once" '; 0 wait'

section "12. What happened"
run 0 "$belay" stats
expect "failures are counted by category" '[0-9]+ exception'

section "13. Stop"
start=$(now_us)
kill -INT "$server"
status=0
wait "$server" || status=$?
server=
[ "$status" -eq 0 ] || fail "the server ended with status $status"
printf '%s  %d ms%s\n' "$dim" $((($(now_us) - start) / 1000)) "$plain"
printf '\n%sAll of it worked.%s Next: belay init hello\n' "$green" "$plain"
