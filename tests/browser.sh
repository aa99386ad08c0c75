#!/bin/sh
# A Chromium for the tests of the pages: the machine's own, else Debian's where we may install it.
# Without one those tests are skipped, and fail when CI=true.
set -u
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null 2>&1
    apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1 && exit 0
fi
echo "no chromium here, and none could be installed: tests of the pages will be skipped"
