#!/usr/bin/env bash
# Build the image and run it as Kubernetes would: another user than root, a read-only root. Needs root on Debian; takes two minutes.
#
# There is no registry here: the base is made with debootstrap and stands for the one that the Dockerfile names.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

work=$(mktemp -d)
store=(--root "$work/root" --runroot "$work/run" --storage-driver vfs)
container='' mounted='' served=''
tidy() {
  if [ -n "$served" ] && kill -0 "$served" 2>/dev/null; then kill -KILL "$served"; fi
  if [ -n "$mounted" ]; then mount --make-private "$mounted" 2>/dev/null || true; umount -l "$mounted" 2>/dev/null || true; fi
  if [ -n "$container" ]; then buildah "${store[@]}" rm "$container" >/dev/null 2>&1 || true; fi
  rm -rf --one-file-system "$work"
}
trap tidy EXIT
fail() {
  echo "FAILED: $*" >&2
  if [ -f "$work/log" ]; then cat "$work/log" >&2; fi
  exit 1
}

need=()
for program in buildah debootstrap; do command -v "$program" >/dev/null || need+=("$program"); done
if [ ${#need[@]} -gt 0 ]; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -qq "${need[@]}" >/dev/null
fi

echo "== base"
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,passwd bookworm "$work/base" >"$work/log" 2>&1 || fail "no base"
base=$(buildah "${store[@]}" from scratch)
buildah "${store[@]}" copy --quiet "$base" "$work/base" / >/dev/null
buildah "${store[@]}" commit --quiet "$base" localhost/base:test >/dev/null
buildah "${store[@]}" rm "$base" >/dev/null
rm -rf --one-file-system "$work/base"

echo "== build"
authorities=/etc/ssl/certs/ca-certificates.crt
# A machine with a package index of its own: the build uses it too, and the image does not know of it.
echo "[global]" >"$work/pip.conf"
for key in index-url extra-index-url trusted-host; do
  if value=$(python3 -m pip config get "global.$key" 2>/dev/null); then printf '%s = %s\n' "$key" "$value" >>"$work/pip.conf"; fi
done
buildah "${store[@]}" bud --isolation chroot --pull-never --format docker --build-arg BASE_IMAGE=localhost/base:test \
  -v "$authorities:$authorities:ro" -v "$work/pip.conf:/etc/pip.conf:ro" -t localhost/exporter:test . >"$work/log" 2>&1 || fail "the image does not build"

inspect() { buildah "${store[@]}" inspect --type image --format "$1" localhost/exporter:test; }
[ "$(inspect '{{.Docker.Config.User}}')" = "65532:65532" ] || fail "it does not run as 65532"
[ "$(inspect '{{.Docker.Config.Entrypoint}}')" = "[agentstack-exporter]" ] || fail "the entrypoint is not ours"
[ "$(inspect '{{.Docker.Config.Healthcheck.Test}}')" = "[CMD agentstack-exporter healthcheck]" ] || fail "there is no health check"

echo "== run, as 65532, on a read-only root"
container=$(buildah "${store[@]}" from --pull-never localhost/exporter:test)
root=$(buildah "${store[@]}" mount "$container")
size=$(du -sm "$root/opt/venv" | cut -f1)
mounted="$work/ro"
mkdir "$mounted"
mount --bind "$root" "$mounted"
mount -o remount,bind,ro "$mounted"
inside() { chroot --userspec=65532:65532 "$mounted" /usr/bin/env -i PATH=/opt/venv/bin:/usr/bin:/bin HOME=/ "$@"; }
if inside touch /opt/x 2>/dev/null; then fail "the root can be written"; fi
[ "$(inside id -u)" = 65532 ] || fail "it runs as another user"

inside agentstack-exporter --version | grep -qF "(compiled)" || fail "the hot path is not compiled"
inside /opt/venv/bin/python -c 'import importlib.util as find, sys; sys.exit(find.find_spec("exporter.tap") is not None)' ||
  fail "the tap's old name is there, and leads nowhere"

began=$(date +%s%N)
inside agentstack-exporter serve --listen 127.0.0.1:18790 --telemetry-listen 127.0.0.1:18791 >"$work/log" 2>&1 &
served=$!
for _ in $(seq 100); do
  if inside agentstack-exporter healthcheck --ready --telemetry-listen 127.0.0.1:18791 2>/dev/null; then break; fi
  kill -0 "$served" 2>/dev/null || fail "it ended"
done
inside agentstack-exporter healthcheck --telemetry-listen 127.0.0.1:18791 || fail "it is not healthy"
ready=$((($(date +%s%N) - began) / 1000000))

inside agentstack-exporter simulate --url ws://127.0.0.1:18790/ws --calls 5 --speed 0 --quiet >/dev/null || fail "calls cannot be played"
inside /opt/venv/bin/python -c '
import urllib.request
text = urllib.request.urlopen("http://127.0.0.1:18791/metrics").read().decode()
assert "agentstack_user_perceived_latency_seconds_count" in text
' || fail "calls are not measured"

echo "== stop"
pid=$(pgrep -P "$served" -f agentstack-exporter || echo "$served")
began=$(date +%s%N)
kill -TERM "$pid"
wait "$served" || fail "it ended with $? on SIGTERM"
stopped=$((($(date +%s%N) - began) / 1000000))
served=''
[ "$stopped" -lt 14000 ] || fail "it took $stopped ms to stop"
echo "ok: venv ${size} MB, ready after ${ready} ms (health checks included), stopped after ${stopped} ms"
